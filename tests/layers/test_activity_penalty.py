"""The layer that adds a penalty once: its value, its state, its gradient."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from kerasae.layers import ActivityPenalty
from kerasae.layers.backend import slope as gradient  # of a scalar function of one tensor
from kerasae.regularizers import KLSparsity, L1Activation
from kerasae.schedules import Warmup

REGULARIZERS = {"l1": L1Activation(0.5), "kl": KLSparsity(0.1, 0.5)}


def bernoulli_kl(target, rates):
    """KL(target || rate) of Bernoulli variables in float64, summed over units."""
    return sum(scipy.stats.entropy([target, 1 - target], [rate, 1 - rate]) for rate in rates)


def reference(name, h):
    """0.5 times the penalty, summed over units and averaged over the batch."""
    h = np.asarray(h, "float64")
    if name == "l1":
        return 0.5 * np.abs(h).sum() / len(h)
    return 0.5 * bernoulli_kl(0.1, h.mean(axis=0))


def codes(shape=(8, 3), seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.6, shape).astype("float32")


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


def penalty_of(layer, h, training=True):
    """The one loss of one call, which Keras forgets at the next."""
    layer(h, training=training)
    (loss,) = layer.losses
    return number(loss)


@pytest.mark.parametrize("training", [True, False, None])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_returns_its_input_and_adds_the_penalty_once(name, training):
    layer = ActivityPenalty(REGULARIZERS[name])
    h = codes()
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(h, training=training)), h)
    np.testing.assert_allclose(penalty_of(layer, h, training), reference(name, h), rtol=1e-5)


def test_known_value_whatever_keras_does_with_activity_regularizers():
    h = np.array([[1.0, -2.0], [0.0, 3.0]], "float32")  # (3 + 3) / 2 samples
    assert penalty_of(ActivityPenalty(L1Activation(0.5)), h) == 1.5


@pytest.mark.parametrize("momentum", [None, 0.9])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (2, 2, 2, 3)])
def test_a_batch_fed_twice_has_the_same_penalty(shape, momentum):
    h = codes(shape)
    once, twice = (
        penalty_of(ActivityPenalty(REGULARIZERS["kl"], momentum), batch)
        for batch in (h, np.concatenate([h, h]))
    )
    np.testing.assert_allclose(twice, once, rtol=1e-6)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_fit_adds_it_once_to_the_loss(name):
    inputs = keras.Input((3,))
    identity = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")
    model = keras.Model(inputs, identity(ActivityPenalty(REGULARIZERS[name])(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse")  # so that the loss is the penalty alone
    h = codes()
    loss = model.fit(h, h, batch_size=len(h), verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, reference(name, h), rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(h, h, verbose=0), reference(name, h), rtol=1e-5)


def test_returns_its_term_instead_of_adding_a_loss_if_asked():
    layer, h = ActivityPenalty(L1Activation(0.5)), codes()
    outputs, terms = layer(h, training=True, return_terms=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), h)
    assert list(terms) == ["sparsity_loss"]
    value, weight = terms["sparsity_loss"]
    np.testing.assert_allclose(ops.convert_to_numpy(value), np.abs(h).sum(axis=1), rtol=1e-6)
    assert number(weight) == 0.5
    assert not layer.losses


def test_a_warmup_advances_in_training_only():
    layer = ActivityPenalty(L1Activation(Warmup(0.0, 1.0, 4)))
    h = np.ones((2, 1), "float32")  # a penalty of 1, so that the loss is the weight
    modes = (True, False, True, None, True, True, True, True)
    weights = [penalty_of(layer, h, training) for training in modes]
    assert weights == [0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0]


MOMENTA = [0.0, 0.5, 0.9]


def simulate(batches, momentum):
    """The bias-corrected running mean after each batch, in float64."""
    mean, out = 0.0, []
    for t, batch in enumerate(batches, start=1):
        mean = momentum * mean + (1 - momentum) * batch.astype("float64").mean(axis=0)
        out.append(mean / (1 - momentum**t))
    return out


@pytest.mark.parametrize("momentum", MOMENTA)
def test_the_running_mean_equals_a_simulation(momentum):
    layer = ActivityPenalty(REGULARIZERS["kl"], momentum)
    batches = [codes(seed=seed) for seed in range(6)]
    penalties = [penalty_of(layer, batch) for batch in batches]
    expected = [0.5 * bernoulli_kl(0.1, mean) for mean in simulate(batches, momentum)]
    np.testing.assert_allclose(penalties, expected, rtol=1e-5)


def test_outside_training_the_running_mean_rests():
    layer = ActivityPenalty(REGULARIZERS["kl"], momentum=0.9)
    layer(codes(seed=0), training=True)
    before = ops.convert_to_numpy(layer.mean_activation)
    h = codes(seed=1)
    np.testing.assert_allclose(penalty_of(layer, h, False), reference("kl", h), rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.mean_activation), before)


@pytest.mark.parametrize("momentum", MOMENTA)
def test_the_gradient_is_the_one_of_the_batch_mean_at_the_running_mean(momentum):
    layer = ActivityPenalty(KLSparsity(0.1, 0.5), momentum)
    batches = [codes(seed=0), codes(seed=1)]
    layer(batches[0], training=True)

    def loss(h):  # stateless: the running mean moves inside, not in the layer
        state = [v.value for v in layer.non_trainable_variables]
        return layer.stateless_call([], state, h, training=True, return_losses=True)[2][0]

    slopes = ops.convert_to_numpy(gradient(loss, ops.convert_to_tensor(batches[1])))
    mean = simulate(batches, momentum)[-1]
    expected = 0.5 * (-0.1 / mean + 0.9 / (1 - mean)) / len(batches[1])
    np.testing.assert_allclose(slopes, np.broadcast_to(expected, slopes.shape), rtol=1e-4)


def test_momentum_removes_most_of_the_bias_of_small_batches():
    # An average with momentum m has the variance of (1 + m) / (1 - m) batches.
    target, batch, units, momentum = 0.2, 32, 4000, 0.9
    rng = np.random.default_rng(0)
    layer = ActivityPenalty(KLSparsity(target, 1.0), momentum)
    for _ in range(60):
        last = penalty_of(layer, rng.beta(1, 4, size=(batch, units)).astype("float32"))
    bias = (target * (1 - target) / 6) / (2 * batch * target * (1 - target))
    np.testing.assert_allclose(last / units, bias * (1 - momentum) / (1 + momentum), rtol=0.1)


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_refuses_codes_outside_the_unit_interval(momentum):
    layer = ActivityPenalty(KLSparsity(), momentum)
    with pytest.raises(ValueError, match=r"between 0 and 1.*Received: values from 0 to 1.5"):
        layer(np.full((2, 2), 1.5, "float32"), training=True)


LAYERS = {
    "l1": lambda: ActivityPenalty(L1Activation(0.25), name="bottleneck"),
    "kl-warmup": lambda: ActivityPenalty(KLSparsity(0.2, Warmup(0.0, 1.0, 7))),
    "kl-momentum": lambda: ActivityPenalty(KLSparsity(0.2, Warmup(0.0, 1.0, 7)), momentum=0.8),
}


@pytest.mark.parametrize("name", LAYERS)
def test_configuration_round_trip(name):
    layer = LAYERS[name]()
    serialized = keras.saving.serialize_keras_object(layer)
    assert serialized["registered_name"] == "kerasae>ActivityPenalty"
    again = keras.saving.deserialize_keras_object(serialized)
    assert again.get_config() == layer.get_config()
    assert again.regularizer.get_config() == layer.regularizer.get_config()


@pytest.mark.parametrize("name", LAYERS)
def test_saved_in_a_model_it_continues_where_it_was(name, tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, LAYERS[name]()(inputs))
    for seed in range(3):
        model(codes(seed=seed), training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    outputs = []
    for each in (model, again):
        np.testing.assert_array_equal(ops.convert_to_numpy(each(codes(), training=True)), codes())
        outputs.append(number(each.losses[0]))
    assert outputs[0] == outputs[1] > 0
    if name != "l1":
        assert number(again.layers[-1].penalty_weight.step) == 4


@pytest.mark.parametrize("name", REGULARIZERS)
def test_half_precision_codes_give_a_float32_penalty(name):
    layer = ActivityPenalty(REGULARIZERS[name], dtype="mixed_bfloat16")
    h = codes()
    outputs = layer(h)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"
    np.testing.assert_allclose(number(layer.losses[0]), reference(name, h), rtol=0.02)


def test_the_running_mean_stays_in_float32_under_half_precision():
    # Read in bfloat16, a running mean stalls: steps of 1 % drown in its 8 bits.
    layer = ActivityPenalty(KLSparsity(0.1, 1.0), momentum=0.99, dtype="mixed_bfloat16")
    h = np.full((2, 2), 0.25, "float32")
    for _ in range(300):
        layer(h, training=True)
    np.testing.assert_allclose(number(layer.mean_weight), 1 - 0.99**300, rtol=1e-4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.mean_activation), 0.25 * (1 - 0.99**300), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("l1",), r"^regularizer must .*Received: regularizer='l1'"),
        ((keras.regularizers.L1(0.1),), r"^regularizer must .*Received: regularizer="),
        ((L1Activation(), 0.9), r"^momentum .*KLSparsity.*momentum=0.9"),
        ((KLSparsity(), 1.0), r"^momentum must .*Received: momentum=1.0"),
        ((KLSparsity(), -0.1), r"^momentum must .*Received: momentum=-0.1"),
        ((KLSparsity(), float("nan")), r"^momentum must .*Received: momentum=nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ActivityPenalty(*arguments)
