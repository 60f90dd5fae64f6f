"""Where in a sample the error lies: image maps, columns of a table, time steps of a series."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasae.report.figures import samples, style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.panels import draw_images
from kerasae.report.figures.words import count, number, plain


@style.styled
def feature_scores(
    x: Any,
    reconstruction: Any,
    scores: Any,
    labels: Sequence[Any] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
    names: Sequence[str] | None = None,
) -> Drawing:
    """Draw the error of every feature next to the sample it belongs to.

    Images get rows of input, reconstruction and error, dark where the error is large, on one
    scale for all samples. Series show input and reconstruction with the error of each time step
    below, the mean over channels. Tables have a bar per column, the largest one darker and
    labelled, with the input's value after the name. Everything given is drawn: pass 3 to 8.

    Args:
        x: Samples (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        reconstruction: Same shape and units as `x`.
        scores: Error of each feature, same shape, such as `ae.feature_scores(x)`.
        labels: One label per sample, shown above it.
        value_range: (lowest, highest) value of images, as in `reconstruction_grid`.
        kind: "image", "series" or "table", as in `reconstruction_grid`.
        names: Names of the features of a table; "feature 1" and so on when None.

    Returns:
        The figure, and in words the largest error of each sample and its place.

    Raises:
        ValueError: Shapes differ, there is no sample, or `kind` is unknown or does not fit.

    Example:
        >>> feature_scores(x, ae.reconstruct(x), ae.feature_scores(x))  # doctest: +SKIP
    """
    span = samples.span_of(x, value_range)
    x = samples.batch(x, "x")
    reconstruction = samples.like(reconstruction, x, "reconstruction", "x")
    scores = samples.like(scores, x, "scores", "x")
    kind = samples.kind_of(x, kind)
    titles = [f"sample {index}" for index in range(1, len(x) + 1)]
    titles = titles if labels is None else [str(label) for label in labels]
    above = [plain(title) for title in titles]
    if kind == "image":
        noun, error = "pixel", samples.as_grey(scores)
        at = [np.unravel_index(int(image.argmax()), image.shape) for image in error]
        places = [f"row {row + 1}, column {column + 1}" for row, column in at]
        rows = {
            "input": samples.shown(x, span),
            "reconstruction": samples.shown(reconstruction, span),
        }
        figure = draw_images(rows, error, above, error_name="error of\neach pixel")
    elif kind == "series":
        noun, error = "time step", samples.as_series(scores).mean(axis=-1)
        places = [f"time step {step}" for step in error.argmax(axis=1)]
        figure = _series(samples.as_series(x), samples.as_series(reconstruction), error, above)
    else:
        noun, error = "column", scores
        known = list(names or [f"feature {place}" for place in range(1, x.shape[1] + 1)])
        places = [str(known[column]) for column in error.argmax(axis=1)]
        figure = _tables(x, error, above, known)
    parts = [
        f"{title}: {number(sample.max())} at {place}, {number(sample.mean())} on average"
        for title, place, sample in zip(titles, places, error, strict=True)
    ]
    lead = f"Error of every {noun} of {count(len(x), 'sample')}; the largest of each"
    return Drawing(figure, f"{lead}: {'; '.join(parts)}.")


def _series(
    x: np.ndarray, reconstruction: np.ndarray, error: np.ndarray, titles: list[str]
) -> Figure:
    total, steps, _ = x.shape
    figure = Figure(figsize=(6.4 if total == 1 else 9.2, 3.6), layout="constrained")
    shared: dict[str, Any] = {"sharex": True, "sharey": "row", "height_ratios": [2, 1]}
    tops, bottoms = figure.subplots(2, total, squeeze=False, **shared)
    looks: dict[str, dict[str, Any]] = {
        "input": {"color": "#8C8C8C", "linewidth": 2.2},
        "reconstruction": {"color": style.BLUE, "linewidth": 1.4, "linestyle": (0, (5, 1.5))},
    }
    for sample, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        for lines, (name, look) in zip((x, reconstruction), looks.items(), strict=True):
            for channel, line in enumerate(lines[sample].T):
                top.plot(line, label="" if channel else name, **look)
        top.set_title(titles[sample], fontsize=9.5, pad=5)
        worst = int(error[sample].argmax())
        filled = {"step": "mid", "color": style.VERMILLION, "alpha": 0.35, "linewidth": 0}
        bottom.fill_between(np.arange(steps), error[sample], **filled)
        bottom.plot(worst, error[sample, worst], "v", color=style.VERMILLION, clip_on=False)
        bottom.set_ylim(bottom=0)
        bottom.set_xlabel("time step")
        for ax in (top, bottom):
            ax.grid(axis="y")
    bottoms[0].set_ylabel("error")
    style.legend_above(figure, tops[0], handlelength=3)
    return figure


def _tables(x: np.ndarray, scores: np.ndarray, titles: list[str], names: list[str]) -> Figure:
    total, features = x.shape
    columns = min(total, 3 if max(map(len, names)) <= 14 else 2)
    figure, axes = style.panels(total, columns, 0.9 + 0.24 * features, sharex=True)
    places = np.arange(features)
    for sample, ax in enumerate(axes):
        values, worst = scores[sample], int(scores[sample].argmax())
        ax.barh(places, values, height=0.62, color=style.PALE)
        ax.barh(worst, values[worst], height=0.62, color=style.BLUE)
        look = {"fontsize": 9, "fontweight": "bold"}
        style.write(ax, number(values[worst]), (values[worst], worst), (4, 0), **look)
        known = zip(names, x[sample], strict=True)
        ax.set_yticks(places, [f"{plain(name, 32)} = {number(value)}" for name, value in known])
        ax.tick_params(axis="y", length=0, labelcolor=style.GREY, labelsize=8.5)
        ax.get_yticklabels()[worst].set(color=style.INK, fontweight="bold")
        ax.set_ylim(features - 0.4, -0.6)
        ax.set_title(titles[sample], fontsize=9.5, pad=6)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
    axes[0].set_xlim(0, 1.22 * (float(scores.max()) or 1))
    figure.supxlabel("error of each column", fontsize=9, color=style.GREY)
    return figure
