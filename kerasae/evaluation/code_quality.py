"""Quality of codes: classification, clustering, neighbourhoods and the use of units."""

import math
import warnings
from typing import Any

import keras
import numpy as np

from kerasae import metrics
from kerasae.evaluation._statistics import EXACT, Moments, truncated
from kerasae.evaluation.passes import (
    check_fits,
    check_split,
    flat,
    head,
    raw_batches,
    representation_model,
    rows_of,
    sample,
    scale,
    whole_numbers,
)
from kerasae.models.inputs import check_adapted

# Samples for trustworthiness, whose cost is quadratic in their number.
_NEIGHBOURHOODS = 1000
# Entries of float64 rows held at a time: 128 MiB.
_HELD = 2**24
# Labels with more distinct values than this are not treated as classes.
_CLASSES = 100
# Largest width, and largest total number of entries, for a probe of the input itself.
_WIDE, _CHEAP = 1024, 5_000_000
_NEIGHBOURS = 5


def codes(
    ae: Any, splits: Any, *, split: str = "test", seed: int = 0, limit: int = 5000
) -> dict[str, Any]:
    """Measure the quality of the codes of a split.

    Codes are those of `ae.encode`: clean input, no noise. The figures on units are streamed over
    the whole split; the others use at most `limit` random samples of it. If there are labels,
    classifiers are fitted on codes of at most `limit` random samples of `"train"`; if `"train"`
    itself is measured, they are fitted on half of its samples and measured on the other half.

    Args:
        ae: A trained `Autoencoder`.
        splits: A `kerasae.data.Splits`.
        split: Split to measure on.
        seed: Seed of the samples and of k-means.
        limit: Largest number of samples to fit on and to measure on; samples take at most 128 MiB.

    Returns:
        A dictionary of

        - `"active_units"`, `"dead_units"`: a unit is dead if its range over the split is at most a
          thousandth of the largest range of any unit (`kerasae.metrics.varies`), and otherwise
          active. (Burda's criterion for variational models is in `variational`.)
        - `"mean_activation"`: the mean of each unit, a list; for `sparse_kl` also
          `"target_activation"`, the target rate of training.
        - `"hoyer_sparsity"`: mean over samples, 0 (all units equal) to 1 (a single active unit).
        - `"covariance_spectrum"`: eigenvalues of the codes' covariance in decreasing order, for
          up to 4,096 units.
        - `"trustworthiness"`: 1 minus a penalty for the 5 nearest neighbours of a code that are
          not neighbours of its input; on at most 1,000 samples or 128 MiB.
        - `"probe_accuracy"`, `"knn_accuracy"`: accuracy of a logistic regression on
          standardized codes, and of the 5 nearest codes; and `"reference"`, the same for
          `"pca"` codes of the same size and, where cheap, for the `"input"`.
        - `"nmi"`, `"ari"`, `"clustering_accuracy"`: k-means on the codes, with as many clusters as
          classes, compared with the classes.

        - `"left_out"`: number of samples of the split without a finite code, if any; they are
          excluded from all figures above.

        Figures that do not apply (no labels, too few samples) are omitted.

    Raises:
        ValueError: If the split does not exist or is empty, or the scaler is not adapted.

    References:
        Alain and Bengio, "Understanding intermediate layers using linear classifier probes",
        2016; Venna and Kaski, "Neighborhood preservation in nonlinear projection methods",
        2001 (trustworthiness); Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for
        Clustering Analysis", ICML 2016, equation 10 (accuracy by assignment).
    """
    check_adapted(ae)
    check_split(splits, split)
    check_fits(ae, splits)
    limit = whole_numbers("limit", limit, 1)[0]
    results = _units(ae, getattr(splits, split))
    x, labels, code = _known(ae, *sample(splits, split, limit, seed))
    most = min(_NEIGHBOURHOODS, max(2 * _NEIGHBOURS + 1, _HELD // math.prod(ae.sample_shape)))
    fraction = max(1, math.ceil(len(x) / most))
    neighbours = min(_NEIGHBOURS, (len(x[::fraction]) - 1) // 2)
    if neighbours >= 1:
        from sklearn.manifold import trustworthiness

        rows = flat(scale(ae, x[::fraction]))
        results["trustworthiness"] = float(
            trustworthiness(rows, code[::fraction], n_neighbors=neighbours)
        )
    if labels is None or not len(x):
        return results
    if split == "train":
        # Accuracy on fitted rows is meaningless: each is its own nearest neighbour.
        order = np.random.default_rng(seed).permutation(len(x))
        one, other = np.array_split(order, 2)
        fitted, measured = ((x[rows], labels[rows], code[rows]) for rows in (one, other))
    else:
        fitted, measured = _known(ae, *sample(splits, "train", limit, seed)), (x, labels, code)
    x_fit, y_fit, code_fit = fitted
    if 2 <= len(np.unique(y_fit)) <= min(_CLASSES, len(x_fit) // 2) and len(measured[0]):
        results |= classifiers((code_fit, y_fit), (measured[2], measured[1]))
        results["reference"] = _references(ae, (x_fit, y_fit), measured[:2], seed)
    if 2 <= len(np.unique(labels)) <= min(_CLASSES, len(x) // 2):
        results |= clustering(code, labels, seed)
    return results


def classifiers(train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """Return the accuracy of a linear probe and of nearest neighbours.

    The probe is a logistic regression (L2, C = 1) on features standardized by the training
    rows; the classifier uses the 5 nearest neighbours by Euclidean distance of the raw features.

    Args:
        train: Features `(samples, n)` and labels `(samples,)` to fit on.
        test: Features and labels to measure on.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    (x, y), (x_test, y_test) = train, test
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-6 * spread.max(initial=0.0), spread, np.inf)
    # float32 halves the time, and suffices for standardized rows; test rows may be outliers.
    standard, standard_test = (
        np.clip((rows - mean) / spread, -1e18, 1e18).astype("float32") for rows in (x, x_test)
    )
    probe = LogisticRegression(max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        # The accuracy converges long before the coefficients.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(standard, y)
    nearest = KNeighborsClassifier(min(_NEIGHBOURS, len(x)), algorithm="brute").fit(x, y)
    return {
        "probe_accuracy": float(probe.score(standard_test, y_test)),
        "knn_accuracy": float(nearest.score(x_test, y_test)),
    }


def clustering(codes: Any, labels: Any, seed: int = 0) -> dict[str, float]:
    """Cluster codes by k-means, with as many clusters as classes, and compare with the classes.

    Args:
        codes: `(samples, n)`.
        labels: `(samples,)`.
        seed: Seed of the four initializations.

    Returns:
        `"nmi"`, the normalized mutual information (arithmetic mean of the entropies), 0 to 1;
        `"ari"`, the adjusted Rand index, 0 by chance, 1 if equal; `"clustering_accuracy"`.
    """
    if np.ndim(codes) != 2 or np.shape(labels) != np.shape(codes)[:1]:
        raise ValueError(
            "codes must have shape (samples, latent_dim), and labels one value per sample. "
            f"Received: shapes {np.shape(codes)} and {np.shape(labels)}"
        )
    if not np.isfinite(codes).all():
        raise ValueError("codes must be finite. Received: NaN or infinite codes")
    from sklearn import cluster, metrics

    k_means = cluster.KMeans(len(np.unique(labels)), n_init=4, random_state=seed)
    with warnings.catch_warnings():
        # A collapsed code has fewer distinct codes than clusters, which the figures show anyway.
        warnings.simplefilter("ignore")
        found = k_means.fit_predict(np.asarray(codes, "float64"))
    return {
        "nmi": float(metrics.normalized_mutual_info_score(labels, found)),
        "ari": float(metrics.adjusted_rand_score(labels, found)),
        "clustering_accuracy": assignment_accuracy(labels, found),
    }


def assignment_accuracy(labels: Any, clusters: Any) -> float:
    """Return the accuracy of clusters under the best one-to-one assignment to classes.

    The assignment maximizes the number of correct samples (Hungarian method).

    Args:
        labels: `(samples,)`, of any values.
        clusters: `(samples,)`, of any values.

    References:
        Kuhn, "The Hungarian method for the assignment problem", 1955.

    Example:
    >>> from kerasae.evaluation import assignment_accuracy
    >>> assignment_accuracy([0, 0, 1, 1], [7, 7, 3, 7])
    0.75
    """
    from scipy.optimize import linear_sum_assignment

    if np.ndim(labels) != 1 or np.shape(labels) != np.shape(clusters) or not len(labels):
        raise ValueError(
            "labels and clusters must have shape (samples,), with at least one sample. "
            f"Received: shapes {np.shape(labels)} and {np.shape(clusters)}"
        )
    _, rows = np.unique(labels, return_inverse=True)
    _, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1), "int64")
    np.add.at(table, (rows, columns), 1)
    return float(table[linear_sum_assignment(-table)].sum() / len(rows))


def _known(ae: Any, x: np.ndarray, labels: Any) -> tuple[np.ndarray, Any, np.ndarray]:
    """Return samples, labels and float64 codes of the samples with finite codes."""
    model = representation_model(ae)
    parts = [_encode(model, ae, batch) for batch in raw_batches(x, rows_of(ae.sample_shape))]
    code = np.concatenate(parts) if parts else np.zeros((0, model.output_shape[-1]))
    finite = np.isfinite(code).all(axis=1)
    if finite.all():
        return x, labels, code
    return x[finite], None if labels is None else labels[finite], code[finite]


def _encode(model: keras.Model, ae: Any, x: Any) -> np.ndarray:
    """Return the codes of one raw batch as float64, without compiling a function.

    For discrete models they are the vectors that the indices represent.
    """
    return np.asarray(keras.ops.convert_to_numpy(model(scale(ae, x), training=False)), "float64")


def _units(ae: Any, dataset: Any) -> dict[str, Any]:
    """Return the figures on units, in one pass."""
    model = representation_model(ae)
    units = model.output_shape[-1]
    moments = Moments(units) if units <= EXACT else None
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    count, total, sparsity, left_out = 0, np.zeros(units), 0.0, 0
    for batch in raw_batches(dataset, rows_of(ae.sample_shape)):
        code = _encode(model, ae, batch)
        finite = np.isfinite(code).all(axis=1)
        left_out, code = left_out + int((~finite).sum()), code[finite]
        if not len(code):
            continue
        if moments is not None:
            moments.add(code)
        low, high = np.minimum(low, code.min(axis=0)), np.maximum(high, code.max(axis=0))
        count, total = count + len(code), total + code.sum(axis=0)
        sparsity += float(keras.ops.convert_to_numpy(metrics.hoyer_sparsity(code)).sum())
    if not count:
        return {"left_out": left_out}
    active = int(keras.ops.convert_to_numpy(metrics.varies(low, high)).sum())
    results: dict[str, Any] = {
        "active_units": active,
        "dead_units": units - active,
        "mean_activation": (total / count).tolist(),
    }
    if left_out:
        results["left_out"] = left_out
    results["hoyer_sparsity"] = sparsity / count
    if moments is not None:
        values = np.linalg.eigvalsh(moments.covariance)[::-1]
        results["covariance_spectrum"] = np.maximum(values, 0.0).tolist()
    return results


def _references(
    ae: Any, train: tuple[np.ndarray, Any], test: tuple[np.ndarray, Any], seed: int
) -> dict[str, dict[str, float]]:
    """Return the accuracy of classifiers on PCA codes of the same size, and on the input.

    Args:
        ae: An `Autoencoder`.
        train: Raw samples and labels to fit on.
        test: Raw samples and labels to measure on.
        seed: Seed of PCA.
    """
    (x, y), (x_test, y_test) = train, test
    size, units = math.prod(ae.sample_shape), ae.latent_dim
    results = {}
    if max(len(x), len(x_test)) * size > _HELD:
        if units < min(len(x), size):
            mean, basis = truncated(head(ae, x, max(4 * units, 2 * _HELD // size)), units, seed)
            step = rows_of(ae.sample_shape)
            codes = [
                np.concatenate(
                    [(flat(scale(ae, part)) - mean) @ basis for part in raw_batches(rows, step)]
                )
                for rows in (x, x_test)
            ]
            results["pca"] = classifiers((codes[0], y), (codes[1], y_test))
        return results
    from sklearn.decomposition import PCA

    rows, rows_test = flat(scale(ae, x)), flat(scale(ae, x_test))
    if units < min(rows.shape):
        pca = PCA(units, random_state=seed).fit(rows)
        results["pca"] = classifiers((pca.transform(rows), y), (pca.transform(rows_test), y_test))
    if size <= _WIDE and rows.size <= _CHEAP:
        results["input"] = classifiers((rows, y), (rows_test, y_test))
    return results
