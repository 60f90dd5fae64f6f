"""Exercises of lesson 05: the penalty of tanh, Hutchinson's estimate, denoising as contraction."""

from functools import partial

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_RNG = np.random.default_rng(0)
_X, _W, _B = _RNG.normal(size=(5, 3)), _RNG.normal(size=(3, 2)), _RNG.normal(size=2)
_J = _RNG.normal(size=(4, 6))
_ROWS = np.diag([1.0, 2.0, 3.0]) @ np.eye(3, 6)  # orthogonal rows: signs are exact
_R = _RNG.normal(size=(3, 3))


def _measured(x, w, b):
    total = np.zeros(len(x))
    for i in range(x.shape[1]):
        step = np.zeros(x.shape[1])
        step[i] = 1e-5
        slope = (np.tanh((x + step) @ w + b) - np.tanh((x - step) @ w + b)) / 2e-5
        total += np.sum(slope**2, axis=1)
    return total


def _tanh(x, w, b, slope=lambda h: 1 - h**2):
    return np.sum(slope(np.tanh(x @ w + b)) ** 2 * np.sum(w**2, axis=0), axis=1)


def _estimate(f, jacobian, probes, seed=0):
    return f(
        lambda v: jacobian.T @ np.asarray(v), len(jacobian), probes, np.random.default_rng(seed)
    )


def _unbiased(f):
    gram = _J @ _J.T
    spread = np.sqrt(2 * (np.sum(gram**2) - np.sum(np.diag(gram) ** 2)))
    return abs(_estimate(f, _J, 4000) - np.sum(_J**2)) < 4 * spread / np.sqrt(4000)


def _uses_probes(f):
    many = [_estimate(f, _J, 64, seed) for seed in range(40)]
    few = [_estimate(f, _J, 1, seed) for seed in range(40)]
    return 0 < np.std(many) < 0.5 * np.std(few)


def _hutchinson(
    vjp,
    units,
    probes,
    rng,
    draw=lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    reduce=np.mean,
    square=lambda row: np.sum(row**2),
):
    return reduce([square(vjp(v)) for v in draw(rng, (probes, units))])


def _repeated(rng, shape):
    return np.repeat(rng.choice([-1.0, 1.0], (1, shape[1])), shape[0], axis=0)


def _noisy(x, r, stddev):
    return np.sum((x @ r - x) ** 2, axis=1) + stddev**2 * np.sum(r**2)


EXERCISES = [
    Exercise(
        "5.1",
        [
            Check(
                "gives one number per sample",
                lambda f: np.shape(f(_X.copy(), _W.copy(), _B.copy())) == (5,),
                ["Sum over the units and over the inputs, not over the samples."],
            ),
            Check(
                "gives the squared sum of the weights where tanh is steepest",
                lambda f: close(f(np.zeros((1, 3)), _W.copy(), np.zeros(2)), [np.sum(_W**2)]),
                ["At 0 the slope of tanh is 1. What is left of the formula?"],
            ),
            Check(
                "equals the slopes measured by finite differences",
                lambda f: close(f(_X.copy(), _W.copy(), _B.copy()), _measured(_X, _W, _B), 1e-6),
                [
                    "The sigmoid has slope h (1 - h). What is it for tanh?",
                    "1 - h**2, and it enters squared.",
                    "sum_j (1 - h_j**2)**2 * sum_i w_ij**2",
                ],
            ),
        ],
        wrong={
            "slope of the sigmoid": lambda x, w, b: _tanh(x, w, b, lambda h: h * (1 - h)),
            "slope not squared": lambda x, w, b: _tanh(x, w, b, lambda h: np.sqrt(1 - h**2)),
            "without the bias": lambda x, w, b: _tanh(x, w, 0 * b),
            "mean over samples": lambda x, w, b: _tanh(x, w, b).mean(),
            "mean over units": lambda x, w, b: _tanh(x, w, b) / w.shape[1],
            "norm, not its square": lambda x, w, b: np.sqrt(_tanh(x, w, b)),
        },
    ),
    Exercise(
        "5.2",
        [
            Check(
                "gives one finite number",
                lambda f: np.shape(_estimate(f, _J, 3)) == () and np.isfinite(_estimate(f, _J, 3)),
                ["Average over the probes."],
            ),
            Check(
                "is right on average, within 4 standard errors of 4,000 probes",
                _unbiased,
                [
                    "Take the squared length of J^T v, the sum of the squares of its entries.",
                    "The vectors need mean 0 and variance 1 in each entry, independent.",
                ],
            ),
            Check(
                "varies less with more probes",
                _uses_probes,
                ["Draw a new vector for each probe, from the generator that is given."],
            ),
            Check(
                "uses signs: for a Jacobian with orthogonal rows every probe is exact",
                lambda f: (
                    close(_estimate(f, _ROWS, 1, 3), 14.0)
                    and close(_estimate(f, _ROWS, 1, 4), 14.0)
                ),
                [
                    "Normal numbers are right on average, and spread more.",
                    "rng.choice([-1.0, 1.0], size=(probes, units))",
                ],
            ),
        ],
        wrong={
            "normal numbers": partial(_hutchinson, draw=lambda rng, s: rng.normal(size=s)),
            "zeros and ones": partial(_hutchinson, draw=lambda rng, s: rng.integers(0, 2, s)),
            "uniform numbers": partial(_hutchinson, draw=lambda rng, s: rng.uniform(-1, 1, s)),
            "sum over probes": partial(_hutchinson, reduce=np.sum),
            "length, not its square": partial(_hutchinson, square=np.linalg.norm),
            "mean over inputs": partial(_hutchinson, square=lambda r: np.mean(r**2)),
            "one vector for all": partial(_hutchinson, draw=_repeated),
        },
    ),
    Exercise(
        "5.3",
        [
            Check(
                "is the squared error where there is no noise",
                lambda f: close(f(_X.copy(), _R.copy(), 0.0), np.sum((_X @ _R - _X) ** 2, axis=1)),
                ["One number per sample: sum the squares of x R - x over the features."],
            ),
            Check(
                "is the noise itself for a perfect copy",
                lambda f: close(f(_X.copy(), np.eye(3), 0.5), np.full(5, 3 * 0.25)),
                [
                    "With R the identity the error is the noise: d times its variance.",
                    "In general the noise that arrives is eps R.",
                ],
            ),
            Check(
                "adds the variance times the squared norm of R",
                lambda f: close(f(_X.copy(), _R.copy(), 0.3), _noisy(_X, _R, 0.3)),
                ["E |eps R|^2 = stddev^2 sum_ij R_ij^2, and the mixed term has mean 0."],
            ),
        ],
        wrong={
            "standard deviation, not variance": lambda x, r, s: _noisy(x, r, np.sqrt(s)),
            "norm of R not squared": lambda x, r, s: _noisy(x, r, 0) + s**2 * np.linalg.norm(r),
            "trace of R": lambda x, r, s: _noisy(x, r, 0) + s**2 * np.trace(r),
            "noise on the target": lambda x, r, s: _noisy(x, r, 0) + s**2 * x.shape[1],
            "without the noise": lambda x, r, s: _noisy(x, r, 0),
            "mean over features": lambda x, r, s: _noisy(x, r, s) / x.shape[1],
        },
    ),
]
