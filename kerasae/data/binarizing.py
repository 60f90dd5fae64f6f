"""Grey values made 0 or 1, in three ways that are three different data sets."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.data.pipelines import AHEAD, Epoch, untuned
from kerasae.data.rows import Loaded, Reader, bad
from kerasae.data.splits import uniform_hash

if TYPE_CHECKING:
    import tensorflow as tf

KINDS = ("threshold", "static", "dynamic")
_CHUNK = 1 << 20


def check_kind(kind: Any) -> None:
    """Refuse what is not a way to binarize."""
    if kind is not None and kind not in KINDS:
        raise bad(f"`binarize` must be None or one of {', '.join(KINDS)}.", binarize=kind)


def fixed(loaded: Loaded, kind: str, seed: int) -> Loaded:
    """Return the data with every value 0 or 1, float32, the same at every reading.

    Args:
        loaded: uint8, taken as 0 to 255, or float32 values in [0, 1].
        kind: `"threshold"`: 1 from the middle on. Otherwise 1 with the value as probability,
            drawn by `seed`, row number and place in the row: alike in memory and streamed.
        seed: Seed of the draw.

    Raises:
        ValueError: Values are not in [0, 1].
    """
    x = loaded.x
    _check_range(loaded)
    if isinstance(x, np.ndarray):
        out = np.empty(x.shape, np.float32)
        rows = max(1, _CHUNK // max(1, x[0].size))
        for start in range(0, len(x), rows):
            out[start : start + rows] = _binarized(x[start : start + rows], kind, start, seed)
        return dataclasses.replace(loaded, x=out)
    assert loaded.starts is not None
    starts, read = loaded.starts, x.read

    def binary(block: int) -> Iterator[tuple[np.ndarray, Any]]:
        row = int(starts[block])
        for piece, labels in read(block):
            yield _binarized(piece, kind, row, seed), labels
            row += len(piece)

    reader = dataclasses.replace(x, dtype="float32", read=binary)
    return dataclasses.replace(loaded, x=reader, value_range=(0.0, 1.0))


def _check_range(loaded: Loaded) -> None:
    if isinstance(loaded.x, Reader):
        low, high = loaded.value_range or (0.0, 1.0)
        whole = loaded.x.dtype == "uint8"
    else:
        low, high = float(loaded.x.min()), float(loaded.x.max())
        whole = loaded.x.dtype == np.uint8
    if whole and high == 1:
        raise bad(
            f"`binarize` takes uint8 as 0 to 255, but {loaded.name!r} goes to 1; "
            "convert 0 and 1 to float32, and leave binarize out.",
            source=loaded.name,
        )
    if not whole and (low < 0 or high > 1):
        raise bad(
            f"`binarize` needs uint8, or values in [0, 1], but {loaded.name!r} has values from "
            f"{low:g} to {high:g}.",
            source=loaded.name,
        )


def _binarized(x: np.ndarray, kind: str, first_row: int, seed: int) -> np.ndarray:
    """Return consecutive rows as 0 or 1, float32."""
    probability = x / np.float32(255) if x.dtype == np.uint8 else x
    if kind == "threshold":
        return (probability >= 0.5).astype(np.float32)
    size = int(np.prod(x.shape[1:]))
    places = np.arange(first_row * size, (first_row + len(x)) * size, dtype=np.uint64)
    # Splits are drawn by the hash of row number and seed: another seed, or rows would be chosen
    # by the numbers that binarize them.
    drawn = uniform_hash(places, (seed + 0x5851F42D4C957F2D) % 2**63).reshape(x.shape)
    return (drawn < probability).astype(np.float32)


class DynamicStore:
    """Rows binarized anew in every pass over the training data; elsewhere one fixed draw.

    Args:
        grey: Store of the values as they are.
        drawn: Store of a fixed draw of the same rows.
    """

    def __init__(self, grey: Any, drawn: Any) -> None:
        self._grey, self._drawn = grey, drawn
        self.shape, self.dtype, self.streamed = drawn.shape, drawn.dtype, drawn.streamed
        self.value_range, self.seed = drawn.value_range, drawn.seed
        self.size, self.select, self.array = drawn.size, drawn.select, drawn.array

    def dataset(
        self, split: str, batch_size: int, epoch: Epoch | None, further: Any = None
    ) -> "tf.data.Dataset":
        """Return the pipeline of a split; further entries are those of a `MemoryStore`."""
        if epoch is None:
            return self._drawn.dataset(split, batch_size, epoch, further)
        import tensorflow as tf

        grey = self._grey.dataset(split, batch_size, epoch, further)
        highest = 255.0 if self._grey.dtype == "uint8" else 1.0

        def one_pass(_: "tf.Tensor") -> "tf.data.Dataset":
            # Read before the pass inside begins and moves it on.
            current = epoch.variable.read_value()

            def draw(batch: "tf.Tensor", x: Any) -> Any:
                values = x["x"] if isinstance(x, dict) else x
                probability = tf.cast(values, tf.float32) / highest
                # The shuffle takes (seed, epoch): other numbers here.
                seed = tf.stack([tf.constant(~self.seed, tf.int64), current * 2**32 + batch])
                drawn = tf.random.stateless_uniform(tf.shape(values), seed, alg="philox")
                binary = tf.cast(drawn < probability, tf.float32)
                return {**x, "x": binary} if isinstance(x, dict) else binary

            return grey.enumerate().map(draw, num_parallel_calls=AHEAD, deterministic=True)

        dataset = tf.data.Dataset.from_tensors(0).flat_map(one_pass)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(grey.cardinality()))
        return untuned(dataset.prefetch(AHEAD))
