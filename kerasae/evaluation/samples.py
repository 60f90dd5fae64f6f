"""Quality of generated samples: Fréchet distance, precision and recall, without downloads."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasae.evaluation.passes import check_split, rows_of, sample, whole_numbers

# Largest number of rows to compare and to train a classifier on, its steps and batch size.
_COMPARED, _TRAINED, _STEPS, _BATCH = 5000, 10_000, 400, 128
# Entries of the generated samples: 64 MiB of float32, half of what real samples may take.
_HELD = 2**24
# Entries of the rows from which the scale of the data is computed.
_LOOKED_AT = 2**23
_FEATURES = 64
_CLASSES = 100


def sample_quality(
    ae_or_samples: Any,
    splits: Any,
    *,
    n: int | None = None,
    seeds: int | Sequence[int] = 3,
    split: str = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """Compare generated samples with real ones in the feature space of a small classifier.

    For each seed, a classifier is trained on labelled training rows (at most 10,000; 400 steps of
    Adam): convolutional for images, otherwise dense, with a penultimate layer of 64 features.
    These features of real and generated samples, before the ReLU, are compared, scaled so that
    the real ones have a mean variance of 1. Without labels, the network keeps its random
    weights. Each seed also draws its own samples from a model.

    Before classification, images are scaled as a whole, tables per column and series per channel,
    with statistics of training rows, so that columns in small units count as much as others.

    The distance depends on n and on the classifier: compare it with the reference distance, and
    with other models on the same data and `n`, never with published values. Models generate
    means, so a model of binary values, compared with binary data, is penalized for its grey
    values.

    Args:
        ae_or_samples: An `Autoencoder` that generates, or samples `(n, *shape)` in raw units.
        splits: A `kerasae.data.Splits`.
        n: Number of samples on each side, at least 8. None takes all available samples, at most
            5,000, at most a quarter of the training rows, and at most 64 MiB of float32.
        seeds: Number of classifiers, with seeds `seed`, `seed + 1`, ..., or a sequence of seeds.
        split: Split of real samples to compare with.
        seed: Seed of the rows that are drawn, and of the first classifier.

    Returns:
        A dictionary of

        - `"frechet_distance"`: mean over seeds, >= 0, lower is better; `"frechet_spread"`: standard
          deviation over seeds (None for a single seed).
        - `"reference_distance"`: a lower reference, the distance between the real samples and n
          training rows that the classifier was not trained on.
        - `"precision"`, `"recall"`: see `precision_recall`; means over seeds.
        - `"feature_space"`: `"classifier"` or `"random network"`; `"classifier_accuracy"` on the
          real samples, if they have labels.
        - `"n"`, and `"seeds"`, the number of seeds.

    Raises:
        ValueError: If there are too few samples, they do not fit the data, or an argument is
            invalid.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", 2017, equation 6; Kynkäänniemi et al., "Improved Precision and Recall
        Metric for Assessing Generative Models", 2019, equations 1 and 2.

    Example:
        ```python
        quality = kerasae.evaluation.sample_quality(ae, splits)
        quality["frechet_distance"], quality["reference_distance"]
        ```
    """
    numbers = whole_numbers("seeds", seeds, 0 if np.iterable(seeds) else 1)
    if not np.iterable(seeds):
        numbers = list(range(seed, seed + numbers[0]))
    check_split(splits, split)
    n = _count(ae_or_samples, splits, n, split)
    real, real_labels = sample(splits, split, n, seed, least=n)
    x, labels = sample(splits, "train", _TRAINED + n, seed, least=2 * n)
    rows = np.random.default_rng(seed).permutation(len(x))
    held, rest = x[rows[:n]], rows[n:]
    network = _Network(x, rest, labels)
    found: dict[str, list[float]] = {}
    for number in numbers:
        network.make(number)
        if hasattr(ae_or_samples, "generate"):
            generated = ae_or_samples.generate(n, seed=number, **_batches(ae_or_samples))
        else:
            generated = np.asarray(ae_or_samples)[:n]
        of_real, of_held, of_generated = map(network.features, (real, held, generated))
        for name, features in (("split", of_real), ("samples", of_generated)):
            if not np.isfinite(features).all():
                raise ValueError(
                    "Samples must have finite features; a value far outside the range of the "
                    "training rows overflows in the classifier. "
                    f"Received: such values in the {name}"
                )
        unit = np.sqrt(of_real.var(axis=0).mean()) or 1.0
        of_real, of_held, of_generated = of_real / unit, of_held / unit, of_generated / unit
        precision, recall = precision_recall(of_real, of_generated)
        values = {
            "frechet_distance": frechet_distance(of_real, of_generated),
            "reference_distance": frechet_distance(of_real, of_held),
            "precision": precision,
            "recall": recall,
        }
        if network.trained and real_labels is not None:
            values["classifier_accuracy"] = network.accuracy(real, real_labels)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    distances = found["frechet_distance"]
    return {
        **{name: float(np.mean(values)) for name, values in found.items()},
        "frechet_spread": float(np.std(distances, ddof=1)) if len(distances) > 1 else None,
        "feature_space": "classifier" if network.trained else "random network",
        "n": n,
        "seeds": len(numbers),
    }


def _count(given: Any, splits: Any, n: int | None, split: str) -> int:
    """Return the number of samples to compare on each side."""
    size = int(np.prod(splits.shape))
    most = min(splits.sizes[split], splits.sizes["train"] // 4)
    if not hasattr(given, "generate"):
        shape = np.shape(given)
        if shape[1:] != tuple(splits.shape):
            raise ValueError(
                f"Samples must have shape (n, {', '.join(map(str, splits.shape))}), like the data. "
                f"Received: samples of shape {shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(given, dtype="float64")
        if not np.isfinite(total):
            raise ValueError("Samples must be finite. Received: NaN or infinite values")
        most = min(most, len(given))
    if n is not None and not 8 <= whole_numbers("n", [n], 1)[0] <= most:
        raise ValueError(
            f"n must be from 8 to {most}, limited by the samples on each side and a quarter of "
            f"the training rows. Received: n={n}"
        )
    if most < 8:
        raise ValueError(
            "sample_quality requires at least 8 samples on each side, and 32 training rows. "
            f"Received: splits of sizes {splits.sizes}, {most} to compare"
        )
    return int(n or min(most, _COMPARED, max(8, _HELD // size)))


def frechet_distance(features_a: Any, features_b: Any) -> float:
    """Return the Fréchet distance between two Gaussians fitted to features.

    `|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`, with covariances divided by n - 1: the
    squared Wasserstein-2 distance of the Gaussians, 0 if they are equal. It is computed in
    float64 without forming a covariance: with `C = R^T R`, the last trace is the sum of singular
    values of `R_a R_b^T`, which is accurate even for singular covariances.

    Args:
        features_a: `(samples, features)`, at least two samples.
        features_b: As `features_a`; the number of samples may differ.

    Returns:
        A number >= 0 in squared units of the features. It is biased upward for small samples.

    Raises:
        ValueError: If there are fewer than two samples, or the widths differ.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", 2017, equation 6; Dowson and Landau, "The Fréchet distance between
        multivariate normal distributions", 1982.

    Example:
    >>> from kerasae.evaluation import frechet_distance
    >>> round(frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]), 6)
    9.0
    """
    a, b = _checked(features_a, "features_a"), _checked(features_b, "features_b")
    _check_widths(a, b)
    roots: list[Any] = []
    spread = 0.0
    for features in (a, b):
        centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
        spread += float(np.square(centred).sum())
        roots.append(np.linalg.qr(centred, mode="r"))
    shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return max(0.0, float(shift + spread - 2 * shared))


def precision_recall(real: Any, generated: Any, k: int = 3) -> tuple[float, float]:
    """Return improved precision and recall of generated samples.

    A set of points covers the union of balls around its points, each with the distance to its
    k-th nearest other point as radius. Precision is the share of generated points that the real
    points cover (samples look real), recall the share of real points that the generated points
    cover (nothing is missing).

    Args:
        real: `(samples, features)`, more than k samples.
        generated: As `real`; use the same number of samples for a fair comparison.
        k: Rank of the neighbour whose distance is the radius.

    Raises:
        ValueError: If there are too few samples, or the widths differ.

    References:
        Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
        Models", 2019, equations 1 and 2, with k = 3 as in section 3.

    Example:
    >>> from kerasae.evaluation import precision_recall
    >>> precision_recall([[0.0], [1.0], [2.0]], [[0.5], [1.5], [9.0]], k=1)
    (0.6666666666666666, 1.0)
    """
    a, b = _checked(real, "real"), _checked(generated, "generated")
    _check_widths(a, b)
    if k < 1 or min(len(a), len(b)) <= k:
        raise ValueError(
            f"k must be at least 1 and below the number of samples, {min(len(a), len(b))}. "
            f"Received: k={k}"
        )
    centre = a.mean(axis=0)
    a, b = a - centre, b - centre
    return _covered(b, a, k), _covered(a, b, k)


def _covered(points: np.ndarray, by: np.ndarray, k: int) -> float:
    """Return the share of points within one of the balls around `by`."""
    radii = np.concatenate([np.partition(d, k, axis=1)[:, k] for d in _squares(by, by)])
    # The computed distance of equal points is round-off, not 0.
    radii += 1e-13 * np.square(by).sum(axis=1).max()
    return float(np.concatenate([(d <= radii).any(axis=1) for d in _squares(points, by)]).mean())


def _squares(a: np.ndarray, b: np.ndarray) -> Any:
    """Yield squared distances of batches of rows of a to all rows of b."""
    norms = np.square(b).sum(axis=1)
    for start in range(0, len(a), 1024):
        rows = a[start : start + 1024]
        yield np.maximum(np.square(rows).sum(axis=1)[:, None] + norms - 2 * rows @ b.T, 0.0)


def _checked(features: Any, name: str) -> np.ndarray:
    features = np.asarray(features, "float64")
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ValueError(
            f"{name} must be finite, of shape (samples, features) with at least two samples. "
            f"Received: {name} of shape {features.shape}"
        )
    return features


def _check_widths(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            "Both sides must have the same number of features. "
            f"Received: {a.shape[1]} and {b.shape[1]}"
        )


class _Network:
    """A small classifier, created again for each seed, that extracts features of samples.

    Args:
        x: Raw samples.
        rows: Indices of the samples to train on.
        labels: Classes of all samples, or None.
    """

    def __init__(self, x: np.ndarray, rows: np.ndarray, labels: np.ndarray | None):
        self._x, self._rows = x, rows
        looked_at = max(2, min(2048, _LOOKED_AT // max(1, int(np.prod(x.shape[1:])))))
        self._offset, self._scale = _scale_of(x[rows[:looked_at]])
        labels = None if labels is None else labels[rows]
        self._classes = np.zeros(1) if labels is None else np.unique(labels)
        self.trained = 2 <= len(self._classes) <= min(_CLASSES, len(rows) // 2)
        if self.trained:
            assert labels is not None
            self._y = np.searchsorted(self._classes, labels)

    def make(self, seed: int) -> None:
        """Create the network of a seed, and train it if there are classes.

        All seeds are passed explicitly, so the global random state of Keras does not change.
        """
        rng = np.random.default_rng(seed)

        def options(activation: str | None = "relu") -> dict[str, Any]:
            start = keras.initializers.HeNormal(seed=int(rng.integers(2**31)))
            return {"activation": activation, "kernel_initializer": start}

        inputs = h = keras.Input(self._x.shape[1:])
        if len(inputs.shape) == 4:
            filters, side = 16, max(inputs.shape[1:3])
            stride = 2 if side >= 16 else 1
            h = keras.layers.Conv2D(filters, 5, stride, padding="same", **options())(h)
            side = -(-side // stride)
            while side > 4:
                filters, side = min(2 * filters, 64), -(-side // 2)
                h = keras.layers.Conv2D(filters, 3, 2, padding="same", **options())(h)
            h = keras.layers.Flatten()(h)
        else:
            h = keras.layers.Dense(128, **options())(keras.layers.Flatten()(h))
        features = keras.layers.Dense(_FEATURES, **options(None))(h)
        h = keras.layers.Dense(len(self._classes), **options(None))(keras.ops.relu(features))
        self._features, self._logits = keras.Model(inputs, features), keras.Model(inputs, h)
        if not self.trained:
            return
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._logits.compile("adam", loss)
        passes = -(-_STEPS * _BATCH // len(self._rows))
        order = np.concatenate([rng.permutation(len(self._rows)) for _ in range(passes)])
        for step in range(_STEPS):
            rows = order[step * _BATCH : (step + 1) * _BATCH]
            x = self._scaled(self._x[self._rows[rows]])
            self._logits.train_on_batch(x, self._y[rows])

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features of raw samples, `(samples, 64)`."""
        return self._run(self._features, x)

    def accuracy(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Return the accuracy of the classifier on raw samples."""
        predicted = self._classes[self._run(self._logits, x).argmax(axis=1)]
        return float((predicted == labels).mean())

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        scaled = (np.asarray(x, "float32") - self._offset) / self._scale
        return np.asarray(scaled, "float32")

    def _run(self, model: keras.Model, x: np.ndarray) -> np.ndarray:
        step = min(512, rows_of(x.shape[1:]))
        parts = [
            keras.ops.convert_to_numpy(model(self._scaled(x[at : at + step]), training=False))
            for at in range(0, len(x), step)
        ]
        return np.concatenate(parts).astype("float64")


def _scale_of(x: np.ndarray) -> tuple[Any, Any]:
    """Return offset and scale of raw samples: scalars for images, else per last-axis entry."""
    x = np.asarray(x, "float64")
    if x.ndim == 4:
        return float(x.mean()), float(x.std()) or 1.0
    axes = tuple(range(x.ndim - 1))
    offset, spread = x.mean(axis=axes), x.std(axis=axes)
    # The spread of a constant column is round-off and not a scale.
    constant = spread <= 1e-6 * np.abs(offset)
    return offset, np.where(constant, np.maximum(np.abs(offset), 1.0), spread)


def _batches(ae: Any) -> dict[str, int]:
    """Return the argument `batch_size` for `generate`, suited to the size of a sample."""
    shape = getattr(ae, "sample_shape", None)
    return {} if shape is None else {"batch_size": rows_of(shape)}
