"""Elements of a pipeline as the arrays that a model takes; of rows, the columns by name."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.errors import nearest
from kerasae.runs import columns as run_columns
from kerasae.serving.runtimes import read_card


def trained_columns(version: Path) -> list[str] | None:
    """Return the names of the columns that an exported model was trained on, None without any.

    Names that tell positions only, such as x0, x1, ..., are none.

    Args:
        version: A version folder, whose card tells.

    Raises:
        ValueError: The card is damaged.
    """
    file = version / "card.json"
    if not file.is_file():
        return None
    card = read_card(version)
    names = run_columns.of_run(run_columns.check_training(file, card.get("training")))
    fits = names and len(names) == np.prod(card["input_shape"])
    return names if names and fits and not run_columns._counted(names) else None


def ordered(columns: Sequence[str] | None, known: list[str] | None, path: str) -> list[str] | None:
    """Return `columns` in the order of the training, as far as that is known.

    Args:
        columns: Names, or None.
        known: What `trained_columns` gives.
        path: What the message names.

    Raises:
        ValueError: `columns` are not those of the training.
    """
    if columns is None or known is None:
        return None if columns is None else list(columns)
    if sorted(columns) == sorted(known):
        return list(known)
    missing = [name for name in known if name not in columns]
    others = [name for name in columns if name not in known]
    wrong = f"{others[0]!r} is not one of them" if others else "one is named twice"
    wrong = wrong if others or not missing else f"{missing[0]!r} is missing"
    near = nearest(others[0], missing or known) if others else ""
    raise ValueError(
        f"columns must be the {len(known)} that the model was trained on, "
        f"{', '.join(map(repr, known[:10]))}{', ...' if len(known) > 10 else ''}; {wrong}."
        f"{near} Received: columns={list(columns)!r} for path={path!r}"
    )


def names_of(element: Any) -> list[str]:
    """Return the names of the values of a row."""
    if isinstance(element, Mapping):
        return list(element)
    if dataclasses.is_dataclass(element):
        return [field.name for field in dataclasses.fields(element)]
    return list(getattr(element, "_fields", None) or vars(element))


def is_row(element: Any) -> bool:
    """Say whether the values of an element have names."""
    from apache_beam import Row

    # A named tuple is a row, too: by position its fields could stand in another order.
    return (
        isinstance(element, (Mapping, Row))
        or hasattr(element, "_fields")
        or dataclasses.is_dataclass(element)
    )


def numbers(element: Any) -> np.ndarray:
    """Return an element without names as an array, or raise a ValueError that says why not."""
    if is_row(element) and not hasattr(element, "_fields"):
        raise ValueError(
            "a row needs SavedModelHandler(..., columns=[...]), the names of its values in "
            f"order. Received: a row with {', '.join(map(repr, names_of(element)[:10]))}"
        )
    if np.ma.is_masked(element):
        raise ValueError("it must have no masked values. Received: a masked array with some")
    try:
        x = np.asarray(element)
    except ValueError:  # lists of unequal lengths
        raise ValueError(
            f"it must be an array. Received: a ragged {type(element).__name__}"
        ) from None
    if x.dtype.kind not in "fiub":
        raise ValueError(f"it must hold numbers. Received: an element of dtype {x.dtype}")
    return x


def row(element: Any, columns: list[str]) -> np.ndarray:
    """Return the values of a row in the order of `columns`."""
    read = element.__getitem__ if isinstance(element, Mapping) else partial(getattr, element)
    try:
        values = [read(name) for name in columns]
    except (AttributeError, KeyError) as error:
        name = error.name if isinstance(error, AttributeError) else error.args[0]
        there = ", ".join(map(repr, [*element][:10])) if isinstance(element, Mapping) else ""
        raise ValueError(
            f"it has no column {name!r}. Received: {there or type(element).__name__}"
        ) from None
    if not {*map(type, values)} <= {float, int}:
        for name, value in zip(columns, values, strict=True):
            if not isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
                raise ValueError(f"its column {name!r} must be one number. Received: {value!r}")
    try:
        return np.array(values, np.float64)
    except OverflowError:  # a whole number of more than 308 digits
        name, value = max(zip(columns, values, strict=True), key=lambda pair: abs(pair[1]))
        raise ValueError(
            f"its column {name!r} must be finite as float32. Received: a number of "
            f"{value.bit_length()} bits"
        ) from None


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Return uint8 as it is, and other whole numbers from 0 to 255 as uint8."""
    if x.dtype == np.uint8:
        return x
    if not ((x >= 0) & (x <= 255) & (x == np.rint(x))).all():
        raise ValueError(
            "its values must be whole numbers from 0 to 255. "
            f"Received: values from {x.min()} to {x.max()}"
        )
    return x.astype(np.uint8)
