"""Anomaly decisions from scores: conformal calibration, windows of series, training rows.

This module depends only on NumPy and SciPy. Most users call `Autoencoder.calibrate` and
`Autoencoder.detect` instead.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# Relative round-off of a score.
ROUND_OFF = 1e-5
# Largest number of hashes of training rows to keep: 512 KiB.
_KEPT = 2**16
_CHUNK = 2**22  # numbers hashed at a time


def check_rate(false_alarm_rate: Any) -> float:
    """Return a false-alarm rate as a float, or raise ValueError if it is not in (0, 1)."""
    number = isinstance(false_alarm_rate, (int, float, np.integer, np.floating))
    if isinstance(false_alarm_rate, bool) or not number or not 0 < false_alarm_rate < 1:
        raise ValueError(
            "false_alarm_rate must be a number between 0 and 1, such as 0.01. "
            f"Received: false_alarm_rate={false_alarm_rate!r}"
        )
    return float(false_alarm_rate)


def smallest_sample(false_alarm_rate: float) -> int:
    """Return the number of held-out scores that a rate requires, `ceil(1 / rate) - 1`.

    With fewer, even a score above all of them has a p-value above the rate.

    Args:
        false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1.

    Example:
    >>> smallest_sample(0.01)
    99
    """
    return math.ceil(1 / check_rate(false_alarm_rate) - 1e-9) - 1


class Calibration:
    """A split-conformal threshold: scores of held-out normal samples, sorted.

    The p-value of a score `s` is `(1 + #{calibration scores >= s}) / (n + 1)`, and a sample is
    an anomaly if its p-value is at most the false-alarm rate. Scores with a relative difference
    below 1e-5 count as equal, since the score of a sample varies by as much between batch
    sizes. If calibration and new normal samples are exchangeable, the expected share of false
    alarms is `floor((n + 1) rate) / (n + 1)` without ties among the scores, and less with ties;
    over draws of the calibration set, the number of false alarms among m samples is
    beta-binomial.

    Args:
        scores: `(n,)` anomaly scores of samples the model was not trained on; higher is worse.
        false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1.
        stride: Stride of the windows, if the scores are those of time steps of a series.

    Attributes:
        scores: `(n,)` float32, sorted.
        false_alarm_rate: The false-alarm rate as a float.
        n: Number of scores.
        threshold: Score above which a sample is an anomaly, by more than round-off.

    Raises:
        ValueError: If the scores are not finite, or too few for the rate.

    References:
        Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 2.2;
        Laxhammar and Falkman, "Conformal prediction for distribution-independent anomaly
        detection in streaming vessel data", 2010; Vovk, "Conditional validity of inductive
        conformal predictors", 2012, proposition 2a (the spread).

    Example:
    >>> calibration = Calibration(range(1, 100), false_alarm_rate=0.05)
    >>> calibration.threshold
    95.0
    >>> calibration.p_value([95, 95.5, 1000]).tolist()
    [0.06, 0.05, 0.01]
    """

    def __init__(self, scores: Any, false_alarm_rate: float = 0.01, stride: int | None = None):
        scores = np.asarray(scores)
        if scores.dtype.kind not in "biuf":
            raise ValueError(
                "scores must be finite numbers, one per sample. "
                f"Received: scores of dtype {scores.dtype}"
            )
        scores = scores.astype("float32")
        if scores.ndim != 1 or not np.isfinite(scores).all():
            raise ValueError(
                "scores must be finite numbers, one per sample. Received: scores of shape "
                f"{scores.shape}, {int((~np.isfinite(scores)).sum())} of them not finite"
            )
        self.scores = np.sort(scores)
        self.n = len(scores)
        self.false_alarm_rate = check_rate(false_alarm_rate)
        self.stride = stride
        least = smallest_sample(self.false_alarm_rate)
        if self.n < least:
            raise ValueError(
                f"A false-alarm rate of {self.false_alarm_rate:g} needs at least {least} held-out "
                f"samples, and {self.n} allow no rate below {1 / (self.n + 1):.3g}; use more "
                f"samples or a higher rate. Received: {self.n} samples"
            )
        self.threshold = self.threshold_at(self.false_alarm_rate)

    def threshold_at(self, false_alarm_rate: float) -> float:
        """Return the score above which a sample is an anomaly at a given rate.

        Args:
            false_alarm_rate: Between 0 and 1.

        Raises:
            ValueError: If there are too few scores for the rate.
        """
        allowed = math.floor((self.n + 1) * check_rate(false_alarm_rate) + 1e-9)
        if not allowed:
            raise ValueError(
                f"A false-alarm rate of {false_alarm_rate:g} needs a calibration on at least "
                f"{smallest_sample(false_alarm_rate)} samples; this one allows no rate below "
                f"{1 / (self.n + 1):.3g}. Received: a calibration on {self.n} samples"
            )
        # A rate below 1 never allows a p-value of 1, even after rounding.
        return float(self.scores[-min(allowed, self.n)])

    def rate_range(self, level: float = 0.9) -> tuple[float, float]:
        """Return an interval that contains the actual false-alarm rate of this threshold.

        The nominal rate is the mean over calibrations; the rate of a single calibration follows
        Beta(k, n + 1 - k) with `k = floor((n + 1) rate)`, for scores without ties.

        Args:
            level: Share of calibrations whose rate lies in the interval.
        """
        from scipy.stats import beta

        allowed = min(math.floor((self.n + 1) * self.false_alarm_rate + 1e-9), self.n)
        tail = (1 - level) / 2
        low, high = beta.ppf([tail, 1 - tail], allowed, self.n + 1 - allowed)
        return float(low), float(high)

    def p_value(self, scores: Any) -> np.ndarray:
        """Return the p-value of each score, float64, shaped like `scores`.

        Args:
            scores: Anomaly scores.
        """
        as_bad = self.n - np.searchsorted(self.scores, _lowered(scores), side="left")
        return (1 + as_bad) / (self.n + 1)

    def is_anomaly(self, scores: Any, false_alarm_rate: float | None = None) -> np.ndarray:
        """Return whether each score is that of an anomaly, shaped like `scores`.

        Args:
            scores: Anomaly scores.
            false_alarm_rate: Rate to use instead of the calibrated one.
        """
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        return _lowered(scores) > np.float32(self.threshold_at(rate))

    def __repr__(self) -> str:
        return (
            f"<Calibration on {self.n} scores: an anomaly above {self.threshold:.6g}, "
            f"false-alarm rate {self.false_alarm_rate:g}>"
        )


def _lowered(scores: Any) -> np.ndarray:
    scores = np.asarray(scores, "float32")
    with np.errstate(invalid="ignore"):
        lowered = scores - np.float32(ROUND_OFF) * np.abs(scores)
    # Infinite and NaN scores count as most abnormal.
    return np.where(scores < np.inf, lowered, np.float32(np.inf))


# Series -----------------------------------------------------------------------------------


def window_starts(total: int, length: int, stride: int = 1) -> np.ndarray:
    """Return the first time steps of the windows over a series; the last window ends with it.

    Args:
        total: Time steps of the series.
        length: Time steps of a window.
        stride: Time steps from one window to the next, at most `length`.

    Raises:
        ValueError: If the series is shorter than a window, or the windows leave gaps.
    """
    whole = hasattr(stride, "__index__") and not isinstance(stride, bool)
    if not whole or not 1 <= stride <= length:
        raise ValueError(
            f"stride must be a whole number from 1 to the length of a window, {length}, so that "
            f"every time step is covered. Received: stride={stride!r}"
        )
    if total < length:
        raise ValueError(
            f"A series must have at least as many time steps as a window, {length}. "
            f"Received: {total} time steps"
        )
    starts = np.arange(0, total - length + 1, stride)
    return starts if starts[-1] == total - length else np.append(starts, total - length)


def windows(series: Any, length: int, stride: int = 1) -> np.ndarray:
    """Return the windows of a series at `window_starts`, `(windows, length, ...)`.

    Args:
        series: `(steps, ...)`.
        length: Time steps of a window.
        stride: Time steps from one window to the next, at most `length`.

    Example:
    >>> windows(np.arange(5), length=3, stride=2).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    series = np.asarray(series)
    starts = window_starts(len(series), length, stride)
    return series[starts[:, None] + np.arange(length)]


