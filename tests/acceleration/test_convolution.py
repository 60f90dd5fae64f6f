"""Convolutions as matrix products are those of Keras, and of their definition."""

import itertools
import os

import keras
import numpy as np
import pytest

import kerasae
from kerasae.acceleration import compiling, convolution
from kerasae.layers import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("matrix products are for XLA in TensorFlow", allow_module_level=True)

LAYERS = [Conv1D, Conv2D, Conv1DTranspose, Conv2DTranspose]


def image(layer, size=9, channels=2, seed=0):
    grid = (size,) if "1D" in layer.__name__ else (size, size + 1)
    return np.random.default_rng(seed).standard_normal((3, *grid, channels), "float32")


def both(layer, x):
    """Return output and gradients, as Keras computes them and as products."""
    import tensorflow as tf

    found = []
    layer(x)
    for xla in (False, True):
        with compiling(xla), tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = layer(inputs)
            total = tf.reduce_sum(tf.sin(y))
        found.append([y, *tape.gradient(total, [inputs, *layer.trainable_weights])])
    return found


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(9, 3, 1), (9, 3, 2), (8, 4, 2), (7, 4, 2), (8, 5, 3), (6, 6, 2), (5, 2, 2), (5, 1, 1)],
)
def test_output_and_gradients_are_those_of_keras(layer, padding, size, kernel, stride):
    made = layer(3, kernel, strides=stride, padding=padding, activation="tanh")
    made.build(image(layer, size).shape)
    made.bias.assign([0.1, -0.2, 0.3])
    for keras_own, ours in zip(*both(made, image(layer, size)), strict=True):
        assert keras_own.shape == ours.shape
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [Conv2D, Conv2DTranspose])
def test_a_row_that_would_be_slow_is_made_longer(layer):
    channels = 16  # 4 x 4 places of 16 channels
    assert convolution.row_length(4, 4, channels) == 256 + 16
    made = layer(16, 4, strides=2, padding="same")
    for keras_own, ours in zip(*both(made, image(layer, 8, channels)), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sides", [(3, 2), (2, 4), (2, 3)])
def test_kernels_of_two_sizes(sides):
    for layer in (Conv2D, Conv2DTranspose):
        made = layer(3, sides, strides=(2, 1), padding="same")
        for keras_own, ours in zip(*both(made, image(layer)), strict=True):
            np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (2, 3), (3, 2), (4, 2)])
def test_windows_are_gathered_and_added_up_as_defined(kernel, stride):
    """By loops in NumPy: TensorFlow's transposed convolution crashes for kernel 1, stride 2."""
    n = 3 * stride
    x = np.random.default_rng(0).standard_normal((2, n, n, 3), "float32")
    axis = convolution.windows(n, kernel, stride, "same")
    missing = max((axis.count - 1) * stride + kernel - n, 0)
    padded = np.zeros((2, n + missing, n + missing, 3), "float32")
    first = missing // 2
    padded[:, first : first + n, first : first + n] = x
    expected = np.stack(
        [
            padded[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel].reshape(
                2, -1
            )
            for i, j in itertools.product(range(axis.count), repeat=2)
        ],
        1,
    )
    found = convolution.gather(x, axis, axis).numpy()
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    # <gather(x), y> = <x, scatter(y)>
    y = np.random.default_rng(1).standard_normal(found.shape, "float32")
    back = convolution.scatter(y, axis, axis, 3).numpy()
    assert back.shape == x.shape
    assert np.sum(found * y) == pytest.approx(np.sum(x * back), rel=1e-4)


def test_the_second_derivative():
    import tensorflow as tf

    x = tf.constant(image(Conv2D, 6))
    layer = Conv2D(3, 3, strides=2, padding="same", activation="tanh")
    layer(x)
    found = []
    for xla in (False, True):
        with compiling(xla), tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(layer(x) ** 2)
            penalty = tf.reduce_sum(inner.gradient(y, x) ** 2)
        found.append(outer.gradient(penalty, layer.kernel.value))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [{"dilation_rate": 2}, {"groups": 2}, {"data_format": "channels_first"}],
    ids=lambda options: next(iter(options)),
)
def test_what_is_unusual_is_left_to_keras(options):
    layer = Conv2D(4, 3, **options)
    layer.build((None, 8, 8, 8))
    assert not layer.can_be_product()
    assert Conv2D(4, 3).can_be_product() is False  # sizes not known yet
    known = Conv2D(4, 3)
    known.build((None, 8, 8, 2))
    assert known.can_be_product()
    open_ = Conv2D(4, 3)
    open_.build((None, None, 8, 2))
    assert not open_.can_be_product()


def test_the_work_of_a_layer():
    layer = Conv2D(64, 3, strides=2, padding="same")
    layer.build((None, 14, 14, 32))
    assert layer.row_bytes() == 4 * 7 * 7 * 9 * 32
    assert layer.products() == 7 * 7 * 9 * 32 * 64
    back = Conv2DTranspose(32, 3, strides=2, padding="same")
    back.build((None, 7, 7, 64))
    assert (back.row_bytes(), back.products()) == (layer.row_bytes(), layer.products())


def test_outside_of_a_compiled_step_keras_computes(monkeypatch):
    monkeypatch.setattr(convolution, "product", None)
    ae = kerasae.build("convolutional", (8, 8, 1), 3, hidden=(2, 3), seed=0)
    ae.compile(jit_compile=False)
    x = np.random.default_rng(0).random((20, 8, 8, 1), "float32")
    ae.fit(x, epochs=1, verbose=0)
    assert ae.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("layer", LAYERS)
def test_it_is_saved_and_read(layer):
    made = layer(3, 4, strides=2, padding="same")
    config = keras.saving.serialize_keras_object(made)
    assert config["registered_name"] == f"kerasae>{layer.__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is layer
    assert again.get_config() == made.get_config()
