"""Variational autoencoders: a Gaussian code with a prior to generate from."""

from typing import Any

import keras

from kerasae.layers import GaussianSampling
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.recipe import Mechanism, assemble
from kerasae.schedules import Weight


def variational(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    kl_weight: Weight = 1.0,
    free_bits: float = 0.0,
    **options: Any,
) -> Autoencoder:
    """Build a variational autoencoder.

    The loss is the negative evidence lower bound in nats per sample: the reconstruction
    summed over features plus `kl_weight` times the KL summed over code dimensions. The
    default likelihood is Bernoulli where input is scaled to [0, 1] and otherwise Gaussian
    with a learned standard deviation.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code.
        kl_weight: Factor "beta" of the KL term, or a `Warmup`.
        free_bits: Nats per code dimension that cost nothing.
        **options: See `kerasae.build`. A user's own encoder ends in
            features here, from which two Dense layers make `z_mean` and `z_log_var`.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, equation 10.
    """

    def gaussian_code(units: int, latent_dim: int) -> keras.Model:
        features = keras.Input((units,), name="features")
        z_mean = keras.layers.Dense(latent_dim, name="z_mean")(features)
        z_log_var = keras.layers.Dense(latent_dim, name="z_log_var")(features)
        sampling = GaussianSampling(kl_weight, free_bits, options.get("seed"), name="z")
        return keras.Model(features, sampling([z_mean, z_log_var]), name="bottleneck")

    if options.get("code_activation") is not None:
        raise ValueError(
            "A variational code is Gaussian and takes no activation. "
            f"Received: code_activation={options['code_activation']!r}"
        )
    mechanism = Mechanism(
        bottleneck=gaussian_code,
        encoder_ends_in="features",
        features="sum",
        unit_loss="bce",
        loss="gaussian",
        prior="normal",
    )
    return assemble(mechanism, input_shape, latent_dim, **options)
