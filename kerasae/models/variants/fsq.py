"""Autoencoders with a discrete code: indices of the points of a grid."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from kerasae.layers import FiniteScalarQuantizer
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble
from kerasae.models.variants.recipe import Recipe

# Samples whose codes are counted in evaluation.
_MEASURED = 5000


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class FiniteScalar(Recipe):
    """Rounds the encoder's output to a grid; the code is its indices."""

    code_kind: ClassVar[str] = "indices"
    prior: ClassVar[str | None] = "uniform"

    levels: Sequence[int] = (8, 5, 5, 5)

    def encoder_units(self, latent_dim: int) -> int | None:
        return latent_dim * len(self.levels)

    def latent_units(self, latent_dim: int) -> int:
        return latent_dim * len(self.levels)

    def bottleneck(
        self, units: int, latent_dim: int, seed: int | None = None, conditional: bool = False
    ) -> keras.layers.Layer:
        return FiniteScalarQuantizer(self.levels, name="bottleneck")

    def to_code(self, ae: Any, latent: Any) -> Any:
        return ae.bottleneck.to_indices(latent)

    def to_latent(self, ae: Any, code: Any) -> Any:
        return ae.bottleneck.to_vectors(code)

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        indices = data.codes(_MEASURED)
        counts = np.bincount(indices.reshape(-1), minlength=ae.code_size)
        shares = counts[counts > 0] / counts.sum()
        return {
            "code_usage": {
                "used": int((counts > 0).sum()),
                "size": ae.code_size,
                "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
                "bits": math.prod(ae.code_shape) * math.log2(ae.code_size),
            }
        }


def fsq(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    levels: Sequence[int] = (8, 5, 5, 5),
    **options: Any,
) -> Autoencoder:
    """Build an autoencoder with a discrete code by finite scalar quantization.

    The code of a sample consists of `latent_dim` indices, whole numbers below `prod(levels)`,
    which `encode` returns and `decode` takes. The reconstruction is the only loss term.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Number of indices.
        levels: Number of levels of each dimension of the grid, each at least 2.
        **options: See `kerasae.build`. A custom encoder outputs `latent_dim * len(levels)`
            numbers.

    References:
        Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024.
    """
    if options.get("code_activation") is not None:
        raise ValueError(
            "code_activation is not supported: the code is rounded to a grid. "
            f"Received: code_activation={options['code_activation']!r}"
        )
    levels = FiniteScalarQuantizer(levels).levels  # checked before they are counted
    return assemble(FiniteScalar(levels), input_shape, latent_dim, **options)
