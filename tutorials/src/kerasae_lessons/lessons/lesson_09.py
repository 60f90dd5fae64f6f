"""Exercises of lesson 09: precision at a prevalence, the conformal threshold, fooling PCA."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close


def _precision(found, false_alarms, prevalence):
    true = prevalence * found
    return true / (true + (1 - prevalence) * false_alarms)


def _threshold(scores, rate, more=1):
    allowed = int(np.floor((len(scores) + more) * rate + 1e-9))
    return np.sort(scores)[-allowed] if allowed else np.inf


_RNG = np.random.default_rng(0)
_SCORES = _RNG.permutation(np.arange(1.0, 100.0))  # 1 to 99
_FEW = _RNG.permutation(np.arange(1.0, 11.0))  # 1 to 10


def _counted(f):
    """False alarms over draws of 19 held-out scores and a new one, at a rate of 0.1."""
    draws = np.random.default_rng(1).normal(size=(4000, 20))
    return np.mean([row[-1] > f(row[:-1].copy(), 0.1) for row in draws])


_D = 40
_BASIS = np.linalg.qr(_RNG.normal(size=(_D, 6)))[0]
_MEAN = _RNG.uniform(0.3, 0.7, size=_D)


def _made(f):
    return np.asarray(f(_MEAN.copy(), _BASIS.copy(), np.random.default_rng(2)), float)


def _projected(x, mean, basis):
    return mean + (x - mean) @ basis @ basis.T


def _error(x):
    return float(np.mean((x - _projected(x, _MEAN, _BASIS)) ** 2))


EXERCISES = [
    Exercise(
        "9.1",
        [
            Check(
                "gives 0.5 where the detector does no better than chance and half are anomalies",
                lambda f: close(f(0.3, 0.3, 0.5), 0.5),
                ["Count true alarms and false ones, as shares of all samples."],
            ),
            Check(
                "gives 0.168 for all anomalies found, 5 % false alarms and 1 % anomalies",
                lambda f: close(f(1.0, 0.05, 0.01), 0.01 / (0.01 + 0.99 * 0.05)),
                [
                    "True alarms: prevalence times found. False ones: normal samples times rate.",
                    "Normal samples are a share of 1 - prevalence.",
                ],
            ),
            Check(
                "takes arrays",
                lambda f: close(
                    f(np.array([0.5, 0.9]), np.array([0.01, 0.2]), 0.1),
                    _precision(np.array([0.5, 0.9]), np.array([0.01, 0.2]), 0.1),
                ),
                ["true / (true + false)"],
            ),
        ],
        wrong={
            "prevalence forgotten": lambda found, false, prevalence: found / (found + false),
            "false alarms among all samples": lambda found, false, prevalence: (
                prevalence * found / (prevalence * found + false)
            ),
            "share found": lambda found, false, prevalence: found,
            "accuracy": lambda found, false, prevalence: (
                prevalence * found + (1 - prevalence) * (1 - false)
            ),
        },
    ),
    Exercise(
        "9.2",
        [
            Check(
                "gives 95 for the scores 1 to 99 and a rate of 0.05",
                lambda f: close(f(_SCORES.copy(), 0.05), 95.0),
                [
                    "Five of one hundred, the new one included, may lie above.",
                    "It is the k-th largest with k = floor((n + 1) rate). Sort first.",
                ],
            ),
            Check(
                "is infinite where a rate of 0.05 meets ten scores",
                lambda f: np.isposinf(f(_FEW.copy(), 0.05)),
                ["11 times 0.05 is below 1: not one alarm is allowed. Return np.inf."],
            ),
            Check(
                "keeps the rate over 4,000 draws of 19 held-out scores",
                lambda f: 0.085 < _counted(f) <= 0.115,
                [
                    "With 19 scores and a rate of 0.1 two of twenty may lie above: k = 2.",
                    "np.sort(scores)[-k]",
                ],
            ),
        ],
        wrong={
            "np.quantile": lambda scores, rate: np.quantile(scores, 1 - rate),
            "n instead of n + 1": lambda scores, rate: _threshold(scores, rate, more=0),
            "the smallest": lambda scores, rate: np.sort(scores)[
                max(int((len(scores) + 1) * rate), 1) - 1
            ],
            "never infinite": lambda scores, rate: np.sort(scores)[
                -max(1, int((len(scores) + 1) * rate + 1e-9))
            ],
            "mean and standard deviation": lambda scores, rate: scores.mean() + scores.std(),
            "one too high": lambda scores, rate: np.sort(scores)[
                -max(1, int((len(scores) + 1) * rate + 1e-9) - 1)
            ],
        },
    ),
    Exercise(
        "9.3",
        [
            Check(
                "returns an image, shape (d,), with all pixels in [0, 1]",
                lambda f: _made(f).shape == (_D,) and _made(f).min() >= 0 and _made(f).max() <= 1,
                ["Start from rng.uniform(size=len(mean)), and end with np.clip(x, 0, 1)."],
            ),
            Check(
                "is reconstructed with an error below 1e-8",
                lambda f: _error(_made(f)) < 1e-8,
                [
                    "The reconstruction of a reconstruction is itself: project the noise.",
                    "Projecting may leave [0, 1], clipping may leave the plane. Do both in turns, "
                    "many times.",
                ],
            ),
            Check(
                "is not the mean: farther from it than 0.05 on average",
                lambda f: np.abs(_made(f) - _MEAN).mean() > 0.05,
                ["The mean is reconstructed too, but it fools nobody. Start from noise."],
            ),
        ],
        wrong={
            "noise": lambda mean, basis, rng: rng.uniform(size=len(mean)),
            "the mean": lambda mean, basis, rng: mean,
            "clipped once": lambda mean, basis, rng: np.clip(
                _projected(4 * rng.normal(size=len(mean)), mean, basis), 0, 1
            ),
            "not clipped": lambda mean, basis, rng: _projected(
                8 * rng.normal(size=len(mean)), mean, basis
            ),
            "the codes": lambda mean, basis, rng: (rng.uniform(size=len(mean)) - mean) @ basis,
        },
    ),
]
