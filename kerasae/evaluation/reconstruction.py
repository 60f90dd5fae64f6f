"""How well a model does beside baselines that need no training; plain dictionaries out."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# Largest number of features for a covariance matrix: 4096^2 numbers of 8 bytes are 128 MiB.
_EXACT = 4096
_ROWS = 1024


def reconstruction_model(ae: Any) -> keras.Model:
    """Return a Keras model from scaled input to scaled reconstruction, without noise.

    The parts of `ae` in a row, between its scaler and the inverse of it. A denoising model
    takes corrupted input here, which raw uint8 could not hold.

    Args:
        ae: An `Autoencoder`.
    """
    inputs = x = keras.Input(ae.sample_shape, name="scaled")
    for part in (ae.encoder_network, ae.bottleneck, ae.decoder_network, ae.output_activation):
        x = x if part is None else part(x)
    return keras.Model(inputs, x, name="scaled_reconstruction")


def measure(ae: Any, splits: Any, *, seed: int = 0, split: str = "test") -> dict[str, Any]:
    """Measure a model beside baselines of the same data, on one split.

    All errors are mean squared errors in scaled units, over samples and features. Where the
    model has a corruption, model and baselines get the same corrupted input and are compared
    with the clean one. PSNR is `10 log10(range^2 / mse)` in dB, given where the scaled range is
    known: images and data in [0, 1].

    Args:
        ae: A trained `Autoencoder`.
        splits: A `kerasae.data.Splits`.
        seed: Seed of the corruption.
        split: Split to measure on; the baselines are always fitted on `"train"`.

    Returns:
        `{"test": {"mse", "psnr"}, "baselines": {"pca": ..., "mean": ...}}`, each with the same
        keys. Denoising models add `"noisy"`, the corrupted input as it is; `"clean"`, the model
        on clean input; and the baseline `"linear_denoiser"`, the best affine map from corrupted
        to clean, of any rank, clipped to the range.
    """
    size = math.prod(ae.sample_shape)
    corrupted = ae.corruption is not None
    train = splits.train.rebatch(_ROWS)
    statistics = _statistics(_scaled(ae, train, seed + 1_000_003), size, corrupted)
    components = min(ae.latent_dim, size)
    if statistics is None:
        rows = _head(_scaled(ae, train, seed), max(4 * components, 100_000_000 // size))
        mean, basis = _truncated(rows, components, seed)
    else:
        mean, basis = statistics.mean, statistics.principal(components)
    peak = _peak(ae, splits)
    guesses: dict[str, Any] = {
        "pca": lambda x: mean + (x - mean) @ basis @ basis.T,
        "mean": lambda x: mean,
    }
    if corrupted:
        guesses["noisy"] = lambda x: x
        if statistics is not None and statistics.count >= 2 * size:
            weights, bias = statistics.regression()
            limits = (-np.inf, np.inf) if peak is None else (0.0, peak)
            guesses["linear_denoiser"] = lambda x: np.clip(x @ weights + bias, *limits)

    model = reconstruction_model(ae)
    totals = dict.fromkeys(["test", *guesses, *(["clean"] if corrupted else [])], 0.0)
    count = 0
    dataset = getattr(splits, split).rebatch(_ROWS)
    for clean, given in _scaled(ae, dataset, seed):
        flat, flat_given = _flat(clean), _flat(given)
        count += len(clean)
        outputs = {name: guess(flat_given) for name, guess in guesses.items()}
        outputs["test"] = _flat(reconstruct(model, given))
        if corrupted:
            outputs["clean"] = _flat(reconstruct(model, clean))
        for name, output in outputs.items():
            totals[name] += float(np.square(output - flat).sum())

    results = {name: _errors(total / (count * size), peak) for name, total in totals.items()}
    metrics: dict[str, Any] = {"test": results.pop("test")}
    metrics |= {name: results.pop(name) for name in ("noisy", "clean") if name in results}
    return {**metrics, "baselines": results}


def reconstruct(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the output of a `reconstruction_model` for one batch; nothing is compiled for it."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def corrupt(ae: Any, x: Any, seed: int) -> np.ndarray:
    """Return a corrupted copy of `x`, both in scaled units, as training would see it.

    Args:
        ae: An `Autoencoder` with a corruption.
        x: Array `(batch, ...)`, in scaled units.
        seed: Seed of the draw, where the corruption is one of kerasae's.
    """
    by_hand = getattr(ae.corruption, "corrupt", None)
    noisy = ae.corruption(x, training=True) if by_hand is None else by_hand(x, seed)
    return keras.ops.convert_to_numpy(noisy)


def scale(ae: Any, x: Any) -> np.ndarray:
    """Return raw `x` in the units in which the loss is taken, float32."""
    scaled = x if ae.scaler is None else ae.scaler(x)
    return np.asarray(keras.ops.convert_to_numpy(scaled), "float32")


class _Statistics:
    """Means and covariances of clean and corrupted input, in float64, from one pass."""

    def __init__(self, size: int, corrupted: bool):
        self.count = 0
        width = 2 * size if corrupted else size
        self.size = size
        self._sum = np.zeros(width)
        self._products = np.zeros((width, width))

    def add(self, clean: np.ndarray, given: np.ndarray) -> None:
        rows = _flat(clean)
        if len(self._sum) > self.size:
            rows = np.concatenate([rows, _flat(given)], axis=1)
        self.count += len(rows)
        self._sum += rows.sum(axis=0)
        self._products += rows.T @ rows

    @property
    def mean(self) -> np.ndarray:
        return self._sum[: self.size] / self.count

    def _covariance(self) -> np.ndarray:
        mean = self._sum / self.count
        return self._products / self.count - np.outer(mean, mean)

    def principal(self, components: int) -> np.ndarray:
        """Return the leading eigenvectors of the clean covariance as columns."""
        covariance = self._covariance()[: self.size, : self.size]
        return np.linalg.eigh(covariance)[1][:, ::-1][:, :components]

    def regression(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and bias of the affine map from corrupted to clean of least error."""
        covariance, mean = self._covariance(), self._sum / self.count
        noisy = covariance[self.size :, self.size :]
        # Pixels that never change make the matrix singular; this is far below any noise.
        noisy = noisy + np.eye(self.size) * (1e-8 * np.trace(noisy) / self.size + 1e-12)
        weights = np.linalg.solve(noisy, covariance[self.size :, : self.size])
        return weights, mean[: self.size] - mean[self.size :] @ weights


