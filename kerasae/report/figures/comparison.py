"""Several runs beside each other, by one quantity."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from kerasae.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    count,
    new_axes,
    number,
    plain,
    styled,
)

# Quantity -> what the axis calls it, and whether a higher value is better.
_QUANTITIES = {
    "mse": ("mean squared error", False),
    "mae": ("mean absolute error", False),
    "bce": ("binary cross-entropy (nats)", False),
    "psnr": ("PSNR (dB)", True),
    "ssim": ("structural similarity", True),
    "probe_accuracy": ("accuracy of a linear probe on the code", True),
    "knn_accuracy": ("accuracy of nearest neighbours in the code", True),
    "seconds": ("training time (seconds)", False),
    "parameters": ("parameters", False),
}


@styled
def comparison(
    table: Mapping[str, Mapping[str, Any]],
    quantity: str = "mse",
    ax: Axes | None = None,
    *,
    beside: str | None = None,
) -> Axes:
    """Draw one quantity of several runs, the best on top, with a second one for reference.

    Args:
        table: Name of a run to its numbers, `{"denoising": {"mse": 0.01, "pca_mse": 0.02}}`.
            Runs without a number for `quantity` are left out.
        quantity: Which number to draw. Where it is PSNR, SSIM or an accuracy, higher is better.
        ax: Where to draw; a new figure when None.
        beside: A second number of the same unit to mark with an open circle, such as
            `"pca_mse"`, the error of PCA at the same code size.

    Returns:
        The axes.

    Raises:
        ValueError: No run has the number.
    """
    rows = _ordered(table, quantity)
    title, higher = _QUANTITIES.get(quantity, (quantity.replace("_", " "), False))
    ax = ax or new_axes(7.6, 1.1 + 0.42 * len(rows))
    others = {name: _number(table[name], beside) for name in rows}
    drawn = [*rows.values(), *(value for value in others.values() if value is not None)]
    low, high = min(drawn), max(drawn)
    logarithmic = low > 0 and high > 20 * low
    start = low / 1.25 if logarithmic else min(0.0, low)
    if logarithmic:
        ax.set_xscale("log")
    for row, (name, value) in enumerate(rows.items()):
        other = others[name]
        ax.hlines(row, start, value, color="#B9D3E6", linewidth=1.6, zorder=1)
        if other is not None:
            ax.plot(
                other, row, "o", markersize=11, color=GREY, markerfacecolor="white", mew=1.6,
                label="PCA, same code size" if beside == f"pca_{quantity}" else beside,
            )  # fmt: skip
        ax.plot(value, row, "D", markersize=7.5, color=BLUE, label="run")
        ax.annotate(
            number(value), (max(value, other if other is not None else value), row), (11, 0),
            textcoords="offset points", va="center", color=INK,
            fontweight="bold" if row == 0 else "normal",
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), [plain(name) for name in rows])
    ax.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(start, high * 1.5 if logarithmic else start + 1.16 * (high - start or 1))
    ax.set_xlabel(f"{title} ({'higher' if higher else 'lower'} is better)")
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    if any(value is not None for value in others.values()):
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        names = sorted(handles, key=lambda name: name != "run")
        ax.legend(
            [handles[name] for name in names], names, loc="lower left", bbox_to_anchor=(0, 1),
            ncols=2, borderaxespad=0.3, fontsize=9,
        )  # fmt: skip
    return ax


def alt_comparison(
    table: Mapping[str, Mapping[str, Any]], quantity: str = "mse", *, beside: str | None = None
) -> str:
    """Say in words what `comparison` shows; same data."""
    rows = _ordered(table, quantity)
    title, _ = _QUANTITIES.get(quantity, (quantity.replace("_", " "), False))
    parts = []
    for name, value in rows.items():
        other = _number(table[name], beside)
        note = "" if other is None else f" ({str(beside).split('_')[0].upper()} {number(other)})"
        parts.append(f"{name} {number(value)}{note}")
    text = f"{title[:1].upper()}{title[1:]} of {count(len(rows), 'run')}, best first: "
    text += f"{', '.join(parts)}."
    if left := len(table) - len(rows):
        text += f" {count(left, 'run')} without this number left out."
    return text


def _number(row: Mapping[str, Any], key: str | None) -> float | None:
    value = None if key is None else row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _ordered(table: Mapping[str, Mapping[str, Any]], quantity: str) -> dict[str, float]:
    """Name to number, the best first."""
    higher = _QUANTITIES.get(quantity, ("", False))[1]
    values = {name: _number(row, quantity) for name, row in table.items()}
    found = {name: value for name, value in values.items() if value is not None}
    if not found:
        raise ValueError(
            f"table must hold a finite number {quantity!r} for a run at least. "
            f"Received: table={list(table)}"
        )
    return dict(sorted(found.items(), key=lambda item: -item[1] if higher else item[1]))
