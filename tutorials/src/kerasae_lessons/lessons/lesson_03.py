"""Exercises of lesson 03: the push of the KL penalty, Hoyer sparsity, soft thresholding."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_H = np.array([[0.1, 0.9, 0.05], [0.3, 0.7, 0.15], [0.2, 0.2, 0.1], [0.2, 0.6, 0.3]])
_RHO = 0.2


def _divergence(h, rho):
    rate = h.mean(axis=0)
    return np.sum(rho * np.log(rho / rate) + (1 - rho) * np.log((1 - rho) / (1 - rate)))


def _push(h, rho):
    """Measured slopes, one activation after the other."""
    slopes = np.zeros_like(h)
    for place in np.ndindex(h.shape):
        ends = []
        for move in (1e-6, -1e-6):
            moved = h.copy()
            moved[place] += move
            ends.append(_divergence(moved, rho))
        slopes[place] = (ends[0] - ends[1]) / 2e-6
    return slopes


def _slope(rate, rho):
    return (rate - rho) / (rate * (1 - rate))


def _spread(slope, h):
    return np.tile(slope / len(h), (len(h), 1))


_CODES = np.array([[0.0, 3.0, 0.0, 0.0], [2.0, -2.0, 2.0, 2.0], [1.0, 2.0, 0.0, -3.0]])
_MEASURE = np.array([1.0, 0.0, 2 - 6 / np.sqrt(14)])


def _hoyer(codes):
    root = np.sqrt(codes.shape[1])
    with np.errstate(all="ignore"):
        return (root - np.abs(codes).sum(axis=1) / np.sqrt((codes**2).sum(axis=1))) / (root - 1)


def _wanted(c, weight):
    """The best of many activations, one by one."""
    grid = np.linspace(-5, 5, 10001)
    cost = (grid[:, None] - c) ** 2 / 2 + weight * np.abs(grid[:, None])
    return grid[np.argmin(cost, axis=0)]


_C = np.array([-3.0, -0.5, -0.2, 0.0, 0.1, 0.5, 2.0])

EXERCISES = [
    Exercise(
        "3.1",
        [
            Check(
                "gives one number per activation",
                lambda f: np.shape(f(_H.copy(), _RHO)) == _H.shape,
                ["Each sample gets the same push: repeat the row of the units."],
            ),
            Check(
                "is 0 where the mean over the batch is the target, whatever the single activations",
                lambda f: close(f(_H.copy(), _RHO)[:, 0], np.zeros(4)),
                ["The penalty looks at the mean over the samples, axis 0, and at nothing else."],
            ),
            Check(
                "agrees with the measured slope",
                lambda f: close(f(_H.copy(), _RHO), _push(_H, _RHO), 1e-5),
                [
                    "The slope at a rate r is -rho/r + (1-rho)/(1-r).",
                    "By how much does the mean move if one of m activations moves by 1?",
                    "Divide the slope at each unit's rate by len(h).",
                ],
            ),
        ],
        wrong={
            "not divided by the samples": lambda h, rho: np.tile(
                _slope(h.mean(axis=0), rho), (len(h), 1)
            ),
            "opposite sign": lambda h, rho: _spread(-_slope(h.mean(axis=0), rho), h),
            "first term only": lambda h, rho: _spread(-rho / h.mean(axis=0), h),
            "at each activation": lambda h, rho: _slope(h, rho) / len(h),
            "arguments exchanged": lambda h, rho: _spread(
                np.log(h.mean(axis=0) * (1 - rho) / (rho * (1 - h.mean(axis=0)))), h
            ),
            "divided by units": lambda h, rho: _spread(
                _slope(h.mean(axis=0), rho) * len(h) / h.shape[1], h
            ),
        },
    ),
    Exercise(
        "3.2",
        [
            Check(
                "gives one number per code",
                lambda f: np.shape(f(_CODES.copy())) == (3,),
                ["Reduce over the units, axis 1."],
            ),
            Check(
                "gives 1 for a single active unit and 0 for units of equal size",
                lambda f: close(f(_CODES.copy()), _MEASURE),
                [
                    "The sign does not count: take absolute values for the sum.",
                    "With n units: sqrt(n) minus sum over root of the sum of squares, all divided "
                    "by sqrt(n) - 1.",
                ],
            ),
            Check(
                "gives 0 for a code of zeros",
                lambda f: close(f(np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]])), [0, 1]),
                ["There the fraction is 0/0. Divide by 1 instead, and pick 0 with np.where."],
            ),
            Check(
                "does not mind a scale of 1e-30 in float32",
                lambda f: close(f((1e-30 * _CODES).astype("float32")), _MEASURE, 1e-5),
                ["Squares of such numbers are 0 in float32. Divide by the largest unit first."],
            ),
        ],
        wrong={
            "the formula as it stands": _hoyer,
            "squares that vanish": lambda codes: np.where(
                (codes**2).sum(axis=1) > 0, _hoyer(codes), 0.0
            ),
            "share of zeros": lambda codes: np.mean(codes == 0, axis=1),
            "signs kept": lambda codes: (
                (2 - codes.sum(axis=1) / np.sqrt((codes**2).sum(axis=1))) / 1
            ),
            "not divided at the end": lambda codes: _hoyer(codes) * (np.sqrt(codes.shape[1]) - 1),
            "the mean over samples": lambda codes: np.mean(_hoyer(codes)),
            "opposite way round": lambda codes: 1 - _hoyer(codes),
        },
    ),
    Exercise(
        "3.3",
        [
            Check(
                "leaves c as it is where the weight is 0",
                lambda f: close(f(_C.copy(), 0.0), _C),
                ["Without a charge the best is c."],
            ),
            Check(
                "gives exactly 0 where c is smaller than the weight",
                lambda f: not np.any(f(np.array([-0.2, 0.0, 0.1, 0.4]), 0.5)),
                [
                    "For h > 0 the slope is h - c + weight. When is it positive for all h > 0?",
                    "If |c| <= weight, each step away from 0 costs more than it gains.",
                ],
            ),
            Check(
                "is better than every other h, for c of both signs",
                lambda f: close(f(_C.copy(), 0.4), _wanted(_C, 0.4), 1e-3),
                [
                    "Above the weight, the slope vanishes at c - weight. And below -weight?",
                    "np.sign(c) * np.maximum(np.abs(c) - weight, 0)",
                ],
            ),
        ],
        wrong={
            "as a square would": lambda c, weight: c / (1 + weight),
            "cut, but not shrunk": lambda c, weight: np.where(np.abs(c) > weight, c, 0.0),
            "for positive c only": lambda c, weight: np.maximum(c - weight, 0),
            "shrunk through 0": lambda c, weight: c - weight * np.sign(c),
            "half the weight": lambda c, weight: np.sign(c) * np.maximum(np.abs(c) - weight / 2, 0),
        },
    ),
]