def fold(scores: Any, total: int, stride: int = 1) -> np.ndarray:
    """Return one score per time step: the mean over all windows that cover it.

    Args:
        scores: `(windows, length)` scores of the time steps of each window, for the windows at
            `window_starts(total, length, stride)`.
        total: Time steps of the series.
        stride: Time steps from one window to the next.

    Returns:
        `(total,)`, float64.

    Example:
    >>> fold([[1, 1, 4], [2, 0, 0]], total=5, stride=2).tolist()
    [1.0, 1.0, 3.0, 0.0, 0.0]
    """
    scores = np.asarray(scores, "float64")
    if scores.ndim != 2:
        raise ValueError(
            f"scores must have shape (windows, length). Received: scores of shape {scores.shape}"
        )
    folded = Folded(total, scores.shape[1], stride)
    folded.add(scores)
    return folded.mean()


class Folded:
    """Average of window scores per time step, accumulated batch by batch."""

    def __init__(self, total: int, length: int, stride: int):
        self.starts = window_starts(total, length, stride)
        self._length = length
        self._sums, self._counts = np.zeros(total), np.zeros(total)
        self._done = 0

    def add(self, scores: np.ndarray) -> None:
        """Add the next windows, `(windows, length)`."""
        starts = self.starts[self._done : self._done + len(scores)]
        self._done += len(scores)
        if self._done > len(self.starts):
            raise self._wrong_number()
        for offset in range(self._length):  # no two windows start at the same step
            self._sums[starts + offset] += scores[:, offset]
            self._counts[starts + offset] += 1

    def mean(self) -> np.ndarray:
        """Return the mean score of each time step over the windows that cover it."""
        if self._done < len(self.starts):
            raise self._wrong_number()
        return self._sums / self._counts

    def _wrong_number(self) -> ValueError:
        return ValueError(
            f"scores must cover all {len(self.starts)} windows of window_starts. "
            f"Received: {self._done} windows"
        )


