"""Many samples on one sheet, such as generated ones."""

import math
from typing import Any

from matplotlib.axes import Axes

from kerasae.errors import check_whole
from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.panels import draw_series, draw_tables, tile
from kerasae.report.figures.samples import (
    as_images,
    as_series,
    batch,
    kind_of,
    shown,
    span_of,
)
from kerasae.report.figures.words import count, number


@style.styled
def sample_grid(
    samples: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
) -> Drawing:
    """Draw samples of any kind, row by row.

    Images are drawn by `image_grid`. Series are small panels on common axes, one per channel.
    Rows of a table are such panels with one dot per feature.

    Args:
        samples: (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        columns: Samples per row; when None, what suits them. Series of several channels have
            one row for each.
        value_range: (lowest, highest) value of images, as in `reconstruction_grid`.
        kind: "image", "series" or "table", as in `reconstruction_grid`.

    Returns:
        The figure, and in words count, size, range and variety.

    Raises:
        ValueError: There is no sample, or `kind` is unknown or does not fit.

    Example:
        >>> sample_grid(ae.generate(16, seed=0)).save("samples.png")  # doctest: +SKIP
    """
    array = batch(samples, "samples")
    kind = kind_of(array, kind)
    if kind == "image":
        return image_grid(samples, columns, value_range=value_range)
    draw = draw_tables if kind == "table" else draw_series
    titles = [f"sample {index}" for index in range(1, len(array) + 1)]
    figure = draw({"sample": array}, titles, None, columns and check_whole("columns", columns))
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
    return Drawing(figure, f"{text}.")


@style.styled
def image_grid(
    images: Any,
    columns: int | None = None,
    ax: Axes | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> Drawing:
    """Draw images as one sheet, row by row.

    Args:
        images: (n, H, W) or (n, H, W, 1 or 3).
        columns: Images per row; about 8:5 in all when None.
        ax: Where to draw; a new figure when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The figure, and in words count, size, brightness and variety.

    Raises:
        ValueError: `images` has another rank or is empty.
    """
    shades = shown(as_images(images), span_of(images, value_range))
    total, height, width = shades.shape[:3]
    if columns is None:
        columns = math.ceil(math.sqrt(1.6 * total * height / width))
    columns = min(check_whole("columns", columns), total)
    sheet = tile(shades, columns, gap=max(1, round(min(height, width) / 14)))
    figure_width = min(8.0, 0.8 * columns)
    ax = ax or style.new_axes(figure_width, figure_width * sheet.shape[0] / sheet.shape[1])
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    text = f"{count(total, 'image')} of {height} by {width} pixels"
    text += f", mean brightness {shades.mean():.0%} of the range"
    if total > 1:
        text += f"; a pixel varies between them by {shades.std(axis=0).mean():.0%} on average"
    return Drawing.on(ax, f"{text}.")
