"""Scores of series, and checks of the samples that an autoencoder is calibrated on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasae.anomaly import Folded, TrainingRows, windows
from kerasae.models import inputs


def as_series(ae: Any, series: Any) -> np.ndarray:
    """Return one long series as `(steps, ...)`, or raise ValueError if it does not fit."""
    shape = ae.sample_shape
    series = np.asarray(series)
    if shape[1:] == (1,) and series.ndim == 1:
        series = series[:, None]
    if len(shape) > 2 or series.ndim != len(shape) or series.shape[1:] != shape[1:]:
        wanted = ", ".join(["steps", *map(str, shape[1:])])
        raise ValueError(
            f"series must have shape ({wanted}) for this model with samples of shape {shape}: "
            f"time steps, or time steps and channels. Received: series of shape {series.shape}"
        )
    return series


def score_series(ae: Any, series: np.ndarray, stride: int, batch_size: int) -> np.ndarray:
    """Return the mean error of each time step over the windows that cover it."""
    length = ae.sample_shape[0]
    folded = Folded(len(series), length, stride)
    for i in range(0, len(folded.starts), batch_size):
        starts = folded.starts[i : i + batch_size]
        scores = ae.feature_scores(series[starts[:, None] + np.arange(length)], batch_size)
        folded.add(scores.reshape(*scores.shape[:2], -1).mean(axis=2))
    return folded.mean().astype("float32")


def windows_of(series: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Yield all windows of a series, in batches."""
    many = 4096
    for start in range(0, max(1, len(series) - length + 1), many):
        yield windows(series[start : start + many + length - 1], length)


def check_held_out(held_out: Any) -> None:
    """Raise ValueError for held-out data that are empty, endless or readable only once."""
    is_dataset = hasattr(held_out, "element_spec")
    if not is_dataset and not inputs.is_array(held_out):
        raise ValueError(
            "held_out must be an array or a tf.data.Dataset, which can be read more than once. "
            f"Received: held_out of type {type(held_out).__name__}"
        )
    if is_dataset and int(held_out.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("held_out must be finite; remove repeat(). Received: an endless dataset")
    if is_dataset and next(iter(held_out), None) is None:
        raise ValueError("held_out must hold at least one batch. Received: an empty dataset")


def refuse_training_rows(known: TrainingRows, batches: Any) -> None:
    """Raise ValueError if the model was trained on too many of the rows."""
    compared = trained = 0
    for batch in batches:
        counts = known.compare(np.asarray(batch))
        compared, trained = compared + counts[0], trained + counts[1]
    if known.too_many(compared, trained):
        raise ValueError(
            "held_out must be samples the model was not trained on, such as the "
            "validation split; the errors of training samples are too low. For data with "
            "many equal rows: allow_training_rows=True (--allow-training-rows). Received: "
            f"of {compared} rows compared, {trained} are training rows"
        )


def remember(known: TrainingRows | None, rows: Any, held_out: Any) -> TrainingRows:
    """Return the known training rows extended by `rows`, compared with held-out rows."""
    known = known or TrainingRows()
    known.add(map(np.asarray, rows))
    for batch in held_out:
        pair = zip(known.held_out, known.compare(np.asarray(batch)), strict=True)
        known.held_out = tuple(map(sum, pair))  # type: ignore[assignment]
    return known
