"""The layer that keeps the k largest activations."""

import keras
import numpy as np
import pytest

from kerasae.layers import TopK
from kerasae.layers.topk import keep_largest

X = np.random.default_rng(0).normal(size=(50, 9)).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_keeps_the_k_largest_that_are_positive(k):
    found = numpy(TopK(k)(X))
    for row, kept in zip(X, found, strict=True):
        largest = np.argsort(row)[::-1][:k]
        expected = np.zeros_like(row)
        expected[largest] = np.maximum(row[largest], 0)
        np.testing.assert_array_equal(kept, expected)


def test_a_sample_alone_gives_the_same_bits_as_in_a_batch():
    layer = TopK(3)
    whole = numpy(layer(X))
    for i in range(len(X)):
        np.testing.assert_array_equal(numpy(layer(X[i : i + 1]))[0], whole[i])


def test_units_are_dead_once_no_sample_has_used_them():
    layer = TopK(1, dead_after=20)
    x = np.zeros((10, 3), "float32")
    x[:, 1] = 1
    for expected in ([False] * 3, [True, False, True]):
        layer(x, training=True)
        np.testing.assert_array_equal(numpy(layer.dead), expected)
    layer(x[:, ::-1], training=False)  # inference counts nothing
    x[0] = [2, 0, 0]
    layer(x, training=True)
    np.testing.assert_array_equal(numpy(layer.dead), [False, False, True])


def test_the_gradient_reaches_kept_units_only():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes a gradient with TensorFlow")
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(keep_largest(x, 2))
    gradient = tape.gradient(total, x).numpy()
    np.testing.assert_array_equal(gradient != 0, numpy(keep_largest(x, 2)) != 0)


@pytest.mark.parametrize(("k", "received"), [(0, "k=0"), (2.5, "k=2.5"), (True, "k=True")])
def test_k_must_be_a_whole_number(k, received):
    with pytest.raises(ValueError, match=received):
        TopK(k)


def test_k_must_not_exceed_the_units():
    with pytest.raises(ValueError, match="k=10"):
        TopK(10)(X)
