"""Gaussian sampling: its noise, its KL term and its state."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from kerasae.layers import GaussianSampling
from kerasae.layers.penalty import evaluating
from kerasae.schedules import Warmup

MEAN = np.array([[0.5, -1.0, 0.0], [2.0, 0.3, -0.2]], "float32")
LOG_VAR = np.array([[0.0, -1.5, 1.0], [-3.0, 0.4, 0.1]], "float32")


def kl_per_dimension(mean, log_var):
    """KL(N(mean, exp(log_var)) || N(0, 1)) in float64: log(1/s) + (s^2 + m^2) / 2 - 1/2."""
    mean, stddev = mean.astype("float64"), np.exp(log_var.astype("float64") / 2)
    return -np.log(stddev) + (stddev**2 + mean**2) / 2 - 0.5


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


def sample(layer, mean=MEAN, log_var=LOG_VAR, training=True):
    return ops.convert_to_numpy(layer([mean, log_var], training=training))


@pytest.mark.parametrize("training", [True, False, None])
def test_kl_is_summed_over_dimensions_averaged_over_the_batch_and_added_once(training):
    layer = GaussianSampling(kl_weight=0.5)
    sample(layer, training=training)
    expected = 0.5 * kl_per_dimension(MEAN, LOG_VAR).sum(axis=1).mean()
    np.testing.assert_allclose([number(v) for v in layer.losses], [expected], rtol=1e-6)


def test_kl_equals_monte_carlo():
    rng = np.random.default_rng(0)
    stddev = np.exp(LOG_VAR / 2)
    z = MEAN + stddev * rng.normal(size=(200_000, *MEAN.shape))
    log_ratio = scipy.stats.norm.logpdf(z, MEAN, stddev) - scipy.stats.norm.logpdf(z)
    draws = log_ratio.sum(axis=2).mean(axis=1)
    value = number(GaussianSampling().divergence(MEAN, LOG_VAR))
    assert abs(value - draws.mean()) < 3 * draws.std() / np.sqrt(len(draws))


def test_kl_is_zero_at_the_prior_and_keeps_its_digits_nearby():
    zeros = np.zeros((4, 3), "float32")
    assert number(GaussianSampling().divergence(zeros, zeros)) == 0.0
    near = np.full((1, 1), 1e-3, "float32")
    np.testing.assert_allclose(
        number(GaussianSampling().divergence(0 * near, near)),
        kl_per_dimension(0 * near, near).sum(),
        rtol=1e-3,
    )


def test_free_bits_are_a_floor_under_each_dimension_of_the_batch_mean():
    per_dimension = kl_per_dimension(MEAN, LOG_VAR).mean(axis=0)
    for free in (0.0, 0.4, 10.0):
        expected = np.maximum(per_dimension, free).sum()
        value = number(GaussianSampling(free_bits=free).divergence(MEAN, LOG_VAR))
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert per_dimension.min() < 0.4 < per_dimension.max()  # so that 0.4 cut some and not others


@pytest.mark.parametrize("free", [0.0, 0.4])
def test_a_batch_fed_twice_has_the_same_kl(free):
    layer = GaussianSampling(free_bits=free)
    twice = [np.concatenate([a, a]) for a in (MEAN, LOG_VAR)]
    np.testing.assert_allclose(
        number(layer.divergence(*twice)), number(layer.divergence(MEAN, LOG_VAR)), rtol=1e-6
    )


def test_samples_have_the_mean_and_variance_asked_for():
    n, mean, variance = 50_000, 1.5, 4.0  # exp(log_var) in place of its root would give 16
    shape = (n, 2)
    z = sample(
        GaussianSampling(seed=1),
        np.full(shape, mean, "float32"),
        np.full(shape, np.log(variance), "float32"),
    )
    assert (abs(z.mean(axis=0) - mean) < 4 * np.sqrt(variance / n)).all()
    assert (abs(z.var(axis=0) - variance) < 4 * variance * np.sqrt(2 / n)).all()
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(n)
    assert scipy.stats.kstest((z[:, 0] - mean) / np.sqrt(variance), "norm").pvalue > 1e-3


@pytest.mark.parametrize("training", [False, None])
def test_the_mean_is_returned_outside_training(training):
    np.testing.assert_array_equal(sample(GaussianSampling(seed=1), training=training), MEAN)


def test_samples_while_an_autoencoder_evaluates():
    with evaluating():
        assert (sample(GaussianSampling(seed=1), training=False) != MEAN).all()


def test_every_training_step_draws_afresh_and_the_seed_decides():
    layer, same, other = (
        GaussianSampling(seed=3),
        GaussianSampling(seed=3),
        GaussianSampling(seed=4),
    )
    first, second = sample(layer), sample(layer)
    assert (first != second).all()
    np.testing.assert_array_equal(sample(same), first)
    np.testing.assert_array_equal(sample(same), second)
    assert (sample(other) != first).all()


def test_a_warmup_advances_in_training_only():
    layer = GaussianSampling(kl_weight=Warmup(0.0, 1.0, 2))
    losses = []
    for training in (True, False, True, None, True):
        sample(layer, training=training)
        losses.extend(number(v) for v in layer.losses)
    kl = kl_per_dimension(MEAN, LOG_VAR).sum(axis=1).mean()
    np.testing.assert_allclose(np.array(losses) / kl, [0.0, 0.5, 0.5, 1.0, 1.0], rtol=1e-5)


def test_returns_the_kl_of_each_sample_if_asked():
    layer = GaussianSampling(kl_weight=0.5)
    _, terms = layer([MEAN, LOG_VAR], training=True, return_terms=True)
    value, weight = terms["kl_loss"]
    expected = kl_per_dimension(MEAN, LOG_VAR).sum(axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5)
    assert number(weight) == 0.5
    assert not layer.losses


def test_saved_in_a_model_it_continues_where_it_was(tmp_path):
    inputs = [keras.Input((3,)), keras.Input((3,))]
    layer = GaussianSampling(Warmup(0.0, 1.0, 10), free_bits=0.1, seed=5, name="z")
    model = keras.Model(inputs, layer(inputs))
    for _ in range(2):
        model([MEAN, LOG_VAR], training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("z").get_config() == layer.get_config()
    assert again.get_layer("z").seed == 5
    np.testing.assert_array_equal(ops.convert_to_numpy(again([MEAN, LOG_VAR])), MEAN)
    model([MEAN, LOG_VAR])
    again_loss, loss = number(again.losses[0]), number(model.losses[0])
    np.testing.assert_allclose(again_loss, loss, rtol=1e-6)
    assert number(again.get_layer("z").penalty_weight.step) == 2


def test_trains_under_half_precision():
    layer = GaussianSampling(seed=0, dtype="mixed_bfloat16")
    z = layer([MEAN, LOG_VAR], training=True)
    assert keras.backend.standardize_dtype(z.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"
    expected = kl_per_dimension(MEAN, LOG_VAR).sum(axis=1).mean()
    np.testing.assert_allclose(number(layer.losses[0]), expected, rtol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kl_weight": -1.0}, r"^kl_weight must .*Received: kl_weight=-1.0"),
        ({"kl_weight": "beta"}, r"^kl_weight must .*Received: kl_weight='beta'"),
        ({"free_bits": -0.5}, r"^free_bits must .*Received: free_bits=-0.5"),
        ({"free_bits": float("nan")}, r"^free_bits must .*Received: free_bits=nan"),
        ({"free_bits": float("inf")}, r"^free_bits must .*Received: free_bits=inf"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianSampling(**arguments)
