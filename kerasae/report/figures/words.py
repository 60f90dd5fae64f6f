"""Names, counts and numbers as they are written in figures and in words about them."""

import math
from typing import Any


def plain(text: Any, longest: int = 40) -> str:
    """Return a name as it is written in a figure: shortened, and without formulas."""
    text = str(text)
    if len(text) > longest:
        text = f"{text[: longest // 2 - 1]}\N{HORIZONTAL ELLIPSIS}{text[-(longest // 2 - 1) :]}"
    return text.replace("$", r"\$")


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Return three significant digits or a whole number."""
    value = float(value)
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "minus infinite"}.get(value, "not a number")
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        rounded = abs(float(f"{value:.2e}"))  # 0.9999 is 1.00, not 1.000
        digits = 2 - math.floor(math.log10(rounded)) if value else 0
        return f"{value:,.{max(0, digits)}f}"
    return f"{value:.2e}"


def share(value: float) -> str:
    """Return a share of a whole in per cent: two digits, more only close to all."""
    percent = 100 * float(value)
    if 9.95 <= percent < 99 or percent in (0, 100):
        return f"{percent:.0f}%"
    return f"{percent:.4g}%" if 99 <= percent < 100 else f"{percent:.2g}%"
