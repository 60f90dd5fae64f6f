"""Means, covariances and principal components in one pass, in float64."""

from collections.abc import Iterable
from typing import Any

import numpy as np

# Largest number of features for a covariance matrix: 4096^2 numbers of 8 bytes are 128 MiB.
EXACT = 4096


class Moments:
    """Mean and covariance of rows, accumulated batch by batch.

    Args:
        width: Number of entries in a row.
    """

    def __init__(self, width: int):
        self.count = 0
        self._shift = np.zeros(width)
        self._sum = np.zeros(width)
        self._products = np.zeros((width, width))

    def add(self, rows: np.ndarray) -> None:
        """Add rows `(batch, width)`."""
        if not self.count and len(rows):
            # Shifting rows to near the mean avoids cancellation when the offset is large.
            self._shift = rows.mean(axis=0)
        rows = rows - self._shift
        self.count += len(rows)
        self._sum += rows.sum(axis=0)
        self._products += rows.T @ rows

    @property
    def mean(self) -> np.ndarray:
        """Mean row, `(width,)`."""
        return self._shift + self._sum / max(self.count, 1)

    @property
    def covariance(self) -> np.ndarray:
        """Covariance `(width, width)`, divided by the number of rows."""
        mean = self._sum / max(self.count, 1)
        return self._products / max(self.count, 1) - np.outer(mean, mean)


def principal(covariance: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenvectors of a covariance as columns, and all its eigenvalues.

    Args:
        covariance: Symmetric, `(width, width)`.
        components: Number of eigenvectors.

    Returns:
        `(width, components)` and `(width,)`, in order of decreasing, non-negative eigenvalue.
    """
    values, vectors = np.linalg.eigh(covariance)
    return vectors[:, ::-1][:, :components], np.maximum(values[::-1], 0.0)


class Paired:
    """Joint moments of clean rows and, if present, of the corresponding corrupted rows.

    Args:
        size: Number of entries in a clean row.
        corrupted: Whether there are corrupted rows.
    """

    def __init__(self, size: int, corrupted: bool):
        self.size = size
        self.corrupted = corrupted
        self._moments = Moments(2 * size if corrupted else size)

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._moments.count

    @property
    def mean(self) -> np.ndarray:
        """Mean clean row, `(size,)`."""
        return self._moments.mean[: self.size]

    def add(self, clean: np.ndarray, given: np.ndarray) -> None:
        """Add clean rows and the corresponding corrupted rows, both `(batch, size)`."""
        self._moments.add(np.concatenate([clean, given], axis=1) if self.corrupted else clean)

    def principal(self, components: int) -> np.ndarray:
        """Return the principal components of the clean rows as columns."""
        return principal(self._moments.covariance[: self.size, : self.size], components)[0]

    def regression(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and bias of the least-squares affine map from corrupted to clean rows."""
        covariance, mean = self._moments.covariance, self._moments.mean
        noisy = covariance[self.size :, self.size :]
        # Constant pixels make the matrix singular; this ridge is far below any noise.
        noisy = noisy + np.eye(self.size) * (1e-8 * np.trace(noisy) / self.size + 1e-12)
        weights = np.linalg.solve(noisy, covariance[self.size :, : self.size])
        return weights, mean[: self.size] - mean[self.size :] @ weights


def paired(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], size: int, corrupted: bool
) -> Paired | None:
    """Return the statistics in one pass, or None if rows are too wide for a covariance."""
    if (2 * size if corrupted else size) > EXACT:
        return None
    statistics = Paired(size, corrupted)
    for clean, given in batches:
        statistics.add(clean, given)
    return statistics


def truncated(rows: np.ndarray, components: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and principal components, as columns, of rows too wide for a covariance.

    Args:
        rows: `(n, width)`, float32; modified in place.
        components: Number of components; at most the number of rows is returned.
        seed: Seed of the randomized decomposition.
    """
    from sklearn.decomposition import PCA

    mean = rows.mean(axis=0, dtype="float64")
    # Scaled so that a large outlier does not overflow when squared.
    unit = max(float(rows.max()), -float(rows.min())) or 1.0
    for start in range(0, len(rows), 64):
        rows[start : start + 64] = (rows[start : start + 64] - mean) / unit
    pca: Any = PCA(
        min(components, *rows.shape), copy=False, svd_solver="randomized", random_state=seed
    )
    pca.fit(rows)
    return mean + unit * pca.mean_, pca.components_.T.astype("float64")
