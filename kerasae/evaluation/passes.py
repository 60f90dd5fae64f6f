"""Passes over data as models see them: scaled, corrupted, flat, sampled."""

import contextlib
import math
import operator
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasae.models.autoencoder import forward, without

# Rows at a time at most, and numbers in them: 16 MiB of float32.
ROWS, NUMBERS = 1024, 2**22
# Bytes of raw samples that are kept.
KEPT = 2**27


def rows_of(shape: Any) -> int:
    """Return how many samples of a shape go through a model at a time.

    Args:
        shape: Shape of one sample.
    """
    return max(1, min(ROWS, NUMBERS // max(1, math.prod(shape))))


def check_split(splits: Any, split: Any) -> None:
    """Refuse a split that there is not, or that holds nothing."""
    if not hasattr(splits, "sizes"):
        raise ValueError(
            "splits must be a kerasae.data.Splits, as kerasae.data.load gives them. "
            f"Received: splits of type {type(splits).__name__}"
        )
    known = tuple(splits.sizes)
    if split not in known:
        raise ValueError(
            f"split must be one of {', '.join(map(repr, known))}. Received: split={split!r}"
        )
    if not splits.sizes[split]:
        raise ValueError(
            f"split must hold at least one sample, this one is empty. Received: split={split!r}"
        )


def check_fits(ae: Any, splits: Any) -> None:
    """Refuse what is no autoencoder, or one of samples of another shape."""
    shape = getattr(ae, "sample_shape", None)
    if shape is None:
        raise ValueError(f"ae must be an Autoencoder. Received: ae of type {type(ae).__name__}")
    if tuple(splits.shape) != tuple(shape):
        raise ValueError(
            f"splits must have samples of shape {tuple(shape)}, as the model takes. "
            f"Received: samples of shape {tuple(splits.shape)}"
        )


def whole_numbers(name: str, values: Any, least: int) -> list[int]:
    """Return one whole number, or several, as a list; NumPy's are taken too.

    Args:
        name: What to call them in the message.
        values: A whole number or a sequence of them, at least one.
        least: Smallest number allowed.
    """
    given = [values] if not np.iterable(values) else list(values)
    try:
        numbers = [operator.index(value) for value in given]
    except TypeError:
        numbers = []
    if not numbers or min(numbers) < least or any(isinstance(v, (bool, np.bool_)) for v in given):
        raise ValueError(
            f"{name} must be one whole number >= {least}, or several of them. "
            f"Received: {name}={values!r}"
        )
    return numbers


def reconstruction_model(ae: Any) -> keras.Model:
    """Return a Keras model from scaled input to scaled reconstruction, without noise.

    The parts of `ae` in a row, between its scaler and the inverse of it. A denoising model
    takes corrupted input here, which raw uint8 could not hold.

    Args:
        ae: An `Autoencoder`.
    """
    inputs, pass_ = scaled_pass(ae)
    return keras.Model(inputs, ae.output_activation(pass_.decoded), name="scaled_reconstruction")


def scaled_pass(ae: Any) -> tuple[Any, Any]:
    """Return symbolic scaled input, and the pass from there on, without corruption and noise."""
    inputs = keras.Input(ae.sample_shape, name="scaled")
    return inputs, forward(without(ae, "scaler", "corruption"), inputs, training=False)


def representation_model(ae: Any) -> keras.Model:
    """Return a Keras model from scaled input to what stands for a sample, `(batch, units)`."""
    inputs, pass_ = scaled_pass(ae)
    return keras.Model(inputs, ae.recipe.representation(pass_), name="representation")


def reconstruct(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the output of a `reconstruction_model` for one batch; nothing is compiled for it."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def corrupt(ae: Any, x: Any, seed: int) -> np.ndarray:
    """Return a corrupted copy of `x`, both in scaled units, as training would see it.

    Args:
        ae: An `Autoencoder` with a corruption.
        x: Array `(batch, ...)`, in scaled units.
        seed: Seed of the draw, where the corruption is one of kerasae's.
    """
    if ae.corruption is None:
        raise ValueError(f"ae must have a corruption. Received: variant={ae.variant!r}")
    by_hand = getattr(ae.corruption, "corrupt", None)
    noisy = ae.corruption(x, training=True) if by_hand is None else by_hand(x, seed)
    return keras.ops.convert_to_numpy(noisy)


def scale(ae: Any, x: Any) -> np.ndarray:
    """Return raw `x` in the units in which the loss is taken, float32."""
    scaled = x if ae.scaler is None else ae.scaler(x)
    return np.asarray(keras.ops.convert_to_numpy(scaled), "float32")


def scaled_batches(
    ae: Any, dataset: Any, seed: int = 0, corrupted: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of scaled input, clean and as the model would be given it in training.

    Args:
        ae: An `Autoencoder`.
        dataset: Raw batches: a `tf.data.Dataset`, an iterable of arrays, or one array.
        seed: Seed of the corruption.
        corrupted: Whether to corrupt where `ae` does.
    """
    for number, batch in enumerate(raw_batches(dataset, rows_of(ae.sample_shape))):
        clean = scale(ae, batch)
        noisy = corrupted and ae.corruption is not None
        yield clean, corrupt(ae, clean, seed + number) if noisy else clean


def raw_batches(dataset: Any, rows: int) -> Iterator[Any]:
    """Yield batches of at most `rows` rows of raw input from what `scaled_batches` takes."""
    if hasattr(dataset, "shape"):
        dataset = [dataset]
    for batch in dataset.rebatch(rows) if hasattr(dataset, "rebatch") else dataset:
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        for start in range(0, len(x), rows):
            yield x[start : start + rows]


def head(ae: Any, dataset: Any, limit: int) -> np.ndarray:
    """Return the first rows of a data set, scaled, flat, float32, `(at most limit, features)`."""
    kept = np.empty((limit, math.prod(ae.sample_shape)), "float32")
    count = 0
    for clean, _ in scaled_batches(ae, dataset, corrupted=False):
        taken = clean.reshape(len(clean), -1)[: limit - count]
        kept[count : count + len(taken)] = taken
        count += len(taken)
        if count == limit:
            break
    return kept[:count]


@contextlib.contextmanager
def same_order(splits: Any) -> Iterator[None]:
    """Let training batches come in the order of epoch 0 inside, and as before after it.

    Noise is drawn by the batch: in another order the same seed gives other numbers.
    """
    epoch = int(splits._epoch.variable.numpy())
    splits.set_epoch(0)
    try:
        yield
    finally:
        splits.set_epoch(epoch)


def flat(x: Any) -> np.ndarray:
    """Return a batch as float64 rows `(batch, features)`."""
    x = np.asarray(x, "float64")
    return x.reshape(len(x), -1)


def peak(ae: Any, splits: Any) -> float | None:
    """Return the range of the data in scaled units where it is [0, 1], so 1, or None."""
    from kerasae.layers import UnitScale

    low, high = splits.value_range or (-math.inf, math.inf)
    unit = isinstance(ae.scaler, UnitScale) or (ae.scaler is None and low >= 0 and high <= 1)
    return 1.0 if unit else None


def sample(
    splits: Any, split: str, limit: int, seed: int, least: int = 0
) -> tuple[np.ndarray, Any]:
    """Return at most `limit` rows of a split, raw, and their labels or None.

    The rows are drawn at random by `seed` and stay in file order. Of streamed data they are
    the first ones, since others would take a pass over the file. They take 128 MiB at most,
    or as much as `least` rows need.

    Args:
        splits: A `kerasae.data.Splits`.
        split: Name of the split.
        limit: Largest number of rows.
        seed: Seed of the draw.
        least: Rows that are needed, whatever they take.
    """
    size = splits.sizes[split]
    labels = splits.labels[split]
    limit = max(least, at_most(splits, limit))
    if splits.streamed or size <= limit:
        x = splits.array(split, limit)
        return x, None if labels is None else labels[: len(x)]
    rows = np.sort(np.random.default_rng(seed).choice(size, limit, replace=False))
    store = getattr(splits, "_store", None)
    # Data in memory give single rows; a copy of the whole split would be taken otherwise.
    x = splits.array(split)[rows] if store is None else store.x[store.rows[split][rows]]
    return x, None if labels is None else labels[rows]


def at_most(splits: Any, limit: int) -> int:
    """Return `limit`, or fewer rows where that many would take more than 128 MiB."""
    row = math.prod(splits.shape) * np.dtype(splits.dtype).itemsize
    return min(limit, max(32, KEPT // max(1, row)))
