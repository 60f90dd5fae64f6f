"""The contractive autoencoder: a code that changes little when the input does."""

import dataclasses
from typing import Any

import keras

from kerasae.layers import JacobianPenalty
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, with_defaults
from kerasae.models.variants.recipe import Recipe
from kerasae.schedules import Weight

# Samples whose Jacobians are measured in evaluation.
_MEASURED = 64


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Contractive(Recipe):
    """Puts a `JacobianPenalty` around the encoder."""

    jacobian_weight: Weight = 1e-4
    jacobian_method: str = "estimate"

    def wrap_encoder(self, encoder: keras.Model, seed: int | None = None) -> keras.layers.Layer:
        return JacobianPenalty(
            encoder,
            weight=self.jacobian_weight,
            method=self.jacobian_method,
            seed=seed,
            name="encoder_network",
        )

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        return {"contractive": data.jacobian(_MEASURED)}


def contractive(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    jacobian_weight: Weight = 1e-4,
    jacobian_method: str = "estimate",
    **options: Any,
) -> Autoencoder:
    """Build a contractive autoencoder.

    The loss is `reconstruction_loss + jacobian_weight * ||d code / d x||_F^2`, averaged over
    the batch, with `x` in scaled units and uncorrupted.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code.
        jacobian_weight: Factor lambda of the penalty, or a `Warmup`.
        jacobian_method: `"estimate"`, `"closed_form"` (dense networks) or `"exact"`; see
            `kerasae.layers.JacobianPenalty`.
        **options: See `kerasae.build`. The code is a sigmoid by default.

    References:
        Rifai et al., "Contractive Auto-Encoders: Explicit Invariance During Feature
        Extraction", ICML 2011.
    """
    recipe = Contractive(jacobian_weight, jacobian_method)
    options = with_defaults(options, code_activation="sigmoid")
    return assemble(recipe, input_shape, latent_dim, **options)