def _statistics(batches: Iterator[Any], size: int, corrupted: bool) -> _Statistics | None:
    if (2 * size if corrupted else size) > _EXACT:
        return None
    statistics = _Statistics(size, corrupted)
    for clean, given in batches:
        statistics.add(clean, given)
    return statistics


def _truncated(rows: np.ndarray, components: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and principal components of data too wide for a covariance matrix."""
    from sklearn.decomposition import PCA

    pca = PCA(min(components, len(rows)), svd_solver="randomized", random_state=seed).fit(rows)
    return pca.mean_, pca.components_.T


def _head(batches: Iterator[Any], limit: int) -> np.ndarray:
    rows: list[np.ndarray] = []
    for clean, _ in batches:
        rows.append(_flat(clean))
        if sum(map(len, rows)) >= limit:
            break
    return np.concatenate(rows)[:limit]


def _scaled(ae: Any, dataset: Any, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of scaled input, clean and as the model would be given it."""
    for number, batch in enumerate(dataset):
        clean = scale(ae, batch)
        yield clean, clean if ae.corruption is None else corrupt(ae, clean, seed + number)


def _flat(x: Any) -> np.ndarray:
    x = np.asarray(x, "float64")
    return x.reshape(len(x), -1)


def _peak(ae: Any, splits: Any) -> float | None:
    """Return the range of the data in scaled units where it is 1, or None."""
    from kerasae.layers import UnitScale

    low, high = splits.value_range or (-math.inf, math.inf)
    unit = isinstance(ae.scaler, UnitScale) or (ae.scaler is None and low >= 0 and high <= 1)
    return 1.0 if unit else None


def _errors(mse: float, peak: float | None) -> dict[str, float]:
    if mse < 1e-20:  # round-off of a baseline that loses nothing
        return {"mse": 0.0}
    if peak is None:
        return {"mse": mse}
    return {"mse": mse, "psnr": 10 * math.log10(peak**2 / mse)}
