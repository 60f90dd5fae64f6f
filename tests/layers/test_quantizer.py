"""Finite scalar quantization, against the formula and by its own inverse."""

import keras
import numpy as np
import pytest

from kerasae.layers import FiniteScalarQuantizer


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (2, 2), (4, 3)])
def test_every_index_has_a_point_and_every_point_its_index(levels):
    layer = FiniteScalarQuantizer(levels)
    assert layer.code_size == np.prod(levels)
    indices = np.arange(layer.code_size, dtype="int32").reshape(-1, 1)
    vectors = numpy(layer.to_vectors(indices))
    assert len(np.unique(vectors.round(6), axis=0)) == layer.code_size
    np.testing.assert_array_equal(numpy(layer.to_indices(vectors)), indices)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 7)])
def test_outputs_are_points_of_the_grid_and_all_are_reached(levels):
    layer = FiniteScalarQuantizer(levels)
    x = np.random.default_rng(0).normal(0, 3, (4000, 2 * len(levels))).astype("float32")
    outputs = numpy(layer(x))
    again = numpy(layer.to_vectors(layer.to_indices(outputs)))
    np.testing.assert_allclose(again, outputs, atol=1e-6)
    assert np.abs(outputs).max() <= 1
    for i, level in enumerate(levels):
        assert len(np.unique(outputs[:, i].round(5))) == level


def test_one_odd_number_by_hand():
    # Five levels: tanh times 2 (and a margin of a thousandth), rounded, divided by 2.
    layer = FiniteScalarQuantizer((5,))
    x = np.array([[-9.0], [-0.6], [0.1], [0.3], [9.0]], "float32")
    expected = np.round(np.tanh(x) * 2 * 1.001) / 2
    np.testing.assert_allclose(numpy(layer(x)), expected)
    np.testing.assert_array_equal(numpy(layer.to_indices(expected))[:, 0], [0, 1, 2, 3, 4])


def test_zero_is_a_level_of_an_even_number_of_levels():
    np.testing.assert_allclose(numpy(FiniteScalarQuantizer((4,))(np.zeros((1, 1), "float32"))), 0)


def test_the_gradient_passes_through_the_rounding():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes a gradient with TensorFlow")
    x = tf.constant([[0.3], [-1.2]])
    layer = FiniteScalarQuantizer((5,))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x))
    expected = (1 - np.tanh(x.numpy()) ** 2) * 2 * 1.001 / 2
    np.testing.assert_allclose(tape.gradient(total, x).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("levels", "received"),
    [((), r"levels=\(\)"), (5, "levels=5"), ((5, 1), "levels=1"), ((2.5,), "levels=2.5")],
)
def test_bad_levels(levels, received):
    with pytest.raises(ValueError, match=received):
        FiniteScalarQuantizer(levels)
