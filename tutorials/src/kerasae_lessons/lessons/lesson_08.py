"""Exercises of lesson 08: standardization undone, a step of Adam, the backward pass of a layer."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_Z = np.array([[0.0, 1.0], [-2.0, 0.5], [3.0, 0.0]])
_MEAN, _STDDEV = np.array([10.0, -1.0]), np.array([0.5, 100.0])


def _adam(g, m, v, t, rate, first=0.9, second=0.999, epsilon=1e-7, correct=True):
    m = first * m + (1 - first) * g
    v = second * v + (1 - second) * g**2
    up = m / (1 - first**t) if correct else m
    down = v / (1 - second**t) if correct else v
    return -rate * up / (np.sqrt(down) + epsilon), m, v


_G = np.array([0.5, -2.0, 1e-3])
_M, _V = np.array([0.1, 0.2, -0.3]), np.array([0.4, 0.1, 0.2])


def _step_agrees(f, t):
    given = f(_G.copy(), _M.copy(), _V.copy(), t, 0.01)
    expected = _adam(_G, _M, _V, t, 0.01)
    return all(close(a, b, 1e-5) for a, b in zip(given, expected, strict=True))


def _first_step(f):
    zero = np.zeros(3)
    return close(f(_G.copy(), zero, zero.copy(), 1, 0.01)[0], -0.01 * np.sign(_G), 2e-4)


_RNG = np.random.default_rng(0)
_X, _W = _RNG.normal(size=(5, 3)), _RNG.normal(size=(3, 2))
_H = np.tanh(_X @ _W)
_UP = _RNG.normal(size=(5, 2))


def _backward(x, w, h, g):
    g = g * (1 - h**2)
    return x.T @ g, g.sum(axis=0), g @ w.T


def _part(f, place):
    return close(
        f(_X.copy(), _W.copy(), _H.copy(), _UP.copy())[place], _backward(_X, _W, _H, _UP)[place]
    )


EXERCISES = [
    Exercise(
        "8.1",
        [
            Check(
                "gives the mean for standardized values of 0",
                lambda f: close(f(np.zeros((1, 2)), _MEAN.copy(), _STDDEV.copy()), [_MEAN]),
                ["Standardizing subtracts the mean. Undoing adds it."],
            ),
            Check(
                "undoes the standardization of every feature",
                lambda f: close(f(_Z.copy(), _MEAN.copy(), _STDDEV.copy()), _Z * _STDDEV + _MEAN),
                ["Undo the last thing first: multiply, then add.", "z * stddev + mean"],
            ),
        ],
        wrong={
            "standardizes again": lambda z, mean, stddev: (z - mean) / stddev,
            "adds first": lambda z, mean, stddev: (z + mean) * stddev,
            "forgets the scale": lambda z, mean, stddev: z + mean,
            "divides": lambda z, mean, stddev: z / stddev + mean,
        },
    ),
    Exercise(
        "8.2",
        [
            Check(
                "returns three arrays: change, m and v",
                lambda f: [np.shape(part) for part in f(_G, _M, _V, 3, 0.01)] == [(3,)] * 3,
                ["return change, m, v"],
            ),
            Check(
                "steps by the learning rate, against the gradient, the first time",
                _first_step,
                [
                    "From zero m is 0.1 g after one step. Which factor makes it g?",
                    "Divide m by 1 - 0.9**t and v by 1 - 0.999**t, for the step only.",
                ],
            ),
            Check(
                "agrees with Adam at step 3, and keeps m and v uncorrected",
                lambda f: _step_agrees(f, 3),
                [
                    "m averages g, v averages g**2. Keep both as they are; correct copies.",
                    "change = -rate * m_hat / (sqrt(v_hat) + 1e-7)",
                ],
            ),
        ],
        wrong={
            "no bias correction": lambda g, m, v, t, rate: _adam(g, m, v, t, rate, correct=False),
            "uphill": lambda g, m, v, t, rate: (
                -_adam(g, m, v, t, rate)[0],
                *_adam(g, m, v, t, rate)[1:],
            ),
            "decays exchanged": lambda g, m, v, t, rate: _adam(g, m, v, t, rate, 0.999, 0.9),
            "no square root": lambda g, m, v, t, rate: (
                -rate
                * (0.9 * m + 0.1 * g)
                / (1 - 0.9**t)
                / ((0.999 * v + 0.001 * g**2) / (1 - 0.999**t) + 1e-7),
                0.9 * m + 0.1 * g,
                0.999 * v + 0.001 * g**2,
            ),
            "keeps the corrected averages": lambda g, m, v, t, rate: (
                _adam(g, m, v, t, rate)[0],
                (0.9 * m + 0.1 * g) / (1 - 0.9**t),
                (0.999 * v + 0.001 * g**2) / (1 - 0.999**t),
            ),
            "plain gradient descent": lambda g, m, v, t, rate: (-rate * g, m, v),
        },
    ),
    Exercise(
        "8.3",
        [
            Check(
                "returns gradients in the shapes of w, b and x",
                lambda f: [np.shape(part) for part in f(_X, _W, _H, _UP)] == [(3, 2), (2,), (5, 3)],
                ["x is (n, in), w is (in, out), the gradient is (n, out). Which products fit?"],
            ),
            Check(
                "has the right gradient of the bias",
                lambda f: _part(f, 1),
                [
                    "First take the gradient through tanh: its slope is 1 - h**2.",
                    "The bias is added to every sample: sum over them.",
                ],
            ),
            Check(
                "has the right gradient of the weights",
                lambda f: _part(f, 0),
                ["x.T @ g, with g already taken through tanh."],
            ),
            Check(
                "has the right gradient of the input",
                lambda f: _part(f, 2),
                ["g @ w.T, with g already taken through tanh."],
            ),
        ],
        wrong={
            "slope forgotten": lambda x, w, h, g: (x.T @ g, g.sum(axis=0), g @ w.T),
            "slope of the sigmoid": lambda x, w, h, g: (
                x.T @ (g * h * (1 - h)),
                (g * h * (1 - h)).sum(axis=0),
                (g * h * (1 - h)) @ w.T,
            ),
            "mean over samples": lambda x, w, h, g: (
                x.T @ (g * (1 - h**2)) / len(x),
                (g * (1 - h**2)).mean(axis=0),
                (g * (1 - h**2)) @ w.T,
            ),
            "slope missing on the way back": lambda x, w, h, g: (
                x.T @ (g * (1 - h**2)),
                (g * (1 - h**2)).sum(axis=0),
                g @ w.T,
            ),
        },
    ),
]
