"""What a decoder makes of places in code space: a map of it, and ways through it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures.samples import as_images, shown, span_of
from kerasae.report.figures.style import INK, count, new_axes, share, styled


@styled
def manifold(
    images: Any,
    ax: Axes | None = None,
    *,
    coverage: float = 0.95,
    value_range: tuple[float, float] | None = None,
) -> Axes:
    """Draw the images of a 2-D code as a map, its axes in quantiles of the prior.

    Args:
        images: (rows, columns, *image shape), as `ae.manifold()` returns them: the first axis is
            code dimension 1 from high to low, the second code dimension 0 from low to high.
        ax: Where to draw; a new figure when None.
        coverage: Share of the prior between the edges, as given to `ae.manifold`.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The axes.

    Raises:
        ValueError: `images` is no grid of images, or `coverage` is not between 0 and 1.

    Example:
        >>> ax = manifold(ae.manifold(20))  # doctest: +SKIP
    """
    shades, (rows, columns) = _grid(images, value_range)
    edges = _edges(coverage)
    sheet, (height, width) = _sheet(shades, rows, columns, gap=0)
    ax = ax or new_axes(6.4, 0.6 + 5.8 * sheet.shape[0] / sheet.shape[1])
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    # Quantiles are those of the middles of the outermost images.
    quantiles = np.linspace(*edges, 5)
    names = [_percent(value) for value in quantiles]
    ax.set_xticks(np.linspace(width / 2, (columns - 0.5) * width, 5) - 0.5, names)
    ax.set_yticks(np.linspace((rows - 0.5) * height, height / 2, 5) - 0.5, names)
    ax.set_xlabel("quantile of the prior, code dimension 0")
    ax.set_ylabel("quantile of the prior, code dimension 1")
    ax.spines[:].set_visible(False)
    return ax


def alt_manifold(
    images: Any,
    *,
    coverage: float = 0.95,
    value_range: tuple[float, float] | None = None,
) -> str:
    """Say in words what `manifold` shows; same data."""
    shades, (rows, columns) = _grid(images, value_range)
    low, high = (_percent(edge) for edge in _edges(coverage))
    across, down = _steps(shades, axis=1), _steps(shades, axis=0)
    return (
        f"Map of the two code dimensions: {rows} by {columns} decoded images, from the {low} to "
        f"the {high} quantile of the prior in each direction; dimension 0 grows to the right, "
        f"dimension 1 upwards. A pixel changes from one image to the next by {share(across)} of "
        f"its range to the right and {share(down)} upwards on average."
    )


@styled
def traversals(
    images: Any,
    ax: Axes | None = None,
    *,
    span: float = 3.0,
    dimensions: Sequence[Any] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Axes:
    """Draw what becomes of one image as each number of its code changes alone, one row each.

    Args:
        images: (dimensions, steps, *image shape), as `ae.traverse(x)` returns them.
        ax: Where to draw; a new figure when None.
        span: Largest change, in standard deviations, as given to `ae.traverse`.
        dimensions: Names of the rows; counted from 0 when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The axes.

    Raises:
        ValueError: `images` is no grid of images, or `dimensions` has another length.
    """
    shades, (rows, steps) = _grid(images, value_range)
    names = _names(dimensions, rows)
    ax, (height, width) = _draw_rows(shades, rows, steps, ax)
    offsets = np.linspace(-span, span, steps).round(9)
    texts = [f"{offset:+.2g}".replace("-", "\N{MINUS SIGN}") for offset in offsets]
    texts = [text if offset else "0" for text, offset in zip(texts, offsets, strict=True)]
    ax.set_xticks(np.arange(steps) * width + (width - 1) / 2, texts)
    ax.set_yticks(np.arange(rows) * height + (height - 1) / 2, names)
    ax.set_xlabel("that number of the code, in standard deviations; all others stay")
    ax.set_ylabel("code dimension")
    return ax


def alt_traversals(
    images: Any,
    *,
    span: float = 3.0,
    dimensions: Sequence[Any] | None = None,
    value_range: tuple[float, float] | None = None,
) -> str:
    """Say in words what `traversals` shows; same data."""
    shades, (rows, steps) = _grid(images, value_range)
    names = _names(dimensions, rows)
    change = np.abs(shades[:, -1] - shades[:, 0]).reshape(rows, -1).mean(axis=1)
    text = (
        f"What becomes of one image as {count(rows, 'code dimension')} "
        f"{'changes' if rows == 1 else 'change one at a time'}, in {count(steps, 'step')} from "
        f"-{span:g} to +{span:g} standard deviations."
    )
    most, least = int(change.argmax()), int(change.argmin())
    text += f" From end to end dimension {names[most]} changes {share(change[most])} of the range"
    text += " of a pixel on average"
    if rows > 1:
        text += f", the most, and dimension {names[least]} {share(change[least])}, the least"
    return f"{text}."


@styled
def interpolations(
    images: Any,
    ax: Axes | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> Axes:
    """Draw the way from one image to another through code space, one way per row.

    Args:
        images: (rows, steps, *image shape), as `ae.interpolate(a, b)` returns them.
        ax: Where to draw; a new figure when None.
        value_range: (lowest, highest) value, as in `reconstruction_grid`.

    Returns:
        The axes.

    Raises:
        ValueError: `images` is no grid of images, or has one step only.
    """
    shades, (rows, steps) = _grid(images, value_range, steps=2)
    ax, (_, width) = _draw_rows(shades, rows, steps, ax)
    texts = [share(value) for value in np.linspace(0, 1, steps)]
    texts[0], texts[-1] = "start", "end"
    ax.set_xticks(np.arange(steps) * width + (width - 1) / 2, texts)
    ax.set_yticks([])
    ax.set_xlabel("share of the way between the two codes")
    return ax


def alt_interpolations(images: Any, *, value_range: tuple[float, float] | None = None) -> str:
    """Say in words what `interpolations` shows; same data."""
    shades, (rows, steps) = _grid(images, value_range, steps=2)
    jumps = np.abs(np.diff(shades, axis=1)).reshape(rows, steps - 1, -1).mean(axis=2)
    ends = np.abs(shades[:, -1] - shades[:, 0]).mean()
    return (
        f"{count(rows, 'way')} from one image to another through code space, {steps} images "
        f"each. The ends differ by {share(ends)} of the range of a pixel on average, neighbours "
        f"by {share(jumps.min())} to {share(jumps.max())}."
    )


def _grid(
    images: Any, value_range: tuple[float, float] | None, steps: int = 1
) -> tuple[np.ndarray, tuple[int, int]]:
    """Shades (rows, columns, H, W) or (rows, columns, H, W, 3), and rows and columns."""
    array = np.asarray(images)
    if array.ndim not in (4, 5) or not array.size or array.shape[1] < steps:
        least = "" if steps == 1 else f" with at least {steps} columns"
        raise ValueError(
            f"images must be a grid of images, (rows, columns, H, W) or with 1 or 3 channels"
            f"{least}. Received: shape={array.shape}"
        )
    rows, columns = array.shape[:2]
    flat = as_images(array.reshape(-1, *array.shape[2:]))
    shades = shown(flat, span_of(array, value_range))
    return shades.reshape(rows, columns, *shades.shape[1:]), (rows, columns)


def _sheet(
    shades: np.ndarray, rows: int, columns: int, gap: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """One image of all, white between them, and height and width of one with its gap."""
    height, width = shades.shape[2] + gap, shades.shape[3] + gap
    sheet = np.ones((rows * height - gap, columns * width - gap, *shades.shape[4:]))
    for row in range(rows):
        for column in range(columns):
            image = shades[row, column]
            top, left = row * height, column * width
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet, (height, width)


def _draw_rows(
    shades: np.ndarray, rows: int, steps: int, ax: Axes | None
) -> tuple[Axes, tuple[int, int]]:
    gap = max(1, round(min(shades.shape[2:4]) / 14))
    sheet, size = _sheet(shades, rows, steps, gap)
    width = min(8.4, 0.9 * steps)
    ax = ax or new_axes(width + 0.7, 0.7 + width * sheet.shape[0] / sheet.shape[1])
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=INK)
    return ax, size


def _edges(coverage: float) -> tuple[float, float]:
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1. Received: coverage={coverage!r}")
    return (1 - coverage) / 2, (1 + coverage) / 2


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _names(dimensions: Sequence[Any] | None, rows: int) -> list[str]:
    names = [str(name) for name in (range(rows) if dimensions is None else dimensions)]
    if len(names) != rows:
        raise ValueError(
            f"dimensions must name each of the {rows} rows. Received: dimensions={names}"
        )
    return names


def _steps(shades: np.ndarray, axis: int) -> float:
    """Mean change of a pixel from one image to its neighbour; 0 where there is none."""
    if shades.shape[axis] < 2:
        return 0.0
    return float(np.abs(np.diff(shades, axis=axis)).mean())
