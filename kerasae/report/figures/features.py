"""Where in a sample the error lies: image maps, columns of a table, time steps of a series."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures.samples import as_images, as_series, batch, kind_of, shown, span_of
from kerasae.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    VERMILLION,
    count,
    legend_above,
    number,
    panels,
    plain,
    styled,
)


@styled
def feature_scores(
    x: Any,
    reconstruction: Any,
    scores: Any,
    labels: Sequence[Any] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the error of every feature beside the sample it belongs to.

    Images get rows of input, reconstruction and error, dark where the error is large, on one
    scale for all samples. Series show input and reconstruction with the error of each time step
    below, the mean over channels. Tables have a bar per column, the largest one darker and
    labelled, with the input's value beside the name. Everything given is drawn: pass 3 to 8.

    Args:
        x: Samples (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        reconstruction: Same shape and units as `x`.
        scores: Error of each feature, same shape, such as `ae.feature_scores(x)`.
        labels: One label per sample, shown above it.
        value_range: (lowest, highest) value of images, as in `reconstruction_grid`.
        kind: "image", "series" or "table", as in `reconstruction_grid`.
        names: Names of the features of a table; "feature 1" and so on when None.

    Returns:
        The figure.

    Raises:
        ValueError: Shapes differ, there is no sample, or `kind` is unknown or does not fit.

    Example:
        >>> figure = feature_scores(x, ae.reconstruct(x), ae.feature_scores(x))  # doctest: +SKIP
    """
    x, reconstruction, scores, kind, span = _checked(x, reconstruction, scores, value_range, kind)
    titles = [f"sample {index + 1}" if labels is None else plain(labels[index])
              for index in range(len(x))]  # fmt: skip
    if kind == "image":
        return _draw_images(x, reconstruction, scores, titles, span)
    if kind == "series":
        return _draw_series(x, reconstruction, scores, titles)
    return _draw_tables(x, scores, titles, names)


def alt_feature_scores(
    x: Any,
    reconstruction: Any,
    scores: Any,
    labels: Sequence[Any] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """Say in words what `feature_scores` shows; same arguments."""
    x, _, scores, kind, _ = _checked(x, reconstruction, scores, value_range, kind)
    parts = []
    for index, sample in enumerate(scores):
        who = f"sample {index + 1}" if labels is None else str(labels[index])
        if kind == "image":
            error = _grey(sample[None])[0]
            row, column = np.unravel_index(int(error.argmax()), error.shape)
            place, peak = f"row {row + 1}, column {column + 1}", error.max()
        elif kind == "series":
            error = as_series(sample[None])[0].mean(axis=-1)
            place, peak = f"time step {int(error.argmax())}", error.max()
        else:
            error = sample
            at = int(error.argmax())
            place, peak = str(names[at]) if names else f"feature {at + 1}", error.max()
        parts.append(f"{who}: {number(peak)} at {place}, {number(error.mean())} on average")
    noun = {"image": "pixel", "series": "time step", "table": "column"}[kind]
    lead = f"Error of every {noun} of {count(len(scores), 'sample')}; the largest of each"
    return f"{lead}: {'; '.join(parts)}."


def _checked(
    x: Any, reconstruction: Any, scores: Any, value_range: Any, kind: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str, tuple[float, float]]:
    span = span_of(x, value_range)
    x = batch(x, "x")
    others = {"reconstruction": np.asarray(reconstruction, float),
              "scores": np.asarray(scores, float)}  # fmt: skip
    for name, array in others.items():
        if array.shape != x.shape:
            raise ValueError(
                f"{name} must have the shape of x, {x.shape}. Received: shape={array.shape}"
            )
    return x, others["reconstruction"], others["scores"], kind_of(x, kind), span


def _grey(scores: np.ndarray) -> np.ndarray:
    """Error maps (n, H, W), the mean over colours."""
    scores = as_images(scores)
    return scores.mean(axis=-1) if scores.ndim == 4 else scores


def _draw_images(
    x: np.ndarray, reconstruction: np.ndarray, scores: np.ndarray, titles: list[str],
    span: tuple[float, float],
) -> Figure:  # fmt: skip
    error = _grey(scores)
    columns, height, width = error.shape
    side = min(1.2, 8.0 / columns)
    figure = Figure(
        figsize=(1.5 + columns * side, 3 * (side * height / width + 0.12) + 0.5),
        layout="compressed",
    )
    axes = figure.subplots(3, columns, squeeze=False)
    for row, images in zip(axes, (x, reconstruction), strict=False):
        for ax, image in zip(row, shown(as_images(images), span), strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    worst = float(error.max()) or 1.0
    for ax, image in zip(axes[2], error, strict=True):
        drawn = ax.imshow(image, cmap="OrRd", vmin=0, vmax=worst, interpolation="nearest")
    bar = figure.colorbar(drawn, ax=list(axes[2]), shrink=0.9, pad=0.015)
    bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=3))
    bar.outline.set_visible(False)
    rows = ("input", "reconstruction", "error of\neach pixel")
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center", color=INK, labelpad=8)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, loc="center", fontsize=9.5, pad=5, fontweight="normal")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=FAINT)
    return figure


