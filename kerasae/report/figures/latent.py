"""Decoded places of code space: a map of it, and ways through it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.panels import tile
from kerasae.report.figures.samples import as_images, shown, span_of
from kerasae.report.figures.words import count, share


@style.styled
def manifold(
    images: Any,
    ax: Axes | None = None,
    *,
    coverage: float = 0.95,
    value_range: tuple[float, float] | None = None,
) -> Drawing:
    """Draw the images of a 2-D code as a map, its axes in quantiles of the prior.

    Args:
        images: (rows, columns, *image shape), as `ae.manifold()` returns them: the first axis is
            code dimension 1 from high to low, the second code dimension 0 from low to high.
        ax: Where to draw; a new figure when None.
        coverage: Share of the prior between the edges, as given to `ae.manifold`.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The figure, and in words how fast the images change.

    Raises:
        ValueError: `images` is no grid of images, or `coverage` is not between 0 and 1.

    Example:
        >>> manifold(ae.manifold(20)).save("map.png")  # doctest: +SKIP
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1. Received: coverage={coverage!r}")
    shades = _grid(images, value_range)
    ax, across, down = _sheet(shades, ax, gap=0, width=5.8)
    # Quantiles are those of the middles of the outermost images.
    quantiles = np.linspace((1 - coverage) / 2, (1 + coverage) / 2, 5)
    names = [f"{100 * value:.3g}%" for value in quantiles]
    ax.set_xticks(np.linspace(across[0], across[-1], 5), names)
    ax.set_yticks(np.linspace(down[-1], down[0], 5), names)
    ax.set_xlabel("quantile of the prior, code dimension 0")
    ax.set_ylabel("quantile of the prior, code dimension 1")
    return Drawing.on(
        ax,
        f"Map of the two code dimensions: {len(down)} by {len(across)} decoded images, from the "
        f"{names[0]} to the {names[-1]} quantile of the prior in each direction; dimension 0 grows "
        "to the right, dimension 1 upwards. A pixel changes from one image to the next by "
        f"{_steps(shades, 1)} of its range to the right and {_steps(shades, 0)} upwards on "
        "average.",
    )


@style.styled
def traversals(
    images: Any,
    ax: Axes | None = None,
    *,
    span: float = 3.0,
    dimensions: Sequence[Any] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Drawing:
    """Draw how one image changes with each number of its code alone, one row each.

    Args:
        images: (dimensions, steps, *image shape), as `ae.traverse(x)` returns them.
        ax: Where to draw; a new figure when None.
        span: Largest change, in standard deviations, as given to `ae.traverse`.
        dimensions: Names of the rows; counted from 0 when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The figure, and in words the dimensions that change the most and the least.

    Raises:
        ValueError: `images` is no grid of images, or `dimensions` has another length.
    """
    shades = _grid(images, value_range)
    rows, steps = shades.shape[:2]
    names = [str(name) for name in (range(rows) if dimensions is None else dimensions)]
    if len(names) != rows:
        raise ValueError(
            f"dimensions must name each of the {rows} rows. Received: dimensions={names}"
        )
    ax, across, down = _sheet(shades, ax)
    offsets = np.linspace(-span, span, steps).round(9)
    texts = [
        f"{offset:+.2g}".replace("-", "\N{MINUS SIGN}") if offset else "0" for offset in offsets
    ]
    ax.set_xticks(across, texts)
    ax.set_yticks(down, names)
    ax.set_xlabel("that number of the code, in standard deviations; all others stay")
    ax.set_ylabel("code dimension")
    change = np.abs(shades[:, -1] - shades[:, 0]).reshape(rows, -1).mean(axis=1)
    most, least = int(change.argmax()), int(change.argmin())
    text = (
        f"Changes of one image as {count(rows, 'code dimension')} "
        f"{'changes' if rows == 1 else 'change one at a time'}, in {count(steps, 'step')} from "
        f"-{span:g} to +{span:g} standard deviations. From end to end dimension {names[most]} "
        f"changes {share(change[most])} of the range of a pixel on average"
    )
    if rows > 1:
        text += f", the most, and dimension {names[least]} {share(change[least])}, the least"
    return Drawing.on(ax, f"{text}.")


@style.styled
def interpolations(
    images: Any,
    ax: Axes | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> Drawing:
    """Draw the way from one image to another through code space, one way per row.

    Args:
        images: (rows, steps, *image shape), as `ae.interpolate(a, b)` returns them.
        ax: Where to draw; a new figure when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The figure, and in words how far the ends and the neighbours differ.

    Raises:
        ValueError: `images` is no grid of images, or has one step only.
    """
    shades = _grid(images, value_range, least=2)
    rows, steps = shades.shape[:2]
    ax, across, _ = _sheet(shades, ax)
    ax.set_xticks(across, ["start", *map(share, np.linspace(0, 1, steps)[1:-1]), "end"])
    ax.set_yticks([])
    ax.set_xlabel("share of the way between the two codes")
    jumps = np.abs(np.diff(shades, axis=1)).reshape(rows, steps - 1, -1).mean(axis=2)
    ends = np.abs(shades[:, -1] - shades[:, 0]).mean()
    return Drawing.on(
        ax,
        f"{count(rows, 'way')} from one image to another through code space, {steps} images "
        f"each. The ends differ by {share(ends)} of the range of a pixel on average, neighbours "
        f"by {share(jumps.min())} to {share(jumps.max())}.",
    )


def _grid(images: Any, value_range: tuple[float, float] | None, least: int = 1) -> np.ndarray:
    """Return shades (rows, columns, H, W) or (rows, columns, H, W, 3)."""
    array = np.asarray(images)
    if array.ndim not in (4, 5) or not array.size or array.shape[1] < least:
        columns = "" if least == 1 else f" with at least {least} columns"
        raise ValueError(
            f"images must be a grid of images, (rows, columns, H, W) or with 1 or 3 channels"
            f"{columns}. Received: shape={array.shape}"
        )
    flat = as_images(array.reshape(-1, *array.shape[2:]))
    return shown(flat, span_of(array, value_range)).reshape(*array.shape[:2], *flat.shape[1:])


def _sheet(
    shades: np.ndarray, ax: Axes | None, gap: int | None = None, width: float | None = None
) -> tuple[Axes, np.ndarray, np.ndarray]:
    """Draw all images as one; return the axes, and the middles of the columns and of the rows."""
    rows, columns, high, wide = shades.shape[:4]
    gap = max(1, round(min(high, wide) / 14)) if gap is None else gap
    width = min(8.4, 0.9 * columns) if width is None else width
    sheet = tile(shades.reshape(-1, *shades.shape[2:]), columns, gap)
    ax = ax or style.new_axes(width + 0.7, 0.7 + width * sheet.shape[0] / sheet.shape[1])
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=style.INK)
    across = np.arange(columns) * (wide + gap) + (wide - 1) / 2
    down = np.arange(rows) * (high + gap) + (high - 1) / 2
    return ax, across, down


def _steps(shades: np.ndarray, axis: int) -> str:
    """Return the mean change of a pixel from one image to its neighbour as a share."""
    changes = np.abs(np.diff(shades, axis=axis))
    return share(changes.mean() if changes.size else 0)
