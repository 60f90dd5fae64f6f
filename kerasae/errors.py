"""Error messages: nearest names, and checks of numbers. Imports nothing of ours."""

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import TypeGuard


def nearest(name: object, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return `" Did you mean 'x'?"` for the known name closest to `name`, or `""`.

    Args:
        name: What was received; anything but a string has no neighbour.
        known: Names that would have worked.
        cutoff: How close a name must be, from 0 to 1.
    """
    if not isinstance(name, str):
        return ""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""


def is_real(value: object) -> TypeGuard[float]:
    """Say whether a value is a finite real number, Python's or NumPy's, and no truth value."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def is_whole(value: object, least: int) -> bool:
    """Say whether a value is a whole number of at least `least`; 2.0 is one."""
    return is_real(value) and value % 1 == 0 and value >= least


def check_whole(
    name: str, value: object, least: int = 1, most: int | None = None, *, optional: bool = False
) -> int:
    """Return a whole number as an `int`, or raise with a sentence that names the argument.

    Python's and NumPy's integers are taken, and floats without a fraction such as `2.0`; truth
    values, text and arrays are not.

    Args:
        name: The argument's name, for the message.
        value: What was received.
        least: The smallest number that works.
        most: The largest, or None.
        optional: Whether the message says that None works, too; the caller handles None itself.

    Raises:
        ValueError: The value is no whole number, or out of range.
    """
    if is_whole(value, least) and (most is None or value <= most):  # type: ignore[operator]
        return int(value)  # type: ignore[call-overload]
    range_ = f">= {least}" if most is None else f"from {least} to {most}"
    also = " or None" if optional else ""
    raise ValueError(f"{name} must be a whole number {range_}{also}. Received: {name}={value!r}")


def shorten(text: object) -> str:
    """Return the first line of a text or an error, without its final period, for a sentence."""
    lines = str(text).strip().splitlines() or [type(text).__name__]
    return lines[0].rstrip(". ")[:200]
