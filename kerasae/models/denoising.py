"""The denoising autoencoder: corrupt, then recover."""

from typing import Any

from kerasae.models.assembly import Mechanism, assemble
from kerasae.models.autoencoder import Autoencoder


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
        latent_dim: Size of the code.
        corruption: `"gaussian"`, `"masking"`, `"salt_and_pepper"`, `"low_resolution"`, a layer,
            or None when the data are `(corrupted, clean)` pairs.
        **options: See `kerasae.models.assembly.assemble`; `corruption_level` sets the strength.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.
    """
    return assemble(Mechanism(), input_shape, latent_dim, corruption=corruption, **options)
