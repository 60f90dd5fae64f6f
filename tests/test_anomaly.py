"""Conformal calibration, windows of series and training rows, against loops written out."""

import math
from fractions import Fraction

import numpy as np
import pytest

from kerasae.anomaly import (
    ROUND_OFF,
    Calibration,
    TrainingRows,
    check_rate,
    fold,
    smallest_sample,
    window_starts,
    windows,
)

RATES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.3, 1 / 3, 0.29, 0.5, 2 / 3, 0.9)


def p_by_hand(calibration, s):
    return (1 + sum(1 for c in calibration if c >= s)) / (len(calibration) + 1)


# Split-conformal calibration --------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_count_the_scores_that_are_at_least_as_high(ties):
    rng = np.random.default_rng(3)
    known = rng.integers(1, 12, 150).astype("float64") if ties else rng.normal(0, 5, 150)
    new = np.concatenate([known[:40], rng.normal(0, 8, 60), [-1e6, 1e6, 0.0]])
    known, new = known.astype("float32"), new.astype("float32")
    found = Calibration(rng.permutation(known), 0.05).p_value(new)
    # No two different numbers here are within round-off of each other.
    apart = np.abs(new[:, None] - known)
    assert apart[apart > 0].min() > 2 * ROUND_OFF * 12
    assert found.tolist() == [p_by_hand(known.tolist(), s) for s in new.tolist()]
    assert found.min() == 1 / 151
    assert found.max() == 1.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rate", RATES)
def test_a_sample_is_an_anomaly_where_its_p_value_is_at_most_the_rate(rate, ties):
    rng = np.random.default_rng(4)
    exact = Fraction(rate).limit_denominator(1000)  # 7/100 where the float is a little more
    for n in [smallest_sample(rate) + more for more in (0, 1, 2, 7, 50)]:
        known = rng.integers(0, 9, n) if ties else rng.permutation(n * 3)[:n]
        new = np.concatenate([np.unique(known), np.unique(known) + 0.5, [-1, 1e9]])
        calibration = Calibration(known, rate)
        for at in (None, rate):
            flags = calibration.is_anomaly(new, at)
            for s, flag in zip(new.tolist(), flags.tolist(), strict=True):
                p = Fraction(1 + sum(c >= s for c in known.tolist()), n + 1)
                assert flag == (p <= exact), (n, rate, s)
        # The threshold is the smallest value of which everything above is an anomaly.
        allowed = math.floor((n + 1) * exact)
        assert calibration.threshold == sorted(known.tolist(), reverse=True)[allowed - 1]


@pytest.mark.parametrize("rate", RATES)
def test_the_smallest_sample_is_the_first_with_a_p_value_at_most_the_rate(rate):
    exact = Fraction(rate).limit_denominator(1000)
    by_hand = next(n for n in range(2000) if Fraction(1, n + 1) <= exact)
    assert smallest_sample(rate) == by_hand
    Calibration(range(by_hand), rate)
    if by_hand:
        with pytest.raises(ValueError, match=f"at least {by_hand} .* Received: {by_hand - 1} sam"):
            Calibration(range(by_hand - 1), rate)


