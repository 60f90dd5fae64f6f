"""Train, validation and test: which row belongs to which, and `Splits`, what is made of them."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.data.pipelines import Epoch, Resident, stream_pipeline
from kerasae.data.rows import SPLITS, Loaded, Reader, bad, rebatch
from kerasae.errors import check_whole

if TYPE_CHECKING:
    import tensorflow as tf


def uniform_hash(rows: np.ndarray, seed: int) -> np.ndarray:
    """Map row numbers to [0, 1) by SplitMix64, the same for a row whatever is read around it.

    References:
        Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    z = (rows + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z ^= np.array([seed * 0xD1342543DE82EF95 % 2**64], np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def assign(
    count: int,
    labels: np.ndarray | None,
    parts: dict[str, np.ndarray],
    shares: dict[str, float],
    limit: int | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Give each row a split, in proportion within each class.

    Args:
        count: Number of rows.
        labels: `(count,)` integers to stratify by, or None.
        parts: Splits the source defines; they stay as they are.
        shares: Share (below 1) or number of the training rows to set aside, for validation and
            test.
        limit: At most this many rows in total, every split shortened in proportion.
        seed: Seed of the draws.

    Returns:
        Sorted row numbers by split.
    """
    rng = np.random.default_rng(seed)
    rest = parts["train"] if parts else np.arange(count)
    out = dict(parts)
    whole = len(rest)
    for split in ("test", "validation"):
        if split not in parts:
            share = shares[split]
            number = int(share) if share >= 1 else max(round(share * whole), int(share > 0))
            out[split] = _draw(rest, number, labels, rng)
            rest = np.setdiff1d(rest, out[split], assume_unique=True)
    out["train"] = rest
    total = sum(len(rows) for rows in out.values())
    if limit is not None and limit < total:
        for split in ("test", "validation"):
            out[split] = _draw(out[split], round(len(out[split]) * limit / total), labels, rng)
        left = limit - len(out["test"]) - len(out["validation"])
        out["train"] = _draw(out["train"], left, labels, rng)
    return {split: np.sort(out[split]) for split in SPLITS}


def _draw(
    rows: np.ndarray, number: int, labels: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Draw `number` of `rows`: every class gives its share, to within one row."""
    number = min(number, len(rows))
    if number == 0:
        return rows[:0]
    order = rng.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    evenly = (np.arange(number) + rng.random()) * len(order) / number
    return np.sort(order[np.minimum(evenly.astype(np.int64), len(order) - 1)])


class Splits:
    """Train, validation and test data of one source. Made by `kerasae.data.load`.

    `train`, `validation` and `test` are `tf.data.Dataset`s of batches of `x` only, ready for
    `fit`; the last batch may be shorter. `validation` and `test` come in file order. `train` is
    shuffled, in an order that depends on the seed and the epoch only: every pass takes the current
    epoch and moves it on by one, and `set_epoch` says which epoch the next pass is, so that a
    resumed training sees the order it would have seen.

    Attributes:
        name: Name of the source.
        shape: Shape of one sample, without the batch.
        dtype: "uint8" or "float32".
        value_range: Smallest and largest value; (0, 255) for uint8. For float32, measured on the
            training split in memory, on all rows of a streamed file.
        sizes: Number of samples by split.
        labels: `(n,)` int64 by split, in the order of `array(split)`, or None.
        class_names: Names of labels 0, 1, ..., or None.
        extras: What else the source knows: name -> split -> array of n rows.
        streamed: Whether the rows are read from the file in every epoch.
        batch_size: Samples per batch.
        seed: Seed of the split and of the order.

    Example:
        ```python
        splits = kerasae.data.load("digits")
        splits.shape, splits.sizes["train"]    # (8, 8, 1), 1437
        ae.fit(splits.train, validation_data=splits.validation)
        ```
    """

    def __init__(self, store: Any, loaded: Loaded, batch_size: int) -> None:
        self.name = loaded.name
        self.shape = store.shape
        self.dtype = store.dtype
        self.value_range = store.value_range
        self.sizes = {split: store.size(split) for split in SPLITS}
        self.labels = {split: store.select(loaded.labels, split) for split in SPLITS}
        self.class_names = loaded.class_names
        self.extras = {
            key: {split: store.select(values, split) for split in SPLITS}
            for key, values in loaded.extras.items()
        }
        self.streamed = store.streamed
        self.batch_size = batch_size
        self.seed = store.seed
        self._store = store
        self._epoch = Epoch()
        self._datasets: dict[str, Any] = {}
        self._label_name: str | None = None

    @property
    def train(self) -> "tf.data.Dataset":
        """Training batches, shuffled."""
        return self._dataset("train")

    @property
    def validation(self) -> "tf.data.Dataset":
        """Validation batches in file order."""
        return self._dataset("validation")

    @property
    def test(self) -> "tf.data.Dataset":
        """Test batches in file order."""
        return self._dataset("test")

    def _dataset(self, split: str) -> "tf.data.Dataset":
        if split not in self._datasets:
            epoch = self._epoch if split == "train" else None
            further = {} if self._label_name is None else {self._label_name: self.labels}
            self._datasets[split] = self._store.dataset(split, self.batch_size, epoch, further)
        return self._datasets[split]

    def with_labels(self, name: str) -> "Splits":
        """Return the same splits with dictionaries as batches, `{"x": samples, name: labels}`.

        Orders and epochs are those of these splits; a label that is missing is -1.

        Args:
            name: Name of the labels in a batch, such as `"condition"`.

        Raises:
            ValueError: The data have no labels, or are streamed.
        """
        if self.streamed or self.labels["train"] is None:
            raise bad(
                "Labels as an input need data in memory that have labels.",
                data=self.name,
                streamed=self.streamed,
            )
        labelled = copy.copy(self)
        labelled._datasets, labelled._label_name = {}, name
        return labelled

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass over `train` belongs to.

        Args:
            epoch: Counted from 0. Call it before each epoch, for example from a callback's
                `on_epoch_begin`, to make a resumed training repeat the same order.
        """
        self._epoch.set(check_whole("epoch", epoch, 0))

    def array(self, split: str, limit: int | None = None) -> np.ndarray:
        """Return a split as one array in file order.

        Args:
            split: "train", "validation" or "test".
            limit: Only the first `limit` samples. Give one when the data is streamed.

        Returns:
            `(n, *shape)` of `dtype`.
        """
        if split not in SPLITS:
            raise bad(f"`split` must be one of {', '.join(map(repr, SPLITS))}.", split=split)
        if limit is not None:
            limit = check_whole("limit", limit, 0, optional=True)
        return self._store.array(split, limit)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {count}" for split, count in self.sizes.items())
        kind = "streamed" if self.streamed else "in memory"
        return f"<Splits {self.name!r}: {self.shape} {self.dtype}, {sizes}, {kind}>"


class MemoryStore:
    """All rows in one array; a split is a sorted array of row numbers.

    Args:
        x: The rows.
        rows: Number of the row where each sample begins, by split.
        seed: Seed of the order.
        length: Rows of a sample; None for a sample per row.
        measured: The rows whose range is that of the data; those of train by default.
    """

    streamed = False

    def __init__(
        self,
        x: np.ndarray,
        rows: dict[str, np.ndarray],
        seed: int,
        length: int | None = None,
        measured: np.ndarray | None = None,
    ) -> None:
        self.x, self.rows, self.seed, self.length = x, rows, seed, length
        self.shape = x.shape[1:] if length is None else (length, *x.shape[1:])
        self.dtype = x.dtype.name
        self._resident: Any = None
        self.value_range = (0.0, 255.0)
        if self.dtype != "uint8":
            chunks = _chunks(x, rows["train"]) if measured is None else [measured]
            extremes = [(float(chunk.min()), float(chunk.max())) for chunk in chunks]
            lows, highs = zip(*extremes, strict=True)
            self.value_range = (min(lows), max(highs))

    def size(self, split: str) -> int:
        """Return the number of samples of a split."""
        return len(self.rows[split])

    def select(self, values: np.ndarray | None, split: str) -> np.ndarray | None:
        """Return the entries of a per-row array that belong to a split; windows have none."""
        return None if values is None or self.length else values[self.rows[split]]

    def array(self, split: str, limit: int | None) -> np.ndarray:
        """Return the first samples of a split; evenly spaced windows are a read-only view."""
        rows = self.rows[split][:limit]
        if self.length is None:
            return self.x[rows]
        view = np.lib.stride_tricks.sliding_window_view(self.x, self.length, axis=0)
        view = np.moveaxis(view, -1, 1)
        distances = np.diff(rows)
        if len(distances) and (distances == distances[0]).all():
            return view[rows[0] : rows[-1] + 1 : distances[0]]
        return view[rows]

    def dataset(
        self,
        split: str,
        batch_size: int,
        epoch: Epoch | None,
        further: dict[str, dict[str, np.ndarray]] | None = None,
    ) -> "tf.data.Dataset":
        """Return the pipeline of a split; all splits gather from one resident tensor.

        Args:
            split: Name of the split.
            batch_size: Samples per batch.
            epoch: What orders training batches, or None.
            further: Name to arrays by split: further entries of each batch, which is then a
                dictionary.
        """
        import tensorflow as tf

        if self._resident is None:
            with tf.device("CPU:0"):
                self._resident = tf.constant(self.x)
        rows = self.rows[split]
        resident = Resident(self._resident, rows, batch_size, self.seed, epoch, self.length)
        if not further:
            return resident.dataset()
        by_row = {}
        for name, arrays in further.items():
            values = np.full(len(self.x), -1, "int32")
            values[rows] = arrays[split]
            by_row[name] = tf.constant(values)

        def batch(chosen: "tf.Tensor") -> dict[str, "tf.Tensor"]:
            others = {name: tf.gather(values, chosen) for name, values in by_row.items()}
            return {"x": resident.batch(chosen), **others}

        return resident.row_numbers(batch_size).map(batch)


def _chunks(x: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the given rows in chunks, because indexing copies."""
    return (x[rows[start : start + 4096]] for start in range(0, len(rows), 4096))


class StreamStore:
    """Rows read from files in every pass; a hash of the row number says which split a row is in."""

    streamed = True

    def __init__(self, loaded: Loaded, shares: dict[str, float], seed: int, window: int) -> None:
        assert isinstance(loaded.x, Reader)
        assert loaded.starts is not None
        self.reader, self.starts, self.seed = loaded.x, loaded.starts, seed
        self.shape, self.dtype = self.reader.shape, self.reader.dtype
        self.value_range = loaded.value_range
        self.shares, self.window = shares, max(1, window // self.reader.row_bytes)
        self._sizes = dict.fromkeys(SPLITS, 0)
        total = int(self.starts[-1])
        for start in range(0, total, 1 << 20):
            count = min(1 << 20, total - start)
            for split in SPLITS:
                self._sizes[split] += int(self._member(split, start, count).sum())

    def size(self, split: str) -> int:
        """Return the number of rows of a split."""
        return self._sizes[split]

    def select(self, values: np.ndarray | None, split: str) -> np.ndarray | None:
        """Return the entries of a per-row array that belong to a split."""
        return None if values is None else values[self._member(split, 0, len(values))]

    def array(self, split: str, limit: int | None) -> np.ndarray:
        """Return the first rows of a split."""
        count = self._sizes[split] if limit is None else min(limit, self._sizes[split])
        out = np.empty((count, *self.shape), self.dtype)
        filled = 0
        for piece in self.pieces(split, range(self.reader.blocks)):
            if filled == count:
                break
            taken = piece[: count - filled]
            out[filled : filled + len(taken)] = taken
            filled += len(taken)
        return out

    def dataset(
        self, split: str, batch_size: int, epoch: Epoch | None, further: Any = None
    ) -> "tf.data.Dataset":
        """Return the pipeline of a split, as that of a `MemoryStore` without further entries."""

        def batches() -> Iterator[np.ndarray]:
            if epoch is None:
                return rebatch(self.pieces(split, range(self.reader.blocks)), batch_size)
            return rebatch(self.shuffled(split, epoch.advance()), batch_size)

        steps = -(-self._sizes[split] // batch_size)
        return stream_pipeline(batches, self.shape, self.dtype, steps)

    def pieces(self, split: str, blocks: Any) -> Iterator[np.ndarray]:
        """Yield the rows of a split, block by block."""
        for block in blocks:
            row = int(self.starts[block])
            for x, _ in self.reader.read(int(block)):
                yield x[self._member(split, row, len(x))]
                row += len(x)

    def shuffled(self, split: str, epoch: int) -> Iterator[np.ndarray]:
        """Yield the rows of a split: blocks in random order, rows shuffled within a window."""
        rng = np.random.default_rng((self.seed, epoch))
        for held in rebatch(self.pieces(split, rng.permutation(self.reader.blocks)), self.window):
            yield held[rng.permutation(len(held))]

    def _member(self, split: str, start: int, count: int) -> np.ndarray:
        """Return which of `count` rows from `start` on are in the split."""
        rows = np.arange(start, start + count, dtype=np.uint64)
        u = uniform_hash(rows, self.seed)
        edges = np.cumsum([0.0, self.shares["test"], self.shares["validation"]])
        low, high = {
            "test": (edges[0], edges[1]),
            "validation": (edges[1], edges[2]),
            "train": (edges[2], self.shares["kept"]),
        }[split]
        return (u >= low) & (u < high)
