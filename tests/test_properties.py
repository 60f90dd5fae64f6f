"""Properties that hold for any input, searched by hypothesis: the same examples at every run."""

import math

import keras
import numpy as np
import pytest

from kerasae import layers
from kerasae.anomaly import Calibration, fold, smallest_sample, window_starts, windows
from kerasae.layers.penalty import evaluating
from kerasae.regularizers import KLSparsity, L1Activation

pytest.importorskip("hypothesis")
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# A deterministic search: CI sees what a developer sees, however slow the machine.
FEW = settings(derandomize=True, deadline=None, max_examples=25, database=None)
MANY = settings(derandomize=True, deadline=None, max_examples=100, database=None)

SEEDS = st.integers(0, 2**32 - 1)


def floats(low, high):
    return st.floats(low, high, width=32, allow_subnormal=False)


def batches(low, high, least=1, widest=6):
    """Batches `(samples, units)` of float32 numbers between two."""
    shapes = st.tuples(st.integers(least, 8), st.integers(1, widest))
    return shapes.flatmap(lambda shape: hnp.arrays("float32", shape, elements=floats(low, high)))


def number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def stated(regularizer, x):
    """Return the weighted penalty: a call, divided by the batch size as Keras does."""
    return number(regularizer(x)) / len(x)


def twice(x):
    return np.concatenate([x, x])


# Penalties --------------------------------------------------------------------------------


@FEW
@given(x=batches(-100, 100), weight=floats(0, 10), factor=floats(-4, 4))
def test_l1_sums_units_averages_the_batch_and_scales(x, weight, factor):
    penalty = stated(L1Activation(weight), x)
    assert penalty == pytest.approx(
        weight * np.abs(x.astype("float64")).sum() / len(x), rel=1e-5, abs=1e-6
    )
    assert penalty >= 0
    assert stated(L1Activation(weight), twice(x)) == pytest.approx(penalty, rel=1e-5, abs=1e-6)
    scaled = stated(L1Activation(weight), (factor * x).astype("float32"))
    assert scaled == pytest.approx(abs(factor) * penalty, rel=1e-4, abs=1e-4)


@FEW
@given(x=batches(0, 1), target=floats(0.0625, 0.9375), weight=floats(0, 10))
def test_kl_sparsity_is_the_divergence_of_bernoulli_rates(x, target, weight):
    regularizer = KLSparsity(target, weight)
    penalty = stated(regularizer, x)
    # 1e-6 from the ends, as the class says; entropies instead of its own formula.
    rate = 1e-6 + (1 - 2e-6) * x.astype("float64").mean(axis=0)
    cross = -target * np.log(rate) - (1 - target) * np.log(1 - rate)
    entropy = -target * math.log(target) - (1 - target) * math.log(1 - target)
    # float32 knows 1 - rate to 6e-8 only.
    assert penalty == pytest.approx(weight * (cross - entropy).sum(), rel=2e-3, abs=2e-4)
    assert penalty >= -1e-5
    assert stated(regularizer, twice(x)) == pytest.approx(penalty, rel=1e-4, abs=1e-4)
    order = np.random.default_rng(0).permutation(x.shape[1])
    assert stated(regularizer, x[:, order]) == pytest.approx(penalty, rel=1e-4, abs=1e-4)


@FEW
@given(target=floats(0.0625, 0.9375), units=st.integers(1, 6))
def test_kl_sparsity_is_least_at_its_target(target, units):
    at = stated(KLSparsity(target, 1.0), np.full((3, units), target, "float32"))
    assert at == pytest.approx(0, abs=1e-5)
    for other in (target / 2, (1 + target) / 2):
        assert stated(KLSparsity(target, 1.0), np.full((3, units), other, "float32")) > at + 1e-4


@settings(FEW, max_examples=10)
@given(
    x=batches(-3, 3, widest=4),
    units=st.integers(1, 4),
    weight=floats(0, 5),
    factor=floats(-2, 2),
    seed=SEEDS,
)
def test_jacobian_penalty_is_that_of_numpy(x, units, weight, factor, seed):
    """For tanh(x W + b): sum over i, j of (1 - h_j^2)^2 W_ij^2, the mean over the batch."""
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(x.shape[1], units)), rng.normal(size=units)

    def penalty(kernel, bias, x, activation="tanh"):
        dense = keras.layers.Dense(units, activation=activation)
        layer = layers.JacobianPenalty(
            keras.Sequential([keras.Input((x.shape[1],)), dense]), weight, method="closed_form"
        )
        layer.build((None, x.shape[1]))
        dense.set_weights([kernel.astype("float32"), bias.astype("float32")])
        with evaluating():
            layer(x)
        return number(sum(layer.losses))

    code = np.tanh(x.astype("float64") @ kernel + bias)
    expected = (((1 - code**2) ** 2) @ (kernel**2).T).sum(axis=1).mean()
    found = penalty(kernel, bias, x)
    assert found == pytest.approx(weight * expected, rel=1e-3, abs=1e-5)
    assert found >= 0
    assert penalty(kernel, bias, twice(x)) == pytest.approx(found, rel=1e-4, abs=1e-5)
    # Linear layers: the square of the factor, whatever the input.
    linear = penalty(kernel, bias, x, None)
    assert linear == pytest.approx(weight * (kernel**2).sum(), rel=1e-4, abs=1e-5)
    scaled = penalty(factor * kernel, bias, x, None)
    assert scaled == pytest.approx(factor**2 * linear, rel=1e-3, abs=1e-4)


