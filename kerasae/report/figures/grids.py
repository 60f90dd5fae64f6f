"""Many samples on one sheet, such as generated ones."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasae.errors import is_whole
from kerasae.report.figures.samples import (
    as_images,
    as_series,
    batch,
    kind_of,
    shown,
    span_of,
    table_scale,
)
from kerasae.report.figures.style import (
    COLOURS,
    GREY,
    count,
    legend_above,
    new_axes,
    number,
    panels,
    styled,
)

_DASHES = ("-", "--", ":", "-.")


def check_columns(columns: int | None) -> None:
    """Refuse a number of columns that is none."""
    if columns is not None and not is_whole(columns, 1):
        raise ValueError(f"columns must be a whole number >= 1. Received: columns={columns!r}")


@styled
def sample_grid(
    samples: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
) -> Figure:
    """Draw samples of any kind, row by row.

    Images are drawn by `image_grid`. Series are small panels on common axes, one line per channel.
    Rows of a table are such panels with one dot per feature.

    Args:
        samples: (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        columns: Samples per row; when None, 4 panels, or what suits the images.
        value_range: (lowest, highest) value of images, as in `reconstruction_grid`.
        kind: "image", "series" or "table", as in `reconstruction_grid`.

    Returns:
        The figure.

    Raises:
        ValueError: There is no sample, or `kind` is unknown or does not fit.

    Example:
        >>> figure = sample_grid(ae.generate(16, seed=0))  # doctest: +SKIP
    """
    array = batch(samples, "samples")
    kind = kind_of(array, kind)
    if kind == "image":
        figure = image_grid(samples, columns, value_range=value_range).get_figure(root=True)
        assert figure is not None
        return figure
    label, first = "time step", 0
    look: dict[str, Any] = {"linewidth": 1.2}
    if kind == "table":
        scale = table_scale(array)
        array = scale(array) if scale else array
        label = "feature, each from its lowest (0) to its highest (1) here" if scale else "feature"
        first = 1
        look = {"marker": "D", "markersize": 4}
    array = as_series(array)
    check_columns(columns)
    figure, axes = panels(len(array), min(columns or 4, len(array)), 1.2, sharex=True, sharey=True)
    places = np.arange(first, first + array.shape[1])
    for ax, sample in zip(axes, array, strict=True):
        for channel, values in enumerate(sample.T):
            ax.plot(
                places, values, color=COLOURS[channel % len(COLOURS)],
                linestyle="" if kind == "table" else _DASHES[channel % len(_DASHES)],
                label=f"channel {channel + 1}", **look,
            )  # fmt: skip
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        ax.grid(axis="y")
    if array.shape[-1] > 1:
        legend_above(figure, axes[0])
    figure.supxlabel(label, fontsize=9, color=GREY)
    return figure


def alt_sample_grid(
    samples: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
) -> str:
    """Say in words what `sample_grid` shows: count, size, range and variety.

    The arguments are the same; `columns` makes no difference.
    """
    array = batch(samples, "samples")
    kind = kind_of(array, kind)
    if kind == "image":
        return alt_image_grid(samples, value_range=value_range)
    total, length, channels = as_series(array).shape
    if kind == "table":
        text = f"{count(total, 'table row')} of {count(length, 'feature')}"
    else:
        text = f"{total:,} series of {count(length, 'time step')}"
        text += f" and {channels} channels" if channels > 1 else ""
    text += f", values from {number(array.min())} to {number(array.max())}"
    if total > 1:
        spread = number(array.std(axis=0).mean())
        text += f"; the standard deviation between them is {spread} on average"
    return f"{text}."


@styled
def image_grid(
    images: Any,
    columns: int | None = None,
    ax: Axes | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> Axes:
    """Draw images as one sheet, row by row.

    Args:
        images: (n, H, W) or (n, H, W, 1 or 3).
        columns: Images per row; about 8:5 in all when None.
        ax: Where to draw; a new figure when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The axes.

    Raises:
        ValueError: `images` has another rank or is empty.
    """
    shades = shown(as_images(images), span_of(images, value_range))
    total, height, width = shades.shape[:3]
    check_columns(columns)
    columns = min(columns or math.ceil(math.sqrt(1.6 * total * height / width)), total)
    rows = math.ceil(total / columns)
    gap = max(1, round(min(height, width) / 14))
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, *shades.shape[3:]))
    for index, image in enumerate(shades):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    figure_width = min(8.0, 0.8 * columns)
    ax = ax or new_axes(figure_width, figure_width * sheet.shape[0] / sheet.shape[1])
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax


def alt_image_grid(
    images: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> str:
    """Say in words what `image_grid` shows: count, size, brightness and variety.

    The arguments are the same; `columns` makes no difference.
    """
    shades = shown(as_images(images), span_of(images, value_range))
    text = f"{count(len(shades), 'image')} of {shades.shape[1]} by {shades.shape[2]} pixels"
    text += f", mean brightness {shades.mean():.0%} of the range"
    if len(shades) > 1:
        text += f"; a pixel varies between them by {shades.std(axis=0).mean():.0%} on average"
    return f"{text}."
