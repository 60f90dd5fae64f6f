"""Encoder and decoder networks.

A network builder returns two Keras models. The encoder maps scaled input to a code of size
`units`, or to flat features if `units` is None. The decoder maps a code to the shape of the
input and has a linear output; the output activation belongs to the `Autoencoder`.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasae.acceleration.convolution import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose

Networks = tuple[keras.Model, keras.Model]
NORMALIZATIONS = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization}


def _block(x: Any, layer: keras.Layer, activation: Any, normalization: str | None) -> Any:
    """Apply a layer, an optional normalization, and the activation."""
    if normalization is None:
        layer.activation = keras.activations.get(activation)
        return layer(x)
    x = NORMALIZATIONS[normalization](name=f"{layer.name}_norm")(layer(x))
    return layers.Activation(activation, name=f"{layer.name}_activation")(x)


def dense(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    units: int | None,
    hidden: Sequence[int] = (128, 64),
    activation: Any = "relu",
    code_activation: Any = None,
    normalization: str | None = None,
) -> Networks:
    """Build fully connected networks.

    Args:
        input_shape: Shape of a sample, any rank; it is flattened.
        latent_dim: Size of the decoder's input.
        units: Size of the encoder's output, or None to output the last hidden layer.
        hidden: Units of the encoder's hidden layers, mirrored by the decoder.
        activation: Activation of the hidden layers.
        code_activation: Activation of the encoder's output; unused if `units` is None.
        normalization: None, `"batch"` or `"layer"`, after each hidden layer.

    Returns:
        The encoder `(batch, *input_shape) -> (batch, units)` and the decoder
        `(batch, latent_dim) -> (batch, *input_shape)`.
    """
    inputs = x = keras.Input(input_shape, name="scaled")
    if len(input_shape) > 1:
        x = layers.Flatten(name="flatten")(x)
    for i, width in enumerate(hidden, start=1):
        x = _block(x, layers.Dense(width, name=f"encoder_{i}"), activation, normalization)
    if units is not None:
        x = layers.Dense(units, activation=code_activation, name="code")(x)
    encoder = keras.Model(inputs, x, name="encoder_network")

    code = x = keras.Input((latent_dim,), name="code")
    for i, width in enumerate(reversed(hidden), start=1):
        x = _block(x, layers.Dense(width, name=f"decoder_{i}"), activation, normalization)
    x = layers.Dense(math.prod(input_shape), name="decoder_output")(x)
    if len(input_shape) > 1:
        x = layers.Reshape(input_shape, name="unflatten")(x)
    return encoder, keras.Model(code, x, name="decoder_network")


def conv(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    hidden: Sequence[int] = (32, 64),
    kernel_size: int = 4,
    **options: Any,
) -> Networks:
    """Build 2-D convolutional networks with stride 2, for images of any size.

    Args:
        input_shape: `(height, width, channels)` or `(height, width)`.
        latent_dim: Size of the decoder's input.
        hidden: Filters of the encoder's layers, at least one, mirrored by the decoder.
        kernel_size: Edge of the kernels. An even size, a multiple of the stride, prevents
            checkerboard artifacts of the transposed convolutions (Odena et al., 2016).
        **options: `units`, `activation`, `code_activation` and `normalization`, as for `dense`.

    Returns:
        The encoder `(batch, *input_shape) -> (batch, units)` and the decoder
        `(batch, latent_dim) -> (batch, *input_shape)`.

    Raises:
        ValueError: If `input_shape` has a different rank, or `hidden` is empty.
    """
    if len(input_shape) not in (2, 3):
        raise ValueError(
            "network='conv' requires images, (height, width, channels) or (height, width); use "
            f"network='dense' for vectors. Received: input_shape={input_shape}"
        )
    return _strided(2, input_shape, latent_dim, hidden, kernel_size, **options)


def sequence(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    hidden: Sequence[int] = (32, 64),
    kernel_size: int = 6,
    **options: Any,
) -> Networks:
    """Build 1-D convolutional networks with stride 2, for series of any length.

    Args:
        input_shape: `(time, channels)` or `(time,)`.
        latent_dim: Size of the decoder's input.
        hidden: Filters of the encoder's layers, at least one, mirrored by the decoder.
        kernel_size: Length of the kernels; even, as for `conv`.
        **options: `units`, `activation`, `code_activation` and `normalization`, as for `dense`.

    Returns:
        The encoder `(batch, *input_shape) -> (batch, units)` and the decoder
        `(batch, latent_dim) -> (batch, *input_shape)`.

    Raises:
        ValueError: If `input_shape` has a different rank, or `hidden` is empty.
    """
    if len(input_shape) not in (1, 2):
        raise ValueError(
            "network='sequence' requires series, (time, channels) or (time,); use network='conv' "
            f"for images. Received: input_shape={input_shape}"
        )
    return _strided(1, input_shape, latent_dim, hidden, kernel_size, **options)


def _strided(
    axes: int,
    input_shape: tuple[int, ...],
    latent_dim: int,
    hidden: Sequence[int],
    kernel_size: int,
    *,
    units: int | None,
    activation: Any = "relu",
    code_activation: Any = None,
    normalization: str | None = None,
) -> Networks:
    """Build networks that halve `axes` spatial axes at each hidden layer, and double them back.

    The encoder rounds odd sizes up; the decoder crops the excess at the corresponding layer, so
    that any size is restored exactly.
    """
    kinds: dict[int, tuple[Any, Any, Any]] = {
        1: (Conv1D, Conv1DTranspose, layers.Cropping1D),
        2: (Conv2D, Conv2DTranspose, layers.Cropping2D),
    }
    convolution, transposed, crop = kinds[axes]
    if not hidden:
        raise ValueError(
            "hidden must give the filters of at least one layer of a convolutional network, "
            f"such as (32, 64). Received: hidden={tuple(hidden)}"
        )
    channels_missing = len(input_shape) == axes
    shape = (*input_shape, 1) if channels_missing else tuple(input_shape)

    inputs = x = keras.Input(input_shape, name="scaled")
    if channels_missing:
        x = layers.Reshape(shape, name="add_channel")(x)
    sizes = [shape[:-1]]
    for i, filters in enumerate(hidden, start=1):
        layer = convolution(filters, kernel_size, strides=2, padding="same", name=f"encoder_{i}")
        x = _block(x, layer, activation, normalization)
        sizes.append(tuple(x.shape[1:-1]))
    grid = tuple(x.shape[1:])
    x = layers.Flatten(name="flatten")(x)
    if units is not None:
        x = layers.Dense(units, activation=code_activation, name="code")(x)
    encoder = keras.Model(inputs, x, name="encoder_network")

    code = x = keras.Input((latent_dim,), name="code")
    layer = layers.Dense(math.prod(grid), name="decoder_grid")
    x = layers.Reshape(grid, name="unflatten")(_block(x, layer, activation, normalization))
    widths = [*reversed(hidden[:-1]), shape[-1]]
    for i, (filters, size) in enumerate(zip(widths, sizes[-2::-1], strict=True), start=1):
        last = i == len(widths)
        layer = transposed(
            filters,
            kernel_size,
            strides=2,
            padding="same",
            name="decoder_output" if last else f"decoder_{i}",
        )
        x = layer(x) if last else _block(x, layer, activation, normalization)
        excess = [have - want for have, want in zip(x.shape[1:-1], size, strict=True)]
        if any(excess):
            cropping: Any = [(0, n) for n in excess]
            x = crop(cropping[0] if axes == 1 else cropping, name=f"crop_{i}")(x)
    if channels_missing:
        x = layers.Reshape(input_shape, name="drop_channel")(x)
    return encoder, keras.Model(code, x, name="decoder_network")


NETWORKS = {"dense": dense, "conv": conv, "sequence": sequence}
