"""Numbers, small tables, and a guess beside what was measured."""

from collections.abc import Sequence
from typing import Any

from kerasae.learn import _cells


def number(value: Any) -> str:
    """Return a value as text: three or four significant digits, whole numbers in full."""
    if isinstance(value, (bool, str)) or value is None:
        return str(value)
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:.2e}"


def table(rows: Sequence[Sequence[Any]], columns: Sequence[str], caption: str = "") -> None:
    """Show a small table.

    Args:
        rows: One sequence of numbers and words per row.
        columns: Headings.
        caption: A line above it.

    Raises:
        ValueError: A row has another length than the headings.
    """
    cells = [[number(value) for value in row] for row in rows]
    for row in cells:
        if len(row) != len(columns):
            raise ValueError(
                f"Each row must have {len(columns)} entries. Received: a row of {len(row)}"
            )
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(columns), *cells]
    ]
    marked = [
        "| " + " | ".join(text.replace("|", r"\|") for text in row) + " |"
        for row in [list(columns), *cells]
    ]
    # Numbers stand right, so that they can be compared.
    right = [all(_numeric(row[i]) for row in rows) for i in range(len(columns))]
    marked.insert(1, "|" + "|".join("---:" if side else "---" for side in right) + "|")
    above = [f"*{caption}*", ""] if caption else []
    _cells.show("\n".join([*([caption] if caption else []), *lines]), "\n".join(above + marked))


def reveal(guess: Any, measured: Any, what: str) -> None:
    """Show what was measured beside what was guessed; nothing fails without a guess.

    Args:
        guess: The learner's number or word, or None.
        measured: The answer.
        what: What the number is, with its unit.
    """
    if guess is None:
        after = " (no guess)"
    elif _numeric(guess) and _numeric(measured):
        after = f" (your guess: {number(guess)}, off by {number(abs(guess - measured))})"
    else:
        after = f" (your guess: {number(guess)})"
    answer = number(measured)
    _cells.show(f"{what}: {answer}{after}", f"{what}: **{answer}**{after}")


def _numeric(value: Any) -> bool:
    return not isinstance(value, (str, bool)) and value is not None
