"""The second input of a conditional autoencoder, as encoder and decoder see it."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import check_whole, is_real
from kerasae.layers.backend import uniform

UNKNOWN_CLASS = -1


@keras.saving.register_keras_serializable("kerasae")
class Condition(keras.layers.Layer):
    """Turns a class or a vector into what is given to encoder and decoder alike.

    A class becomes a one-hot vector, and an unknown one, -1, zeros. A vector gets a further entry
    of 1; an unknown one, with NaN among its entries, becomes zeros throughout.

    Args:
        classes: Number of classes, or None.
        width: Size of the vector, or None; one of the two is given.
        dropout: Share of the samples whose condition is made unknown in training, in [0, 1), so
            that one model serves with and without a condition.
        seed: Seed of the dropout. None draws one.

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
                "Either classes or width must be given. "
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
        """The value that stands for an unknown condition."""
        return UNKNOWN_CLASS if self.width is None else float("nan")

    def build(self, input_shape: Any) -> None:
        pass

    def unknown_like(self, x: Any) -> Any:
        """Return the output for unknown conditions of as many samples as `x`, `(batch, units)`."""
        return ops.repeat(ops.zeros_like(x[:, :1]), self.units, axis=-1)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.classes is not None:
            # Compared by hand: an exported one-hot may take -1 for the last class.
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
