"""Philox noise: the published integers, the same with XLA and without, and the right laws."""

import os

import numpy as np
import pytest

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("JAX has numbers of its own", allow_module_level=True)

import tensorflow as tf
from scipy import stats

from kerasae.acceleration import compiling, enable
from kerasae.acceleration import philox as noise

DRAWS = [noise.normal, noise.uniform]


def drawn(draw, shape, seed, xla):
    with compiling(xla):
        return draw(shape, tf.constant(seed)).numpy()


def philox(key, counter):
    """Philox4x32-10 in Python's integers, from figure 2 and section 3.3 of the paper."""
    mask = 2**32 - 1
    x, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(second >> 32) ^ x[1] ^ k[0], second & mask, (first >> 32) ^ x[3] ^ k[1], first & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return x


def test_the_integers_are_those_of_the_published_vectors():
    # The known answers that the authors distribute with their library.
    assert philox((0, 0), (0, 0, 0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    key, counter = (0xA4093822, 0x299F31D0), (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox(key, counter) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    for vector_key, vector in (((0, 0), (0, 0, 0, 0)), (key, counter)):
        low, high = (tf.constant(k, tf.uint32) for k in vector_key)
        ours = noise._philox(low, high, [tf.constant([c], tf.uint32) for c in vector])
        assert [int(x[0]) for x in ours] == philox(vector_key, vector)


@pytest.mark.parametrize("xla", [False, True])
def test_uniform_is_made_of_them(xla):
    found = drawn(noise.uniform, (2, 5), [3, 9], xla)
    blocks = [philox((3, 9), (i, 0, 0, 0)) for i in range(3)]
    integers = np.array(blocks).T.ravel()[:10]
    np.testing.assert_array_equal(found.ravel(), (integers >> 8) * 2.0**-24)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("shape", [(), (3,), (7, 5), (128, 784)])
@pytest.mark.parametrize("seed", [[0, 0], [2**31 - 1, -5]])
def test_the_same_with_xla_and_without(draw, shape, seed):
    compiled = tf.function(lambda: _inside(draw, shape, seed), jit_compile=True, autograph=False)
    plain = drawn(draw, shape, seed, xla=False)
    assert plain.shape == shape
    np.testing.assert_allclose(compiled().numpy(), plain, rtol=0, atol=4e-6)


def _inside(draw, shape, seed):
    with compiling(True):
        return draw(shape, tf.constant(seed))


def test_shapes_may_be_known_late():
    @tf.function(input_signature=[tf.TensorSpec((None, 3))], autograph=False)
    def drawn_there(x):
        return noise.normal((tf.shape(x)[0], 3), tf.constant([1, 2]))

    expected = noise.normal((5, 3), tf.constant([1, 2]))
    np.testing.assert_array_equal(drawn_there(tf.zeros((5, 3))), expected)


def test_laws():
    z = drawn(noise.normal, (1_000_000,), [5, 6], xla=False)
    assert stats.kstest(z, "norm").pvalue > 0.001
    # Both members of a pair, and pairs that share a block, are independent.
    quarters = z.reshape(4, -1)
    assert np.abs(np.corrcoef(np.concatenate([quarters, quarters**2])) - np.eye(8)).max() < 0.01
    u = drawn(noise.uniform, (1_000_000,), [5, 6], xla=False)
    assert stats.kstest(u, "uniform").pvalue > 0.001
    assert 0 <= u.min() < u.max() < 1
    others = drawn(noise.normal, (1_000_000,), [5, 7], xla=False)
    assert abs(np.corrcoef(z, others)[0, 1]) < 0.005


def test_sine_is_exact_to_the_last_bits_of_float32():
    x = np.linspace(-np.pi / 2, np.pi / 2, 10_001).astype("float32")
    np.testing.assert_allclose(noise._sine(tf.constant(x)), np.sin(x.astype("f8")), atol=2e-7)


def test_off_the_numbers_are_tensorflows():
    seed = tf.constant([3, 4])
    enable(False)
    try:
        np.testing.assert_array_equal(
            noise.normal((5, 2), seed), tf.random.stateless_normal((5, 2), seed)
        )
        np.testing.assert_array_equal(
            noise.uniform((5, 2), seed), tf.random.stateless_uniform((5, 2), seed)
        )
    finally:
        enable()
