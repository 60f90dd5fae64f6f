"""Exercises of lesson 04: PSNR, the Wiener filter, the best linear filter against masking."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close

_RNG = np.random.default_rng(0)
_CLEAN = _RNG.uniform(size=(3, 4, 4))
_GUESS = np.clip(_CLEAN + _RNG.normal(scale=0.1, size=_CLEAN.shape), 0, 1)


def _psnr(x, y, peak=1.0):
    return 10 * np.log10(peak**2 / np.mean((x - y) ** 2))


_MIX = _RNG.normal(size=(4, 4))
_MEAN, _COVARIANCE = np.array([1.0, -2.0, 0.5, 3.0]), _MIX @ _MIX.T
_NOISY = _MEAN + _RNG.normal(scale=2.0, size=(5, 4))


def _wiener(noisy, mean, covariance, sigma):
    noise = sigma**2 * np.eye(len(mean))
    return mean + (noisy - mean) @ np.linalg.solve(covariance + noise, covariance)


def _filtered(f, sigma):
    return f(_NOISY.copy(), _MEAN.copy(), _COVARIANCE.copy(), sigma)


def _moments(mean, covariance, rate):
    """Covariance of the masked sample, and of it with the clean one."""
    square = np.diag(covariance) + mean**2
    masked = (1 - rate) ** 2 * covariance + np.diag(rate * (1 - rate) * square)
    return masked, (1 - rate) * covariance


def _unmask(mean, covariance, rate):
    masked, crossed = _moments(mean, covariance, rate)
    weights = np.linalg.solve(masked, crossed)
    return weights, mean - (1 - rate) * mean @ weights


def _unmasks(f, rate):
    given = f(_MEAN.copy(), _COVARIANCE.copy(), rate)
    expected = _unmask(_MEAN, _COVARIANCE, rate)
    return all(close(a, b) for a, b in zip(given, expected, strict=True))


def _regression():
    """Samples of the mean and the covariance, masked: least squares must agree with the filter."""
    rng = np.random.default_rng(1)
    clean = rng.multivariate_normal(_MEAN, _COVARIANCE, 200_000)
    masked = clean * (rng.uniform(size=clean.shape) >= 0.3)
    weights = np.linalg.lstsq(np.c_[masked, np.ones(len(masked))], clean, rcond=None)[0]
    return weights[:-1], weights[-1]


def _no_plain_variance(mean, covariance, rate):
    masked = (1 - rate) ** 2 * covariance + np.diag(rate * (1 - rate) * np.diag(covariance))
    weights = np.linalg.solve(masked, (1 - rate) * covariance)
    return weights, mean - (1 - rate) * mean @ weights


EXERCISES = [
    Exercise(
        "4.1",
        [
            Check(
                "gives 20 dB where every pixel is off by 0.1",
                lambda f: close(f(np.zeros((2, 3)), np.full((2, 3), 0.1)), 20.0),
                ["The mean squared error is 0.01, and 10 log10(1 / 0.01) is 20."],
            ),
            Check(
                "takes one ratio of the mean error of all images",
                lambda f: close(f(_CLEAN.copy(), _GUESS.copy()), _psnr(_CLEAN, _GUESS)),
                ["Average the squared error over all pixels of all images, then take the log."],
            ),
            Check(
                "knows other ranges: with peak=255 grey values may be whole numbers",
                lambda f: close(f(255 * _CLEAN, 255 * _GUESS, peak=255.0), _psnr(_CLEAN, _GUESS)),
                ["The ratio is peak**2 to the mean squared error."],
            ),
        ],
        wrong={
            "natural logarithm": lambda x, y, peak=1.0: _psnr(x, y, peak) * np.log(10),
            "of the root": lambda x, y, peak=1.0: _psnr(x, y, peak) / 2,
            "opposite sign": lambda x, y, peak=1.0: -_psnr(x, y, peak),
            "mean of the images' ratios": lambda x, y, peak=1.0: np.mean(
                [_psnr(a, b, peak) for a, b in zip(x, y, strict=True)]
            ),
            "peak forgotten": lambda x, y, peak=1.0: -10 * np.log10(np.mean((x - y) ** 2)),
        },
    ),
    Exercise(
        "4.2",
        [
            Check(
                "leaves samples alone where there is no noise",
                lambda f: close(_filtered(f, 0.0), _NOISY, 1e-5),
                ["With sigma = 0 the two matrices cancel. Subtract the mean first, add it last."],
            ),
            Check(
                "gives the mean where there is nothing but noise",
                lambda f: close(_filtered(f, 1e6), np.tile(_MEAN, (5, 1)), 1e-4),
                ["Shrink towards the mean, not towards 0."],
            ),
            Check(
                "agrees with the best linear filter at sigma = 1.5",
                lambda f: close(_filtered(f, 1.5), _wiener(_NOISY, _MEAN, _COVARIANCE, 1.5)),
                [
                    "The noise adds sigma**2, its variance, to the diagonal of the covariance.",
                    "mean + (noisy - mean) @ np.linalg.solve(covariance + noise, covariance)",
                ],
            ),
        ],
        wrong={
            "variance for the standard deviation": lambda n, m, c, s: _wiener(n, m, c, np.sqrt(s)),
            "not centred": lambda n, m, c, s: n @ np.linalg.solve(c + s**2 * np.eye(len(m)), c),
            "inverse the wrong way": lambda n, m, c, s: (
                m + (n - m) @ np.linalg.solve(c, c + s**2 * np.eye(len(m)))
            ),
            "each pixel for itself": lambda n, m, c, s: (
                m + (n - m) * np.diag(c) / (np.diag(c) + s**2)
            ),
            "noise kept, signal dropped": lambda n, m, c, s: (
                m + (n - m) @ np.linalg.solve(c + s**2 * np.eye(len(m)), s**2 * np.eye(len(m)))
            ),
        },
    ),
    Exercise(
        "4.3",
        [
            Check(
                "returns weights (d, d) and a bias (d,)",
                lambda f: [np.shape(part) for part in f(_MEAN, _COVARIANCE, 0.3)] == [(4, 4), (4,)],
                ["return weights, bias; the filter is masked @ weights + bias."],
            ),
            Check(
                "leaves samples alone at rate 0",
                lambda f: close(f(_MEAN.copy(), _COVARIANCE.copy(), 0.0)[0], np.eye(4), 1e-5),
                ["weights = inverse of Cov(masked), times Cov(masked, clean)."],
            ),
            Check(
                "agrees with least squares on 200,000 masked samples",
                lambda f: all(
                    close(a, b, 0.03)
                    for a, b in zip(f(_MEAN, _COVARIANCE, 0.3), _regression(), strict=True)
                ),
                [
                    "An entry is kept with probability q = 1 - rate. The mean of the masked sample "
                    "is q times the mean.",
                    "Off the diagonal Cov(masked) is q**2 times the covariance. On it, "
                    "E[(m x)**2] - (q mean)**2, and m**2 is m.",
                    "Cov(masked) = q**2 C + diag(q (1 - q) (variance + mean**2)), "
                    "Cov(masked, clean) = q C.",
                ],
            ),
            Check(
                "agrees with the formula at rate 0.5",
                lambda f: _unmasks(f, 0.5),
                ["bias = mean - (q * mean) @ weights"],
            ),
        ],
        wrong={
            "masking taken for Gaussian noise": lambda m, c, r: (
                np.linalg.solve(c + r * np.eye(len(m)), c),
                m - m @ np.linalg.solve(c + r * np.eye(len(m)), c),
            ),
            "the mean's square forgotten": _no_plain_variance,
            "rate and its rest exchanged": lambda m, c, r: _unmask(m, c, 1 - r),
            "bias of clean samples": lambda m, c, r: (
                _unmask(m, c, r)[0],
                m - m @ _unmask(m, c, r)[0],
            ),
            "kept entries scaled up": lambda m, c, r: (np.eye(len(m)) / (1 - r), np.zeros(len(m))),
        },
    ),
]
