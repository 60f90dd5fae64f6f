"""Colours, text sizes and panels of all figures, and the ticks of their axes."""

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe and Ito's, three of them darkened to stand out from white.
BLUE, VERMILLION, ORANGE = "#0072B2", "#D55E00", "#C98600"
INK, GREY, FAINT, PALE = "#222222", "#6B6B6B", "#D9D9D9", "#B9D3E6"
COLOURS = (BLUE, VERMILLION, "#009E73", "#AA4499", ORANGE, "#56B4E9", INK)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.")
MANY = 64  # points of a line; more get no marker each
WHITE_BOX = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2}

# A decorator of what draws.
styled = matplotlib.rc_context(
    {
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlepad": 10,
        "axes.axisbelow": True,
        "axes.facecolor": "white",
        "figure.facecolor": "white",
        "grid.color": "#EDEDED",
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
    }
)


def new_axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def panels(total: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a new figure and its `total` panels, row by row; a row is `height` inches high."""
    rows = math.ceil(total / columns)
    width = 6.4 if columns == 1 else 9.2
    figure = Figure(figsize=(width, rows * height + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in axes[total:]:
        ax.set_visible(False)
    return figure, axes[:total]


def legend_above(figure: Figure, ax: Axes, **options: Any) -> None:
    """Add one legend for all panels, with the lines of one of them."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=3, **options)


def write(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **options: Any
) -> None:
    """Write a text some points away from a place."""
    options = {"textcoords": "offset points", "va": "center", "color": INK, **options}
    ax.annotate(text, at, offset, **options)


SHARES = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")  # ticks, not rounded


def whole_ticks(nbins: int = 8) -> MaxNLocator:
    return MaxNLocator(nbins=nbins, integer=True, steps=[1, 2, 5, 10])


def spans(values: Any, factor: float = 20) -> bool:
    """Whether positive values are so far apart that their axis should be logarithmic."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return finite.size > 0 and finite.min() > 0 and bool(finite.max() > factor * finite.min())
