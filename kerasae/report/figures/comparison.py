"""Several runs next to each other, by their errors."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.words import count, number, plain


@style.styled
def comparison(
    errors: Mapping[str, float | None],
    references: Mapping[str, float | None] | None = None,
    ax: Axes | None = None,
    *,
    quantity: str = "mean squared error",
    reference: str = "PCA, same code size",
) -> Drawing:
    """Draw the errors of several runs, the lowest on top, with another one for reference.

    The axis is logarithmic where the errors span more than a factor of 20.

    Args:
        errors: Name of a run to its error; one without a finite error is left out.
        references: Name of a run to the error to mark next to it with an open circle, such as
            that of PCA at the same code size.
        ax: Where to draw; a new figure when None.
        quantity: What the errors are; the axis says that lower is better.
        reference: What `references` are.

    Returns:
        The figure, and in words the same numbers.

    Raises:
        ValueError: No run has a finite error.
    """
    rows = _finite(errors)
    if not rows:
        raise ValueError(
            f"errors must be finite for a run at least. Received: errors={dict(errors)}"
        )
    names = sorted(rows, key=rows.__getitem__)
    others = {name: value for name, value in _finite(references or {}).items() if name in rows}
    ax = ax or style.new_axes(7.6, 1.1 + 0.42 * len(names))
    drawn = [*rows.values(), *others.values()]
    low, high = min(drawn), max(drawn)
    start, end = min(0.0, low), high + 0.16 * (high - min(0.0, low) or 1)
    if style.spans(drawn):
        ax.set_xscale("log")
        start, end = low / 1.25, high * 1.5
    parts = []
    for row, name in enumerate(names):
        value = rows[name]
        ax.hlines(row, start, value, color=style.PALE, linewidth=1.6, zorder=1)
        place = (max(value, others.get(name, value)), row)
        style.write(ax, number(value), place, (11, 0), fontweight="normal" if row else "bold")
        known = f" ({reference}: {number(others[name])})" if name in others else ""
        parts.append(f"{name} {number(value)}{known}")
    look: dict[str, Any] = {"color": style.BLUE, "linestyle": "", "zorder": 3}
    ax.plot(list(rows.values()), [names.index(n) for n in rows], "D", ms=7.5, label="run", **look)
    if others:
        look |= {"color": style.GREY, "markerfacecolor": "white", "mew": 1.6, "zorder": 2}
        places = [names.index(name) for name in others]
        ax.plot(list(others.values()), places, "o", markersize=11, label=reference, **look)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.3, fontsize=9)
    ax.set_yticks(range(len(names)), [plain(name) for name in names])
    ax.tick_params(axis="y", length=0, labelcolor=style.INK, labelsize=10)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(start, end)
    ax.set_xlabel(f"{quantity} (lower is better)")
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=style.FAINT, linewidth=0.5)
    text = f"{quantity.capitalize()} of {count(len(names), 'run')}, best first: {', '.join(parts)}."
    if left := len(errors) - len(names):
        text += f" {count(left, 'run')} without a finite error left out."
    return Drawing.on(ax, text)


def _finite(errors: Mapping[str, float | None]) -> dict[str, float]:
    return {name: e for name, e in errors.items() if e is not None and math.isfinite(e)}
