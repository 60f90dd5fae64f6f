"""Samples of any kind next to each other: rows of images, lines of series, dots of tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasae.report.figures import style
from kerasae.report.figures.samples import as_grey, as_images, as_series, table_scale
from kerasae.report.figures.words import number, plain

_LINES: dict[str, dict[str, Any]] = {
    "corrupted input": {"color": style.ORANGE, "linewidth": 0.9, "linestyle": ":"},
    "clean": {"color": "#8C8C8C", "linewidth": 2.6},
    "input": {"color": "#8C8C8C", "linewidth": 2.6},
    "reconstruction": {"color": style.BLUE, "linewidth": 1.5, "linestyle": (0, (5, 1.5))},
    "sample": {"color": style.BLUE, "linewidth": 1.2},
}
_DOTS: dict[str, dict[str, Any]] = {
    "corrupted input": {"color": style.ORANGE, "marker": "x", "markersize": 5},
    "clean": {"color": "#555555", "marker": "o"},
    "input": {"color": "#555555", "marker": "o"},
    "reconstruction": {"color": style.BLUE, "marker": "D", "markerfacecolor": "none"},
    "sample": {"color": style.BLUE, "marker": "D"},
}


def tile(shades: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Return one image of many (n, H, W) or (n, H, W, 3), row by row, white between them."""
    total, height, width, *colours = shades.shape
    rows = math.ceil(total / columns)
    cells = np.ones((rows * columns, height + gap, width + gap, *colours))
    cells[:total, :height, :width] = shades
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    sheet = cells.reshape(rows * (height + gap), columns * (width + gap), *colours)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def draw_images(
    rows: Mapping[str, np.ndarray],
    error: np.ndarray,
    titles: Sequence[str],
    notes: Mapping[str, Sequence[str]] | None = None,
    *,
    error_name: str = "absolute error",
) -> Figure:
    """Draw rows of images, and a last one with the error of each pixel, dark where it is large.

    Args:
        rows: Name to images (n, H, W), (n, H, W, 1 or 3), values from 0 to 1.
        error: Errors of the same shape; all are drawn on one scale.
        titles: What stands above each column.
        notes: Name of a row to what stands below each of its images.
        error_name: What the errors are called.
    """
    error = as_grey(error)
    columns, height, width = error.shape
    side = min(1.1, 8.0 / columns)
    size = (1.3 + columns * side, (len(rows) + 1) * (side * height / width + 0.2) + 0.3)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(len(rows) + 1, columns, squeeze=False)
    worst = float(error.max()) or 1.0
    drawn = [
        *((name.replace(" input", "\ninput"), as_images(rows[name]), "gray", 1.0) for name in rows),
        (f"{error_name}\n(black: {number(worst)})", error, "gray_r", worst),
    ]
    for row, (name, images, colours, highest) in zip(axes, drawn, strict=True):
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=style.INK, labelpad=8)
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image, cmap=colours, vmin=0, vmax=highest, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=style.FAINT)
    for row, name in zip(axes, rows, strict=False):
        for ax, note in zip(row, (notes or {}).get(name, []), strict=False):
            ax.set_xlabel(note, fontsize=8, labelpad=3)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, loc="center", fontsize=9.5, pad=5)
    return figure


def draw_series(
    samples: Mapping[str, np.ndarray],
    titles: Sequence[str],
    names: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw series on top of each other: a panel per sample, and a row for each of many channels.

    Args:
        samples: Name of a line to series (n, T) or (n, T, C).
        titles: What stands above each sample.
        names: Names of the channels.
        columns: Samples per row; ignored for several channels.
    """
    lines = {name: as_series(samples[name]) for name in _LINES if name in samples}
    total, steps, channels = next(iter(lines.values())).shape
    columns = min(total, columns or 3) if channels == 1 else total
    figure, axes = style.panels(total * channels, columns, 1.75, sharex=True, sharey="row")
    for index, ax in enumerate(axes):
        channel, sample = divmod(index, total)
        for name, array in lines.items():
            ax.plot(np.arange(steps), array[sample, :, channel], label=name, **_LINES[name])
        if channel == 0:
            ax.set_title(titles[sample], fontsize=9.5, pad=5)
        if channels > 1 and sample == 0:
            ax.set_ylabel(str(names[channel]) if names else f"channel {channel + 1}")
        ax.grid(axis="y")
    for ax in figure.axes[-columns:]:
        ax.set_xlabel("time step")
    if len(lines) > 1:
        style.legend_above(figure, axes[0], handlelength=3)
    return figure


def draw_tables(
    samples: Mapping[str, np.ndarray],
    titles: Sequence[str],
    names: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw rows of a table: a panel for each, with a line of dots per feature.

    Args:
        samples: Name of a dot to rows (n, features); features in unlike units are scaled by the
            first of these.
        titles: What stands above each row.
        names: Names of the features.
        columns: Panels next to each other.
    """
    original, *_ = samples.values()
    total, features = original.shape
    unit = "value"
    if scale := table_scale(original):
        samples = {name: scale(array) for name, array in samples.items()}
        unit = "each feature from its lowest (0) to its highest (1) here"
    shared: dict[str, Any] = {"sharex": True, "sharey": True}
    figure, axes = style.panels(total, min(total, columns or 4), 0.9 + 0.2 * features, **shared)
    places = np.arange(features)
    for sample, ax in enumerate(axes):
        if len(samples) > 1:
            first, *_, last = (array[sample] for array in samples.values())
            ax.hlines(places, first, last, color="#BBBBBB", linewidth=1.2, zorder=1)
        for name, look in _DOTS.items():
            if name in samples:
                look = {"linestyle": "", "markersize": 6.5, "markeredgewidth": 1.4, **look}
                ax.plot(samples[name][sample], places, label=name, **look)
        ax.set_title(titles[sample], fontsize=9.5, pad=6)
        ax.grid(axis="y")
    known = names or [f"feature {place + 1}" for place in places]
    axes[0].set_yticks(places, [plain(name, 32) for name in known])
    axes[0].set_ylim(features - 0.5, -0.5)
    figure.supxlabel(unit, fontsize=9, color=style.GREY)
    if len(samples) > 1:
        style.legend_above(figure, axes[0])
    return figure
