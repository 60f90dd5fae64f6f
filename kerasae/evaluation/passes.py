"""Passes over data in the form that models see: scaled, corrupted, flattened, sampled."""

import contextlib
import math
import operator
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasae.models.autoencoder import forward, without

# Largest number of rows, and of entries, in a batch: 16 MiB of float32.
ROWS, NUMBERS = 1024, 2**22
# Largest size of raw samples to keep, in bytes.
KEPT = 2**27


def rows_of(shape: Any) -> int:
    """Return the number of samples per batch for samples of a shape.

    Args:
        shape: Shape of one sample.
    """
    return max(1, min(ROWS, NUMBERS // max(1, math.prod(shape))))


def check_split(splits: Any, split: Any) -> None:
    """Raise ValueError if the split does not exist or is empty."""
    if not hasattr(splits, "sizes"):
        raise ValueError(
            "splits must be a kerasae.data.Splits, as kerasae.data.load returns. "
            f"Received: splits of type {type(splits).__name__}"
        )
    known = tuple(splits.sizes)
    if split not in known:
        raise ValueError(
            f"split must be one of {', '.join(map(repr, known))}. Received: split={split!r}"
        )
    if not splits.sizes[split]:
        raise ValueError(
            f"split must contain at least one sample. Received: split={split!r}, which is empty"
        )


def check_fits(ae: Any, splits: Any) -> None:
    """Raise ValueError if `ae` is not an autoencoder for samples of the shape of the data."""
    shape = getattr(ae, "sample_shape", None)
    if shape is None:
        raise ValueError(f"ae must be an Autoencoder. Received: ae of type {type(ae).__name__}")
    if tuple(splits.shape) != tuple(shape):
        raise ValueError(
            f"splits must have samples of shape {tuple(shape)}, like the model's input. "
            f"Received: samples of shape {tuple(splits.shape)}"
        )


def whole_numbers(name: str, values: Any, least: int) -> list[int]:
    """Return one or several whole numbers as a list; NumPy integers are accepted.

    Args:
        name: Name of the argument, for the error message.
        values: A whole number or a non-empty sequence of them.
        least: Smallest allowed number.
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

    The model consists of the parts of `ae` between its scaler and the scaler's inverse. Its
    input may be corrupted, which raw uint8 could not represent.

    Args:
        ae: An `Autoencoder`.
    """
    inputs, pass_ = scaled_pass(ae)
    return keras.Model(inputs, ae.output_activation(pass_.decoded), name="scaled_reconstruction")


def scaled_pass(ae: Any) -> tuple[Any, Any]:
    """Return symbolic scaled input and the pass that follows, without corruption or noise."""
    inputs = keras.Input(ae.sample_shape, name="scaled")
    return inputs, forward(without(ae, "scaler", "corruption"), inputs, training=False)


def representation_model(ae: Any) -> keras.Model:
    """Return a Keras model from scaled input to the representation, `(batch, units)`."""
    inputs, pass_ = scaled_pass(ae)
    return keras.Model(inputs, ae.recipe.representation(pass_), name="representation")


def reconstruct(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the output of a `reconstruction_model` for one batch, without compiling."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def corrupt(ae: Any, x: Any, seed: int) -> np.ndarray:
    """Return a copy of `x`, in scaled units, corrupted as in training.

    Args:
        ae: An `Autoencoder` with a corruption.
        x: Array `(batch, ...)`, in scaled units.
        seed: Seed of the draw, if the corruption is one of kerasae's.
    """
    if ae.corruption is None:
        raise ValueError(f"ae must have a corruption. Received: variant={ae.variant!r}")
    by_hand = getattr(ae.corruption, "corrupt", None)
    noisy = ae.corruption(x, training=True) if by_hand is None else by_hand(x, seed)
    return keras.ops.convert_to_numpy(noisy)


def scale(ae: Any, x: Any) -> np.ndarray:
    """Return raw `x` in scaled units, those of the loss, as float32."""
    scaled = x if ae.scaler is None else ae.scaler(x)
    return np.asarray(keras.ops.convert_to_numpy(scaled), "float32")


def scaled_batches(
    ae: Any, dataset: Any, seed: int = 0, corrupted: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of batches of scaled input, clean and as the model receives it in training.

    Args:
        ae: An `Autoencoder`.
        dataset: Raw batches: a `tf.data.Dataset`, an iterable of arrays, or one array.
        seed: Seed of the corruption.
        corrupted: Whether to apply the corruption of `ae`, if it has one.
    """
    for number, batch in enumerate(raw_batches(dataset, rows_of(ae.sample_shape))):
        clean = scale(ae, batch)
        noisy = corrupted and ae.corruption is not None
        yield clean, corrupt(ae, clean, seed + number) if noisy else clean


def raw_batches(dataset: Any, rows: int) -> Iterator[Any]:
    """Yield batches of at most `rows` rows of raw input from a data set, as `scaled_batches`."""
    if hasattr(dataset, "shape"):
        dataset = [dataset]
    for batch in dataset.rebatch(rows) if hasattr(dataset, "rebatch") else dataset:
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        for start in range(0, len(x), rows):
            yield x[start : start + rows]


def head(ae: Any, dataset: Any, limit: int) -> np.ndarray:
    """Return the first rows of a data set, scaled and flat, float32, `(<= limit, features)`."""
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
    """Iterate over training batches in the order of epoch 0 in this context.

    Noise is drawn per batch, so in a different order the same seed gives different values.
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
    """Return 1, the range of the data, if the scaled units are [0, 1], otherwise None."""
    from kerasae.layers import UnitScale

    low, high = splits.value_range or (-math.inf, math.inf)
    unit = isinstance(ae.scaler, UnitScale) or (ae.scaler is None and low >= 0 and high <= 1)
    return 1.0 if unit else None


def sample(
    splits: Any, split: str, limit: int, seed: int, least: int = 0
) -> tuple[np.ndarray, Any]:
    """Return at most `limit` raw rows of a split, and their labels or None.

    The rows are drawn at random with `seed` and remain in file order. For streamed data they are
    the first rows, since a random draw would require a pass over the file. They take at most
    128 MiB, or as much as `least` rows need.

    Args:
        splits: A `kerasae.data.Splits`.
        split: Name of the split.
        limit: Largest number of rows.
        seed: Seed of the draw.
        least: Number of rows that are needed regardless of their size.
    """
    size = splits.sizes[split]
    labels = splits.labels[split]
    limit = max(least, at_most(splits, limit))
    if splits.streamed or size <= limit:
        x = splits.array(split, limit)
        return x, None if labels is None else labels[: len(x)]
    rows = np.sort(np.random.default_rng(seed).choice(size, limit, replace=False))
    store = getattr(splits, "_store", None)
    # Data in memory are indexed directly, to avoid a copy of the whole split.
    x = splits.array(split)[rows] if store is None else store.x[store.rows[split][rows]]
    return x, None if labels is None else labels[rows]


def at_most(splits: Any, limit: int) -> int:
    """Return `limit`, or the number of rows that fit into 128 MiB if that is smaller."""
    row = math.prod(splits.shape) * np.dtype(splits.dtype).itemsize
    return min(limit, max(32, KEPT // max(1, row)))
