"""Scalers between raw and scaled units."""

import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import is_real

# Largest ratio of float32's spacing at the offset to the scale.
FAR = 0.01


class Scaler(keras.layers.Layer):
    """Base class of scalers: `(x - offset) / scale`, per entry of the last axis.

    `offset` and `scale` are saved with the layer. `inverse` maps back to raw units.

    Input shape:
        `(batch, ..., channels)` or `(batch, features)`, any numeric dtype.

    Output shape:
        Same as the input, float.
    """

    built: bool

    def __init__(self, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape: tuple) -> None:
        shape = input_shape[-1:]
        options: dict[str, Any] = {"shape": shape, "dtype": "float32", "trainable": False}
        self.offset = self.add_weight(initializer="zeros", name="offset", **options)
        self.scale = self.add_weight(initializer="ones", name="scale", **options)
        self.is_adapted = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="is_adapted"
        )

    @property
    def adapted(self) -> bool:
        """Whether the statistics are known."""
        return bool(self.built) and bool(ops.convert_to_numpy(self.is_adapted))

    def call(self, inputs: Any) -> Any:
        x = (ops.cast(inputs, "float32") - self.offset) / self.scale
        return ops.cast(x, self.compute_dtype)

    def inverse(self, inputs: Any) -> Any:
        """Return scaled `inputs` in raw units, float32, same shape."""
        return ops.cast(inputs, "float32") * self.scale + self.offset

    def adapt(self, batches: Iterable[Any]) -> None:
        """Compute the statistics in one pass over `batches` of training data.

        Args:
            batches: Arrays or tensors `(batch, ..., channels)`.

        Raises:
            ValueError: If there are no data, or they contain NaN or infinite values.

        Warns:
            UserWarning: If a feature varies by little more than the float32 spacing of its values.
        """
        rows = 0
        for batch in batches:
            x = np.asarray(ops.convert_to_numpy(batch), dtype="float64")
            x = x.reshape(-1, x.shape[-1])
            if not np.isfinite(x).all():
                raise ValueError(
                    "The scaler requires finite training data. Received: NaN or infinite values"
                )
            if not self.built:
                self.build((None, *np.shape(batch)[1:]))
                self.built = True
            if len(x):
                self._update(x, rows)
                rows += len(x)
        if not rows:
            raise ValueError("The scaler requires at least one training sample. Received: none")
        offset, scale = self._statistics()
        far = np.abs(offset) * np.finfo("float32").eps > FAR * scale
        if (far & (scale > 0)).any():
            worst = int(
                np.argmax(np.where(scale > 0, np.abs(offset) / np.maximum(scale, 1e-300), 0))
            )
            warnings.warn(
                "The values are so far from 0 that float32 can barely distinguish them; subtract a "
                f"constant from the data first. Received: feature {worst} around "
                f"{offset[worst]:.6g}, on a scale of {scale[worst]:.3g}",
                stacklevel=2,
            )
        self.offset.assign(offset.astype("float32"))
        # A constant feature has no scale; it maps to 0 and back.
        self.scale.assign(np.where(scale > 0, scale, 1.0).astype("float32"))
        self.is_adapted.assign(1)

    def _update(self, x: np.ndarray, rows: int) -> None:
        raise NotImplementedError

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


@keras.saving.register_keras_serializable("kerasae")
class Standardize(Scaler):
    """Standardizes each feature (or channel) to mean 0 and variance 1 over the training data.

    `adapt` computes the statistics in float64 and one pass (pairwise update of Chan, Golub and
    LeVeque, 1979). `Autoencoder.fit` calls it on the training data only.

    Example:
    >>> import numpy as np
    >>> from kerasae.layers import Standardize
    >>> scaler = Standardize()
    >>> scaler.adapt([np.array([[1.0, 10.0], [3.0, 30.0]])])
    >>> print(keras.ops.convert_to_numpy(scaler(np.array([[3.0, 10.0]]))))
    [[ 1. -1.]]
    """

    def _update(self, x: np.ndarray, rows: int) -> None:
        if rows == 0:
            self._count, self._mean, self._squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
        mean = x.mean(axis=0)
        squares = ((x - mean) ** 2).sum(axis=0)
        count = self._count + len(x)
        shift = mean - self._mean
        self._mean = self._mean + shift * len(x) / count
        self._squares = self._squares + squares + shift**2 * self._count * len(x) / count
        self._count = count

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        deviation = np.sqrt(self._squares / self._count)
        # The computed mean of a constant column is off by about an ulp, which is not a scale.
        return self._mean, np.where(deviation > 1e-12 * np.abs(self._mean), deviation, 0.0)


@keras.saving.register_keras_serializable("kerasae")
class UnitScale(Scaler):
    """Maps `[minimum, maximum]` to [0, 1].

    Args:
        minimum, maximum: The raw range, such as 0 and 255 for uint8 images. If both are None,
            the range of each feature (or channel) is taken from the training data.
    """

    def __init__(self, minimum: float | None = None, maximum: float | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        neither = minimum is None and maximum is None
        if not neither and not (is_real(minimum) and is_real(maximum) and minimum < maximum):
            raise ValueError(
                "minimum and maximum must both be None or satisfy minimum < maximum. "
                f"Received: minimum={minimum!r}, maximum={maximum!r}"
            )
        self.minimum = minimum
        self.maximum = maximum
        self._low = self._high = np.zeros(0)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        if self.minimum is not None and self.maximum is not None:
            self.offset.assign(np.full(self.offset.shape, self.minimum, "float32"))
            self.scale.assign(np.full(self.scale.shape, self.maximum - self.minimum, "float32"))
            self.is_adapted.assign(1)

    def _update(self, x: np.ndarray, rows: int) -> None:
        low, high = x.min(axis=0), x.max(axis=0)
        self._low = low if rows == 0 else np.minimum(self._low, low)
        self._high = high if rows == 0 else np.maximum(self._high, high)

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        return self._low, self._high - self._low

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minimum": self.minimum, "maximum": self.maximum}


@keras.saving.register_keras_serializable("kerasae")
class InverseScale(keras.layers.Layer):
    """Maps scaled units back to raw units with the `inverse` of a scaler.

    Args:
        scaler: A layer with a method `inverse`.

    Output shape:
        Same as the input, float32.
    """

    def __init__(self, scaler: keras.layers.Layer, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.scaler = scaler

    def call(self, inputs: Any) -> Any:
        return self.scaler.inverse(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        scaler = keras.saving.serialize_keras_object(self.scaler)
        return {**super().get_config(), "scaler": scaler}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InverseScale":
        return cls(**{**config, "scaler": keras.saving.deserialize_keras_object(config["scaler"])})
