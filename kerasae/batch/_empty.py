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


def kept(source: Path, keep: Sequence[str]) -> Any:
    """Return the columns to keep of a table, without rows; None without columns to keep."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kerasae.data.files import table_files

    if not keep:
        return None
    first = table_files(source)[0]
    if first.suffix.lower() == ".csv":
        schema = pa.schema([(name, pa.string()) for name in keep])
    else:
        found = pq.read_schema(first)
        schema = pa.schema([found.field(name) for name in keep])
    return schema.empty_table()


def widened(names: list[str] | None, model: Any) -> list[str] | None:
    """Return a name for every value of a sample: one column may hold lists, of unknown length."""
    width = int(np.prod(model.sample_shape))
    if names is None or len(names) != 1 or width == 1:
        return names
    return [f"{names[0]}_{i}" for i in range(width)]
