"""From columns and texts to numbers, by the quickest way that their types allow."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

# What stands for a missing value in tables.
_MISSING = ("na", "n/a", "#n/a", "<na>", "null", "none", "-", "?")
_COLUMNS = (
    "; correct it, or name the columns to read with columns=[...] (--column), the label with "
    "label=... (--label), or in commands on files the columns to pass through with keep=[...] "
    "(--keep)"
)

if TYPE_CHECKING:
    import pyarrow as pa


def is_numeric(kind: "pa.DataType") -> bool:
    """Say whether values of a type are numbers."""
    from pyarrow import types

    known = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(is_kind(kind) for is_kind in known)


def is_list(kind: "pa.DataType") -> bool:
    """Say whether values of a type are lists of numbers, such as images or embeddings."""
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists) and is_numeric(kind.value_type)


def numbers(column: Any) -> np.ndarray:
    """Return a column without nulls as an array `(rows,)`; text is parsed."""
    import pyarrow as pa

    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_string(column.type):
        column = column.cast(pa.float32())
    return column.to_numpy(zero_copy_only=False)


def stacked(columns: list[Any], dtype: str) -> np.ndarray:
    """Return columns without nulls as rows.

    Args:
        columns: Arrow arrays of numbers.
        dtype: `"uint8"` or `"float32"`.

    Returns:
        `(rows, columns)`, C-contiguous.
    """
    import pyarrow as pa

    if {column.type for column in columns} == {pa.from_numpy_dtype(dtype)}:
        names = [str(i) for i in range(len(columns))]
        # Twice as fast as one column after the other.
        return pa.RecordBatch.from_arrays(columns, names).to_tensor(row_major=True).to_numpy()
    x = np.empty((len(columns[0]), len(columns)), dtype)
    with np.errstate(over="ignore"):
        for position, column in enumerate(columns):
            x[:, position] = numbers(column)
    return x


def unlisted(column: Any, width: int, dtype: str) -> np.ndarray | int:
    """Return a column of lists as rows.

    Args:
        column: Arrow array of lists, none of them null.
        width: Values that every list must hold.
        dtype: `"uint8"` or `"float32"`.

    Returns:
        `(rows, width)`, or the number of the first row that has another number of values or a
        null among them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_fixed_size_list(column.type):
        wrong = pc.not_equal(pc.list_value_length(column), width).to_numpy(zero_copy_only=False)
        if wrong.any():
            return int(np.argmax(wrong))
    values = column.flatten()
    if values.null_count:
        return int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))) // width
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(numbers(values), dtype)
    return x.reshape(len(column), width)


def text_problem(text: str, place: str, *, is_label: bool) -> str | None:
    """Say what is wrong with a value of a CSV file, where, and what to do, if anything is wrong."""
    if not text:
        return f"has no value {place}{way_out(None)}"
    if is_label:
        return None
    try:
        value = float(text)
    except ValueError:
        return f"holds {text!r}, which is not a number, {place}{way_out(text)}"
    if math.isnan(value) or abs(value) > float(np.finfo(np.float32).max):
        return f"holds {text!r}, which is not a finite float32, {place}{way_out(value)}"
    return None


def way_out(value: Any) -> str:
    """Return how to read data in spite of a value, to end the sentence that names it.

    Args:
        value: A text that is no number, or a number; None and NaN stand for a missing one.
    """
    if isinstance(value, str):
        if value.lower() not in _MISSING:
            return _COLUMNS
    elif value is not None and not math.isnan(value):
        return ""
    return "; fill it or drop the row"


def is_number(text: str) -> bool:
    """Say whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
