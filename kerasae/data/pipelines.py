"""tf.data pipelines. TensorFlow is imported when one is made, not before."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


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


def gather_pipeline(
    resident: "tf.Tensor",
    rows: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: Epoch | None,
    length: int | None = None,
) -> "tf.data.Dataset":
    """Batches gathered from one resident tensor, a whole batch at a time.

    Args:
        resident: `(n, ...)` all samples.
        rows: Row numbers of the split.
        batch_size: Samples per batch; the last batch may be shorter.
        seed: Seed of the order.
        epoch: Shuffle by `seed` and this epoch, and advance it; None keeps the order of `rows`.
        length: Rows of a sample, which begins at its row number; None for a sample per row.
    """
    import tensorflow as tf

    with tf.device("CPU:0"):
        index = tf.constant(rows, dtype=tf.int64)
    size = len(rows)

    def gather(chosen: "tf.Tensor") -> "tf.Tensor":
        if length is not None:
            chosen = chosen[:, None] + tf.range(length, dtype=tf.int64)
        return tf.gather(resident, chosen)

    def one_pass(_: "tf.Tensor") -> "tf.data.Dataset":
        order = index
        if epoch is not None:
            current = epoch.variable.read_value()
            # Philox by name: "auto_select" may choose another generator on other hardware.
            with tf.control_dependencies([current]):
                advanced = epoch.variable.assign_add(1, read_value=False)
            with tf.control_dependencies([advanced]):
                order = tf.random.experimental.stateless_shuffle(
                    index, seed=tf.stack([tf.constant(seed, tf.int64), current]), alg="philox"
                )
        starts = tf.data.Dataset.range(0, size, batch_size)
        return starts.map(
            lambda start: gather(order[start : start + batch_size]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    dataset = tf.data.Dataset.from_tensors(0).flat_map(one_pass)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-size // batch_size)))
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    # `fit` of an Autoencoder fetches that many batches by chunks without a look at them.
    dataset.kerasae_full_batches = size // batch_size
    return dataset


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
    return dataset.prefetch(4)