# Corruptions ------------------------------------------------------------------------------


def corrupted(layer, x, seed):
    return keras.ops.convert_to_numpy(layer.corrupt(x, seed))


def within(share, rate, n):
    """Whether a share of n draws is within five standard deviations of its rate."""
    return abs(share - rate) <= 5 * math.sqrt(max(rate * (1 - rate), 1 / n) / n)


@FEW
@given(rate=floats(0, 1), seed=SEEDS)
def test_masking_sets_a_share_to_zero_and_leaves_the_rest(rate, seed):
    x = np.random.default_rng(seed).uniform(1, 2, (40, 50)).astype("float32")
    layer = layers.MaskingCorruption(rate)
    y = corrupted(layer, x, seed)
    np.testing.assert_array_equal(y, np.where(y == 0, 0, x))
    assert within((y == 0).mean(), rate, x.size)
    np.testing.assert_array_equal(y, corrupted(layer, x, seed))
    if 0.1 < rate < 0.9:
        assert (y != corrupted(layer, x, seed + 1)).any()


@FEW
@given(rate=floats(0, 1), low=floats(-5, 0), width=floats(0.125, 5), seed=SEEDS)
def test_salt_and_pepper_takes_two_values_equally_often(rate, low, width, seed):
    high = low + width
    x = np.full((40, 50), low + width / 3, "float32")
    layer = layers.SaltAndPepperCorruption(rate, low, high)
    y = corrupted(layer, x, seed)
    salt, pepper = y == np.float32(high), y == np.float32(low)
    np.testing.assert_array_equal(y[~salt & ~pepper], x[~salt & ~pepper])
    assert within(salt.mean(), rate / 2, x.size)
    assert within(pepper.mean(), rate / 2, x.size)
    np.testing.assert_array_equal(y, corrupted(layer, x, seed))


@FEW
@given(stddev=floats(0, 4), value=floats(-3, 3), seed=SEEDS)
def test_gaussian_noise_has_mean_and_spread(stddev, value, seed):
    x = np.full((50, 60), value, "float32")
    noise = corrupted(layers.GaussianCorruption(stddev), x, seed).astype("float64") - value
    n = noise.size
    assert abs(noise.mean()) <= 5 * stddev / math.sqrt(n) + 1e-5
    assert abs(noise.std() - stddev) <= 5 * stddev / math.sqrt(2 * n) + 1e-5
    clipped = corrupted(layers.GaussianCorruption(stddev, clip=(-1, 1)), x, seed)
    assert np.abs(clipped).max() <= 1
    np.testing.assert_allclose(clipped, np.clip(value + noise, -1, 1), atol=1e-5)


@FEW
@given(low=floats(0.125, 1), ratio=floats(1.5, 8), seed=SEEDS)
def test_drawn_noise_stays_between_its_two_strengths(low, ratio, seed):
    x = np.zeros((30, 400), "float32")
    spread = corrupted(layers.GaussianCorruption((low, low * ratio)), x, seed).std(axis=1)
    assert spread.min() > low * 0.8
    assert spread.max() < low * ratio * 1.2


