"""Codes to decode: paths between samples, along single dimensions, and over a plane."""

from statistics import NormalDist
from typing import Any

import keras
import numpy as np

from kerasae import samplers


def traversal(ae: Any, x: Any, steps: int, span: float, dimensions: Any) -> np.ndarray:
    """Return the codes of `Autoencoder.traverse`, `(dimensions, steps, latent_dim)`."""
    steps = samplers.check_steps(steps)
    code = ae.encode(np.asarray(x)[None])[0]
    dimensions = np.arange(ae.latent_dim) if dimensions is None else np.array(dimensions)
    whole = dimensions.ndim == 1 and dimensions.dtype.kind in "iu"
    if not whole or not set(dimensions.tolist()) <= set(range(ae.latent_dim)):
        raise ValueError(
            f"dimensions must be one or more whole numbers from 0 to {ae.latent_dim - 1}. "
            f"Received: dimensions={dimensions.tolist()}"
        )
    offsets = np.linspace(-span, span, steps)
    if ae.prior is not None:
        values = np.broadcast_to(offsets, (len(dimensions), steps))
    else:
        values = code[dimensions, None] + spread(ae, "traverse")[dimensions][:, None] * offsets
    codes = np.tile(code, (len(dimensions), steps, 1))
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = values[row]
    return codes


def plane(ae: Any, steps: int, coverage: float) -> np.ndarray:
    """Return the codes of `Autoencoder.manifold`, `(steps, steps, 2)`."""
    steps = samplers.check_steps(steps)
    if ae.latent_dim != 2:
        raise ValueError(f"manifold requires latent_dim=2. Received: latent_dim={ae.latent_dim}")
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1. Received: coverage={coverage}")
    quantiles = np.linspace((1 - coverage) / 2, (1 + coverage) / 2, steps)
    points = np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")
    grid = np.stack(np.meshgrid(points, points[::-1]), axis=-1)
    if ae.prior is not None:
        return grid
    if ae.sampler is None or ae.sampler.kind != "gaussian":
        raise ValueError(
            "manifold requires a prior over codes, or ae.fit_sampler(x, 'gaussian') first. "
            f"Received: variant={ae.variant!r}"
        )
    # A triangular factor keeps the axes of the map aligned with those of the code. QR also works
    # for singular covariances.
    arrays = ae.sampler.arrays
    factor = np.linalg.qr(arrays["factor"].T)[1].T
    factor = factor * np.where(np.diag(factor) < 0, -1, 1).astype("float32")
    return arrays["mean"] + grid @ factor.T


def spread(ae: Any, verb: str) -> np.ndarray:
    """Return the standard deviation of each code dimension, estimated from sampler draws."""
    if ae.sampler is None:
        raise ValueError(
            f"{verb} requires a prior over codes, or ae.fit_sampler(x) first. "
            f"Received: variant={ae.variant!r}"
        )
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(4096, ae.latent_dim)).astype("float32")
    drawn = ae.sampler.draw(normal, rng.random((4096, 3), "float32"))
    return keras.ops.convert_to_numpy(drawn).std(axis=0)


def check_continuous(ae: Any, verb: str) -> None:
    """Raise ValueError if the codes of the model are indices."""
    if ae.code_dtype != "float32":
        raise ValueError(
            f"{verb} requires continuous codes, but the codes of this model are indices. "
            f"Received: variant={ae.variant!r}"
        )
