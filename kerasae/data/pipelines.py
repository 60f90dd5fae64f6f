"""tf.data pipelines. TensorFlow is imported when one is made, not before."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


# Batches made ahead, and at once.
AHEAD = 4


class Epoch:
    """The epoch of the next pass over the training data, read by pipelines when a pass begins."""

    def __init__(self) -> None:
        self._start = 0
        self._variable: Any = None

    @property
    def variable(self) -> "tf.Variable":
        """The epoch as an int64 variable on the CPU, where tf.data runs."""
        if self._variable is None:
            import tensorflow as tf

            with tf.init_scope(), tf.device("CPU:0"):
                self._variable = tf.Variable(self._start, dtype=tf.int64, trainable=False)
        return self._variable

    def set(self, epoch: int) -> None:
        """Set the epoch of the next pass."""
        self._start = epoch
        if self._variable is not None:
            self._variable.assign(epoch)

    def advance(self) -> int:
        """Return the epoch and move on by one."""
        epoch = int(self.variable.numpy())
        self.variable.assign(epoch + 1)
        return epoch


class Resident:
    """Samples in memory, and their order in every pass.

    Args:
        values: `(n, ...)` all rows.
        rows: Row numbers `(m,)`.
        batch_size: Samples per batch; the last batch may be shorter.
        seed: Seed of the order.
        epoch: Shuffle by `seed` and this epoch, and advance it; None keeps the order of `rows`.
        length: Rows of a sample, which begins at its row number; None for a sample per row.

    Attributes:
        size: Number of samples in a pass.
        steps: Number of batches in a pass.
        sample_bytes: Bytes of a sample.
    """

    def __init__(
        self,
        values: "tf.Tensor",
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        epoch: Epoch | None,
        length: int | None = None,
    ) -> None:
        import tensorflow as tf

        self.values, self.batch_size, self.length = values, batch_size, length
        self.size, self.steps = len(rows), -(-len(rows) // batch_size)
        self._seed, self._epoch = seed, epoch
        row_bytes = values.dtype.size * values.shape[1:].num_elements()
        self.sample_bytes = (length or 1) * row_bytes
        with tf.device("CPU:0"):
            self._rows = tf.constant(rows, dtype=tf.int64)

    def order(self) -> "tf.Tensor":
        """Return the row numbers of the next pass, and move the epoch on."""
        if self._epoch is None:
            return self._rows
        import tensorflow as tf

        current = self._epoch.variable.read_value()
        with tf.control_dependencies([current]):
            advanced = self._epoch.variable.assign_add(1, read_value=False)
        # Philox by name: "auto_select" may choose another generator on other hardware.
        with tf.control_dependencies([] if advanced is None else [advanced]):
            seed = tf.stack([tf.constant(self._seed, tf.int64), current])
            return tf.random.experimental.stateless_shuffle(self._rows, seed=seed, alg="philox")

    def batch(self, chosen: "tf.Tensor") -> "tf.Tensor":
        """Return the samples that begin at the chosen row numbers."""
        return take(self.values, chosen, self.length)

    def row_numbers(self, count: int) -> "tf.data.Dataset":
        """Return a pipeline of the row numbers of `count` samples at a time, in order."""
        import tensorflow as tf

        def one_pass(_: "tf.Tensor") -> "tf.data.Dataset":
            order = self.order()
            starts = tf.data.Dataset.range(0, self.size, count)
            return starts.map(lambda start: order[start : start + count])

        dataset = tf.data.Dataset.from_tensors(0).flat_map(one_pass)
        steps = -(-self.size // count)
        return untuned(dataset.apply(tf.data.experimental.assert_cardinality(steps)))

    def dataset(self) -> "tf.data.Dataset":
        """Return the pipeline, which gathers a whole batch at a time.

        Its attribute `kerasae_resident` is this object: `fit` of an `Autoencoder` gathers the rows
        of many steps at once by it.
        """
        rows = self.row_numbers(self.batch_size)
        gathered = rows.map(self.batch, num_parallel_calls=AHEAD, deterministic=True)
        dataset = untuned(gathered.prefetch(AHEAD))
        dataset.kerasae_resident = self
        return dataset


def take(values: "tf.Tensor", chosen: "tf.Tensor", length: int | None) -> "tf.Tensor":
    """Return the samples that begin at the chosen row numbers.

    Args:
        values: As `Resident` has them.
        chosen: Row numbers, of any shape.
        length: Rows of a sample; None for a sample per row.

    Returns:
        `(*chosen.shape, ...)`.
    """
    import tensorflow as tf

    if length is not None:
        chosen = chosen[..., None] + tf.range(length, dtype=chosen.dtype)
    return tf.gather(values, chosen)


def stream_pipeline(
    batches: Callable[[], Iterator[np.ndarray]], shape: tuple[int, ...], dtype: str, steps: int
) -> "tf.data.Dataset":
    """Batches from a Python generator that reads files.

    Args:
        batches: Begins a pass.
        shape: Shape of one sample.
        dtype: Type of the values.
        steps: Number of batches in a pass.
    """
    import tensorflow as tf

    signature = tf.TensorSpec((None, *shape), dtype)
    dataset = tf.data.Dataset.from_generator(lambda: batches(), output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    # A fixed depth bounds the memory; reading a file is what AUTOTUNE would answer with more.
    return untuned(dataset.prefetch(AHEAD))


def untuned(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Return a pipeline whose iterators have no thread that tunes them.

    To end that thread may take as long as the iterator has lived, up to a minute, in TensorFlow
    2.21: it is now and then woken before it is told to end. Python waits for it wherever the
    iterator is collected. What is made of the pipeline has none either.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
