"""Convolutions that XLA compiles to matrix products.

XLA has slow convolutions for CPUs, and slower gradients of them. In a step that it compiles
there, these layers gather each window into a row and multiply the rows by the kernel, and the
transposed ones multiply first and add up where windows overlap (Chellapilla et al., 2006, "High
performance convolutional neural networks for document processing"). Everywhere else they are
Keras's own.
"""

import dataclasses
import itertools
import math
from typing import Any

import keras
from keras import ops

from kerasae.acceleration._state import in_xla

# Rows of a multiple of so many numbers fall on the same lines of the cache; a few are added.
_ALIASED, _ADDED = 256, 16


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows along one axis.

    Attributes:
        size: Places of the axis.
        kernel: Places of a window.
        stride: From a window to the next one.
        before: Places of zeros before the axis.
        count: Number of windows.
    """

    size: int
    kernel: int
    stride: int
    before: int
    count: int


def windows(size: int, kernel: int, stride: int, padding: str) -> Windows:
    """Return the windows of a convolution over an axis of `size` places."""
    if padding == "valid":
        return Windows(size, kernel, stride, 0, (size - kernel) // stride + 1)
    count = -(-size // stride)
    missing = max((count - 1) * stride + kernel - size, 0)
    return Windows(size, kernel, stride, missing // 2, count)


def gather(x: Any, rows: Windows, columns: Windows) -> Any:
    """Return the windows of images as rows.

    Args:
        x: `(batch, rows.size, columns.size, channels)`.
        rows: The windows along the first axis of an image.
        columns: Those along the second.

    Returns:
        `(batch, rows.count, columns.count, rows.kernel * columns.kernel * channels)`, in the
        order of a kernel's weights, and a few zeros more where that many would be slow.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def gathered(x: Any) -> Any:
        channels = int(x.shape[-1])
        return _gather(x, rows, columns), lambda dy: scatter(dy, rows, columns, channels)

    return gathered(x)


def scatter(x: Any, rows: Windows, columns: Windows, channels: int) -> Any:
    """Add windows up where they overlap: the adjoint of `gather`, shapes as there."""
    import tensorflow as tf

    @tf.custom_gradient
    def scattered(x: Any) -> Any:
        return _scatter(x, rows, columns, channels), lambda dy: gather(dy, rows, columns)

    return scattered(x)


def row_length(*sizes: int) -> int:
    """Return how many numbers `gather` puts into a row for a kernel of these sizes."""
    length = math.prod(sizes)
    return length if length % _ALIASED else length + _ADDED


