"""Numbers as text, small tables, and a guess next to what was measured."""

from collections.abc import Sequence
from typing import Any

from kerasae_lessons import cells


def number(value: Any) -> str:
    """Return a value as text: four significant digits, whole numbers in full."""
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
        caption: A line above the table.

    Raises:
        ValueError: If the length of a row is not that of the headings.
    """
    texts = [list(columns)]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"Each row must have {len(columns)} entries. Received: a row of {len(row)}"
            )
        texts.append([number(value) for value in row])
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    plain = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]
    marked = ["| " + " | ".join(text.replace("|", r"\|") for text in row) + " |" for row in texts]
    # Numbers are aligned right, so that they can be compared.
    right = [all(_numeric(row[i]) for row in rows) for i in range(len(columns))]
    marked.insert(1, "|" + "|".join("---:" if side else "---" for side in right) + "|")
    if caption:
        plain.insert(0, caption)
        marked[:0] = [f"*{caption}*", ""]
    cells.show("\n".join(plain), "\n".join(marked))


def reveal(guess: Any, measured: Any, what: str) -> None:
    """Show what was measured next to what was guessed; without a guess nothing fails.

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
    cells.show(f"{what}: {answer}{after}", f"{what}: **{answer}**{after}")


def _numeric(value: Any) -> bool:
    return not isinstance(value, (str, bool)) and value is not None