def test_one_percent_needs_ninety_nine():
    sentence = (
        "A false-alarm rate of 0.01 needs at least 99 held-out samples, and 98 allow no rate "
        "below 0.0101; .* Received: 98 samples"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Calibration(range(98), 0.01)
    calibration = Calibration(range(99), 0.01)
    assert calibration.threshold == 98
    assert calibration.is_anomaly([98, 98.5]).tolist() == [False, True]


def test_another_rate_than_the_one_calibrated_for():
    calibration = Calibration(range(1, 100), 0.01)
    assert calibration.threshold_at(0.1) == 90
    assert calibration.is_anomaly([90, 91], 0.1).tolist() == [False, True]
    assert calibration.threshold == 99
    with pytest.raises(ValueError, match=r"at least 111 samples; .*Received: a calibration on 99"):
        calibration.threshold_at(0.009)


def test_round_off_between_batch_sizes_does_not_make_an_anomaly():
    known = np.float32(np.arange(1, 100))
    calibration = Calibration(known, 0.01)
    close = np.float32([99 * (1 + 5e-6), 99 * (1 - 5e-6), 99])
    np.testing.assert_array_equal(calibration.p_value(close), [0.02] * 3)
    assert not calibration.is_anomaly(close).any()
    assert calibration.is_anomaly([99 * (1 + 5e-5)]).all()


def test_negative_scores_such_as_log_likelihoods():
    rng = np.random.default_rng(0)
    known = rng.normal(-50, 10, 199).astype("float32")
    calibration = Calibration(known, 0.05)
    new = rng.normal(-45, 15, 300).astype("float32")
    by_hand = [p_by_hand(known.tolist(), s) for s in new.tolist()]
    # Equal within one rank, for pairs that round-off cannot tell apart.
    np.testing.assert_allclose(calibration.p_value(new), by_hand, rtol=0, atol=1.01 / 200)
    assert calibration.is_anomaly(new).tolist() == (calibration.p_value(new) <= 0.05).tolist()


def test_shapes_are_kept_and_scores_are_sorted():
    calibration = Calibration([3, 1, 2], 0.5)
    assert calibration.scores.tolist() == [1, 2, 3]
    assert calibration.scores.dtype == np.float32
    assert calibration.p_value(2).shape == ()
    assert calibration.p_value([[0, 9]]).tolist() == [[1.0, 0.25]]
    assert calibration.is_anomaly([[0, 9]]).tolist() == [[False, True]]
    assert repr(calibration) == (
        "<Calibration on 3 scores: an anomaly above 2, false-alarm rate 0.5>"
    )


def test_an_infinite_score_is_the_worst_there_is():
    calibration = Calibration(range(1, 100), 0.01)
    assert calibration.p_value([np.inf, 1e38]).tolist() == [0.01, 0.01]
    assert calibration.is_anomaly([np.inf, 1e38]).tolist() == [True, True]


def test_a_score_that_is_no_number_does_not_pass_for_normal():
    """An overflow inside a model gives NaN, of which comparisons say nothing."""
    calibration = Calibration(range(1, 100), 0.01)
    found = calibration.p_value([np.nan]), calibration.is_anomaly([np.nan])
    assert [value.tolist() for value in found] == [[0.01], [True]]


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, True, "0.1", None, math.nan])
def test_rates_that_are_none(rate):
    for call in (check_rate, smallest_sample, lambda r: Calibration(range(99), r)):
        with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.01\. Received: false_"):
            call(rate)


def test_rates_just_below_one():
    calibration = Calibration(range(10), 1 - 1e-12)
    # Everything but the smallest possible p-value of 1 is at most the rate.
    assert calibration.is_anomaly([-1, 0.5]).tolist() == [False, True]


@pytest.mark.parametrize("scores", [[1, np.nan, 2], [1, np.inf], [[1.0, 2.0]]])
def test_scores_that_are_none(scores):
    with pytest.raises(ValueError, match=r"finite numbers, one per sample\. Received: scores of"):
        Calibration(scores, 0.5)


@pytest.mark.parametrize("n", [1, 2, 9, 57])
def test_expected_false_alarms_are_what_the_docstring_says(n):
    """Over all places that one of n + 1 exchangeable scores can take, counted."""
    order = np.arange(n + 1.0)
    for rate in (0.1, 0.25, 0.5, 0.66):
        if n < smallest_sample(rate):
            continue
        flags = [
            Calibration(np.delete(order, i) + 100, rate).is_anomaly(order[i] + 100)
            for i in range(n + 1)
        ]
        assert np.mean(flags) == pytest.approx(math.floor((n + 1) * rate) / (n + 1))