@FEW
@given(x=batches(-10, 10, widest=9), factor=st.integers(1, 12))
def test_low_resolution_keeps_means_and_repeats_itself(x, factor):
    layer = layers.LowResolutionCorruption(factor)
    y = corrupted(layer, x, 0)
    np.testing.assert_allclose(y.mean(axis=1), x.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(corrupted(layer, y, 0), y, atol=1e-4)
    assert y.min() >= x.min() - 1e-4
    assert y.max() <= x.max() + 1e-4
    if factor == 1:
        np.testing.assert_array_equal(y, x)


# Windows ----------------------------------------------------------------------------------


@st.composite
def cuts(draw):
    length = draw(st.integers(1, 12))
    return draw(st.integers(length, 60)), length, draw(st.integers(1, length))


@MANY
@given(cut=cuts(), seed=SEEDS)
def test_windows_cover_each_step_and_fold_back(cut, seed):
    total, length, stride = cut
    starts = window_starts(total, length, stride)
    covered = np.zeros(total, int)
    for start in starts:
        covered[start : start + length] += 1
    assert covered.min() >= 1
    assert (starts[0], starts[-1]) == (0, total - length)
    assert (np.diff(starts) <= stride).all()
    assert (np.diff(starts) > 0).all()
    series = np.random.default_rng(seed).normal(size=total)
    pieces = windows(series, length, stride)
    assert pieces.shape == (len(starts), length)
    # What every window says of a step is its value, so the mean of them is, too.
    np.testing.assert_allclose(fold(pieces, total, stride), series, rtol=1e-12)
    scores = np.random.default_rng(seed + 1).normal(size=pieces.shape)
    for at in (0, total // 2, total - 1):
        said = [scores[i, at - s] for i, s in enumerate(starts) if s <= at < s + length]
        assert fold(scores, total, stride)[at] == pytest.approx(np.mean(said))


# Scalers ----------------------------------------------------------------------------------


@st.composite
def tables(draw):
    """Rows whose columns differ in size by many powers of ten, some far off, some constant."""
    columns = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(SEEDS))
    x = rng.normal(size=(draw(st.integers(2, 20)), columns))
    for j in range(columns):
        scale = 10.0 ** draw(st.integers(-12, 12))
        # At most as far as float32 can tell the values apart by a hundredth of their scale.
        offset = draw(st.sampled_from([0, 1, -100, 1000])) * scale
        x[:, j] = (
            offset if draw(st.booleans()) and draw(st.booleans()) else offset + scale * x[:, j]
        )
    return x.astype("float32")


@FEW
@given(x=tables(), kind=st.sampled_from([layers.Standardize, layers.UnitScale]))
def test_scalers_come_back(x, kind):
    scaler = kind()
    scaler.adapt([x[:1], x[1:]])
    scaled = scaler(x)
    back = keras.ops.convert_to_numpy(scaler.inverse(scaled))
    scaled = keras.ops.convert_to_numpy(scaled).astype("float64")
    assert np.isfinite(scaled).all()
    # A few units in the last place of what is largest in a column.
    slack = 4e-7 * np.abs(x).max(axis=0) + 1e-30
    assert (np.abs(back.astype("float64") - x) <= slack).all()
    spread = x.astype("float64").std(axis=0)
    constant = (x == x[0]).all(axis=0)
    np.testing.assert_array_equal(scaled[:, constant], 0)
    # The offset is rounded to float32 too.
    slack = 2e-7 * np.abs(x).max(axis=0) / np.where(constant, 1, spread) + 1e-5
    varying = ~constant
    if kind is layers.Standardize:
        assert (np.abs(scaled.mean(axis=0)) <= slack)[varying].all()
        assert (np.abs(scaled.std(axis=0) - 1) <= slack)[varying].all()
    else:
        assert (np.abs(scaled.min(axis=0)) <= slack)[varying].all()
        assert (np.abs(scaled.max(axis=0) - 1) <= slack)[varying].all()


# Calibration ------------------------------------------------------------------------------

# Few different values, so that scores tie; far enough apart not to be round-off.
TIED = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@MANY
@given(scores=TIED, new=st.lists(st.integers(-2, 15), min_size=1, max_size=20))
def test_p_values_are_counts(scores, new):
    calibration = Calibration(scores, false_alarm_rate=0.999)
    found = calibration.p_value(new)
    n = len(scores)
    expected = [(1 + sum(old >= score for old in scores)) / (n + 1) for score in new]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found > 0).all()
    assert (found <= 1).all()
    order = np.argsort(new)
    assert (np.diff(found[order]) <= 0).all()


@MANY
@given(scores=TIED, new=st.lists(st.integers(-2, 15), min_size=1, max_size=20), rate=floats(0, 1))
def test_an_anomaly_has_a_p_value_of_at_most_the_rate(scores, new, rate):
    assume(0 < rate < 1)
    assume(len(scores) >= smallest_sample(rate))
    calibration = Calibration(scores, rate)
    flagged = calibration.is_anomaly(new)
    p = calibration.p_value(new)
    allowed = math.floor((len(scores) + 1) * rate + 1e-9) / (len(scores) + 1)
    np.testing.assert_array_equal(flagged, p <= allowed + 1e-12)
    np.testing.assert_array_equal(flagged, np.asarray(new) > calibration.threshold)
    # On the calibration scores themselves, no more than the rate.
    assert calibration.is_anomaly(scores).mean() <= rate + 1e-9


@MANY
@given(rate=st.floats(1e-6, 1, exclude_max=True))
def test_the_smallest_sample_is_the_smallest(rate):
    n = smallest_sample(rate)
    assert (n + 1) * rate >= 1 - 1e-8
    assert n * rate < 1
