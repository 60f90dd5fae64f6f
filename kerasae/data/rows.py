"""Rows from any source: the two containers that sources return, and the checks of their values."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
# Approximate number of bytes that a reader reads at a time.
BLOCK_BYTES = 1 << 22
# Texts that stand for a missing value in tables.
_MISSING = ("", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "?")


@dataclass(frozen=True)
class Reader:
    """Rows read block by block, for files that need not fit in memory.

    Args:
        name: What messages call the data.
        shape: Shape of one row.
        dtype: "uint8" or "float32".
        blocks: Number of blocks; any block can be read without the others.
        read: Block number -> pieces `(x, others)` of consecutive rows, checked. `others` is a
            pyarrow record batch of columns that are no samples, such as labels, or None.
        rows: Number of rows, None where only reading tells.
        names: Names of the values of a row of a table, empty for a text file without any; None
            for anything but tables.
        others: pyarrow schema of the other columns, None without any.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    blocks: int
    read: Callable[[int], Iterator[tuple[np.ndarray, Any]]]
    rows: int | None = None
    names: list[str] | None = None
    others: Any = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row once read."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def pairs(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield all pieces in file order, each with its other columns."""
        for block in range(self.blocks):
            yield from self.read(block)

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield all rows in file order."""
        return (x for x, _ in self.pairs())


@dataclass
class Loaded:
    """Data as a source returns them.

    Args:
        name: Name of the source.
        x: All rows, `(n, *shape)` uint8 or float32, or a `Reader` of them.
        labels: `(n,)` integers, or None.
        class_names: Names of the labels 0, 1, ..., or None.
        parts: Row numbers of the splits the source itself defines; empty if it defines none.
        extras: Further arrays of n rows by name.
        starts: With a `Reader`, the first row of each block and, last, the number of rows.
        value_range: With a `Reader`, smallest and largest value of all rows.
    """

    name: str
    x: np.ndarray | Reader
    labels: np.ndarray | None = None
    class_names: list[str] | None = None
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    starts: np.ndarray | None = None
    value_range: tuple[float, float] | None = None


def bad(sentence: str, **received: object) -> ValueError:
    """Return a `ValueError` whose sentence ends with what was received."""
    shown = ", ".join(f"{name}={value!r}" for name, value in received.items())
    return ValueError(f"{sentence} Received: {shown}")


def way_out(value: Any) -> str:
    """Return the end of a sentence about a bad value: how the data can be read nevertheless.

    Args:
        value: A text that is not a number, or a number; None and NaN stand for a missing value.
    """
    if isinstance(value, str) and value.strip().lower() not in _MISSING:
        return (
            "; correct it, or name the columns to read with columns=[...] (--column), the label "
            "with label=... (--label), or in commands on files the columns to pass through with "
            "keep=[...] (--keep)"
        )
    if isinstance(value, str) or value is None or math.isnan(value):
        return "; fill it or drop the row"
    return ""


def as_rows(x: np.ndarray, name: str, *, first_row: int = 0) -> np.ndarray:
    """Check values and convert them to what pipelines carry: uint8 stays, the rest is float32.

    Args:
        x: `(n, ...)` numbers.
        name: What the message calls the data.
        first_row: Row number of `x[0]`, for the message.

    Returns:
        `(n, ...)` uint8 or float32, finite, C-contiguous.

    Raises:
        ValueError: If a value is not a number, or not a finite float32; the sentence names row
            and column of the first one.
    """
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind not in "biuf":
        kinds = {"O": "Python objects (or rows of unequal length)", "U": "text", "S": "text"}
        kind = kinds.get(x.dtype.kind, f"{x.dtype} values")
        raise bad(f"Data must hold real numbers, but {name!r} holds {kind}.", source=name)
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(x, dtype=np.float32)
    at = first_not_finite(result)
    if at is not None:
        column = at[1] if len(at) == 2 else at[1:]
        raise bad(
            f"Every value must be a finite float32, but {name!r} holds {float(x[at])} in row "
            f"{first_row + at[0]}, column {column} (counted from 0){way_out(x[at])}.",
            source=name,
        )
    return result


def first_not_finite(x: np.ndarray) -> tuple[int, ...] | None:
    """Return the index of the first value of a float32 or uint8 array that is not finite."""
    # Finite float32 cannot overflow a float64 sum, which needs no array of booleans.
    with np.errstate(invalid="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):
            return None
    return tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])


def as_column(x: np.ndarray) -> np.ndarray:
    """Return single values as rows of one value, anything else as it is."""
    return x[:, None] if x.ndim == 1 else x


def as_table(x: Any, name: str) -> np.ndarray:
    """Check a whole array: at least one row of at least one value, no masked values."""
    if x.dtype.kind not in "biuf":
        as_rows(x, name)
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise bad(f"Data must have no masked values, but {name!r} has.", source=name)
    if x.ndim < 2:
        raise bad(
            f"Data must have one row per sample, (n, features) or (n, height, width, channels), "
            f"but {name!r} has shape {x.shape}; cut one long series into samples with window=100 "
            "(--window 100), or use x[:, None] for one value per sample.",
            source=name,
        )
    if x.size == 0:
        raise bad(
            f"Data must not be empty, but {name!r} has shape {x.shape}.",
            source=name,
        )
    return as_rows(x, name)


def as_labels(values: np.ndarray, name: str, count: int) -> tuple[np.ndarray, list[str] | None]:
    """Turn one label per row into integers: whole numbers stay, text is numbered by sorted name.

    Returns:
        `(n,)` int64 and the class names, None for numbers.
    """
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,):
        raise bad(
            f"Labels must be one per sample, but {name!r} has {count} samples and labels of shape "
            f"{values.shape}.",
            source=name,
        )
    distinct, codes = np.unique(values, return_inverse=True)
    numbers, names = encode(list(distinct), name)
    return numbers[codes.reshape(-1)], names


def encode(values: list[Any], name: str) -> tuple[np.ndarray, list[str] | None]:
    """Give each distinct label value its integer; return the integers and the class names."""
    if all(isinstance(value, (str, np.str_)) for value in values):
        numeric = [value.strip().lstrip("+-").isdecimal() for value in values]
        if not all(numeric):
            names = sorted(str(value) for value in values)
            number = {name: index for index, name in enumerate(names)}
            return np.array([number[str(value)] for value in values], np.int64), names
    try:
        numbers = np.array([int(value) for value in values], np.int64)
        whole = all(isinstance(v, str) or v == n for v, n in zip(values, numbers, strict=True))
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise bad(
            f"Labels must be whole numbers or text, but {name!r} has {values[0]!r} among them.",
            source=name,
        )
    return numbers, None


def rebatch(pieces: Iterable[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    """Cut pieces of any length into batches of one length, the last one shorter."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= batch_size:
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            whole = count - count % batch_size
            for start in range(0, whole, batch_size):
                yield joined[start : start + batch_size]
            held, count = ([joined[whole:]], count - whole) if count > whole else ([], 0)
    if count:
        yield np.concatenate(held)
