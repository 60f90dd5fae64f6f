"""The base of penalties: a user's own, and weights that are set."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.layers import GaussianSampling, Penalty
from kerasae.schedules import Warmup

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@keras.saving.register_keras_serializable("tests")
class Smoothness(Penalty):
    """A penalty as a user would write it."""

    term_name = "smoothness_loss"

    def penalty(self, inputs, outputs, training=None):
        return keras.ops.mean(keras.ops.square(outputs[:, 1:] - outputs[:, :-1]), axis=1)


def roughness(x):
    return np.square(np.diff(x, axis=1)).mean(axis=1)


def plain(weight):
    inputs = keras.Input((6,))
    layer = Smoothness(weight, name="smooth")
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    return model, layer


def test_works_alone_in_a_keras_model():
    model, _ = plain(2.0)
    # The output is the input, so that the loss is the penalty alone.
    found = model.evaluate(X, X, batch_size=32, verbose=0)
    assert found == pytest.approx(2 * roughness(X).mean(), rel=1e-5)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), "variable"])
def test_setting_the_weight_counts_at_once_and_is_what_is_saved(value, tmp_path):
    model, layer = plain(2.0)
    model.evaluate(X, X, verbose=0)
    layer.weight = keras.Variable(0.5) if value == "variable" else value
    expected = pytest.approx(0.5 * roughness(X).mean(), rel=1e-5)
    assert model.evaluate(X, X, verbose=0) == expected
    assert layer.get_config()["weight"] == layer.weight == 0.5
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.evaluate(X, X, verbose=0) == expected


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_a_variable_given_as_weight_is_followed_and_never_trained():
    variable = keras.Variable(2.0)
    model, _ = plain(variable)
    model.evaluate(X, X, verbose=0)
    variable.assign(0.25)
    expected = pytest.approx(0.25 * roughness(X).mean(), rel=1e-5)
    assert model.evaluate(X, X, verbose=0) == expected
    model.fit(X, X, verbose=0)
    assert float(numpy(variable)) == 0.25
    assert not model.trainable_variables


def test_a_number_replaces_a_schedule():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    layer = GaussianSampling(Warmup(0.0, 1.0, 100))
    model = keras.Model(inputs, layer(inputs))
    x = [X[:, :3], X[:, 3:]]
    model(x, training=True)
    model.compile(loss=lambda t, p: 0.0 * p[:, 0])
    first = model.evaluate(x, X[:, 0], verbose=0)
    layer.kl_weight = 1.0
    assert model.evaluate(x, X[:, 0], verbose=0) == pytest.approx(100 * first, rel=1e-4)
    assert layer.get_config()["kl_weight"] == 1.0
    with pytest.raises(ValueError, match="kl_weight"):
        layer.kl_weight = Warmup(0.0, 1.0, 5)
    assert layer.kl_weight == 1.0


@pytest.mark.parametrize("value", [-1.0, float("nan"), "high", None])
def test_a_weight_that_is_refused_changes_nothing(value):
    _, layer = plain(2.0)
    with pytest.raises(ValueError, match="weight"):
        layer.weight = value
    assert layer.weight == 2.0


def test_reports_by_name_in_an_autoencoder_and_weighs_samples():
    ae = kerasae.models.Autoencoder(
        (6,),
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)]),
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)]),
        bottleneck=Smoothness(0.5),
    )
    ae.compile()
    code = ae.encode(X)
    weight = np.where(np.arange(64) < 32, 2.0, 0.0).astype("float32")
    found = ae.evaluate(X, sample_weight=weight, batch_size=64, verbose=0, return_dict=True)
    assert found["smoothness_loss"] == pytest.approx((weight * roughness(code)).mean(), rel=1e-4)
    expected = found["reconstruction_loss"] + 0.5 * found["smoothness_loss"]
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
