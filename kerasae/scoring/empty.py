"""Tables and arrays without rows: a quiet day gives an output without rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.data.files import Stream

DETECTED = [("anomaly_score", "f4"), ("p_value", "f8"), ("is_anomaly", "?")]


def array(source: Path, keep: Sequence[str]) -> Stream | None:
    """Return the stream of an `.npy` file without rows, None for anything else."""
    if keep or source.suffix.lower() != ".npy" or not source.is_file():
        return None
    try:
        x = np.load(source, mmap_mode=None if source.stat().st_size < 4096 else "r")
    except (ValueError, OSError, EOFError):
        return None
    if not isinstance(x, np.ndarray) or x.ndim == 0 or len(x) or x.dtype.kind not in "biuf":
        return None
    return Stream(source.name, x.shape[1:], None, 0, lambda: iter(()))


def answer(model: Any, verb: str) -> np.ndarray:
    """Return what a verb of a model gives for no samples: `(0, ...)`."""
    if verb == "detect":
        return np.empty(0, DETECTED)
    shape = {"score": (), "encode": (model.latent_dim,)}.get(verb, model.sample_shape)
    return np.empty((0, *shape), "float32")


def text(source: Path, keep: Sequence[str], names: Sequence[str] | None) -> Stream | None:
    """Return the stream of a CSV file without as much as a header, None for anything else.

    Args:
        source: The file.
        keep: Columns to pass through.
        names: Names of its columns, where they are known.
    """
    if source.suffix.lower() != ".csv" or not source.is_file() or source.stat().st_size > 4096:
        return None
    if source.read_bytes().removeprefix(b"\xef\xbb\xbf").strip():
        return None
    names = None if names is None else list(names)
    return Stream(source.name, (len(names or ()),), names, 0, lambda: iter(()))


def widened(names: list[str] | None, model: Any) -> list[str] | None:
    """Return a name for every value of a sample: one column may hold lists, of unknown length."""
    width = int(np.prod(model.sample_shape))
    if names is None or len(names) != 1 or width == 1:
        return names
    return [f"{names[0]}_{i}" for i in range(width)]
