"""The denoising autoencoder: reconstruct the clean input from a corrupted one."""

import dataclasses
import math
from typing import Any

import keras

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, with_defaults
from kerasae.models.variants.recipe import Recipe


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Denoising(Recipe):
    """Corrupts the input in training."""

    corruption = "gaussian"


def denoising(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    corruption: Any = "gaussian",
    **options: Any,
) -> Autoencoder:
    """Build a denoising autoencoder: its input is corrupted in training, its target is clean.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code; half of the input, at most 128, by default. Since the
            noise prevents copying, a narrow code is not needed.
        corruption: `"gaussian"`, `"masking"`, `"salt_and_pepper"`, `"low_resolution"`, a layer,
            or None if the data are `(corrupted, clean)` pairs.
        **options: See `kerasae.build`; `corruption_level` sets the strength.
            The dense network has one hidden layer of 256 units by default.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.
    """
    if options.get("encoder") is None:
        latent_dim = latent_dim or max(1, min(128, math.prod(input_shape) // 2))
    return assemble(
        Denoising(),
        input_shape,
        latent_dim,
        corruption=corruption,
        **with_defaults(options, hidden=(256,)),
    )
