"""Variational autoencoders: a Gaussian code with a prior to generate from."""

import dataclasses
from typing import Any

import keras

from kerasae.layers import GaussianSampling
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble
from kerasae.models.variants.recipe import Recipe
from kerasae.schedules import Weight

# Samples on which the likelihood bound is measured.
_MEASURED = 500


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Variational(Recipe):
    """Maps the encoder's features to a Gaussian code, and adds its KL divergence."""

    encoder_ends_in = "features"
    features = "sum"
    unit_loss = "bce"
    loss = "gaussian"
    prior = "normal"
    code_kind = "gaussian"

    kl_weight: Weight = 1.0
    free_bits: float = 0.0

    def bottleneck(
        self, units: int, latent_dim: int, seed: int | None = None, conditional: bool = False
    ) -> keras.layers.Layer:
        features = mixed = keras.Input((units,), name="features")
        if conditional:
            # What a condition says of features is not linear in it.
            mixed = keras.layers.Dense(units, activation="relu", name="mixed")(features)
        z_mean = keras.layers.Dense(latent_dim, name="z_mean")(mixed)
        z_log_var = keras.layers.Dense(latent_dim, name="z_log_var")(mixed)
        sampling = GaussianSampling(self.kl_weight, self.free_bits, seed, name="z")
        latent, terms = sampling([z_mean, z_log_var], return_terms=True)
        outputs = {"latent": latent, "z_mean": z_mean, "z_log_var": z_log_var, "terms": terms}
        return keras.Model(features, outputs, name="bottleneck")

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        found = data.likelihood(_MEASURED)
        return {"variational": found} if found else {}


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
    default likelihood is Bernoulli if the input is scaled to [0, 1], otherwise Gaussian with
    a learned standard deviation.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code.
        kl_weight: Factor "beta" of the KL term, or a `Warmup`.
        free_bits: Nats per code dimension exempt from the penalty.
        **options: See `kerasae.build`. A custom encoder outputs features here, from which two
            Dense layers compute `z_mean` and `z_log_var`.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, equation 10.
    """
    if options.get("code_activation") is not None:
        raise ValueError(
            "code_activation is not supported: a variational code is Gaussian. "
            f"Received: code_activation={options['code_activation']!r}"
        )
    return assemble(Variational(kl_weight, free_bits), input_shape, latent_dim, **options)
