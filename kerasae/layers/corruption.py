"""Corruptions of the scaled input, active in training and inactive at inference."""

import math
from typing import Any

import keras
from keras import ops

from kerasae.errors import is_real, is_whole
from kerasae.layers.backend import normal, uniform
from kerasae.layers.penalty import stochastic


class Corruption(keras.layers.Layer):
    """Base class of corruptions. Subclasses define `apply(inputs, seed_generator)`.

    In training, and while an `Autoencoder` evaluates, `call` corrupts its input with new noise
    at every step; otherwise it returns the input. Call `corrupt(x, seed)` to corrupt data
    directly.

    Args:
        seed: Seed of the noise. None draws a seed.

    Input shape:
        `(batch, ...)`, in scaled units.

    Output shape:
        Same as the input.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        pass

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.apply(inputs, self.seed_generator) if stochastic(training) else inputs

    def apply(self, inputs: Any, seed_generator: keras.random.SeedGenerator) -> Any:
        """Return a corrupted copy of `inputs`, with noise from `seed_generator`."""
        raise NotImplementedError

    def corrupt(self, x: Any, seed: int) -> Any:
        """Return a corrupted copy of `x`; the same seed gives the same noise.

        Args:
            x: Array or tensor `(batch, ...)`, in scaled units, float.
            seed: Seed of the draw.

        Returns:
            Tensor shaped like `x`.
        """
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(x.dtype):
            raise ValueError(
                "x must be in scaled units (a float array); scale it with the model's scaler "
                f"first. Received: x of dtype {keras.backend.standardize_dtype(x.dtype)}"
            )
        return self.apply(x, keras.random.SeedGenerator(seed))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("kerasae")
class GaussianCorruption(Corruption):
    """Adds Gaussian noise: `x + stddev * eps`, `eps ~ N(0, I)`, optionally clipped.

    Args:
        stddev: Standard deviation in scaled units, >= 0; or a pair `(low, high)`, between which
            it is drawn log-uniformly for each sample.
        clip: None, or the range `(low, high)` to clip the noisy input to.
        seed: Seed of the noise. None draws a seed.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 4.1; Alain and
        Bengio, "What Regularized Auto-Encoders Learn from the Data-Generating Distribution",
        JMLR 2014, theorem 1 (the residual is the variance times the score).
    """

    def __init__(
        self,
        stddev: float | tuple[float, float] = 0.5,
        clip: tuple[float, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        if isinstance(stddev, (tuple, list)):
            if not (len(stddev) == 2 and all(map(is_real, stddev)) and 0 < stddev[0] < stddev[1]):
                raise ValueError(
                    f"stddev must be >= 0, or a pair 0 < low < high. Received: stddev={stddev}"
                )
            stddev = (float(stddev[0]), float(stddev[1]))
        elif not is_real(stddev) or stddev < 0:
            raise ValueError(f"stddev must be >= 0. Received: stddev={stddev!r}")
        if clip is not None and not _is_range(clip):
            raise ValueError(f"clip must be a pair low < high. Received: clip={clip!r}")
        self.stddev = stddev if isinstance(stddev, tuple) else float(stddev)
        self.clip = None if clip is None else (float(clip[0]), float(clip[1]))

    def apply(self, inputs: Any, seed_generator: keras.random.SeedGenerator) -> Any:
        shape = ops.shape(inputs)
        noise = normal(shape, seed_generator)
        if isinstance(self.stddev, tuple):
            low, high = self.stddev
            u = uniform((shape[0], *(1,) * (len(shape) - 1)), seed_generator)
            noise = low * ops.exp(u * math.log(high / low)) * noise
        else:
            noise = self.stddev * noise
        noisy = inputs + ops.cast(noise, inputs.dtype)
        return noisy if self.clip is None else ops.clip(noisy, *self.clip)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "clip": self.clip}


def _is_range(pair: Any) -> bool:
    two = isinstance(pair, (tuple, list)) and len(pair) == 2
    return two and all(map(is_real, pair)) and pair[0] < pair[1]


def _check_rate(rate: float) -> float:
    if not is_real(rate) or not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1]. Received: rate={rate!r}")
    return float(rate)


@keras.saving.register_keras_serializable("kerasae")
class MaskingCorruption(Corruption):
    """Sets each entry to 0 with probability `rate`. Kept entries are not rescaled.

    Args:
        rate: Probability of masking an entry, in [0, 1].
        seed: Seed of the noise. None draws a seed.

    References:
        Vincent et al., "Extracting and Composing Robust Features with Denoising
        Autoencoders", ICML 2008, section 2.3.
    """

    def __init__(self, rate: float = 0.25, seed: int | None = None, **kwargs: Any):
        super().__init__(seed=seed, **kwargs)
        self.rate = _check_rate(rate)

    def apply(self, inputs: Any, seed_generator: keras.random.SeedGenerator) -> Any:
        keep = uniform(ops.shape(inputs), seed_generator) >= self.rate
        return ops.where(keep, inputs, ops.zeros_like(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("kerasae")
class SaltAndPepperCorruption(Corruption):
    """Sets each entry, with probability `rate`, to `low` or `high` with equal probability.

    Args:
        rate: Probability of replacing an entry, in [0, 1].
        low: Value of pepper, in scaled units.
        high: Value of salt, in scaled units.
        seed: Seed of the noise. None draws a seed.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 4.1.
    """

    def __init__(
        self,
        rate: float = 0.25,
        low: float = 0.0,
        high: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        if not _is_range((low, high)):
            raise ValueError(f"low must be below high. Received: low={low!r}, high={high!r}")
        self.rate = _check_rate(rate)
        self.low = float(low)
        self.high = float(high)

    def apply(self, inputs: Any, seed_generator: keras.random.SeedGenerator) -> Any:
        # One draw u decides both: u < rate / 2 is pepper, u >= 1 - rate / 2 is salt.
        u = uniform(ops.shape(inputs), seed_generator)
        low = ops.cast(self.low, inputs.dtype)
        high = ops.cast(self.high, inputs.dtype)
        salted = ops.where(u >= 1 - self.rate / 2, high, inputs)
        return ops.where(u < self.rate / 2, low, salted)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable("kerasae")
class LowResolutionCorruption(Corruption):
    """Averages blocks of `factor` (per axis) and repeats each mean over its block.

    Images are pooled over height and width, series over time, and flat vectors along their
    only axis. If a size is not a multiple of `factor`, the blocks at both ends are shorter, and
    each is averaged over the entries it has. The corruption is deterministic.

    Args:
        factor: Edge of a block, a whole number >= 1.

    Input shape:
        `(batch, height, width, channels)`, `(batch, time, channels)` or `(batch, features)`.
    """

    def __init__(self, factor: int = 2, seed: int | None = None, **kwargs: Any):
        super().__init__(seed=seed, **kwargs)
        if not is_whole(factor, 1):
            raise ValueError(f"factor must be a whole number >= 1. Received: factor={factor!r}")
        self.factor = int(factor)

    def build(self, input_shape: Any) -> None:
        self._pooled_axes(input_shape)

    def _pooled_axes(self, shape: Any) -> tuple[int, ...]:
        axes = {2: (1,), 3: (1,), 4: (1, 2)}.get(len(shape))
        if axes is None:
            raise ValueError(
                "LowResolutionCorruption requires vectors, series or images. "
                f"Received: input of shape {tuple(shape)}"
            )
        return axes

    def apply(self, inputs: Any, seed_generator: keras.random.SeedGenerator) -> Any:
        rank, pooled_axes = len(inputs.shape), self._pooled_axes(inputs.shape)
        x = inputs[..., None] if rank == 2 else inputs
        x = ops.average_pool(x, self.factor, self.factor, padding="same")
        sizes = x.shape[1:-1]
        for axis, size in zip(pooled_axes, inputs.shape[1:], strict=False):
            x = ops.repeat(x, self.factor, axis=axis)
            # "same" padding is split over both ends, so the first block may be shorter.
            before = (sizes[axis - 1] * self.factor - size) // 2
            x = ops.take(x, range(before, before + size), axis=axis)
        return x[..., 0] if rank == 2 else x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}
