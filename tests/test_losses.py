"""Reconstruction losses against NumPy, SciPy and the losses of Keras."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from kerasae import losses
from kerasae.layers.backend import slope as gradient  # of a scalar function of one tensor

RNG = np.random.default_rng(0)
SHAPE = (5, 4, 3)
TARGET = RNG.random(SHAPE).astype("float32")
OUTPUT = RNG.normal(0, 3, SHAPE).astype("float32")


def cross_entropy(x, logits):
    """-x log p - (1 - x) log(1 - p), in float64."""
    logits = np.asarray(logits, "float64")
    return -x * scipy.special.log_expit(logits) - (1 - x) * scipy.special.log_expit(-logits)


REFERENCES = {
    "mse": (losses.SquaredError, lambda x, y: (x - y) ** 2),
    "mae": (losses.AbsoluteError, lambda x, y: np.abs(x - y)),
    "bce": (losses.BinaryCrossentropy, cross_entropy),
    "gaussian": (
        lambda features: losses.GaussianNLL(features, stddev=0.7),
        lambda x, y: -scipy.stats.norm.logpdf(x, y, 0.7),
    ),
}
each_loss = pytest.mark.parametrize("name", REFERENCES)


@each_loss
@pytest.mark.parametrize("features", ["mean", "sum"])
def test_one_value_per_sample_and_their_mean(name, features):
    make, error = REFERENCES[name]
    per_feature = error(TARGET.astype("float64"), OUTPUT.astype("float64"))
    expected = getattr(per_feature.reshape(len(TARGET), -1), features)(axis=1)
    loss = make(features=features)
    values = ops.convert_to_numpy(loss.call(TARGET, OUTPUT))
    np.testing.assert_allclose(values, expected, rtol=2e-5)
    np.testing.assert_allclose(float(loss(TARGET, OUTPUT)), expected.mean(), rtol=2e-5)


@each_loss
def test_a_batch_fed_twice_has_the_same_loss(name):
    loss = REFERENCES[name][0](features="sum")
    twice = [np.concatenate([a, a]) for a in (TARGET, OUTPUT)]
    np.testing.assert_allclose(float(loss(*twice)), float(loss(TARGET, OUTPUT)), rtol=1e-6)


@each_loss
def test_sample_weights_scale_samples_as_in_keras(name):
    loss = REFERENCES[name][0](features="mean")
    weights = np.array([0.0, 1.0, 2.0, 0.5, 3.0], "float32")
    values = ops.convert_to_numpy(loss.call(TARGET, OUTPUT))
    np.testing.assert_allclose(
        float(loss(TARGET, OUTPUT, sample_weight=weights)), (weights * values).mean(), rtol=1e-5
    )


@each_loss
def test_gradient_equals_finite_differences(name):
    make, error = REFERENCES[name]
    loss = make(features="sum")
    slopes = gradient(lambda y: ops.sum(loss.call(TARGET, y)), ops.convert_to_tensor(OUTPUT))
    step = 1e-5
    x, y = TARGET.astype("float64"), OUTPUT.astype("float64")
    numerical = (error(x, y + step) - error(x, y - step)) / (2 * step)
    np.testing.assert_allclose(ops.convert_to_numpy(slopes), numerical, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "keras_loss"),
    [
        ("mse", keras.losses.MeanSquaredError()),
        ("mae", keras.losses.MeanAbsoluteError()),
        ("bce", keras.losses.BinaryCrossentropy(from_logits=True)),
    ],
)
def test_the_mean_over_features_is_the_loss_of_keras(name, keras_loss):
    loss = REFERENCES[name][0](features="mean")
    np.testing.assert_allclose(
        float(loss(TARGET, OUTPUT)), float(keras_loss(TARGET, OUTPUT)), rtol=1e-5
    )


def test_cross_entropy_at_extreme_logits():
    logits = np.array([[-1000.0, 1000.0, -1000.0, 1000.0, 1000.0]], "float32")
    x = np.array([[0.0, 1.0, 1.0, 0.0, 0.25]], "float32")
    error = losses.BinaryCrossentropy().error(x, ops.convert_to_tensor(logits))
    np.testing.assert_allclose(ops.convert_to_numpy(error), [[0, 0, 1000, 1000, 750]])
    slopes = gradient(
        lambda a: ops.sum(losses.BinaryCrossentropy("sum").call(x, a)),
        ops.convert_to_tensor(logits),
    )
    np.testing.assert_allclose(ops.convert_to_numpy(slopes), [[0, 0, -1, 1, 0.75]], atol=1e-6)


def test_cross_entropy_keeps_its_digits_for_confident_logits():
    logits = np.array([[20.0, -20.0, 0.0]], "float32")
    x = np.array([[1.0, 0.0, 0.5]], "float32")
    error = losses.BinaryCrossentropy().error(x, ops.convert_to_tensor(logits))
    np.testing.assert_allclose(ops.convert_to_numpy(error), cross_entropy(x, logits), rtol=1e-4)


def test_cross_entropy_gradient_at_logits_of_exactly_zero():
    # Where a decoder starts: zero biases under dead hidden units. It is sigmoid(0) - x.
    x = np.array([[0.0, 0.3, 1.0]], "float32")
    slopes = gradient(
        lambda a: ops.sum(losses.BinaryCrossentropy("sum").call(x, a)),
        ops.convert_to_tensor(np.zeros((1, 3), "float32")),
    )
    np.testing.assert_allclose(ops.convert_to_numpy(slopes), 0.5 - x, atol=1e-6)


def test_cross_entropy_of_grey_targets_is_least_at_the_target_where_it_is_the_entropy():
    x = np.full((1, 1), 0.3, "float32")
    grid = np.linspace(-4, 4, 801).astype("float32")
    values = [float(losses.BinaryCrossentropy()(x, np.full((1, 1), a))) for a in grid[::20]]
    best = scipy.special.logit(0.3)
    floor = float(losses.BinaryCrossentropy()(x, np.full((1, 1), best, "float32")))
    np.testing.assert_allclose(floor, scipy.stats.bernoulli(0.3).entropy(), rtol=1e-5)
    assert min(values) >= floor


@pytest.mark.parametrize("stddev", [0.2, 1.0, 3.0])
def test_gaussian_likelihood_integrates_to_one(stddev):
    grid = np.linspace(-10 * stddev, 10 * stddev, 4001, dtype="float32")[:, None]
    nll = losses.GaussianNLL("sum", stddev).call(grid + 0.5, np.full_like(grid, 0.5))
    density = np.exp(-ops.convert_to_numpy(nll).astype("float64"))
    np.testing.assert_allclose(np.trapezoid(density, grid[:, 0]), 1.0, rtol=1e-4)


def test_gaussian_with_a_learned_deviation():
    loss = losses.GaussianNLL("sum")
    with pytest.raises(ValueError, match="Autoencoder"):
        loss(TARGET, OUTPUT)
    log_stddev = keras.Variable(np.log(2.0), dtype="float32")
    loss.bind(log_stddev)
    expected = -scipy.stats.norm.logpdf(TARGET, OUTPUT, 2.0).reshape(len(TARGET), -1).sum(axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(loss.call(TARGET, OUTPUT)), expected, rtol=1e-5)
    # The likelihood is greatest, and the gradient 0, where s is the root mean squared error.
    best = 0.5 * np.log(np.mean((TARGET - OUTPUT) ** 2))
    step = 0.01
    values = []
    for shift in (-step, 0.0, step):
        log_stddev.assign(best + shift)
        values.append(float(loss(TARGET, OUTPUT)))
    assert values[1] < min(values[0], values[2])


@each_loss
def test_integer_targets_are_taken(name):
    loss = REFERENCES[name][0](features="mean")
    x = np.array([[0, 1, 1]], "uint8")
    y = np.array([[0.2, 0.7, -0.3]], "float32")
    np.testing.assert_allclose(float(loss(x, y)), float(loss(x.astype("float32"), y)), rtol=1e-6)


@each_loss
def test_round_trip(name):
    loss = REFERENCES[name][0](features="sum")
    serialized = keras.saving.serialize_keras_object(loss)
    assert serialized["registered_name"] == f"kerasae>{type(loss).__name__}"
    for again in (keras.saving.deserialize_keras_object(serialized), losses.get(serialized)):
        assert again.get_config() == loss.get_config()
        assert float(again(TARGET, OUTPUT)) == float(loss(TARGET, OUTPUT))


@pytest.mark.parametrize(("name", "cls"), losses.LOSSES.items())
def test_get_by_name(name, cls):
    loss = losses.get(name, features="sum")
    assert type(loss) is cls
    assert (loss.features, loss.name) == ("sum", "reconstruction_loss")
    assert loss.from_logits == (name == "bce")


def test_get_passes_loss_objects_on():
    loss = keras.losses.Huber()
    assert losses.get(loss) is loss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.get("msse"), r"mse, mae, bce, gaussian.*'mse'\? Received: loss='msse'"),
        (lambda: losses.get(None), r"Received: loss=None"),
        (lambda: losses.get(["mse"]), r"Received: loss=\['mse'\]"),
        (lambda: losses.SquaredError("max"), r"^features must .*Received: features='max'"),
        (lambda: losses.GaussianNLL(stddev=0.0), r"^stddev must .*Received: stddev=0.0"),
        (lambda: losses.GaussianNLL(stddev=float("nan")), r"Received: stddev=nan"),
        (lambda: losses.GaussianNLL(stddev=float("inf")), r"Received: stddev=inf"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
