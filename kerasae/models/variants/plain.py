"""Variants that differ from a plain autoencoder only in the size of the code."""

import math
import warnings
from typing import Any

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, default_latent_dim, with_defaults
from kerasae.models.variants.recipe import Recipe


def undercomplete(
    input_shape: tuple[int, ...], latent_dim: int | None = None, **options: Any
) -> Autoencoder:
    """Build an undercomplete autoencoder: the code is smaller than the input.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code, smaller than the size of the input.
        **options: See `kerasae.build`.

    Raises:
        ValueError: If the code is not smaller than the input.

    References:
        Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 14.1.
    """
    size = math.prod(input_shape)
    if latent_dim is None and options.get("encoder") is None:
        latent_dim = max(1, min(default_latent_dim(input_shape), size - 1))
    ae = assemble(Recipe(), input_shape, latent_dim, **options)
    if ae.latent_dim >= size:
        raise ValueError(
            f"latent_dim must be below the input's {size} features; use 'overcomplete' or a "
            f"sparse variant for a larger code. Received: latent_dim={ae.latent_dim}"
        )
    return ae


def overcomplete(
    input_shape: tuple[int, ...], latent_dim: int | None = None, **options: Any
) -> Autoencoder:
    """Build an overcomplete autoencoder: the code is larger than the input.

    Nothing prevents such a model from copying its input, so a warning is issued unless there is
    a corruption. The sparse, denoising and contractive variants are regularized.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code, larger than the input; twice its size by default.
        **options: See `kerasae.build`. `hidden` is empty by default on the dense network.

    Raises:
        ValueError: If the code is not larger than the input.

    References:
        Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 14.2.
    """
    size = math.prod(input_shape)
    if latent_dim is None and options.get("encoder") is None:
        latent_dim = 2 * size
    ae = assemble(Recipe(), input_shape, latent_dim, **with_defaults(options, hidden=()))
    if ae.latent_dim <= size:
        raise ValueError(
            f"latent_dim must be above the input's {size} features; use 'undercomplete' for a "
            f"smaller code. Received: latent_dim={ae.latent_dim}"
        )
    if ae.corruption is None:
        warnings.warn(
            "An overcomplete autoencoder without a penalty or corruption can learn to copy its "
            "input; see the sparse, denoising and contractive variants.",
            stacklevel=3,
        )
    return ae
