"""Exercises of lesson 02: parameters counted, PCA by SVD, a code of one number."""

from itertools import pairwise

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_RNG = np.random.default_rng(2)
# Correlated features of different spread, far from 0: without centring PCA goes wrong.
_X = 5 + _RNG.normal(size=(40, 3)) * [3, 1, 0.3] @ _RNG.normal(size=(3, 6))
_X += 0.05 * _RNG.normal(size=_X.shape)
_TRAIN = np.array([[0.0, 0, 1], [4, 0, 2], [0, 5, 3], [6, 6, 6]])
_NEW = np.array([[0.2, 0.1, 1], [5, 6, 5]])


def _by_eigenvalues(x, k):
    """PCA by the covariance matrix, without an SVD."""
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    v = vectors[:, ::-1][:, :k]
    return mean + (x - mean) @ v @ v.T


def _svd(x, k, centre=True, keep=slice(None)):
    mean = x.mean(axis=0) if centre else 0.0
    u, s, v = np.linalg.svd(x - mean, full_matrices=False)
    keep = slice(k) if keep == slice(None) else keep
    return mean + (u[:, keep] * s[keep]) @ v[keep]


def _left_over(x, k):
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    return values[: x.shape[1] - k].sum() / x.shape[1]


def _parts(f, x, train):
    answer = f(x.copy(), train.copy())
    code, copy = answer
    return np.asarray(code, float), np.asarray(copy, float)


def _lookup(x, train):
    nearest = np.square(x[:, None] - train[None]).sum(axis=2).argmin(axis=1)
    return nearest[:, None].astype(float), train[nearest]


def _along_one_component(x, train):
    mean = train.mean(axis=0)
    v = np.linalg.svd(train - mean, full_matrices=False)[2][:1].T
    return (x - mean) @ v, mean + (x - mean) @ v @ v.T


EXERCISES = [
    Exercise(
        "2.1",
        [
            Check(
                "gives 22 for [4, 2]: 4 * 2 + 2 there, 2 * 4 + 4 back",
                lambda f: f([4, 2]) == 22,
                [
                    "A layer from a to b numbers has a * b weights and one bias for each output.",
                    "The decoder's layer goes from b to a: as many weights, but a biases.",
                ],
            ),
            Check(
                "gives 219,288 for [784, 128, 64, 8]",
                lambda f: f([784, 128, 64, 8]) == 219_288,
                ["Add up over neighbouring widths: zip(widths[:-1], widths[1:])."],
            ),
        ],
        wrong={
            "the encoder only": lambda w: sum(a * b + b for a, b in pairwise(w)),
            "no biases": lambda w: sum(2 * a * b for a, b in pairwise(w)),
            "the encoder twice": lambda w: sum(2 * (a * b + b) for a, b in pairwise(w)),
            "ends only": lambda w: 2 * w[0] * w[-1] + w[0] + w[-1],
        },
    ),
    Exercise(
        "2.2",
        [
            Check(
                "returns the samples unchanged with all components",
                lambda f: close(f(_X.copy(), 6), _X),
                [
                    "Subtract the mean, project on the components, go back, add the mean.",
                    "With the rows v of Vt, the projection of centred samples is x @ v.T @ v.",
                ],
            ),
            Check(
                "leaves, per feature, the eigenvalues of the other components as error",
                lambda f: close(np.mean((f(_X.copy(), 2) - _X) ** 2), _left_over(_X, 2)),
                [
                    "Centre the samples first: PCA is about the deviations from the mean.",
                    "Singular values come largest first: keep the first k rows of Vt.",
                ],
            ),
            Check(
                "gives the reconstruction that the covariance's eigenvectors give",
                lambda f: all(close(f(_X.copy(), k), _by_eigenvalues(_X, k)) for k in (1, 3)),
                ["mean + (x - mean) @ v @ v.T, v of shape (features, k)."],
            ),
        ],
        wrong={
            "not centred": lambda x, k: _svd(x, k, centre=False),
            "smallest components": lambda x, k: _svd(x, k, keep=slice(x.shape[1] - k, None)),
            "mean not added back": lambda x, k: _svd(x, k) - x.mean(axis=0),
            "one component more": lambda x, k: _svd(x, k + 1),
            "the mean": lambda x, k: np.broadcast_to(x.mean(axis=0), x.shape),
        },
    ),
    Exercise(
        "2.3",
        [
            Check(
                "gives codes of shape (n, 1) and reconstructions shaped like x",
                lambda f: [part.shape for part in _parts(f, _NEW, _TRAIN)] == [(2, 1), (2, 3)],
                ["return code, reconstruction"],
            ),
            Check(
                "copies every training sample without error",
                lambda f: close(_parts(f, _TRAIN, _TRAIN)[1], _TRAIN),
                [
                    "A number can say which one.",
                    "Code: the row of the training sample. Decoder: look that row up.",
                ],
            ),
            Check(
                "tells the training samples apart by their codes",
                lambda f: len(np.unique(_parts(f, _TRAIN, _TRAIN)[0])) == len(_TRAIN),
                ["The reconstruction may depend on the code only."],
            ),
            Check(
                "makes of a new sample the nearest training sample",
                lambda f: close(_parts(f, _NEW, _TRAIN)[1], _TRAIN[[0, 3]]),
                [
                    "What is new has no row of its own. Which training sample is closest?",
                    "The reconstruction is train[code], whatever x was.",
                ],
            ),
        ],
        wrong={
            "copies its input": lambda x, train: (np.arange(len(x))[:, None], x),
            "one principal component": _along_one_component,
            "always the first": lambda x, train: (np.zeros((len(x), 1)), train[[0] * len(x)]),
            "the farthest": lambda x, train: _lookup(-x, train),
            "by position": lambda x, train: (np.arange(len(x))[:, None], train[: len(x)]),
        },
    ),
]
