"""Samples in memory, and the row numbers that Keras is given in their place."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from kerasae.data.pipelines import Resident, take

# Bytes of an array that are copied to a tensor; a larger one is left to Keras.
_COPIED = 4 << 30


@dataclasses.dataclass
class Samples:
    """The samples of one call of `fit`.

    Attributes:
        given: Arrays or tensors with the same rows: x; x and y; or x, y and sample_weight.
        size: Number of samples in an epoch.
        batch_size: Samples in a batch.
        resident: Orders the row numbers of a pipeline of `kerasae.data`; None for arrays, whose
            row numbers Keras orders.
    """

    given: tuple[Any, ...]
    size: int
    batch_size: int
    resident: Resident | None = None

    @property
    def length(self) -> int | None:
        """Rows of a sample, which begins at its row number; None for a sample per row."""
        return None if self.resident is None else self.resident.length

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        import tensorflow as tf

        sizes = [tf.as_dtype(part.dtype).size * math.prod(part.shape[1:]) for part in self.given]
        return (self.length or 1) * sum(sizes)

    def load(self) -> None:
        """Copy what is given to tensors where it is none."""
        # One tensor for an array that is both x and y.
        tensors = {id(part): _tensor(part) for part in self.given}
        self.given = tuple(tensors[id(part)] for part in self.given)

    def gather(self, rows: Any) -> tuple[Any, ...]:
        """Return the samples of row numbers of any shape."""
        import tensorflow as tf

        with tf.device("CPU:0"):  # or all of it is copied to another device
            return tuple(take(part, rows, self.length) for part in self.given)

    def row_numbers(self, steps: int, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return what `keras.Model.fit` is to get for `x`, and its other arguments.

        Args:
            steps: Batches whose row numbers are to be one batch to Keras. It divides
                `steps_per_epoch` if that is given.
            options: The arguments of `fit` but for x and y.
        """
        rows, changed = steps * self.batch_size, dict(options)
        if options.get("steps_per_epoch"):
            changed["steps_per_epoch"] = options["steps_per_epoch"] // steps
        if self.resident is not None:
            return self.resident.row_numbers(rows), changed
        changed["batch_size"] = rows
        if options.get("validation_batch_size") is None:
            changed["validation_batch_size"] = self.batch_size
        changed.pop("sample_weight", None)
        changed.pop("validation_split", None)
        if options.get("validation_split") and options.get("validation_data") is None:
            held_out = tuple(part[self.size :] for part in self.given)
            changed["validation_data"] = held_out if len(held_out) > 1 else held_out[0]
        return np.arange(self.size), changed


def samples_of(x: Any, y: Any, options: dict[str, Any]) -> Samples | None:
    """Return the samples that `fit` is given, or None where they are not in memory.

    Args:
        x, y: As given to `fit`.
        options: Its other arguments, by name.
    """
    resident = getattr(x, "kerasae_resident", None)
    if resident is not None:
        return Samples((resident.values,), resident.size, resident.batch_size, resident)
    given = tuple(part for part in (x, y, options.get("sample_weight")) if part is not None)
    if not all(map(_is_in_memory, given)) or options.get("shuffle") == "batch":
        return None
    size = given[0].shape[0]
    share, steps = options.get("validation_split"), options.get("steps_per_epoch")
    if share and options.get("validation_data") is None:
        size = math.floor(size * (1.0 - share))
        if size in (0, given[0].shape[0]):
            return None  # Keras says what is wrong.
    batch_size = options.get("batch_size") or (math.ceil(size / steps) if steps else 32)
    return Samples(given, size, int(batch_size))


def _is_in_memory(part: Any) -> bool:
    """Return whether an argument of `fit` is an array or tensor of numbers, not too large."""
    import tensorflow as tf

    if isinstance(part, tf.Tensor):
        return True
    of_jax = type(part).__module__.partition(".")[0] in ("jax", "jaxlib")
    if not of_jax and (not isinstance(part, np.ndarray) or isinstance(part, np.memmap)):
        return False
    return part.dtype.kind in "fiub" and part.nbytes <= _COPIED


def _tensor(part: Any) -> Any:
    """Return an array as a tensor, of the type that Keras would give it."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        tensor = part if isinstance(part, tf.Tensor) else tf.constant(np.asarray(part))
        return tf.cast(tensor, keras.config.floatx()) if tensor.dtype.is_floating else tensor