def _gather(x: Any, rows: Windows, columns: Windows) -> Any:
    import tensorflow as tf

    channels = int(x.shape[-1])
    groups, paddings = [], []
    for axis in (rows, columns):
        groups.append(axis.count + (axis.kernel - 1) // axis.stride)
        behind = groups[-1] * axis.stride - axis.before - axis.size
        paddings.append((axis.before, max(behind, 0)))
    x = x[:, : groups[0] * rows.stride - rows.before, : groups[1] * columns.stride - columns.before]
    x = tf.pad(x, [(0, 0), *paddings, (0, 0)])
    # Places that are one window's only once are neighbours then, and copied as one.
    x = tf.reshape(x, (-1, groups[0], rows.stride, groups[1], columns.stride * channels))
    parts = []
    for i in range(rows.kernel):
        row = x[:, i // rows.stride : i // rows.stride + rows.count, i % rows.stride]
        for j in range(0, columns.kernel, columns.stride):
            first, places = j // columns.stride, min(columns.stride, columns.kernel - j)
            parts.append(row[:, :, first : first + columns.count, : places * channels])
    length = rows.kernel * columns.kernel * channels
    added = row_length(length) - length
    if added:
        parts.append(tf.zeros((*tf.unstack(tf.shape(parts[0]))[:3], added), x.dtype))
    return tf.concat(parts, -1)


def _scatter(x: Any, rows: Windows, columns: Windows, channels: int) -> Any:
    import tensorflow as tf

    x = x[..., : rows.kernel * columns.kernel * channels]
    x = tf.reshape(x, (-1, rows.count, columns.count, rows.kernel, columns.kernel, channels))
    sizes = [-(-axis.size // axis.stride) for axis in (rows, columns)]

    def moved(part: Any, by: tuple[int, int]) -> Any:
        """Return at place q what is at q - by."""
        counts = rows.count, columns.count
        paddings = [
            (max(d, 0), max(size - d - count, 0))
            for d, size, count in zip(by, sizes, counts, strict=True)
        ]
        part = tf.pad(part, [(0, 0), *paddings, (0, 0)])
        first, second = (max(-d, 0) for d in by)
        return part[:, first : first + sizes[0], second : second + sizes[1]]

    def phase(u: int, v: int) -> Any:
        """Return the places u, u + stride, ... by v, v + stride, ..."""
        pairs = itertools.product(_taps(rows, u), _taps(columns, v))
        parts = [moved(x[:, :, :, i, j], (d, e)) for (i, d), (j, e) in pairs]
        return sum(parts[1:], parts[0]) if parts else tf.zeros_like(moved(x[:, :, :, 0, 0], (0, 0)))

    phases = [tf.stack([phase(u, v) for v in range(columns.stride)], 3) for u in range(rows.stride)]
    whole = tf.reshape(
        tf.stack(phases, 2),
        (-1, sizes[0] * rows.stride, sizes[1] * columns.stride, channels),
    )
    return whole[:, : rows.size, : columns.size]


def _taps(axis: Windows, phase: int) -> list[tuple[int, int]]:
    """Return the kernel's places that meet a phase of the axis, and how many windows further."""
    shifts = [(i, i - axis.before - phase) for i in range(axis.kernel)]
    return [(i, shift // axis.stride) for i, shift in shifts if shift % axis.stride == 0]


class AsProduct:
    """A convolution of Keras that is a matrix product in steps compiled by XLA for a CPU."""

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)  # type: ignore[misc]
        self._grid = tuple(input_shape[1:-1])

    def call(self, inputs: Any) -> Any:
        known = None not in inputs.shape[1:]
        if not in_xla() or not known or not self.can_be_product():
            return super().call(inputs)  # type: ignore[misc]
        layer: Any = self
        outputs = product(layer, inputs)
        if layer.use_bias:
            outputs = ops.add(outputs, layer.bias)
        return outputs if layer.activation is None else layer.activation(outputs)

    def can_be_product(self) -> bool:
        """Tell whether there is a CPU alone, and the layer is not dilated, not in groups."""
        layer: Any = self
        return (
            layer.built
            and layer.data_format == "channels_last"
            and layer.padding in ("same", "valid")
            and set(layer.dilation_rate) == {1}
            and getattr(layer, "groups", 1) == 1
            and getattr(layer, "output_padding", None) is None
            and None not in self._grid
            and cpu_alone()
        )

    def row_bytes(self) -> int:
        """Return how many bytes the windows of a sample take."""
        layer: Any = self
        grid = self._grid
        if not is_transposed(layer):
            grid = layer.compute_output_shape((None, *grid, layer.kernel.shape[-2]))[1:-1]
        return 4 * math.prod(grid) * row_length(*layer.kernel.shape[:-1])

    def products(self) -> int:
        """Return how many numbers are multiplied for a sample."""
        layer: Any = self
        return self.row_bytes() // 4 * int(layer.kernel.shape[-1])


def cpu_alone() -> bool:
    """Tell whether TensorFlow is the backend and has no other device than a CPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def is_transposed(layer: Any) -> bool:
    """Tell which of the two kinds of convolution a layer is."""
    return isinstance(layer, (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose))


def product(layer: Any, x: Any) -> Any:
    """Return the convolution of `x` by matrix products, without bias and activation."""
    import tensorflow as tf

    transposed = is_transposed(layer)
    shape = tuple(int(size) for size in layer.compute_output_shape(x.shape)[1:-1])
    # The finer side has the places, the coarser one the windows; a series is an image of one row.
    fine = shape if transposed else tuple(x.shape[1:-1])
    one = (1,) * (2 - len(fine))
    sizes = zip((*one, *fine), (*one, *layer.kernel_size), (*one, *layer.strides), strict=True)
    rows, columns = (windows(*given, layer.padding) for given in sizes)
    kernel = ops.convert_to_tensor(layer.kernel)
    # (windows' places and channels of the finer side, channels of the coarser side)
    kernel = tf.reshape(kernel, (-1, kernel.shape[-1]))
    added = row_length(kernel.shape[0]) - kernel.shape[0]
    kernel = tf.pad(kernel, [(0, added), (0, 0)])
    if transposed:
        y = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel, transpose_b=True)
        y = tf.reshape(y, (-1, rows.count, columns.count, kernel.shape[0]))
        y = scatter(y, rows, columns, layer.filters)
    else:
        x = gather(tf.reshape(x, (-1, *one, *x.shape[1:])), rows, columns)
        y = tf.matmul(tf.reshape(x, (-1, kernel.shape[0])), kernel)
    return tf.reshape(y, (-1, *shape, layer.filters))


@keras.saving.register_keras_serializable("kerasae")
class Conv1D(AsProduct, keras.layers.Conv1D):
    """`keras.layers.Conv1D`, fast in steps that XLA compiles for a CPU."""


@keras.saving.register_keras_serializable("kerasae")
class Conv1DTranspose(AsProduct, keras.layers.Conv1DTranspose):
    """`keras.layers.Conv1DTranspose`, fast in steps that XLA compiles for a CPU."""


@keras.saving.register_keras_serializable("kerasae")
class Conv2D(AsProduct, keras.layers.Conv2D):
    """`keras.layers.Conv2D`, fast in steps that XLA compiles for a CPU."""


@keras.saving.register_keras_serializable("kerasae")
class Conv2DTranspose(AsProduct, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, fast in steps that XLA compiles for a CPU."""
