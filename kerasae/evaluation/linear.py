"""Comparison of linear autoencoders with principal component analysis."""

import contextlib
import math
from typing import Any

import keras
import numpy as np

from kerasae.data import Splits
from kerasae.evaluation import _statistics
from kerasae.evaluation.passes import (
    check_split,
    flat,
    reconstruct,
    reconstruction_model,
    same_order,
    scaled_batches,
)
from kerasae.models.inputs import check_adapted

# Directions with less than this share of the largest variance are round-off.
_RANK = 1e-10


def linear_check(ae: Any, data: Any, *, split: str = "test") -> dict[str, float]:
    """Compare a linear autoencoder with principal component analysis, in scaled units.

    Args:
        ae: A trained `Autoencoder` whose decoder is affine, such as `linear`.
        data: A `kerasae.data.Splits`, whose `"train"` split PCA is fitted on; or raw data, an
            array `(samples, *input_shape)` or a `tf.data.Dataset` of batches, read twice, on
            which PCA is both fitted and measured.
        split: Split of `data` to measure explained variance on.

    Returns:
        `"explained_variance"`: `1 - |x - reconstruction|^2 / |x - mean|^2`, summed over samples
        and features, with the mean of the PCA fit. `"pca_explained_variance"`: the same for as
        many principal components as the code has units. `"largest_principal_angle"`: in
        degrees, between the columns of the decoder's matrix and the principal components
        with nonzero variance; 0 if the decoder spans them, 90 if it misses one.

    Raises:
        ValueError: If the decoder is not affine, a sample has more than 4,096 features, or the
            split does not exist.

    References:
        Baldi and Hornik, "Neural networks and principal component analysis", 1989; Bjorck and
        Golub, "Numerical methods for computing angles between linear subspaces", 1973.
    """
    check_adapted(ae)
    size = math.prod(ae.sample_shape)
    if size > _statistics.EXACT:
        raise ValueError(
            f"linear_check supports samples of at most {_statistics.EXACT} features. "
            f"Received: input_shape={ae.sample_shape}"
        )
    matrix = decoder_matrix(ae)
    order: Any = contextlib.nullcontext()
    train, measured = data, data
    if isinstance(data, Splits):
        check_split(data, split)
        train, measured, order = data.train, getattr(data, split), same_order(data)
    moments = _statistics.Moments(size)
    with order:
        for clean, _ in scaled_batches(ae, train, corrupted=False):
            moments.add(flat(clean))
    basis, values = _statistics.principal(moments.covariance, min(ae.latent_dim, size))
    mean, model = moments.mean, reconstruction_model(ae)
    total = own = pca = 0.0
    for clean, _ in scaled_batches(ae, measured, corrupted=False):
        rows = flat(clean)
        centred = rows - mean
        total += float(np.square(centred).sum())
        own += float(np.square(rows - flat(reconstruct(model, clean))).sum())
        pca += float(np.square(centred - centred @ basis @ basis.T).sum())
    carried = basis[:, values[: basis.shape[1]] > _RANK * values[0]]
    return {
        "explained_variance": 1 - own / total if total else 0.0,
        "pca_explained_variance": 1 - pca / total if total else 0.0,
        "largest_principal_angle": largest_principal_angle(matrix, carried),
    }


def decoder_matrix(ae: Any) -> np.ndarray:
    """Return the matrix of an affine decoder, `(features, latent_dim)`, in scaled units.

    The matrix is computed by decoding unit codes, so the decoder may consist of any layers.

    Raises:
        ValueError: If the decoder is not affine.
    """

    def decode(code: np.ndarray) -> np.ndarray:
        x = ae.decoder_network(code.astype("float32"), training=False)
        return flat(keras.ops.convert_to_numpy(ae.output_activation(x)))

    units = ae.latent_dim
    offset = decode(np.zeros((1, units)))
    matrix = (decode(np.eye(units)) - offset).T
    probe = np.random.default_rng(0).normal(size=(8, units)) * 10
    found, expected = decode(probe), probe @ matrix.T + offset
    if np.abs(found - expected).max() > 1e-3 * (1e-6 + np.abs(expected - offset).max()):
        raise ValueError(
            "linear_check requires a decoder without activations, such as that of 'linear'. "
            f"Received: variant={ae.variant!r}"
        )
    return matrix


def largest_principal_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest angle, in degrees, between a direction in span(b) and span(a).

    The angle is 0 if span(a) contains span(b). It is computed from both sine and cosine, so it is
    accurate near 0 and near 90.

    Args:
        a: `(features, m)`, whose columns span a subspace.
        b: `(features, n)`, whose columns span a subspace.
    """
    a, b = _orthonormal(a), _orthonormal(b)
    if not b.shape[1]:
        return 0.0
    if a.shape[1] < b.shape[1]:
        return 90.0
    product = a.T @ b
    cosine = np.linalg.svd(product, compute_uv=False).min()
    sine = np.linalg.svd(b - a @ product, compute_uv=False).max()
    return math.degrees(math.atan2(sine, cosine))


def _orthonormal(a: np.ndarray) -> np.ndarray:
    u, s, _ = np.linalg.svd(a, full_matrices=False)
    return u[:, s > 1e-7 * s.max(initial=0.0)]
