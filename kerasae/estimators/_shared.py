"""Base class of the estimators, which builds, trains and pickles a model."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from kerasae.errors import check_whole, is_real
from kerasae.layers.scaling import FAR
from kerasae.models import Autoencoder, build

# The model processes rows in batches of this size, with the last one padded. So no input causes
# another trace, and the score of a row does not depend on other rows, not even by round-off.
_ROWS = 256


class AutoencoderEstimator(BaseEstimator):
    """Base class of the estimators. Subclasses set the attributes below in `__init__`."""

    variant: str
    network: str
    hidden: Any
    scaler: Any
    corruption: Any
    corruption_level: Any
    options: dict[str, Any] | None
    steps: int
    batch_size: int
    learning_rate: float
    verbose: int
    autoencoder_: Autoencoder
    _moved: np.ndarray

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "autoencoder_" in state:
            state["autoencoder_"] = _to_bytes(state["autoencoder_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "autoencoder_" in state:
            state["autoencoder_"] = _from_bytes(state["autoencoder_"])
        super().__setstate__(state)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        """Return `X` as a finite float array `(samples, features)`, float32 or float64.

        Columns whose values are so far from 0 that float32 cannot distinguish them, such as
        times in seconds since 1970, are centred at their mean over the training rows.
        """
        x = validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=2 - (not reset)
        )
        if reset:
            mean, deviation = x.mean(axis=0, dtype="float64"), x.std(axis=0, dtype="float64")
            far = np.abs(mean) * np.finfo("float32").eps > FAR * deviation
            self._moved = np.where(far & (deviation > 0), mean, 0.0)
        if self._moved.any():
            x = x - self._moved
        if np.abs(x).max(initial=0) > np.finfo("float32").max:
            raise ValueError(
                "X must contain only numbers in the range of float32. "
                f"Received: X with values up to {np.abs(x).max():.3g}"
            )
        return x

    def _trained(self, x: np.ndarray, latent_dim: int | None, seed: int, **own: Any) -> Autoencoder:
        """Build and train the model; `own` are defaults of options that are None."""
        if not is_real(self.learning_rate) or self.learning_rate <= 0:
            raise ValueError(
                "learning_rate must be a number > 0. "
                f"Received: learning_rate={self.learning_rate!r}"
            )
        if not isinstance(self.options or {}, dict):
            raise ValueError(
                "options must be a dictionary of options of kerasae.build. "
                f"Received: options={self.options!r}"
            )
        given = {
            "hidden": self.hidden,
            "corruption": self.corruption,
            "corruption_level": self.corruption_level,
        }
        options = {**own, **{k: v for k, v in given.items() if v is not None}}
        options |= {"network": self.network, "scaler": self.scaler, **(self.options or {})}
        if options.get("corruption", ...) is None:
            options.pop("corruption_level", None)
        for name in ("variant", "input_shape", "latent_dim"):
            if name in options:
                raise ValueError(
                    f"options must not contain {name!r}, which the estimator sets itself. "
                    f"Received: options={self.options!r}"
                )
        with _seeded(seed):
            ae = build(self.variant, (x.shape[1],), latent_dim, **{"seed": seed, **options})
        steps = check_whole("steps", self.steps)
        rate = keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
        ae.compile(keras.optimizers.Adam(rate), jit_compile=False)
        ae.prepare([x])
        batches = _batches(x, steps, check_whole("batch_size", self.batch_size), seed)
        ae.fit(batches, epochs=1, verbose=self.verbose)
        return ae


def by_batches(function: Callable[..., np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return `function(x, batch_size=...)` for the rows of `x`, in batches of equal size."""
    x = np.asarray(x, "float32")
    padded = np.concatenate([x, np.repeat(x[:1], -len(x) % _ROWS, axis=0)])
    return function(padded, batch_size=_ROWS)[: len(x)]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generator of initial weights in this context, and restore it afterwards."""
    # An initializer without a seed draws its seed from Python's generator only.
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _batches(x: np.ndarray, steps: int, batch_size: int, seed: int) -> Any:
    """Return a dataset of `steps` batches of equal size, shuffled in each pass over the rows."""
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    passes = -(-steps * batch_size // len(x))
    order = np.concatenate([rng.permutation(len(x)).astype("int32") for _ in range(passes)])
    order = order[: steps * batch_size].reshape(steps, batch_size)
    with tf.device("CPU"):
        rows = tf.convert_to_tensor(x, "float32")
    dataset = tf.data.Dataset.from_tensor_slices(order)
    return dataset.map(lambda chosen: tf.gather(rows, chosen)).prefetch(4)


def _to_bytes(ae: Autoencoder) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        ae.save(path)
        return path.read_bytes()


def _from_bytes(content: bytes) -> Autoencoder:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return keras.saving.load_model(path, safe_mode=True)
