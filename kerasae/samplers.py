"""Samplers: distributions fitted to the codes of data; and paths between codes.

`Autoencoder.fit_sampler` fits a sampler and stores it in the model; `generate` then draws from it.
"""

from typing import Any

import numpy as np
from keras import ops

from kerasae.errors import check_whole, nearest

# More codes would hardly improve the fit, but enlarge the model.
_MOST = 2000


class Sampler:
    """Base class of samplers: arrays fitted to codes, and a map from random numbers to codes.

    Args:
        arrays: Dictionary of arrays by name, as computed by `fit`.

    Attributes:
        arrays: The fitted arrays, float32 or int32; they are saved with the model.
        kind: Name of the sampler.
        code_kind: Supported kind of codes, `"vector"` or `"indices"`.
    """

    kind = ""
    code_kind = "vector"

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int = 0) -> "Sampler":
        """Fit a sampler to codes.

        Args:
            codes: `(samples, latent_dim)`.
            seed: Seed of the random choices in the fit.
        """
        raise NotImplementedError

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, `(n, latent_dim)`.

        Args:
            normal: `(n, latent_dim)` drawn from N(0, 1).
            uniform: `(n, uniforms(latent_dim))` drawn from [0, 1).
        """
        raise NotImplementedError

    def uniforms(self, latent_dim: int) -> int:
        """Return the number of uniform random numbers that `draw` takes per code."""
        return 3 if self.code_kind == "vector" else latent_dim


class StandardNormal(Sampler):
    """The prior of variational models, N(0, I)."""

    kind = "normal"

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        return normal


class UniformIndices(Sampler):
    """Draws each index of a code uniformly and independently of the others."""

    kind = "uniform"
    code_kind = "indices"

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        size = int(self.arrays["size"])
        # The product of the size and a float32 just below 1 may round up to the size.
        return ops.minimum(ops.cast(uniform * size, "int32"), size - 1)


class FrequencySampler(Sampler):
    """Draws each index of a code with its frequency at that position, independently."""

    kind = "frequency"
    code_kind = "indices"

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int = 0) -> "FrequencySampler":
        """Fit to codes `(samples, latent_dim)`; `seed` is ignored."""
        codes = np.asarray(codes, "int64")
        counts = np.stack([np.bincount(place, minlength=codes.max() + 1) for place in codes.T])
        return cls({"edges": np.cumsum(counts / len(codes), axis=1)[:, :-1].astype("float32")})

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        beyond = uniform[:, :, None] >= ops.convert_to_tensor(self.arrays["edges"])[None]
        return ops.sum(ops.cast(beyond, "int32"), axis=-1)


class GaussianSampler(Sampler):
    """A single Gaussian with the mean and the covariance of the codes."""

    kind = "gaussian"

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int = 0) -> "GaussianSampler":
        """Fit to codes `(samples, latent_dim)`; `seed` is ignored."""
        covariance = np.atleast_2d(np.cov(codes, rowvar=False, bias=True))
        return cls({"mean": codes.mean(axis=0), "factor": _root(covariance)})

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        return self.arrays["mean"] + ops.matmul(normal, self.arrays["factor"].T)


class MixtureSampler(Sampler):
    """A mixture of Gaussians with full covariances, fitted with scikit-learn.

    The number of components is the one among 1, 2, 4, ... 32 with the highest mean
    log-likelihood on a held-out fifth of the codes.

    References:
        Ghosh et al., "From Variational to Deterministic Autoencoders", 2020, section 4
        (ex-post density estimation).
    """

    kind = "mixture"

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int = 0) -> "MixtureSampler":
        """Fit to codes `(samples, latent_dim)`; `seed` initializes the components."""
        codes = _some(codes, 5 * _MOST, seed)
        mean, spread = codes.mean(axis=0), codes.std(axis=0)
        codes = (codes - mean) / np.where(spread > 1e-6 * spread.max(initial=0), spread, np.inf)
        shuffled = np.random.default_rng(seed).permutation(codes)
        apart = max(1, len(codes) // 5)
        rated = []
        for components in (1, 2, 4, 8, 16, 32):
            if len(codes) - apart < max(2, 5 * components):
                break
            mixture = _mixture(shuffled[apart:], components, seed)
            rated.append((mixture.score(shuffled[:apart]), components))
        best = _mixture(codes, max(rated)[1] if rated else 1, seed)
        roots = np.stack([_root(covariance) for covariance in best.covariances_])
        return cls(
            {
                "edges": np.cumsum(best.weights_)[:-1],
                "means": mean + spread * best.means_,
                "factors": spread[:, None] * roots,
            }
        )

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        which = ops.sum(ops.cast(uniform[:, :1] >= self.arrays["edges"][None], "int32"), axis=1)
        factors = ops.take(ops.convert_to_tensor(self.arrays["factors"]), which, axis=0)
        means = ops.take(ops.convert_to_tensor(self.arrays["means"]), which, axis=0)
        return means + ops.einsum("nij,nj->ni", factors, normal)


class NeighbourSampler(Sampler):
    """Draws points between a code and one of its five nearest neighbours, from up to 2,000 codes.

    References:
        Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002, section 4.2.
    """

    kind = "neighbour"

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int = 0) -> "NeighbourSampler":
        """Fit to codes `(samples, latent_dim)`; `seed` selects the codes to keep."""
        from sklearn.neighbors import NearestNeighbors

        codes = _some(codes, _MOST, seed)
        near = NearestNeighbors(n_neighbors=min(5, len(codes) - 1)).fit(codes)
        return cls({"codes": codes, "neighbours": near.kneighbors(return_distance=False)})

    def draw(self, normal: Any, uniform: Any) -> Any:
        """Map random numbers to codes, as `Sampler.draw` says."""
        count, near = self.arrays["neighbours"].shape
        # The product of the count and a float32 just below 1 may round up to the count.
        first = ops.minimum(ops.cast(uniform[:, 0] * count, "int32"), count - 1)
        column = ops.minimum(ops.cast(uniform[:, 1] * near, "int32"), near - 1)
        flat = ops.convert_to_tensor(self.arrays["neighbours"].reshape(-1))
        second = ops.take(flat, first * near + column, axis=0)
        codes = ops.convert_to_tensor(self.arrays["codes"])
        share = uniform[:, 2:]
        return (1 - share) * ops.take(codes, first, axis=0) + share * ops.take(
            codes, second, axis=0
        )


SAMPLERS: dict[str, type[Sampler]] = {
    sampler.kind: sampler
    for sampler in (GaussianSampler, MixtureSampler, NeighbourSampler, FrequencySampler)
}
# Distributions of codes that a recipe may use without fitting.
PRIORS: dict[str, type[Sampler]] = {prior.kind: prior for prior in (StandardNormal, UniformIndices)}


def fit(codes: Any, kind: str = "gaussian", seed: int = 0) -> Sampler:
    """Fit a sampler to codes.

    Args:
        codes: `(samples, latent_dim)`.
        kind: `"gaussian"`, `"mixture"` or `"neighbour"`; `"frequency"` for indices.
        seed: Seed of the random choices in the fit.

    Raises:
        ValueError: If the kind is unknown, or there are too few codes.

    Example:
    >>> sampler = fit(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    >>> sampler.arrays["mean"].tolist()
    [1.0, 1.0]
    """
    if kind not in SAMPLERS:
        check_kind(kind)
    codes = np.asarray(codes)
    codes = codes.astype("float64") if codes.dtype.kind in "biuf" else np.empty(0)
    if codes.ndim != 2 or len(codes) < 3 or not np.isfinite(codes).all():
        raise ValueError(
            "codes must be finite, of shape (samples, latent_dim), with at least 3 samples. "
            f"Received: codes of shape {codes.shape}"
        )
    sampler = SAMPLERS[kind].fit(codes, seed)
    sampler.arrays = {
        name: np.asarray(array, "int32" if array.dtype.kind == "i" else "float32")
        for name, array in sampler.arrays.items()
    }
    return sampler


def interpolate(a: Any, b: Any, steps: int = 8, spherical: bool = False) -> np.ndarray:
    """Return codes along a path from `a` to `b`, endpoints included.

    Args:
        a: First code, `(latent_dim,)`, or codes `(n, latent_dim)`.
        b: Last code, or codes.
        steps: Number of codes, >= 2.
        spherical: Whether to rotate from `a` to `b` by equal angles, with linearly changing
            length, instead of moving along a straight line. High-dimensional Gaussian codes lie
            near a sphere, whose interior a straight line crosses. Between opposite codes, where
            the rotation is undefined, the path is straight.

    Returns:
        `(steps, latent_dim)` or `(n, steps, latent_dim)`, float32.

    References:
        Shoemake, "Animating rotation with quaternion curves", 1985; White, "Sampling Generative
        Networks", 2016, section 2.1.

    Example:
    >>> interpolate([3.0, 0.0], [0.0, 4.0], steps=3, spherical=False).tolist()
    [[3.0, 0.0], [1.5, 2.0], [0.0, 4.0]]
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(
            "a and b must be codes of the same shape, (latent_dim,) or (n, latent_dim). "
            f"Received: shapes {a.shape} and {b.shape}"
        )
    steps = check_steps(steps)
    share = np.linspace(0, 1, steps)[:, None]
    first, last = a[..., None, :], b[..., None, :]
    straight = (1 - share) * first + share * last
    if not spherical:
        return straight.astype("float32")
    lengths = [np.linalg.norm(end, axis=-1, keepdims=True) for end in (first, last)]
    units = [end / np.maximum(n, 1e-12) for end, n in zip((first, last), lengths, strict=True)]
    angle = np.arccos(np.clip((units[0] * units[1]).sum(axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    flat = sine < 1e-6
    turn = np.sin((1 - share) * angle) * units[0] + np.sin(share * angle) * units[1]
    length = (1 - share) * lengths[0] + share * lengths[1]
    return np.where(flat, straight, length * turn / np.where(flat, 1, sine)).astype("float32")


def check_kind(kind: Any, code_kind: str = "vector") -> None:
    """Raise ValueError if a sampler does not exist or does not support the kind of codes.

    Args:
        kind: As passed to `fit`.
        code_kind: `"vector"` or `"indices"`.
    """
    known = [name for name, sampler in SAMPLERS.items() if sampler.code_kind == code_kind]
    if kind not in known:
        raise ValueError(
            f"kind must be one of {', '.join(known)}.{nearest(kind, known)} Received: kind={kind!r}"
        )


def check_steps(steps: Any) -> int:
    """Return the number of steps, or raise ValueError if it is below 2."""
    return check_whole("steps", steps, 2)


def _mixture(codes: np.ndarray, components: int, seed: int) -> Any:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    mixture = GaussianMixture(components, reg_covar=1e-6, random_state=seed)
    # With matrices this small, many threads wait for each other, on busy machines for minutes.
    with warnings.catch_warnings(), threadpool_limits(1):
        # An almost converged mixture samples equally well, and its quality is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(codes)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a factor `r` of a covariance, which may be singular, so that it equals `r @ r.T`."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))


def _some(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(codes) <= most:
        return codes
    return codes[np.random.default_rng(seed).choice(len(codes), most, replace=False)]
