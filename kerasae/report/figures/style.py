"""What all figures share: colours, text sizes, panels, numbers in words, and saving."""

import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from kerasae.files import replacing

# Okabe and Ito's, three of them darkened to stand out from white.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#AA4499", "#C98600", "#56B4E9",
)  # fmt: skip
INK, GREY, FAINT = "#222222", "#6B6B6B", "#D9D9D9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
MANY = 64  # points of a line; more get no marker each

styled = matplotlib.rc_context({
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
})  # fmt: skip


def new_axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def panels(total: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A new figure with `total` panels, row by row; `height` is of one row, in inches."""
    rows = math.ceil(total / columns)
    width = 6.4 if columns == 1 else 9.2
    figure = Figure(figsize=(width, rows * height + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in axes[total:]:
        ax.set_visible(False)
    return figure, axes[:total]


def legend_above(figure: Figure, ax: Axes, **options: Any) -> None:
    """One legend for all panels, with the lines of one of them."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=3, **options)


def plain(text: Any, longest: int = 40) -> str:
    """A name as it is written in a figure: a long one loses its middle, a dollar is no formula."""
    text = str(text)
    if len(text) > longest:
        text = f"{text[: longest // 2 - 1]}\N{HORIZONTAL ELLIPSIS}{text[-(longest // 2 - 1) :]}"
    return text.replace("$", r"\$")


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Three significant digits or a whole number; an exponent only where it is shorter."""
    value = float(value)
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "minus infinite"}.get(value, "not a number")
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        rounded = abs(float(f"{value:.2e}"))  # 0.9999 is 1.00, not 1.000
        digits = 2 - math.floor(math.log10(rounded)) if value else 0
        return f"{value:,.{max(0, digits)}f}"
    return f"{value:.2e}"


def share(value: float) -> str:
    """A share of a whole in per cent: two digits, more only close to all."""
    percent = 100 * float(value)
    if 9.95 <= percent < 99 or percent in (0, 100):
        return f"{percent:.0f}%"
    return f"{percent:.4g}%" if 99 <= percent < 100 else f"{percent:.2g}%"


SHARES = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")  # ticks, not rounded


@styled
def save(drawing: Figure | Axes, path: str | Path, *, dpi: int = 200) -> Path:
    """Write a figure, or the figure of an axes, to a temporary name and rename it.

    Args:
        drawing: What a function of this package returned.
        path: File to write; its suffix is the format ("figure.png").
        dpi: Pixels per inch; 200 is sharp on a screen that doubles pixels.

    Returns:
        The path.
    """
    path = Path(path)
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:] not in known:
        raise ValueError(
            f"path must end in one of {', '.join('.' + name for name in known)}. "
            f"Received: path={str(path)!r}"
        )
    figure = drawing if isinstance(drawing, Figure) else drawing.figure
    with replacing(path) as temporary:
        figure.savefig(  # type: ignore[union-attr]
            temporary, format=path.suffix[1:], dpi=dpi, bbox_inches="tight", pad_inches=0.12
        )
    return path
