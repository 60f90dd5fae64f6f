"""Batches of samples: what kind they are, which range they have, how far apart two of them are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kerasae.errors import is_real

_AXES = {"image": (3, 4), "series": (2, 3), "table": (2,)}  # kind -> axes a batch may have


def batch(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} must be a batch of samples. Received: shape={array.shape}")
    return array


def kind_of(array: np.ndarray, kind: str | None) -> str:
    """The kind asked for, or the one that the shape suggests."""
    if kind is None:
        if array.ndim == 2:
            kind = "table" if array.shape[1] <= 40 else "series"
        else:
            kind = "series" if array.ndim == 3 and min(array.shape[1:]) < 8 else "image"
    elif kind not in _AXES:
        raise ValueError(f"kind must be 'image', 'series' or 'table'. Received: kind={kind!r}")
    if array.ndim not in _AXES[kind]:
        axes = " or ".join(map(str, _AXES[kind]))
        raise ValueError(f"A batch of kind {kind!r} has {axes} axes. Received: shape={array.shape}")
    return kind


def as_images(values: Any) -> np.ndarray:
    """Images as (n, H, W) or (n, H, W, 3)."""
    array = np.asarray(values, float)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if not array.size or not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)):
        raise ValueError(
            "images must have the shape (n, H, W), (n, H, W, 1) or (n, H, W, 3). "
            f"Received: shape={np.shape(values)}"
        )
    return array


def as_series(array: np.ndarray) -> np.ndarray:
    """Series as (n, T, C)."""
    return array[..., None] if array.ndim == 2 else array


def span_of(values: Any, value_range: tuple[float, float] | None) -> tuple[float, float]:
    """The lowest and the highest value that the data can have."""
    if value_range is not None:
        pair = np.shape(value_range) == (2,)
        if not pair or not all(map(is_real, value_range)) or value_range[0] >= value_range[1]:
            raise ValueError(
                "value_range must be a pair of numbers, lowest and highest. "
                f"Received: value_range={value_range!r}"
            )
        return float(value_range[0]), float(value_range[1])
    array = np.asarray(values)
    if array.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1


def shown(array: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Values as shades, from 0 (lowest) to 1 (highest)."""
    return np.clip((array - span[0]) / (span[1] - span[0]), 0, 1)


def table_scale(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """What scales each feature to [0, 1], or None where the features are of one size.

    Features in unlike units would leave all but the largest on one spot.
    """
    low, high = table.min(axis=0), table.max(axis=0)
    extent = np.where(high > low, high - low, 1)
    if extent.max() <= 20 * extent.min():
        return None
    return lambda array: (array - low) / extent


def mse(original: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean squared error of each sample."""
    return np.square(original - other).reshape(len(original), -1).mean(axis=1)


def psnr(errors: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of each mean squared error."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10((span[1] - span[0]) ** 2 / errors)


def truths(values: Any, total: int, name: str) -> np.ndarray:
    """One truth value per unit of a code."""
    array = np.asarray(values, bool)
    if array.shape != (total,):
        raise ValueError(
            f"{name} must hold one truth value for each of the {total} code units. "
            f"Received: shape={array.shape}"
        )
    return array


def vector(values: Any, name: str) -> np.ndarray:
    """Finite numbers, one per sample."""
    array = np.asarray(values, float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite numbers, one per sample. Received: shape={array.shape}"
        )
    return array


def one_each(labels: Any, total: int) -> np.ndarray:
    """One label per sample."""
    array = np.asarray(labels)
    if array.shape != (total,):
        raise ValueError(
            f"labels must hold one value for each of the {total} samples. "
            f"Received: shape={array.shape}"
        )
    return array


def one_score_each(scores: Any, total: int) -> np.ndarray | None:
    """Scores as an array, one number per sample; None where there are none."""
    if scores is None:
        return None
    array = np.asarray(scores, float)
    if array.shape != (total,):
        raise ValueError(
            f"scores must hold one number for each of the {total} samples. "
            f"Received: shape={array.shape}"
        )
    return array