# Series -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "length", "stride"),
    [(10, 3, 1), (10, 3, 3), (11, 3, 2), (7, 7, 4), (9, 1, 1), (8, 5, 5)],
)
@pytest.mark.parametrize("channels", [(), (2,)])
def test_windows_and_folding_equal_a_double_loop(total, length, stride, channels):
    rng = np.random.default_rng(total)
    series = rng.normal(size=(total, *channels))
    starts = list(range(0, total - length + 1, stride))
    if starts[-1] + length < total:
        starts.append(total - length)
    assert window_starts(total, length, stride).tolist() == starts
    cut = windows(series, length, stride)
    assert cut.shape == (len(starts), length, *channels)
    sums, counts = np.zeros(total), np.zeros(total)
    scores = rng.random((len(starts), length))
    for i, start in enumerate(starts):
        for j in range(length):
            np.testing.assert_array_equal(cut[i, j], series[start + j])
            sums[start + j] += scores[i, j]
            counts[start + j] += 1
    assert counts.min() >= 1
    np.testing.assert_allclose(fold(scores, total, stride), sums / counts, rtol=1e-13)


def test_folding_the_windows_of_a_series_gives_the_series():
    series = np.random.default_rng(0).normal(size=23)
    for stride in (1, 3, 5):
        np.testing.assert_allclose(fold(windows(series, 5, stride), 23, stride), series)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((4, 5), r"at least as many time steps as a window, 5\. Received: 4 time steps"),
        ((9, 3, 4), r"from 1 to the length of a window, 3.*Received: stride=4"),
        ((9, 3, 0), "Received: stride=0"),
        ((9, 3, True), "Received: stride=True"),
        ((9, 3, 1.0), r"Received: stride=1\.0"),
    ],
)
def test_windows_that_do_not_fit(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        window_starts(*arguments)


@pytest.mark.parametrize("count", [1, 5])
def test_scores_of_other_windows_are_refused(count):
    """Two windows of 3 cover 5 steps by 2; one leaves steps without a score."""
    with pytest.raises(ValueError, match="Received"):
        fold(np.ones((count, 3)), total=5, stride=2)


# Training rows ----------------------------------------------------------------------------


def rows(n, seed, shape=(6,)):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype("float32")


def test_a_row_is_known_whatever_its_dtype_place_and_batch():
    known = TrainingRows()
    whole = np.random.default_rng(0).integers(0, 256, (300, 4, 3, 1)).astype("uint8")
    known.add([whole[:120], whole[120:]])
    for same in (whole, whole.astype("float64"), whole[::-1].astype("int64")):
        assert known.compare(same) == (300, 300)
    assert known.compare(np.asfortranarray(whole)) == (300, 300)
    assert known.compare(whole[..., ::-1, :]) == (300, 0)
    known = TrainingRows()
    known.add([[[0.0, 1.0]]])
    assert known.compare([[-0.0, 1.0], [1.0, 0.0]]) == (2, 1)


def test_equal_rows_count_as_one_that_is_known():
    known = TrainingRows()
    known.add([np.repeat(rows(5, 0), 4, axis=0)])
    assert len(known.hashes) == 5
    assert known.compare(np.repeat(rows(5, 0), 2, axis=0)) == (10, 10)


def test_different_rows_have_different_hashes():
    """Rows of small whole numbers, whose float32 have few bits that differ."""
    grid = np.stack(np.meshgrid(*[np.arange(6.0)] * 5), axis=-1).reshape(-1, 5)
    known = TrainingRows()
    known.add([grid])
    assert len(known.hashes) == 6**5
    assert known.compare(grid + 6) == (6**5, 0)
    binary = np.random.default_rng(0).integers(0, 2, (9000, 784)).astype("uint8")
    known = TrainingRows()
    known.add([binary])
    assert len(known.hashes) == 9000


def test_of_many_rows_a_sample_is_kept_that_any_subset_meets():
    x = rows(100_000, 0)
    known = TrainingRows()
    known.add(x[start : start + 30_000] for start in range(0, len(x), 30_000))
    assert len(known.hashes) == 2**16
    assert (np.diff(known.hashes.astype(object)) > 0).all()
    compared, found = known.compare(np.random.default_rng(1).permutation(x)[:20_000])
    assert compared == found == pytest.approx(20_000 * 2**16 / 1e5, abs=6 * 53)
    compared, found = known.compare(rows(20_000, 1))
    assert found == 0
    assert compared == pytest.approx(20_000 * 2**16 / 1e5, abs=6 * 53)
    other = TrainingRows()
    other.add([x[::-1]])
    np.testing.assert_array_equal(other.hashes, known.hashes)


def test_rows_of_a_table_with_few_values_are_equal_by_chance():
    """Held-out rows of six binary columns are in the training set, as everything is."""
    rng = np.random.default_rng(0)
    known = TrainingRows()
    known.add([rng.integers(0, 2, (300, 6)), rng.integers(0, 2, (200, 6))])
    assert known.repeated[0] == 500
    held = rng.integers(0, 2, (500, 6))
    assert known.compare(held)[1] > 450
    assert not known.too_many(*known.compare(held))
    # Where training rows differ among themselves, known rows are the training rows.
    known = TrainingRows()
    known.add([rows(500, 0)])
    assert known.repeated == (500, 0)
    assert known.too_many(*known.compare(rows(500, 0)[:50]))


def test_repeats_are_counted_among_the_rows_that_are_kept():
    known = TrainingRows()
    x = rows(100_000, 0)
    known.add([x, x[:50_000], rows(1, 3)])
    kept, repeated = known.repeated
    assert repeated / kept == pytest.approx(2 / 3, abs=0.01)
    # Of a second training, on the same rows, they are counted anew.
    known.add([x])
    assert known.repeated == (2**16, 0)


def test_nothing_is_compared_where_nothing_is_known():
    assert TrainingRows().compare(rows(5, 0)) == (0, 0)
    assert not TrainingRows().too_many(0, 0)


def test_no_rows_change_nothing():
    known = TrainingRows()
    known.add([rows(5, 0)])
    known.add([np.zeros((0, 6), "float32")])
    assert known.compare(np.zeros((0, 6))) == (0, 0)
    assert known.compare(rows(5, 0)) == (5, 5)


def test_duplicates_in_the_data_are_allowed_for():
    plain, twins = TrainingRows(), TrainingRows(held_out=(1000, 300))
    assert plain.too_many(1000, 100)
    assert not plain.too_many(1000, 0)
    # 30 % of a validation split are training rows too: as many of another are no surprise.
    assert not twins.too_many(1000, 300)
    assert twins.too_many(1000, 1000)
    assert twins.too_many(1000, 300 + 200)
    rng = np.random.default_rng(0)
    pairs = rng.binomial(1000, 0.3, (5000, 2)).tolist()
    assert not any(TrainingRows(held_out=(1000, a)).too_many(1000, b) for a, b in pairs)


def test_all_of_few_rows_being_known_is_too_many():
    """A rate of 1/3 needs two rows; two training rows must not do."""
    for count in (1, 2, 3):
        assert TrainingRows().too_many(count, count)


def test_the_range_of_rates_is_that_of_many_calibrations():
    """Uniform scores: the false-alarm rate of a threshold t is 1 - t itself."""
    rng = np.random.default_rng(0)
    drawn = [Calibration(rng.random(199), 0.05) for _ in range(2000)]
    low, high = drawn[0].rate_range(0.9)
    rates = np.array([1 - calibration.threshold for calibration in drawn])
    assert np.mean((rates > low) & (rates < high)) == pytest.approx(0.9, abs=0.025)
    assert np.mean(rates < low) == pytest.approx(0.05, abs=0.02)
