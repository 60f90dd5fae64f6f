"""Warmup against the line it describes, and the weights that penalties accept."""

import keras
import numpy as np
import pytest

from kerasae.schedules import Warmup, check_weight, weight_config


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.25, 2.0), (1.0, 0.5)])
def test_warmup_is_linear_and_then_constant(start, end):
    steps = np.arange(12)
    expected = np.interp(steps, [0, 8], [start, end])
    values = [float(Warmup(start, end, 8)(step)) for step in steps]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_warmup_of_one_step_starts_at_start():
    assert [float(Warmup(0.5, 1.0, 1)(step)) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]


def test_warmup_takes_the_integer_variable_that_layers_count_with():
    step = keras.Variable(3, dtype="int32")
    value = Warmup(0.0, 1.0, 4)(step)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == 0.75


def test_warmup_round_trip():
    warmup = Warmup(0.1, 0.9, 30)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(warmup))
    assert again.get_config() == warmup.get_config() == {"start": 0.1, "end": 0.9, "steps": 30}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -0.1}, r"^start must .*Received: start=-0.1$"),
        ({"end": float("inf")}, r"^end must .*Received: end=inf$"),
        ({"start": float("nan")}, r"^start must .*Received: start=nan$"),
        ({"steps": 0}, r"^steps must .*Received: steps=0$"),
        ({"steps": 1.5}, r"^steps must .*Received: steps=1.5$"),
        ({"steps": float("nan")}, r"^steps must .*Received: steps=nan$"),
        ({"steps": float("inf")}, r"^steps must .*Received: steps=inf$"),
    ],
)
def test_bad_warmups(arguments, message):
    with pytest.raises(ValueError, match=message):
        Warmup(**arguments)


@pytest.mark.parametrize("weight", [0, 0.5, 3, np.float64(0.5), np.float32(0.5), np.int64(2)])
def test_numbers_become_plain_floats(weight):
    checked = check_weight(weight, "weight")
    assert type(checked) is float
    assert checked == float(weight)
    assert weight_config(checked) == checked


def test_warmups_pass_and_come_back_from_their_serialized_form():
    warmup = Warmup(0.0, 2.0, 5)
    assert check_weight(warmup, "weight") is warmup
    assert check_weight(weight_config(warmup), "weight").get_config() == warmup.get_config()


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "0.5", None, True])
def test_bad_weights_are_named(weight):
    with pytest.raises(ValueError, match=r"^kl_weight must be a .*Received: kl_weight="):
        check_weight(weight, "kl_weight")
