"""Exercises of lesson 07: the sampled code, the KL of two Gaussians, the tighter bound."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_MEAN = np.array([[0.5, -1.0, 0.0], [2.0, 0.3, -0.7]])
_LOG_VAR = np.array([[-2.0, 0.0, 1.0], [0.5, -1.0, -3.0]])
_NOISE = np.array([[1.0, -0.5, 2.0], [0.0, 1.5, -1.0]])
_PRIOR_MEAN = np.array([[0.0, 0.5, -0.2], [1.0, 0.0, 0.4]])
_PRIOR_LOG_VAR = np.array([[0.3, -1.0, 0.0], [-0.5, 0.8, 1.0]])
_WEIGHTS = np.array([[-3.0, -1.0, -2.0, -1.5], [0.0, -4.0, 1.0, -0.5]])


def _sample(f, mean=_MEAN, log_var=_LOG_VAR, noise=_NOISE):
    return f(mean.copy(), log_var.copy(), noise.copy())


def _variance(f):
    noise = np.random.default_rng(0).normal(size=(100_000, 1))
    drawn = f(np.zeros_like(noise), np.full_like(noise, -2.0), noise)
    return abs(np.var(drawn) / np.exp(-2) - 1) < 0.03


def _kl(mean, log_var, prior_mean, prior_log_var):
    return 0.5 * (
        np.exp(log_var - prior_log_var)
        + (mean - prior_mean) ** 2 / np.exp(prior_log_var)
        - 1
        - log_var
        + prior_log_var
    )


def _between(f, prior_mean=_PRIOR_MEAN, prior_log_var=_PRIOR_LOG_VAR):
    return f(_MEAN.copy(), _LOG_VAR.copy(), prior_mean.copy(), prior_log_var.copy())


def _bound(log_weights):
    top = log_weights.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(log_weights - top).mean(axis=1))


_ZERO = np.zeros_like(_MEAN)

EXERCISES = [
    Exercise(
        "7.1",
        [
            Check(
                "gives the mean where the noise is 0",
                lambda f: close(_sample(f, noise=_ZERO), _MEAN),
                ["Noise is added to the mean, times a factor."],
            ),
            Check(
                "gives codes of variance exp(-2) for a logarithm of -2",
                _variance,
                [
                    "Noise of variance 1 times a factor c has variance c squared.",
                    "The factor is the standard deviation, the root of exp(z_log_var).",
                    "The root of exp(a) is exp(a / 2).",
                ],
            ),
            Check(
                "gives each number its own mean and width",
                lambda f: close(_sample(f), _MEAN + np.exp(_LOG_VAR / 2) * _NOISE),
                ["z_mean + exp(z_log_var / 2) * noise, entry by entry."],
            ),
        ],
        wrong={
            "variance for standard deviation": lambda m, v, e: m + np.exp(v) * e,
            "logarithm for standard deviation": lambda m, v, e: m + v * e,
            "root of the logarithm": lambda m, v, e: m + np.sqrt(np.abs(v)) * e,
            "no noise": lambda m, v, e: m,
            "mean scaled too": lambda m, v, e: (m + e) * np.exp(v / 2),
            "own noise": lambda m, v, e: (
                m + np.exp(v / 2) * np.random.default_rng(1).normal(size=m.shape)
            ),
        },
    ),
    Exercise(
        "7.2",
        [
            Check(
                "gives one number per image",
                lambda f: np.shape(_between(f)) == (2,),
                ["Sum over the numbers of the code, axis 1, and not over images."],
            ),
            Check(
                "gives 0 where the two distributions agree",
                lambda f: close(_between(f, _MEAN, _LOG_VAR), [0, 0]),
                ["With v = s and mu = m every term must cancel. Which constant is missing?"],
            ),
            Check(
                "agrees with the formula of section 1 for the prior N(0, I)",
                lambda f: close(_between(f, _ZERO, _ZERO), _kl(_MEAN, _LOG_VAR, 0, 0).sum(axis=1)),
                [
                    "Half of the sum of v + mu^2 - 1 - ln v.",
                    "z_log_var is ln v. Take exp of it where v stands.",
                ],
            ),
            Check(
                "holds for any prior",
                lambda f: close(
                    _between(f), _kl(_MEAN, _LOG_VAR, _PRIOR_MEAN, _PRIOR_LOG_VAR).sum(axis=1)
                ),
                [
                    "E_q (z - m)^2 is v + (mu - m)^2. In ln p it is divided by s.",
                    "Half of the sum of (v + (mu - m)^2) / s - 1 - ln v + ln s.",
                ],
            ),
        ],
        wrong={
            "mean over the code": lambda *a: _kl(*a).mean(axis=1),
            "sum over everything": lambda *a: _kl(*a).sum(),
            "without the half": lambda *a: 2 * _kl(*a).sum(axis=1),
            "opposite sign": lambda *a: -_kl(*a).sum(axis=1),
            "arguments exchanged": lambda m, v, a, b: _kl(a, b, m, v).sum(axis=1),
            "prior of variance 1": lambda m, v, a, b: _kl(m, v, a, 0).sum(axis=1),
            "distance not divided": lambda m, v, a, b: (
                0.5 * (np.exp(v - b) + (m - a) ** 2 - 1 - v + b).sum(axis=1)
            ),
        },
    ),
    Exercise(
        "7.3",
        [
            Check(
                "gives one number per image",
                lambda f: np.shape(f(_WEIGHTS.copy())) == (2,),
                ["Average over the draws, axis 1."],
            ),
            Check(
                "gives the weight itself for a single draw",
                lambda f: close(f(_WEIGHTS[:, :1].copy()), _WEIGHTS[:, 0]),
                ["L_1 is the logarithm of one weight."],
            ),
            Check(
                "is the logarithm of the mean weight",
                lambda f: close(f(_WEIGHTS.copy()), _bound(_WEIGHTS)),
                [
                    "First the mean of the weights, then the logarithm: that makes it tighter.",
                    "Do not forget the 1/k.",
                ],
            ),
            Check(
                "is finite at -1000 and at 1000",
                lambda f: (
                    close(f(_WEIGHTS - 1e3), _bound(_WEIGHTS) - 1e3)
                    and close(f(_WEIGHTS + 1e3), _bound(_WEIGHTS) + 1e3)
                ),
                [
                    "exp(-1000) is 0 in floating point. Shift the exponents.",
                    "Take the largest of each row out of exp, and add it to the logarithm.",
                ],
            ),
        ],
        wrong={
            "mean of the logarithms": lambda a: a.mean(axis=1),
            "sum, not mean": lambda a: _bound(a) + np.log(a.shape[1]),
            "exp as it is": lambda a: np.log(np.exp(a).mean(axis=1)),
            "the largest": lambda a: a.max(axis=1),
            "one shift for all, then exp": lambda a: np.log(np.exp(a - a.mean()).mean(axis=1)),
            "over images": lambda a: _bound(a.T),
        },
    ),
]
