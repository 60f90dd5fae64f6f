"""Classes and vectors as encoder and decoder see them."""

import keras
import numpy as np
import pytest

from kerasae.layers import Condition


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_classes_are_one_hot_and_unknown_ones_zero():
    layer = Condition(3)
    np.testing.assert_array_equal(
        numpy(layer(np.array([2, -1, 0], "int32"))), [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    )
    assert layer.units == 3


def test_vectors_say_whether_they_are_known():
    layer = Condition(width=2)
    x = np.array([[0.5, 0.0], [np.nan, 1.0]], "float32")
    np.testing.assert_array_equal(numpy(layer(x)), [[0.5, 0, 1], [0, 0, 0]])
    assert layer.units == 3


def test_dropout_makes_a_share_unknown_in_training_only():
    layer = Condition(2, dropout=0.25, seed=0)
    x = np.ones(20_000, "int32")
    assert numpy(layer(x)).sum() == 20_000
    share = 1 - numpy(layer(x, training=True)).sum() / 20_000
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 20_000))


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({}, "classes=None, width=None"),
        ({"classes": 1}, "classes=1"),
        ({"width": 0}, "width=0"),
        ({"classes": 3, "dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_bad_arguments(options, received):
    with pytest.raises(ValueError, match=received):
        Condition(**options)
