"""Sparse variants: a penalty on the activations of the code."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import regularizers
from kerasae.layers import ActivityPenalty
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, with_defaults
from kerasae.models.variants.recipe import Recipe
from kerasae.schedules import Weight


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Sparse(Recipe):
    """Puts an `ActivityPenalty` on the code."""

    regularizer: regularizers.ActivationRegularizer
    momentum: float | None = None

    def bottleneck(
        self, units: int, latent_dim: int, seed: int | None = None, conditional: bool = False
    ) -> keras.layers.Layer:
        return ActivityPenalty(self.regularizer, self.momentum, name="bottleneck")

    def check(self, ae: Any) -> None:
        if self.regularizer.bounded:
            _check_unit_code(ae.encoder_network, ae.sample_shape)

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        target = getattr(self.regularizer, "target_activation", None)
        return {} if target is None else {"codes": {"target_activation": target}}


def sparse_l1(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    sparsity_weight: Weight = 1e-4,
    **options: Any,
) -> Autoencoder:
    """Build a sparse autoencoder with an L1 penalty on the code.

    The loss is `reconstruction_loss + sparsity_weight * sum_j |h_j|`, averaged over the batch.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code; twice the input, at most 512, by default.
        sparsity_weight: Factor lambda of the penalty, or a `Warmup`.
        **options: See `kerasae.build`. The code is ReLU by default.

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """
    regularizer = regularizers.L1Activation(sparsity_weight)
    return _sparse(
        input_shape, latent_dim, regularizer, None, with_defaults(options, code_activation="relu")
    )


def sparse_kl(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    target_activation: float = 0.05,
    sparsity_weight: Weight = 1e-3,
    momentum: float | None = None,
    **options: Any,
) -> Autoencoder:
    """Build a sparse autoencoder whose units have a given target mean activation.

    The loss is `reconstruction_loss + sparsity_weight * sum_j KL(rho || rho_hat_j)`.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code; twice the input, at most 512, by default.
        target_activation: Target mean activation rho of each unit, in (0, 1).
        sparsity_weight: Factor beta of the penalty, or a `Warmup`.
        momentum: Momentum of a running mean activation, for small batches; None uses the
            mean of each batch.
        **options: See `kerasae.build`. The code is a sigmoid by default.

    Raises:
        ValueError: If the code is not confined to [0, 1].

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3.
    """
    regularizer = regularizers.KLSparsity(target_activation, sparsity_weight)
    options = with_defaults(options, code_activation="sigmoid")
    return _sparse(input_shape, latent_dim, regularizer, momentum, options)


def _sparse(
    input_shape: tuple[int, ...],
    latent_dim: int | None,
    regularizer: regularizers.ActivationRegularizer,
    momentum: float | None,
    options: dict[str, Any],
) -> Autoencoder:
    if latent_dim is None and options.get("encoder") is None:
        latent_dim = min(2 * math.prod(input_shape), 512)
    recipe = Sparse(regularizer, momentum)
    return assemble(recipe, input_shape, latent_dim, **with_defaults(options, hidden=()))


def _check_unit_code(encoder: keras.Model, input_shape: tuple[int, ...]) -> None:
    """Validate the encoder on wide random input, since a compiled graph cannot raise."""
    probe = 100 * np.random.default_rng(0).normal(size=(64, *input_shape)).astype("float32")
    code = ops.convert_to_numpy(encoder(probe, training=False))
    if code.min() < 0 or code.max() > 1:
        raise ValueError(
            "sparse_kl requires a code between 0 and 1, such as that of a sigmoid; use "
            f"sparse_l1 for unbounded units. Received: codes from {code.min():.3g} to "
            f"{code.max():.3g} on random input"
        )
