"""Parts of the variational report: the binarization of values, and the units of the code."""

from typing import Any

import numpy as np
from keras import ops

PIXELS = ("grey", "thresholded", "static", "dynamic")

# Variance of the posterior mean above which a unit is active: Burda et al., section 5.
_ACTIVE = 0.01


class Pixels:
    """Converts values in [0, 1] to the measured quantity, and names it.

    Args:
        pixels: One of `PIXELS`, or None.
        seed: Seed of the draw.
    """

    def __init__(self, pixels: str | None, seed: int):
        self._pixels = pixels
        # A separate stream, so that data generated with the same seed are not compared with it.
        self._rng = np.random.default_rng((seed, len(PIXELS)))
        self._binary = True
        self.outside = False

    @property
    def name(self) -> str:
        """Name of the measured quantity, valid after all values have been seen."""
        return self._pixels or ("static" if self._binary else "grey")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        binary = bool(np.isin(x, (0.0, 1.0)).all())
        self._binary &= binary
        low, high = float(x.min()), float(x.max())
        self.outside |= low < 0 or high > 1
        if self._pixels is None:
            return x
        if self.outside:
            raise ValueError(
                f"pixels={self._pixels!r} requires scaled values in [0, 1]. "
                f"Received: values from {low:g} to {high:g}"
            )
        if self._pixels == "static" and not binary:
            raise ValueError(
                "pixels='static' requires values of 0 or 1, from a fixed binarization; for grey "
                f"values, use another of {', '.join(PIXELS)}. "
                f"Received: values such as {float(x[(x > 0) & (x < 1)][0]):g}"
            )
        if self._pixels == "thresholded":
            return (x >= 0.5).astype("float32")
        if self._pixels == "dynamic":
            return (self._rng.random(x.shape) < x).astype("float32")
        return x


class Units:
    """KL of each code dimension and variance of its mean, accumulated batch by batch.

    Args:
        latent_dim: Number of code dimensions.
    """

    def __init__(self, latent_dim: int):
        self.count = 0
        self._shift = self._sum = self._squares = np.zeros(latent_dim)
        self._kl = np.zeros(latent_dim)

    def add(self, z_mean: Any, z_log_var: Any) -> np.ndarray:
        """Add a batch, and return the KL of each sample in nats."""
        mean = np.asarray(ops.convert_to_numpy(z_mean), "float64")
        log_var = np.asarray(ops.convert_to_numpy(z_log_var), "float64")
        kl = 0.5 * (np.expm1(log_var) - log_var + mean**2)
        if not self.count:
            self._shift = mean.mean(axis=0)
        self.count += len(mean)
        self._kl = self._kl + kl.sum(axis=0)
        self._sum = self._sum + (mean - self._shift).sum(axis=0)
        self._squares = self._squares + ((mean - self._shift) ** 2).sum(axis=0)
        return kl.sum(axis=1)

    def report(self) -> dict[str, Any]:
        """Return the report on the units."""
        variance = self._squares / self.count - (self._sum / self.count) ** 2
        units, active = len(variance), int((variance > _ACTIVE).sum())
        collapsed = units - active
        result: dict[str, Any] = {
            "kl_per_dimension": (self._kl / self.count).tolist(),
            "active_units": active,
            "collapsed_units": collapsed,
        }
        if self.count > 1 and 2 * collapsed > units:
            which = "All" if not active else f"{collapsed} of"
            result["warning"] = (
                f"{which} {units} code dimensions follow the prior regardless of the input "
                "(posterior collapse); a Warmup of kl_weight, or free_bits, may keep more active."
            )
        return result
