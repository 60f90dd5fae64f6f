"""New samples: from the prior, from a distribution fitted to codes, along paths of codes."""

from statistics import NormalDist
from typing import Any

import keras
import numpy as np

from kerasae import samplers
from kerasae.errors import is_whole


class Generation:
    """The verbs of an `Autoencoder` that make samples."""

    sample_shape: tuple[int, ...]
    latent_dim: int
    prior: str | None
    sampler: samplers.Sampler | None
    variant: Any
    encode: Any
    decode: Any

    @property
    def can_generate(self) -> bool:
        """Whether `generate` has a distribution of codes to draw from."""
        return self.prior is not None or self.sampler is not None

    def fit_sampler(self, x: Any, kind: str = "gaussian", seed: int = 0) -> samplers.Sampler:
        """Fit a distribution to the codes of data, for `generate` to draw from.

        Any autoencoder generates with one; a variational one then draws from the codes there
        are instead of the prior. It is saved with the model and goes into its export; `fit`
        drops it, since it belongs to the weights.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            kind: `"gaussian"`, `"mixture"` (of Gaussians) or `"neighbour"` (between a code and
                a near one).
            seed: Seed of what is random in the fit.

        Returns:
            The `kerasae.samplers.Sampler`, also `ae.sampler`.

        Raises:
            ValueError: The kind is unknown.
        """
        samplers.check_kind(kind)
        self.sampler = samplers.fit(self.encode(x), kind, seed)
        return self.sampler

    def generate(self, n: int, seed: int | None = None, batch_size: int = 1024) -> np.ndarray:
        """Return `n` new samples in raw units, float32, `(n, *input_shape)`.

        They are decoded from codes drawn from the fitted sampler if there is one, and otherwise
        from the prior N(0, I).

        Args:
            n: Number of samples, >= 1.
            seed: Seed of the draw; the same seed gives the same samples. None draws one.
            batch_size: Samples at a time.

        Raises:
            ValueError: The model has no distribution of codes to draw from.
        """
        if not self.can_generate:
            raise ValueError(
                "generate needs a prior over codes, which kerasae.build('variational', ...) has, "
                "or ae.fit_sampler(x) (--sampler gaussian) first. "
                f"Received: variant={self.variant!r}"
            )
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
            raise ValueError(f"n must be a whole number >= 1. Received: n={n!r}")
        if seed is not None and not (is_whole(seed, 0) and seed < 2**63):
            raise ValueError(f"seed must be a whole number in [0, 2^63). Received: seed={seed!r}")
        generator = keras.random.SeedGenerator(seed)
        code = keras.random.normal((int(n), self.latent_dim), seed=generator)
        if self.sampler is not None:
            code = self.sampler.draw(code, keras.random.uniform((int(n), 3), seed=generator))
        return self.decode(code, batch_size)

    def interpolate(self, a: Any, b: Any, steps: int = 8, *, spherical: bool = False) -> np.ndarray:
        """Return samples on the way from `a` to `b` through the space of codes.

        Args:
            a: Sample to begin with, `input_shape`, or samples `(n, *input_shape)`, raw.
            b: Sample to end with, or samples.
            steps: Number of samples, ends included, >= 2.
            spherical: Turn by equal angles instead of going straight, see
                `kerasae.samplers.interpolate`.

        Returns:
            `(steps, *input_shape)` or `(n, steps, *input_shape)`, float32. The ends are the
            reconstructions of `a` and `b`.
        """
        a, b = np.asarray(a), np.asarray(b)
        single = a.ndim == len(self.sample_shape)
        first, last = (self.encode(end[None] if single else end) for end in (a, b))
        images = self._decode_grid(samplers.interpolate(first, last, steps, spherical))
        return images[0] if single else images

    def traverse(
        self, x: Any, steps: int = 7, span: float = 3.0, dimensions: Any = None
    ) -> np.ndarray:
        """Return what becomes of one sample as each number of its code changes alone.

        Models with a prior replace the number by values from `-span` to `span`, in standard
        deviations of the prior; others, with a fitted sampler, add that many standard
        deviations of the codes.

        Args:
            x: One sample, `input_shape`, in raw units.
            steps: Values of each number, >= 2.
            span: Largest change, in standard deviations.
            dimensions: Which numbers of the code to change; all by default.

        Returns:
            `(dimensions, steps, *input_shape)`, float32.

        Raises:
            ValueError: The model has neither a prior nor a fitted sampler.
        """
        samplers.check_steps(steps)
        code = self.encode(np.asarray(x)[None])[0]
        dimensions = np.arange(self.latent_dim) if dimensions is None else np.array(dimensions)
        known = set(range(self.latent_dim))
        whole = dimensions.ndim == 1 and dimensions.dtype.kind in "iu"
        if not whole or not set(dimensions.tolist()) <= known:
            raise ValueError(
                f"dimensions must be one or more whole numbers from 0 to {self.latent_dim - 1}. "
                f"Received: dimensions={dimensions.tolist()}"
            )
        offsets = np.linspace(-span, span, steps)
        if self.prior is not None:
            values = np.broadcast_to(offsets, (len(dimensions), steps))
        else:
            spread = self._spread("traverse")[dimensions]
            values = code[dimensions, None] + spread[:, None] * offsets
        codes = np.tile(code, (len(dimensions), steps, 1))
        for row, dimension in enumerate(dimensions):
            codes[row, :, dimension] = values[row]
        return self._decode_grid(codes)

    def manifold(self, steps: int = 20, coverage: float = 0.95) -> np.ndarray:
        """Return the samples of a 2-D code on a grid of equally probable steps.

        The grid lies at quantiles of the prior, from `(1 - coverage) / 2` to
        `(1 + coverage) / 2`; without a prior, of the fitted `"gaussian"` sampler.

        Args:
            steps: Grid points in each direction, >= 2.
            coverage: Share of the distribution between the edges, in each direction.

        Returns:
            `(steps, steps, *input_shape)`, float32; the first axis is code 1 from high to low,
            as on a map, the second code 0 from low to high.

        Raises:
            ValueError: The code has not two dimensions, or there is no distribution.

        References:
            Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, figure 4.
        """
        samplers.check_steps(steps)
        if self.latent_dim != 2:
            raise ValueError(f"manifold needs latent_dim=2. Received: latent_dim={self.latent_dim}")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1. Received: coverage={coverage}")
        quantiles = np.linspace((1 - coverage) / 2, (1 + coverage) / 2, steps)
        points = np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")
        grid = np.stack(np.meshgrid(points, points[::-1]), axis=-1)
        if self.prior is None:
            if not isinstance(self.sampler, samplers.GaussianSampler):
                raise ValueError(
                    "manifold needs a prior over codes, or ae.fit_sampler(x, 'gaussian') first. "
                    f"Received: variant={self.variant!r}"
                )
            # Triangular, along the axes of the map, so that those of the code keep their
            # directions; by QR, which singular covariances do not break.
            arrays = self.sampler.arrays
            factor = np.linalg.qr(arrays["factor"].T)[1].T
            factor = factor * np.where(np.diag(factor) < 0, -1, 1).astype("float32")
            grid = arrays["mean"] + grid @ factor.T
        return self._decode_grid(grid)

    def _spread(self, verb: str) -> np.ndarray:
        """Return the standard deviation of each number of the code, of the sampler's own draws."""
        if self.sampler is None:
            raise ValueError(
                f"{verb} needs a prior over codes, or ae.fit_sampler(x) first. "
                f"Received: variant={self.variant!r}"
            )
        rng = np.random.default_rng(0)
        normal = rng.normal(size=(4096, self.latent_dim)).astype("float32")
        drawn = self.sampler.draw(normal, rng.random((4096, 3), "float32"))
        return keras.ops.convert_to_numpy(drawn).std(axis=0)

    def _decode_grid(self, codes: np.ndarray) -> np.ndarray:
        flat = self.decode(codes.reshape(-1, self.latent_dim))
        return flat.reshape(*codes.shape[:-1], *self.sample_shape)
