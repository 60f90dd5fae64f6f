"""Embedding of the condition, the second input of a conditional autoencoder."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import check_whole, is_real
from kerasae.layers.backend import uniform

UNKNOWN_CLASS = -1


@keras.saving.register_keras_serializable("kerasae")
class Condition(keras.layers.Layer):
    """Encodes a class or a vector as a condition for both encoder and decoder.

    A class becomes a one-hot vector, and an unknown class, -1, becomes zeros. A vector gets an
    additional entry of 1; an unknown vector, with any entry NaN, becomes zeros throughout.

    Args:
        classes: Number of classes, or None.
        width: Size of the vector, or None; exactly one of the two must be given.
        dropout: Share of samples whose condition is made unknown in training, in [0, 1), so
            that one model works with and without a condition.
        seed: Seed of the dropout. None draws a seed.

    Input shape:
        `(batch,)` whole numbers below `classes`, or `(batch, width)`.

    Output shape:
        `(batch, classes)`, or `(batch, width + 1)`.

    References:
        Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional
        Generative Models", 2015.
    """

    def __init__(
        self,
        classes: int | None = None,
        width: int | None = None,
        dropout: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (classes is None) == (width is None):
            raise ValueError(
                "Exactly one of classes and width must be given. "
                f"Received: classes={classes!r}, width={width!r}"
            )
        if not is_real(dropout) or not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1). Received: dropout={dropout!r}")
        self.classes = None if classes is None else check_whole("classes", classes, 2)
        self.width = None if width is None else check_whole("width", width)
        self.dropout = float(dropout)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def units(self) -> int:
        """Size of the output."""
        return self.classes if self.classes is not None else (self.width or 0) + 1

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of the condition of one sample."""
        return () if self.width is None else (self.width,)

    @property
    def input_dtype_name(self) -> str:
        """Dtype of a raw condition."""
        return "int32" if self.width is None else "float32"

    @property
    def unknown(self) -> float:
        """Raw value that represents an unknown condition."""
        return UNKNOWN_CLASS if self.width is None else float("nan")

    def build(self, input_shape: Any) -> None:
        pass

    def unknown_like(self, x: Any) -> Any:
        """Return the output for unknown conditions, one per sample of `x`, `(batch, units)`."""
        return ops.repeat(ops.zeros_like(x[:, :1]), self.units, axis=-1)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.classes is not None:
            # Not ops.one_hot: once exported, it may treat -1 as the last class.
            classes = ops.arange(self.classes, dtype="int32")
            known = ops.cast(ops.cast(inputs, "int32")[:, None] == classes, "float32")
        else:
            values = ops.cast(inputs, "float32")
            missing = ops.any(ops.isnan(values), axis=-1, keepdims=True)
            ones = ops.ones_like(values[:, :1])
            known = ops.concatenate([ops.nan_to_num(values), ones], axis=-1)
            known = ops.where(missing, ops.zeros_like(known), known)
        if training and self.dropout:
            kept = uniform((ops.shape(known)[0], 1), self.seed_generator) >= self.dropout
            known = ops.where(kept, known, ops.zeros_like(known))
        return ops.cast(known, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classes": self.classes,
            "width": self.width,
            "dropout": self.dropout,
            "seed": self.seed,
        }
