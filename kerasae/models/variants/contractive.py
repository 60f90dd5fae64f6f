"""The contractive autoencoder: a code that moves little when the input does."""

from typing import Any

from kerasae.layers import JacobianPenalty
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.recipe import Mechanism, assemble, with_defaults
from kerasae.schedules import Weight


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
    mechanism = Mechanism(
        wrap_encoder=lambda encoder: JacobianPenalty(
            encoder,
            weight=jacobian_weight,
            method=jacobian_method,
            seed=options.get("seed"),
            name="encoder_network",
        )
    )
    options = with_defaults(options, code_activation="sigmoid")
    return assemble(mechanism, input_shape, latent_dim, **options)
