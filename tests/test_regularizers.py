"""Penalties against closed forms, expectations and Monte Carlo, derived here a second time."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from kerasae.layers.backend import slope as gradient  # of a scalar function of one tensor
from kerasae.regularizers import KLSparsity, L1Activation, check_unit_interval
from kerasae.schedules import Warmup


def bernoulli_kl(target, rates):
    """KL(target || rate) of Bernoulli variables in float64, summed over units."""
    return sum(scipy.stats.entropy([target, 1 - target], [rate, 1 - rate]) for rate in rates)


def stated(penalty):
    """Return the weighted penalty as a function: what Keras makes of a call, by its division."""
    return lambda h: penalty(h) / len(h)


def codes(shape=(8, 5), seed=0):
    return np.random.default_rng(seed).uniform(0.02, 0.98, shape).astype("float32")


@pytest.mark.parametrize("shape", [(6, 4), (1, 3), (5, 3, 2, 2)])
def test_l1_is_summed_over_units_and_averaged_over_the_batch(shape):
    h = np.random.default_rng(1).normal(size=shape).astype("float32")
    expected = 0.3 * np.abs(h.astype("float64")).sum() / shape[0]
    np.testing.assert_allclose(float(stated(L1Activation(0.3))(h)), expected, rtol=1e-6)


def test_l1_known_value():
    assert float(stated(L1Activation(0.5))(np.array([[1.0, -2.0], [0.0, 3.0]]))) == 1.5


@pytest.mark.parametrize("target", [0.05, 0.5, 0.9])
def test_kl_is_the_divergence_of_two_bernoulli_variables(target):
    h = codes()
    expected = 2.0 * bernoulli_kl(target, h.astype("float64").mean(axis=0))
    np.testing.assert_allclose(float(stated(KLSparsity(target, 2.0))(h)), expected, rtol=1e-5)


def test_kl_is_the_expected_log_ratio():
    target, rate, draws = 0.2, 0.35, 400_000
    hits = np.random.default_rng(2).random(draws) < target
    ratios = np.where(hits, np.log(target / rate), np.log((1 - target) / (1 - rate)))
    error = ratios.std() / np.sqrt(draws)
    value = float(stated(KLSparsity(target, 1.0))(np.full((4, 1), rate, "float32")))
    assert abs(value - ratios.mean()) < 3 * error
    assert error < value / 50  # precise enough to tell KL(p||q) from KL(q||p)
    assert abs(bernoulli_kl(rate, [target]) - ratios.mean()) > 4 * error


def test_kl_vanishes_at_the_target_only():
    penalty = stated(KLSparsity(0.3, 1.0))
    assert abs(float(penalty(np.full((4, 3), 0.3, "float32")))) < 1e-6
    assert float(penalty(np.full((4, 3), 0.31, "float32"))) > 1e-4


def test_kl_reads_the_batch_mean_and_all_other_axes_are_units():
    h = codes((6, 2, 3))
    flat = float(stated(KLSparsity(0.1, 1.0))(h.reshape(6, 6)))
    np.testing.assert_allclose(float(stated(KLSparsity(0.1, 1.0))(h)), flat, rtol=1e-6)
    constant = np.broadcast_to(h.mean(axis=0), h.shape).copy()
    np.testing.assert_allclose(float(stated(KLSparsity(0.1, 1.0))(constant)), flat, rtol=1e-5)


@pytest.mark.parametrize("penalty", [L1Activation(0.7), KLSparsity(0.1, 0.7)], ids=["l1", "kl"])
def test_a_batch_fed_twice_has_the_same_penalty(penalty):
    h = codes()
    twice = np.concatenate([h, h])
    np.testing.assert_allclose(float(stated(penalty)(twice)), float(stated(penalty)(h)), rtol=1e-6)


@pytest.mark.parametrize("target", [0.05, 0.6])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_kl_is_finite_and_pushes_back_at_dead_and_saturated_units(rate, target):
    h = np.full((4, 2), rate, "float32")
    value = float(stated(KLSparsity(target, 1.0))(h))
    slopes = ops.convert_to_numpy(
        gradient(stated(KLSparsity(target, 1.0)), ops.convert_to_tensor(h))
    )
    assert np.isfinite(value)
    assert value > bernoulli_kl(target, [abs(rate - 0.001)] * 2)
    assert np.isfinite(slopes).all()
    # Without a slope a dead unit could never be revived: its sigmoid slope is small, not zero.
    assert (np.sign(slopes) == (1 if rate else -1)).all()


def test_kl_keeps_pushing_a_dying_sigmoid_unit():
    # In the logit the slope is r - rho, about -rho; the guard at 0 may damp it, not stop it.
    def of_logits(logits):
        return stated(KLSparsity(0.2, 1.0))(ops.sigmoid(logits))

    logits = ops.convert_to_tensor(np.full((1, 1), -14.0, "float32"))  # a rate of 8e-7
    slope = float(ops.convert_to_numpy(gradient(of_logits, logits))[0, 0])
    assert -0.2 <= slope < -0.05


@pytest.mark.parametrize("target", [0.05, 0.4])
def test_kl_gradient(target):
    h = codes((6, 4), seed=3)
    slopes = ops.convert_to_numpy(
        gradient(stated(KLSparsity(target, 2.0)), ops.convert_to_tensor(h))
    )
    rates = h.astype("float64").mean(axis=0)
    formula = 2.0 * (-target / rates + (1 - target) / (1 - rates)) / len(h)
    step = 1e-6
    numerical = [
        2.0 * (bernoulli_kl(target, [r + step]) - bernoulli_kl(target, [r - step])) / (2 * step)
        for r in rates
    ]
    np.testing.assert_allclose(slopes, np.broadcast_to(formula, h.shape), rtol=1e-4)
    np.testing.assert_allclose(slopes.sum(axis=0), numerical, rtol=1e-4)


@pytest.mark.parametrize("batch", [32, 128])
def test_kl_of_a_batch_mean_is_biased_as_documented(batch):
    target, replicates = 0.2, 40_000
    rng = np.random.default_rng(4)
    h = rng.beta(1, 4, size=(batch, replicates)).astype("float32")  # mean 0.2
    variance = target * (1 - target) / 6
    documented = variance / (2 * batch * target * (1 - target))
    measured = float(stated(KLSparsity(target, 1.0))(h)) / replicates
    np.testing.assert_allclose(measured, documented, rtol=0.05)


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.5), (0.5, 1.01), (-3.0, 4.0)])
def test_kl_refuses_activations_outside_the_unit_interval(low, high):
    with pytest.raises(ValueError, match=rf"L1Activation.*Received: values from .* to {high:g}"):
        KLSparsity()(np.array([[low, high]], "float32"))


def test_the_unit_interval_is_closed_and_symbolic_tensors_pass():
    check_unit_interval(np.array([[0.0, 1.0]], "float32"))
    check_unit_interval(keras.Input((3,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KLSparsity(0.0), r"target_activation .*Received: target_activation=0.0"),
        (lambda: KLSparsity(1.0), r"target_activation .*Received: target_activation=1.0"),
        (lambda: KLSparsity(float("nan")), r"Received: target_activation=nan"),
        (lambda: KLSparsity(0.1, -1.0), r"weight .*Received: weight=-1.0"),
        (lambda: L1Activation(float("inf")), r"weight .*Received: weight=inf"),
        (lambda: L1Activation("big"), r"weight .*Received: weight='big'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "penalty",
    [
        L1Activation(0.25),
        L1Activation(Warmup(0.0, 0.5, 10)),
        KLSparsity(0.15, 0.25),
        KLSparsity(0.15, Warmup(0.1, 0.5, 10)),
    ],
    ids=["l1", "l1-warmup", "kl", "kl-warmup"],
)
def test_round_trip(penalty):
    serialized = keras.saving.serialize_keras_object(penalty)
    assert serialized["registered_name"] == f"kerasae>{type(penalty).__name__}"
    again = keras.saving.deserialize_keras_object(serialized)
    assert again.get_config() == penalty.get_config()
    assert float(again.penalty(codes())) == float(penalty.penalty(codes()))


def test_a_warmup_is_refused_outside_a_layer():
    with pytest.raises(ValueError, match="weight may be a Warmup"):
        L1Activation(Warmup(0.0, 0.5, 10))(codes())


def test_the_weight_is_not_set_where_nothing_would_notice():
    with pytest.raises(AttributeError):
        L1Activation(0.5).weight = 1.0


def test_half_precision_activations_are_added_up_in_float32():
    h = np.ones((4, 3000), "float32")  # a sum that bfloat16 cannot hold
    value = stated(L1Activation(1.0))(ops.cast(h, "bfloat16"))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == 3000.0


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("penalty", [L1Activation(0.7), KLSparsity(0.1, 0.7)], ids=["l1", "kl"])
def test_the_stated_value_as_activity_regularizer_whatever_the_batch_size(penalty, batch):
    h = codes((batch, 3))
    dense = keras.layers.Dense(
        3, use_bias=False, kernel_initializer="identity", activity_regularizer=penalty
    )
    dense(h)
    expected = 0.7 * float(penalty.penalty(h))
    np.testing.assert_allclose([float(loss) for loss in dense.losses], [expected], rtol=1e-6)
