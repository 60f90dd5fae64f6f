"""Reconstruction errors of models compared with those of simple baselines."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasae import metrics
from kerasae.evaluation._statistics import paired, truncated
from kerasae.evaluation.passes import (
    check_fits,
    check_split,
    flat,
    head,
    peak,
    reconstruct,
    reconstruction_model,
    same_order,
    scaled_batches,
)
from kerasae.models.inputs import check_adapted

# Keras clips probabilities this far from 0 and 1, where the cross-entropy is infinite.
_EPSILON = 1e-7
# Entries of the rows that PCA of wide data is fitted on: 256 MiB of float32.
_FITTED = 2**26
Guess = Callable[[np.ndarray], np.ndarray]


class Errors:
    """Reconstruction errors in scaled units, accumulated batch by batch.

    Args:
        shape: Shape of one sample.
        peak: 1 if the data are scaled to [0, 1], otherwise None.
    """

    def __init__(self, shape: tuple[int, ...], peak: float | None):
        self._peak = peak
        self._size = math.prod(shape)
        self._shape = shape
        self._count = 0
        self._sums: dict[str, float] = {}

    def add(self, clean: np.ndarray, output: np.ndarray, floor: float | None = None) -> None:
        """Add a batch.

        Args:
            clean: Rows `(batch, features)`, float64.
            output: Their reconstructions.
            floor: Sum of `entropy(clean)`, or None if clean rows lie outside [0, 1].
        """
        difference = output - clean
        sums = {"mse": np.square(difference).sum(), "mae": np.abs(difference).sum()}
        if self._peak is not None:
            if floor is not None:
                sums |= {"bce": cross_entropy(clean, output).sum(), "bce_floor": floor}
            if is_image(self._shape):
                x, y = (rows.reshape(-1, *self._shape) for rows in (clean, output))
                values = metrics.ssim(x, y, self._peak)
                sums["ssim"] = keras.ops.convert_to_numpy(values).sum(dtype="float64") * self._size
        # A quantity that is missing for one batch is dropped for all.
        kept = sums if not self._count else self._sums.keys() & sums.keys()
        self._sums = {key: self._sums.get(key, 0.0) + float(sums[key]) for key in kept}
        self._count += len(clean)

    def result(self) -> dict[str, float]:
        """Return the means over samples and features, by name."""
        means = {key: total / (self._count * self._size) for key, total in self._sums.items()}
        if means["mse"] < 1e-20:  # round-off of a lossless reconstruction
            means |= {"mse": 0.0, "mae": 0.0}
        if self._peak is not None:
            means["psnr"] = float(metrics.psnr(means["mse"], self._peak))
        order = ("mse", "mae", "psnr", "ssim", "bce", "bce_floor")
        return {key: means[key] for key in order if key in means}


def cross_entropy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return `-x log(y) - (1 - x) log(1 - y)` in nats, elementwise.

    Args:
        x: Targets in [0, 1].
        y: Probabilities, clipped to [1e-7, 1 - 1e-7] as in Keras.
    """
    y = np.clip(y, _EPSILON, 1 - _EPSILON)
    return -x * np.log(y) - (1 - x) * np.log1p(-y)