def _draw_series(
    x: np.ndarray, reconstruction: np.ndarray, scores: np.ndarray, titles: list[str]
) -> Figure:
    x, reconstruction = as_series(x), as_series(reconstruction)
    error = as_series(scores).mean(axis=-1)
    total, steps, channels = x.shape
    columns = min(total, 3)
    rows = -(-total // columns)
    figure = Figure(figsize=(6.4 if columns == 1 else 9.2, 2.9 * rows + 0.4), layout="constrained")
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, sharey="row",
        height_ratios=[2, 1] * rows,
    )  # fmt: skip
    places = np.arange(steps)
    for sample in range(rows * columns):
        row, column = divmod(sample, columns)
        top, bottom = grid[2 * row, column], grid[2 * row + 1, column]
        if sample >= total:
            top.set_visible(False)
            bottom.set_visible(False)
            continue
        for channel in range(channels):
            names = ("input", "reconstruction") if channel == 0 else (None, None)
            top.plot(places, x[sample, :, channel], color="#8C8C8C", linewidth=2.2, label=names[0])
            top.plot(
                places, reconstruction[sample, :, channel], color=BLUE, linewidth=1.4,
                linestyle=(0, (5, 1.5)), label=names[1],
            )  # fmt: skip
        bottom.fill_between(
            places, error[sample], step="mid", color=VERMILLION, alpha=0.35, linewidth=0,
            label="error",
        )  # fmt: skip
        at = int(error[sample].argmax())
        bottom.plot(at, error[sample, at], "v", color=VERMILLION, markersize=6, clip_on=False)
        top.set_title(titles[sample], fontsize=9.5, pad=5)
        top.grid(axis="y")
        bottom.grid(axis="y")
        bottom.set_ylim(bottom=0)
        if row == rows - 1 or sample + columns >= total:
            bottom.tick_params(labelbottom=True)
            bottom.set_xlabel("time step")
        if column == 0:
            bottom.set_ylabel("error")
    legend_above(figure, grid[0, 0], handlelength=3)
    return figure


def _draw_tables(
    x: np.ndarray, scores: np.ndarray, titles: list[str], names: Sequence[str] | None
) -> Figure:
    total, features = x.shape
    known = list(names) if names else [f"feature {place + 1}" for place in range(features)]
    columns = min(total, 3 if max(map(len, known)) <= 14 else 2)
    figure, axes = panels(total, columns, 0.9 + 0.24 * features, sharex=True)
    places = np.arange(features)
    for sample, ax in enumerate(axes):
        values, worst = scores[sample], int(scores[sample].argmax())
        ax.barh(places, values, height=0.62, color="#B9D3E6")
        ax.barh(worst, values[worst], height=0.62, color=BLUE)
        ax.annotate(
            number(values[worst]), (values[worst], worst), (4, 0), textcoords="offset points",
            va="center", fontsize=9, color=INK, fontweight="bold",
        )  # fmt: skip
        texts = [
            f"{plain(name, 32)} = {number(value)}"
            for name, value in zip(known, x[sample], strict=True)
        ]
        ax.set_yticks(places, texts)
        for place, tick in enumerate(ax.get_yticklabels()):
            tick.set(color=INK if place == worst else GREY, fontsize=8.5,
                     fontweight="bold" if place == worst else "normal")  # fmt: skip
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(features - 0.4, -0.6)
        ax.set_title(titles[sample], fontsize=9.5, pad=6)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
    axes[0].set_xlim(0, 1.22 * (float(scores.max()) or 1))
    figure.supxlabel("error of each column", fontsize=9, color=GREY)
    return figure