# Training rows ----------------------------------------------------------------------------


class TrainingRows:
    """Record of the rows a model was trained on: the 65,536 smallest of their hashes.

    The hashes are a sample of the rows that depends only on their content, so the same row is
    in the sample, or not, in every data set.

    Args:
        hashes: `hashes` of another object; empty by default.
        held_out: `held_out` of another object, a pair of counts.
        repeated: `repeated` of another object, a pair of counts.

    Attributes:
        hashes: Sorted uint64, at most 65,536.
        held_out: Number of compared rows of a validation split, and how many of them are also
            training rows, because of duplicates in the data.
        repeated: The same among the training rows: how many of the rows that were added last
            are kept, and how many of these equal another row.
    """

    def __init__(
        self,
        hashes: Any = (),
        held_out: tuple[int, int] = (0, 0),
        repeated: tuple[int, int] = (0, 0),
    ):
        self.hashes = np.asarray(hashes, "uint64")
        self.held_out, self.repeated = held_out, repeated

    def add(self, batches: Iterable[Any]) -> None:
        """Record rows, in batches `(n, ...)`."""
        found, counts = np.empty(0, "uint64"), np.empty(0, "int64")
        for rows in batches:
            for new in _hashes(rows):
                if len(found) == _KEPT:
                    new = new[new <= found[-1]]
                together = np.concatenate([found, new])
                weights = np.concatenate([counts, np.ones(len(new), "int64")])
                found, where = np.unique(together, return_inverse=True)
                counts = np.bincount(where, weights, len(found)).astype("int64")
                found, counts = found[:_KEPT], counts[:_KEPT]
        self.repeated = int(counts.sum()), int(counts[counts > 1].sum())
        self.hashes = np.union1d(self.hashes, found)[:_KEPT]

    def compare(self, rows: Any) -> tuple[int, int]:
        """Return the number of comparable rows, and how many of them are training rows."""
        compared = known = 0
        if len(self.hashes):
            for new in _hashes(rows):
                if len(self.hashes) == _KEPT:
                    new = new[new <= self.hashes[-1]]
                compared += len(new)
                known += int(np.isin(new, self.hashes).sum())
        return compared, known

    def too_many(self, compared: int, known: int) -> bool:
        """Return whether more rows are known than duplicates in the data explain."""
        # Known held-out rows give the best estimate; otherwise, duplicates of training rows.
        of, found = self.held_out if self.held_out[0] else self.repeated
        expected = compared * (found / of if of else 0.0)
        # Poisson variance, plus that of the rate, which is itself an estimate.
        doubt = math.sqrt(expected * (1 + (compared / of if of else 0.0)))
        chance = expected + 5 * doubt
        return known > 3 + chance or (0 < compared == known > chance)


def _hashes(rows: Any) -> Iterator[np.ndarray]:
    """Yield arrays of 64-bit hashes of rows, which depend only on their float32 values."""
    rows = np.asarray(rows)
    if not rows.size:
        return
    rows = rows.reshape(len(rows), -1)
    factors = np.random.default_rng(0).integers(0, 2**64, rows.shape[1], "uint64") | np.uint64(1)
    step = max(1, _CHUNK // rows.shape[1])
    for start in range(0, len(rows), step):
        # Adding 0 turns -0 into 0.
        chunk = np.ascontiguousarray(rows[start : start + step], "float32") + np.float32(0)
        mixed = np.einsum("ij,j->i", chunk.view("uint32").astype("uint64"), factors)
        # The low bits of a sum of products are weak, so they are mixed as in splitmix64.
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        yield mixed ^ (mixed >> np.uint64(31))
