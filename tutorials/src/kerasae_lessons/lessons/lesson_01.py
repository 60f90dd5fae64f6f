"""Exercises of lesson 01: the median, stable cross-entropy, what excess cross-entropy is."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close


def _naive(x, logit):
    p = 1 / (1 + np.exp(-logit))
    return -x * np.log(p) - (1 - x) * np.log(1 - p)


def _kl(x, p):
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(x > 0, x * np.log(x / p), 0)
        second = np.where(x < 1, (1 - x) * np.log((1 - x) / (1 - p)), 0)
    return first + second


_X = np.array([0.0, 0.25, 0.5, 1.0])
_P = np.array([0.1, 0.5, 0.7, 0.9])
_LOGITS = np.array([-3.0, -0.5, 0.0, 4.0])
_ROWS = np.array([[1.0, 5.0], [2.0, 6.0], [9.0, 70.0], [0.0, 5.5], [3.0, 1.0]])

EXERCISES = [
    Exercise(
        "1.1",
        [
            Check(
                "gives one number per column",
                lambda f: np.shape(f(_ROWS.copy())) == (2,),
                ["Rows are samples: reduce along axis 0."],
            ),
            Check(
                "has the smallest mean absolute error",
                lambda f: close(f(_ROWS.copy()), [2.0, 5.5]),
                [
                    "Move the constant up a little. The error falls by as many samples as lie above"
                    " it, and rises by as many as lie below.",
                    "It stops falling where as many lie above as below. What is that value called?",
                    "It is the median of each column.",
                ],
            ),
        ],
        wrong={
            "the mean": lambda x: x.mean(axis=0),
            "of all numbers at once": lambda x: np.median(x),
            "of each row": lambda x: np.median(x, axis=1),
            "halfway between the extremes": lambda x: (x.min(axis=0) + x.max(axis=0)) / 2,
        },
    ),
    Exercise(
        "1.2",
        [
            Check(
                "gives ln 2 at a logit of 0, whatever the target",
                lambda f: close(f(_X.copy(), np.zeros(4)), np.full(4, np.log(2))),
                ["The sigmoid of 0 is 0.5, and -ln 0.5 is ln 2. Use the natural logarithm."],
            ),
            Check(
                "agrees with the definition at moderate logits",
                lambda f: close(f(_X.copy(), _LOGITS.copy()), _naive(_X, _LOGITS)),
                [
                    "Start from -x ln p - (1-x) ln(1-p) and put in p = 1 / (1 + exp(-a)).",
                    "It becomes ln(1 + exp(a)) - a x. One value per pixel, no mean.",
                ],
            ),
            Check(
                "gives 0 where a logit of 1000 meets a target of 1, and 1000 where it meets 0",
                lambda f: close(
                    f(np.array([1.0, 0.0, 0.0, 1.0]), np.array([1e3, 1e3, -1e3, -1e3])),
                    [0.0, 1e3, 0.0, 1e3],
                ),
                [
                    "exp(1000) is infinite. Only ever take the exponential of a negative number.",
                    "ln(1 + exp(a)) = max(a, 0) + ln(1 + exp(-|a|)).",
                ],
            ),
        ],
        wrong={
            "through the probability": _naive,
            "clipped probability": lambda x, a: _naive(x, np.clip(a, -15, 15)),
            "first term only": lambda x, a: x * np.logaddexp(0, -a),
            "binary logarithm": lambda x, a: (np.logaddexp(0, a) - a * x) / np.log(2),
            "opposite sign": lambda x, a: a * x - np.logaddexp(0, a),
            "the mean": lambda x, a: np.mean(np.logaddexp(0, a) - a * x),
        },
    ),
    Exercise(
        "1.3",
        [
            Check(
                "gives 0 where prediction and target agree",
                lambda f: close(f(np.array([0.3, 0.5]), np.array([0.3, 0.5])), [0, 0]),
                ["Subtract what a perfect copy costs, BCE(x, x)."],
            ),
            Check(
                "is a divergence: never negative, 0.5108 for a target of 0.5 and 0.1",
                lambda f: close(f(np.array([0.5]), np.array([0.1])), [0.510825623765991]),
                [
                    "Write BCE(x, p) - BCE(x, x) and collect the terms with x and with 1 - x.",
                    "x ln(x/p) + (1-x) ln((1-x)/(1-p)), one value per pixel.",
                ],
            ),
            Check(
                "is finite for targets of exactly 0 and 1",
                lambda f: close(f(_X.copy(), _P.copy()), _kl(_X, _P)),
                [
                    "0 ln 0 is 0, since x ln x goes to 0 with x. NumPy says nan.",
                    "Replace the term by 0 where its factor is 0, for example with np.where.",
                ],
            ),
        ],
        wrong={
            "first term only": lambda x, p: np.where(x > 0, x * np.log(np.maximum(x, 1e-9) / p), 0),
            "arguments exchanged": lambda x, p: _kl(p, np.clip(x, 1e-9, 1 - 1e-9)),
            "nan at 0 and 1": lambda x, p: x * np.log(x / p) + (1 - x) * np.log((1 - x) / (1 - p)),
            "opposite sign": lambda x, p: -_kl(x, p),
            "the sum": lambda x, p: _kl(x, p).sum(),
            "floor not subtracted": lambda x, p: -x * np.log(p) - (1 - x) * np.log(1 - p),
        },
    ),
]
