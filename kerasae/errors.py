"""What error messages share: wording, and what they ask of numbers. Imports nothing of ours."""

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


def shorten(text: object) -> str:
    """Return the first line of a text or an error, without its final period, for a sentence."""
    lines = str(text).strip().splitlines() or [type(text).__name__]
    return lines[0].rstrip(". ")[:200]
