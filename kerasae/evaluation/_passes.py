"""Passes over data as models see them: scaled, corrupted, flat, sampled."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# Rows at a time.
ROWS = 1024


def reconstruction_model(ae: Any) -> keras.Model:
    """Return a Keras model from scaled input to scaled reconstruction, without noise.

    The parts of `ae` in a row, between its scaler and the inverse of it. A denoising model
    takes corrupted input here, which raw uint8 could not hold.

    Args:
        ae: An `Autoencoder`.
    """
    inputs = x = keras.Input(ae.sample_shape, name="scaled")
    for part in (ae.encoder_network, ae.bottleneck, ae.decoder_network, ae.output_activation):
        x = x if part is None else part(x)
    return keras.Model(inputs, x, name="scaled_reconstruction")


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
    for number, batch in enumerate(raw_batches(dataset)):
        clean = scale(ae, batch)
        noisy = corrupted and ae.corruption is not None
        yield clean, corrupt(ae, clean, seed + number) if noisy else clean


def raw_batches(dataset: Any) -> Iterator[Any]:
    """Yield batches of at most `ROWS` rows of raw input from what `scaled_batches` takes."""
    if hasattr(dataset, "shape"):
        for start in range(0, len(dataset), ROWS):
            yield dataset[start : start + ROWS]
        return
    for batch in dataset.rebatch(ROWS) if hasattr(dataset, "rebatch") else dataset:
        yield batch[0] if isinstance(batch, (tuple, list)) else batch


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


def sample(splits: Any, split: str, limit: int, seed: int) -> tuple[np.ndarray, Any]:
    """Return at most `limit` rows of a split, raw, and their labels or None.

    The rows are drawn at random by `seed` and stay in file order. Of streamed data they are
    the first ones, since others would take a pass over the file.

    Args:
        splits: A `kerasae.data.Splits`.
        split: Name of the split.
        limit: Largest number of rows.
        seed: Seed of the draw.
    """
    size = splits.sizes[split]
    labels = splits.labels[split]
    if splits.streamed or size <= limit:
        x = splits.array(split, limit)
        return x, None if labels is None else labels[: len(x)]
    rows = np.sort(np.random.default_rng(seed).choice(size, limit, replace=False))
    return splits.array(split)[rows], None if labels is None else labels[rows]
