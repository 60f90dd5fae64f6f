"""Keras metrics of reconstructions and codes, and the functions that define them.

`PSNR` and `SSIM` compare raw input with its raw reconstruction, as an `Autoencoder` passes them:

    ae.compile(metrics=[kerasae.metrics.PSNR(255), kerasae.metrics.SSIM(255)])

`MeanActivation`, `ActiveUnits` and `HoyerSparsity` take codes, batch by batch:

    active = kerasae.metrics.ActiveUnits()
    active.update_state(ae.encode(x))
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import is_real

# Decibels of a perfect reconstruction, whose PSNR is infinite.
_MOST = 200.0


def psnr(mean_squared_error: Any, max_value: float = 1.0) -> Any:
    """Return the peak signal-to-noise ratio `10 log10(max_value^2 / mse)` in dB, at most 200.

    Args:
        mean_squared_error: Number or tensor of any shape, in squared units of the values.
        max_value: Range of the values, such as 255 or 1.

    Example:
    >>> from kerasae.metrics import psnr
    >>> round(float(psnr(0.01)), 4)
    20.0
    """
    if isinstance(mean_squared_error, (int, float)):  # infinite beyond the range of float32
        with np.errstate(over="ignore"):
            mean_squared_error = np.float32(mean_squared_error)
    relative = ops.cast(mean_squared_error, "float32") / max_value**2
    decibels = -10.0 * ops.log10(ops.maximum(relative, 10 ** (-_MOST / 10)))
    return ops.minimum(decibels, _MOST)


def ssim(x: Any, y: Any, max_value: float = 1.0, filter_size: int | None = None) -> Any:
    """Return the structural similarity of each pair of images, shape `(batch,)`, at most 1.

    `(2 m_x m_y + c1)(2 s_xy + c2) / ((m_x^2 + m_y^2 + c1)(s_x^2 + s_y^2 + c2))` with means,
    variances and covariance under a Gaussian window of standard deviation 1.5,
    `c1 = (0.01 max_value)^2` and `c2 = (0.03 max_value)^2`, averaged over channels and over all
    positions at which the window fits.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        y: Tensor of the same shape.
        max_value: Range of the values, such as 255 or 1.
        filter_size: Edge of the window, odd; None takes 11 as in the paper, or the largest odd
            number that fits into a smaller image.

    Raises:
        ValueError: If the tensors are not images of the same shape, or the window does not fit.

    References:
        Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
        Structural Similarity", 2004, equation 13 and section III.C.
    """
    x, y = ops.cast(x, "float32") / max_value, ops.cast(y, "float32") / max_value
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[1:] != tuple(y.shape)[1:] or None in shape[1:]:
        raise ValueError(
            "SSIM requires images of the same shape (batch, height, width, channels). "
            f"Received: shapes {shape} and {tuple(y.shape)}"
        )
    edge = min(shape[1:3])
    size = min(11, edge - 1 + edge % 2) if filter_size is None else filter_size
    if size < 1 or size % 2 == 0 or size > edge:
        raise ValueError(
            "filter_size must be odd and fit into the image. "
            f"Received: filter_size={filter_size} for shape {shape[1:]}"
        )
    window = np.exp(-(((np.arange(size) - size // 2) / 1.5) ** 2) / 2)
    window = (window / window.sum()).astype("float32")

    def blur(images: Any) -> Any:
        # The window is separable, so each axis has its own banded matrix.
        rows, columns = (_bands(window, n) for n in shape[1:3])
        return ops.einsum("ih,bhwc,jw->bijc", rows, images, columns)

    mean_x, mean_y = blur(x), blur(y)
    variances = blur(ops.square(x) + ops.square(y)) - ops.square(mean_x) - ops.square(mean_y)
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness = likeness / ((ops.square(mean_x) + ops.square(mean_y) + c1) * (variances + c2))
    return ops.mean(likeness, axis=(1, 2, 3))


def _bands(window: np.ndarray, length: int) -> np.ndarray:
    bands = np.zeros((length - len(window) + 1, length), "float32")
    for i, row in enumerate(bands):
        row[i : i + len(window)] = window
    return bands


def hoyer_sparsity(codes: Any) -> Any:
    """Return `(sqrt(n) - |h|_1 / |h|_2) / (sqrt(n) - 1)` of each code, shape `(batch,)`.

    The sparsity is 1 for a single active unit, and 0 for units of equal magnitude and, by
    convention, for a code of zeros.

    Args:
        codes: Tensor `(batch, n)`. For `n = 1` the sparsity is defined as 0.

    References:
        Hoyer, "Non-negative Matrix Factorization with Sparseness Constraints", 2004, section 3.1.

    Example:
    >>> import numpy as np
    >>> from kerasae.metrics import hoyer_sparsity
    >>> sparsity = hoyer_sparsity(np.array([[0.0, 2.0], [1.0, -1.0]]))
    >>> [round(float(value), 4) for value in sparsity]
    [1.0, 0.0]
    """
    codes = ops.abs(ops.cast(codes, "float32"))
    units = int(codes.shape[-1])
    if units < 2:
        return ops.zeros_like(codes[:, 0])
    # Scaling by the largest unit prevents underflow of the squares of tiny codes.
    largest = ops.max(codes, axis=-1, keepdims=True)
    codes = codes / ops.where(largest > 0, largest, 1.0)
    norm = ops.sqrt(ops.sum(ops.square(codes), axis=-1))
    ratio = ops.sum(codes, axis=-1) / ops.where(norm > 0, norm, 1.0)
    sparsity = (math.sqrt(units) - ratio) / (math.sqrt(units) - 1)
    return ops.where(norm > 0, ops.clip(sparsity, 0.0, 1.0), 0.0)


def varies(low: Any, high: Any, threshold: float = 1e-3) -> Any:
    """Return which units have a range above `threshold` times the largest range of any unit.

    The other units are dead: nearly the same for every input, they carry no information.

    Args:
        low: Smallest activation of each unit, shape `(units,)`.
        high: Largest activation of each unit.
        threshold: Fraction of the largest range, in [0, 1).
    """
    spans = ops.cast(high, "float32") - ops.cast(low, "float32")
    return spans > threshold * ops.max(spans)


def _check_max_value(max_value: float) -> float:
    if not is_real(max_value) or max_value <= 0:
        raise ValueError(
            "max_value must be the range of the values, such as 255 or 1. "
            f"Received: max_value={max_value!r}"
        )
    return float(max_value)


@keras.saving.register_keras_serializable("kerasae")
class PSNR(keras.metrics.Mean):
    """Peak signal-to-noise ratio in dB, `10 log10(max_value^2 / mse)`.

    The squared error is first averaged over all features and samples, and the ratio is computed
    from this MSE. (The mean of the ratios of single images, as from `tf.image.psnr`, is higher,
    and infinite if one image is perfect.) The result is at most 200.

    Args:
        max_value: Range of the raw values, such as 255 or 1.

    Call arguments:
        y_true, y_pred: Tensors of one shape `(batch, ...)`.
        sample_weight: Optional, `(batch,)`.
    """

    def __init__(self, max_value: float, name: str = "psnr", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.max_value = _check_max_value(max_value)
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        error = ops.square(ops.cast(y_true, "float32") - ops.cast(y_pred, "float32"))
        # Relative to the range, so that sums over many raw pixels remain accurate.
        error = error / self.max_value**2
        super().update_state(ops.mean(error, axis=tuple(range(1, len(error.shape)))), sample_weight)

    def result(self) -> Any:
        """Return the ratio over all batches since the last reset."""
        return psnr(super().result())

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype, "max_value": self.max_value}


@keras.saving.register_keras_serializable("kerasae")
class SSIM(keras.metrics.Mean):
    """Structural similarity, the mean of `ssim` over all images.

    Args:
        max_value: Range of the raw values, such as 255 or 1.
        filter_size: Edge of the window; None takes 11, or less for smaller images.

    Call arguments:
        y_true, y_pred: Tensors of one shape `(batch, height, width, channels)`.
        sample_weight: Optional, `(batch,)`.
    """

    def __init__(
        self,
        max_value: float,
        filter_size: int | None = None,
        name: str = "ssim",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.max_value = _check_max_value(max_value)
        self.filter_size = filter_size
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        values = ssim(y_true, y_pred, self.max_value, self.filter_size)
        super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        own = {"max_value": self.max_value, "filter_size": self.filter_size}
        return {"name": self.name, "dtype": self.dtype, **own}


@keras.saving.register_keras_serializable("kerasae")
class HoyerSparsity(keras.metrics.Mean):
    """Hoyer sparsity of codes, the mean of `hoyer_sparsity` over all samples: 0 to 1.

    Call arguments:
        codes: Tensor `(batch, units)`.
        sample_weight: Optional, `(batch,)`.
    """

    def __init__(self, name: str = "hoyer_sparsity", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, codes: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        super().update_state(hoyer_sparsity(codes), sample_weight)


@keras.saving.register_keras_serializable("kerasae")
class MeanActivation(keras.metrics.Mean):
    """Mean activation over all samples and units, to compare with a target activation.

    Call arguments:
        codes: Tensor `(batch, units)`.
        sample_weight: Optional, `(batch,)`.
    """

    def __init__(self, name: str = "mean_activation", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, codes: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        super().update_state(ops.mean(ops.cast(codes, "float32"), axis=-1), sample_weight)


@keras.saving.register_keras_serializable("kerasae")
class ActiveUnits(keras.metrics.Metric):
    """Number of code units that are not dead, see `varies`.

    Args:
        threshold: Fraction of the largest range of any unit that a unit's range, over all
            samples, must exceed.

    Call arguments:
        codes: Tensor `(batch, units)`.
        sample_weight: Ignored; a unit is active if any sample moves it.
    """

    def __init__(self, threshold: float = 1e-3, name: str = "active_units", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        if not is_real(threshold) or not 0 <= threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1). Received: threshold={threshold!r}")
        self.threshold = float(threshold)
        self._sized = False

    def update_state(self, codes: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        codes = ops.cast(codes, "float32")
        if not self._sized:
            shape = (int(codes.shape[-1]),)
            self.low = self.add_variable(shape, _full(float("inf")), dtype="float32", name="low")
            self.high = self.add_variable(shape, _full(-float("inf")), dtype="float32", name="high")
            self._sized = True
        self.low.assign(ops.minimum(self.low.value, ops.min(codes, axis=0)))
        self.high.assign(ops.maximum(self.high.value, ops.max(codes, axis=0)))

    def reset_state(self) -> None:
        """Discard all batches."""
        if self._sized:
            self.low.assign(ops.full_like(self.low.value, float("inf")))
            self.high.assign(ops.full_like(self.high.value, -float("inf")))

    def result(self) -> Any:
        """Return the number of active units, 0 before the first batch."""
        if not self._sized:
            return ops.zeros(())
        return ops.sum(ops.cast(varies(self.low.value, self.high.value, self.threshold), "float32"))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype, "threshold": self.threshold}


def _full(value: float) -> keras.initializers.Initializer:
    return keras.initializers.Constant(value)
