"""Batches of samples and of numbers about them: checks, kinds, ranges and classes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerasae.errors import is_real

_AXES = {"image": (3, 4), "series": (2, 3), "table": (2,)}  # kind -> axes a batch may have


def batch(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} must be a batch of samples. Received: shape={array.shape}")
    return array


def like(values: Any, original: np.ndarray, name: str, of: str) -> np.ndarray:
    """Check an array of the shape of another one."""
    array = np.asarray(values, float)
    if array.shape != original.shape:
        raise ValueError(
            f"{name} must have the shape of {of}, {original.shape}. Received: shape={array.shape}"
        )
    return array


def finite(values: Any, name: str, axes: int = 1) -> np.ndarray:
    """Check finite numbers, such as one per sample, or codes with `axes=2`."""
    array = np.asarray(values, float)
    if array.ndim != axes or not array.size or not np.isfinite(array).all():
        shape = {1: "(n,)", 2: "(n, latent_dim)"}[axes]
        raise ValueError(
            f"{name} must be a finite array of shape {shape}. Received: shape={array.shape}"
        )
    return array


def one_each(values: Any, total: int, name: str = "labels", of: str = "samples") -> np.ndarray:
    """Check that there is one value per sample."""
    array = np.asarray(values)
    if array.shape != (total,):
        raise ValueError(
            f"{name} must hold one value for each of the {total} {of}. "
            f"Received: shape={array.shape}"
        )
    return array


def by_class(labels: Any, total: int, class_names: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Return which samples belong to each class, by its name; all to "" without labels."""
    if labels is None:
        return {"": np.ones(total, bool)}
    labels = one_each(labels, total)
    return {
        str(class_names[value] if class_names else value): labels == value
        for value in np.unique(labels)
    }


def kind_of(array: np.ndarray, kind: str | None) -> str:
    """Return the kind asked for, or the one that the shape suggests."""
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
    """Return images as (n, H, W) or (n, H, W, 3)."""
    array = np.asarray(values, float)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if not array.size or not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)):
        raise ValueError(
            "images must have the shape (n, H, W), (n, H, W, 1) or (n, H, W, 3). "
            f"Received: shape={np.shape(values)}"
        )
    return array


def as_grey(values: Any) -> np.ndarray:
    """Return maps (n, H, W), the mean over colours."""
    images = as_images(values)
    return images.mean(axis=-1) if images.ndim == 4 else images


def as_series(array: np.ndarray) -> np.ndarray:
    """Return series as (n, T, C)."""
    return array[..., None] if array.ndim == 2 else array


def span_of(values: Any, value_range: tuple[float, float] | None) -> tuple[float, float]:
    """Return the lowest and the highest value that the data can have."""
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
    """Return values as shades, from 0 (lowest) to 1 (highest)."""
    return np.clip((array - span[0]) / (span[1] - span[0]), 0, 1)


def table_scale(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what scales each feature to [0, 1], or None where the features are of one size.

    Features in unlike units would leave all but the largest on one spot.
    """
    low, high = table.min(axis=0), table.max(axis=0)
    extent = np.where(high > low, high - low, 1)
    if extent.max() <= 20 * extent.min():
        return None
    return lambda array: (array - low) / extent