def entropy(x: np.ndarray) -> np.ndarray:
    """Return `-x log(x) - (1 - x) log(1 - x)` in nats: the smallest cross-entropy, BCE(x, x)."""
    inside = (x > 0) & (x < 1)
    safe = np.where(inside, x, 0.5)
    return np.where(inside, -safe * np.log(safe) - (1 - safe) * np.log1p(-safe), 0.0)


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether samples of a shape are images: (height, width, channels)."""
    return len(shape) == 3 and min(shape[:2]) >= 3


def reconstruction_errors(
    ae: Any, splits: Any, *, seed: int = 0, split: str = "test"
) -> dict[str, Any]:
    """Compare the reconstruction errors of a model with those of baselines, on one split.

    All quantities are means over samples and features, in scaled units:

    - `mse`, `mae`: squared and absolute error.
    - `psnr`: `10 log10(1 / mse)` in dB, at most 200, if the data are scaled to [0, 1]; computed
      from the mean error rather than averaged over images.
    - `ssim`: structural similarity of images scaled to [0, 1], see `kerasae.metrics.ssim`.
    - `bce`, `bce_floor`: binary cross-entropy per feature in nats, and its minimum for the
      given targets, `BCE(x, x)`, if all data lie in [0, 1].

    If the model has a corruption, model and baselines receive the same corrupted input and are
    compared with the clean input. Data are streamed: one pass over the training split for the
    baselines, and one over the measured split. For rows of more than 4,096 features (with a
    corruption, 2,048), no covariance matrix is computed; PCA and mean are then fitted on as many
    rows as fit into 256 MiB of float32, or on four per component if that is more.

    Args:
        ae: A trained `Autoencoder`.
        splits: A `kerasae.data.Splits`.
        seed: Seed of the corruption.
        split: Split to measure on; the baselines are always fitted on `"train"`.

    Returns:
        `{"test": ..., "baselines": {"pca": ..., "mean": ...}, "baselines_fitted_on": ...}`. The
        first entry and each baseline have the same keys; `"pca"` has as many components as the
        code has units. `"baselines_fitted_on"` is `"train split"`, or `"the measured samples"` if
        `split` is `"train"`: the baselines are then measured on the samples they were fitted on,
        and look slightly better than they are. Models with a corruption add `"noisy"`, the
        unprocessed corrupted input; `"clipped"`, the corrupted input clipped to the range, if it
        exceeds it; `"clean"`, the model on clean input; and the baseline `"linear_denoiser"`, the
        best affine map of any rank from corrupted to clean, clipped to the range.

    Raises:
        ValueError: If the split does not exist or is empty, or the scaler is not adapted.
    """
    check_adapted(ae)
    check_split(splits, split)
    check_fits(ae, splits)
    corrupted = ae.corruption is not None
    range_ = peak(ae, splits)
    with same_order(splits):
        guesses = _guesses(ae, splits, seed, range_)
    model = reconstruction_model(ae)
    names = ["test", *guesses, *(["clean"] if corrupted else [])]
    errors = {name: Errors(ae.sample_shape, range_) for name in names}
    for clean, given in scaled_batches(ae, getattr(splits, split), seed):
        rows, rows_given = flat(clean), flat(given)
        bounded = range_ is not None and rows.min() >= 0 and rows.max() <= 1
        floor = float(entropy(rows).sum()) if bounded else None
        # One output at a time, since all outputs together take many times the memory of the batch.
        for name, error in errors.items():
            if name in guesses:
                output = guesses[name](rows_given)
            else:
                output = flat(reconstruct(model, clean if name == "clean" else given))
            error.add(rows, np.broadcast_to(output, rows.shape), floor)
    results = {name: error.result() for name, error in errors.items()}
    if results.get("clipped") == results.get("noisy"):
        results.pop("clipped", None)
    measured: dict[str, Any] = {"test": results.pop("test")}
    apart = ("noisy", "clipped", "clean")
    measured |= {name: results.pop(name) for name in apart if name in results}
    fitted_on = "the measured samples" if split == "train" else "train split"
    return {**measured, "baselines": results, "baselines_fitted_on": fitted_on}


def _guesses(ae: Any, splits: Any, seed: int, range_: float | None) -> dict[str, Guess]:
    """Fit the baselines, and return them as functions of the model's input rows."""
    size = math.prod(ae.sample_shape)
    corrupted = ae.corruption is not None
    components = min(ae.latent_dim, size)
    # The noise of the training rows must differ from that of the measured split.
    train = scaled_batches(ae, splits.train, seed + 1_000_003)
    statistics = paired(((flat(x), flat(y)) for x, y in train), size, corrupted)
    if statistics is None:
        limit = min(splits.sizes["train"], max(4 * components, _FITTED // size))
        mean, basis = truncated(head(ae, splits.train, limit), components, seed)
    else:
        mean, basis = statistics.mean, statistics.principal(components)
    guesses: dict[str, Guess] = {
        "pca": lambda x: mean + (x - mean) @ basis @ basis.T,
        "mean": lambda x: mean,
    }
    if corrupted:
        guesses["noisy"] = lambda x: x
        limits = (-np.inf, np.inf) if range_ is None else (0.0, range_)
        if range_ is not None:
            guesses["clipped"] = lambda x: np.clip(x, *limits)
        if statistics is not None and statistics.count >= 2 * size:
            weights, bias = statistics.regression()
            guesses["linear_denoiser"] = lambda x: np.clip(x @ weights + bias, *limits)
    return guesses
