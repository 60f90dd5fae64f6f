"""Numbers and names for reading."""

import math
from typing import Any, NamedTuple


class Number(NamedTuple):
    """A number rounded for reading, with the exact one for machines.

    Attributes:
        value: The exact number.
        text: The rounded one.
        unit: What follows it.
        under: Small print below it.
        best: Whether it is the best of its column.
    """

    value: float
    text: str
    unit: str = ""
    under: str = ""
    best: bool = False


def number(value: float, form: str = "", unit: str = "") -> Number:
    """Round a number: by `form`, a format such as ".3f" or "percent", or to four digits."""
    if not math.isfinite(value) or not form:
        text = shown(value)
    elif form == "percent":
        small = 0 < abs(value) < 0.0995 or 0.99 <= value < 1
        text = f"{100 * value:.{3 if value > 0.5 else 2}g}%" if small else f"{value:.1%}"
    else:
        text = f"{value:{form}}"
    return Number(value, typeset(text), unit)


def shown(value: float) -> str:
    """Return four significant digits."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "minus infinite"}.get(value, "not a number")
    return f"{value:.4g}"


def typeset(text: str) -> str:
    """Return a signed number with a true minus sign; that of an exponent stays."""
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def plural(count: Any, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    if not math.isfinite(seconds) or seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def words(name: str) -> str:
    """Return the name of a variant, term or measure for reading."""
    return name.replace("_", " ").replace("kl ", "KL ")
