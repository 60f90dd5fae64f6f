"""Layer that rounds each entry of a code to one of a few levels."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import check_whole

# Keeps the outermost levels within reach of tanh.
_MARGIN = 1e-3


@keras.saving.register_keras_serializable("kerasae")
class FiniteScalarQuantizer(keras.layers.Layer):
    """Rounds groups of numbers to the points of a grid: finite scalar quantization.

    A group has one number for each entry of `levels`; number `i` is bounded by `tanh` to the range
    of `levels[i]` whole numbers and rounded, and the gradient passes through the rounding
    unchanged. Each point of the grid corresponds to one of `prod(levels)` indices.

    Args:
        levels: Number of levels of each entry of a group, each at least 2, such as (8, 5, 5, 5).

    Attributes:
        code_size: Number of points of the grid.

    Input shape:
        `(batch, groups * len(levels))`.

    Output shape:
        Same as the input, entries in [-1, 1].

    References:
        Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024, section 3.
    """

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5), **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(levels, (tuple, list)) or not levels:
            raise ValueError(
                "levels must be a non-empty sequence of whole numbers, such as (8, 5, 5, 5). "
                f"Received: levels={levels!r}"
            )
        self.levels = [check_whole("levels", level, 2) for level in levels]
        self.code_size = int(np.prod(self.levels))
        if self.code_size > 2**31 - 1:
            raise ValueError(f"levels must have a product below 2**31. Received: levels={levels!r}")

    def build(self, input_shape: tuple) -> None:
        if input_shape[-1] % len(self.levels):
            raise ValueError(
                f"The input must have {len(self.levels)} entries for each group. "
                f"Received: input of shape {tuple(input_shape)}"
            )

    def call(self, inputs: Any) -> Any:
        levels = np.array(self.levels, "float32")
        half = (levels - 1) * (1 + _MARGIN) / 2
        # An even number of levels has no middle level: all are shifted by half a step.
        offset = np.where(levels % 2 == 0, 0.5, 0.0).astype("float32")
        shift = np.arctanh(offset / half)
        groups = self._groups(ops.cast(inputs, "float32"))
        bounded = ops.tanh(groups + shift) * half - offset
        rounded = bounded + ops.stop_gradient(ops.round(bounded) - bounded)
        return ops.cast(self._flat(rounded / (levels // 2)), self.compute_dtype)

    def to_indices(self, vectors: Any) -> Any:
        """Return the index of each group, int32 `(batch, groups)`.

        Args:
            vectors: Outputs of the layer, `(batch, groups * len(levels))`.
        """
        width = np.array([level // 2 for level in self.levels], "float32")
        digits = ops.cast(
            ops.round(self._groups(ops.cast(vectors, "float32")) * width + width), "int32"
        )
        return ops.sum(digits * self._places(), axis=-1)

    def to_vectors(self, indices: Any) -> Any:
        """Return the grid point of each index, float32 `(batch, groups * len(levels))`.

        Args:
            indices: Whole numbers below `code_size`, `(batch, groups)`.
        """
        levels = np.array(self.levels, "int32")
        digits = (ops.cast(indices, "int32")[..., None] // self._places()) % levels
        width = (levels // 2).astype("float32")
        return self._flat((ops.cast(digits, "float32") - width) / width)

    def _places(self) -> np.ndarray:
        return np.cumprod([1, *self.levels[:-1]]).astype("int32")

    def _groups(self, x: Any) -> Any:
        return ops.reshape(x, (-1, x.shape[-1] // len(self.levels), len(self.levels)))

    def _flat(self, groups: Any) -> Any:
        return ops.reshape(groups, (-1, groups.shape[-2] * groups.shape[-1]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
