"""The conditional variational autoencoder: a second input to encoder and decoder."""

from typing import Any

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble
from kerasae.models.variants.variational import Variational
from kerasae.schedules import Weight


def conditional_vae(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    condition: Any,
    kl_weight: Weight = 1.0,
    free_bits: float = 0.0,
    **options: Any,
) -> Autoencoder:
    """Build a conditional variational autoencoder.

    The loss is that of `variational`, with a posterior q(z|x, y) and a decoder p(x|z, y) that
    both depend on the condition y; the prior of the code is N(0, I) for every y. In training, a
    tenth of the conditions are made unknown, so that the model also works without one.
    `kerasae.train` passes the labels of the data as conditions; `kerasae.evaluation.measure`
    evaluates without conditions.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code.
        condition: Number of classes, the shape `(width,)` of a vector, or a
            `kerasae.layers.Condition`.
        kl_weight: Factor "beta" of the KL term, or a `Warmup`.
        free_bits: Nats per code dimension exempt from the penalty.
        **options: See `kerasae.build`.

    References:
        Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional
        Generative Models", 2015.
    """
    if condition is None:
        raise ValueError(
            "condition must be the number of classes, or the shape (width,) of a vector. "
            "Received: condition=None"
        )
    recipe = Variational(kl_weight, free_bits)
    return assemble(recipe, input_shape, latent_dim, condition=condition, **options)
