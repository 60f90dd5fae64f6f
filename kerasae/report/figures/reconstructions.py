"""Samples beside their reconstructions: images, series or rows of a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasae.report.figures.samples import (
    as_images,
    as_series,
    batch,
    kind_of,
    mse,
    one_score_each,
    psnr,
    shown,
    span_of,
    table_scale,
    vector,
)
from kerasae.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    legend_above,
    number,
    panels,
    plain,
    styled,
)
from kerasae.report.figures.titles import above, called, with_ranks

_SERIES_LOOKS: dict[str, dict[str, Any]] = {
    "corrupted input": {"color": ORANGE, "linewidth": 0.9, "linestyle": ":"},
    "input": {"color": "#8C8C8C", "linewidth": 2.6},
    "reconstruction": {"color": BLUE, "linewidth": 1.5, "linestyle": (0, (5, 1.5))},
}
_TABLE_LOOKS: dict[str, dict[str, Any]] = {
    "corrupted input": {"color": ORANGE, "marker": "x", "markersize": 5},
    "input": {"color": "#555555", "marker": "o", "markersize": 6.5},
    "reconstruction": {"color": BLUE, "marker": "D", "markersize": 6.5, "mfc": "none"},
}

_RANKS = "from best to worst of all samples; rank: share of samples with a lower error"


def best_to_worst(errors: Any, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Choose samples spread evenly over the ranks of their errors, from the best to the worst.

    Args:
        errors: (n,), one error per sample, such as `ae.score(x)`; lower is better.
        count: Number of samples; all of them where there are fewer.

    Returns:
        Indices of the samples, lowest error first, and their ranks: 0 is the best of all, 1 the
        worst, 0.25 a sample that a quarter of the others are better than.

    Raises:
        ValueError: There is no error, one is not finite, or `count` is below 1.

    Example:
        >>> best_to_worst([0.5, 0.1, 0.9, 0.3, 0.7], count=3)
        (array([1, 0, 2]), array([0. , 0.5, 1. ]))
    """
    errors = vector(errors, "errors")
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: count={count}")
    total = len(errors)
    places = np.round(np.linspace(0, total - 1, min(count, total))).astype(int)
    return np.argsort(errors, kind="stable")[places], places / max(1, total - 1)


@styled
def reconstruction_grid(
    original: Any,
    reconstruction: Any,
    corrupted: Any = None,
    scores: Sequence[float] | None = None,
    labels: Sequence[Any] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
    names: Sequence[str] | None = None,
    ranks: Sequence[float] | None = None,
    score_name: str = "score",
    rows: Sequence[int] | None = None,
    split: str = "",
) -> Figure:
    """Draw samples beside their reconstructions, one column or panel per sample.

    Images get rows of input, reconstruction and absolute error, with the PSNR of each image below
    it. Series are overlaid, one panel per channel. Tables are paired dots, one line per feature.
    Beside a corrupted input the samples themselves are called clean. Everything given is drawn:
    pass 6 to 12 samples.

    Args:
        original: Samples (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        reconstruction: Same shape and units as `original`.
        corrupted: What the model was given instead of `original`, same shape, or None.
        scores: One value per sample to print instead of its PSNR or MSE, such as `ae.score(x)`;
            for a table in raw units these mean more than an MSE.
        labels: One label per sample, shown above it.
        value_range: (lowest, highest) value of the data, for display and PSNR. When None: 0 to
            255 for uint8, 0 to 1 where the floats lie within, else what `original` spans.
        kind: "image", "series" or "table". When None: four axes are images, and so are three
            when the last two are at least 8; of two axes, up to 40 features are a table.
        names: Names of the channels of a series or of the features of a table.
        ranks: Rank of each sample among all, from 0 (best) to 1 (worst), as `best_to_worst`
            returns them; written above each sample. `scores` should be what they are ranks of.
        score_name: What `scores` are called.
        rows: Row of each sample in its split, counted from 0, written above it.
        split: Name of that split, such as "test".

    Returns:
        The figure.

    Raises:
        ValueError: Shapes differ, there is no sample, `kind` is unknown or does not fit, or there
            is not one rank, score or row per sample.

    Example:
        >>> errors = ae.score(x)  # doctest: +SKIP
        >>> at, ranks = best_to_worst(errors)  # doctest: +SKIP
        >>> y = ae.reconstruct(x[at])  # doctest: +SKIP
        >>> figure = reconstruction_grid(x[at], y, scores=errors[at], ranks=ranks)  # doctest: +SKIP
    """
    samples = _samples(original, reconstruction, corrupted)
    kind = kind_of(samples["input"], kind)
    span = span_of(original, value_range)
    total = len(samples["input"])
    notes = _notes(samples, span, kind, one_score_each(scores, total), score_name)
    if ranks is not None:
        labels = with_ranks(ranks, labels, total, kind)
    who = called(rows, split, total)
    short = who or []
    if kind == "image":
        # A full name would be wider than its image.
        short = [name.replace(f"{split} sample", split) if split else name for name in short]
        figure = _draw_images(samples, span, notes, labels, short or None)
    else:
        draw = _draw_series if kind == "series" else _draw_tables
        figure = draw(samples, notes["reconstruction"], labels, names, who)
    lines = [figure.get_supxlabel(), "" if ranks is None else _RANKS]
    if who and rows is not None and kind == "image":
        of = f"the {split} split" if split else "the data"
        lines.append(f"{short[0]}: row {rows[0]} of {of}, counted from 0")
    if any(lines):
        figure.supxlabel("\n".join(filter(None, lines)), fontsize=9, color=GREY)
    return figure


def alt_reconstruction_grid(
    original: Any,
    reconstruction: Any,
    corrupted: Any = None,
    scores: Sequence[float] | None = None,
    labels: Sequence[Any] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    kind: str | None = None,
    names: Sequence[str] | None = None,
    ranks: Sequence[float] | None = None,
    score_name: str = "score",
    rows: Sequence[int] | None = None,
    split: str = "",
) -> str:
    """Say in words what `reconstruction_grid` shows; same arguments."""
    samples = _samples(original, reconstruction, corrupted)
    kind = kind_of(samples["input"], kind)
    span = span_of(original, value_range)
    total, *sides = samples["input"].shape
    shape = " by ".join(map(str, sides[:-1] if len(sides) == 3 and sides[-1] == 1 else sides))
    noun = {"image": f"images ({shape})", "series": f"series ({shape})", "table": "table rows"}
    what, unit = ("PSNR", " dB") if kind == "image" else ("Mean squared error", "")
    known = one_score_each(scores, total)
    clean = "" if corrupted is None else ", clean and corrupted,"
    parts = [f"{total} {noun[kind]} from the data{clean} and their reconstructions."]
    for name in list(samples)[1:]:
        # What is said is what is drawn: scores stand in place of errors.
        if known is not None and (kind != "image" or name == "reconstruction"):
            continue
        errors = mse(samples["input"], samples[name])
        values = psnr(errors, span) if kind == "image" else errors
        parts.append(f"{what} of the {name}: {_spread(values, unit)}.")
    if known is not None:
        named = f"{score_name[:1].upper()}{score_name[1:]}"
        parts.append(f"{named} of the reconstruction: {_spread(known, '')}.")
    if kind == "table" and names:
        parts.append(f"Columns: {', '.join(map(str, names))}.")
    if ranks is not None:
        told = with_ranks(ranks, None, total, kind)
        parts.append(f"Ordered by error among all samples: {', '.join(told)}.")
    errors = mse(samples["input"], samples["reconstruction"]) if known is None else known
    worst = int(np.argmax(errors))
    label = "" if labels is None else f" (label {labels[worst]})"
    who = called(rows, split, total)
    if who is None:
        parts.append(f"The largest error is in sample {worst + 1}{label}.")
    else:
        parts.append(f"In this order: {', '.join(who)}; rows are counted from 0.")
        parts.append(f"The largest error is in {who[worst]}{label}.")
    return " ".join(parts)


def _spread(values: np.ndarray, unit: str) -> str:
    low, high, middle = (
        number(value) + unit for value in (values.min(), values.max(), np.median(values))
    )
    return f"{low} to {high}, median {middle}"


def _legend(name: str, samples: dict[str, np.ndarray]) -> str:
    """Name of a row as it is read: beside a corrupted input, the model never saw the clean one."""
    return "clean" if name == "input" and "corrupted input" in samples else name


def _samples(original: Any, reconstruction: Any, corrupted: Any) -> dict[str, np.ndarray]:
    """Row name -> batch, in the order in which rows are drawn."""
    samples = {"input": batch(original, "original")}
    if corrupted is not None:
        samples["corrupted input"] = np.asarray(corrupted, float)
    samples["reconstruction"] = np.asarray(reconstruction, float)
    shape = samples["input"].shape
    for name, array in samples.items():
        if array.shape != shape:
            raise ValueError(
                f"The {name} must have the shape of original, {shape}. Received: "
                f"shape={array.shape}"
            )
    return samples


def _notes(
    samples: dict[str, np.ndarray],
    span: tuple[float, float],
    kind: str,
    scores: np.ndarray | None,
    score_name: str,
) -> dict[str, list[str]]:
    """Row name -> the small print below each sample."""
    notes = {}
    for name in list(samples)[1:]:
        errors = mse(samples["input"], samples[name])
        if kind == "image":
            notes[name] = [f"{value:.1f} dB" for value in psnr(errors, span)]
        else:
            notes[name] = [f"MSE {number(value)}" for value in errors]
    if scores is not None:
        notes["reconstruction"] = [f"{score_name} {number(score)}" for score in scores]
    return notes


def _draw_images(
    samples: dict[str, np.ndarray],
    span: tuple[float, float],
    notes: dict[str, list[str]],
    labels: Sequence[Any] | None,
    who: list[str] | None,
) -> Figure:
    rows = {name: as_images(array) for name, array in samples.items()}
    error = np.abs(rows["input"] - rows["reconstruction"])
    error = error.mean(axis=-1) if error.ndim == 4 else error
    columns, height, width = error.shape
    side = min(1.0, 8.0 / columns)
    figure = Figure(
        figsize=(1.3 + columns * side, (len(rows) + 1) * (side * height / width + 0.2) + 0.3),
        layout="compressed",
    )
    axes = figure.subplots(len(rows) + 1, columns, squeeze=False)
    for row, (name, images) in zip(axes, rows.items(), strict=False):
        for ax, image in zip(row, shown(images, span), strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for ax, note in zip(row, notes.get(name, []), strict=False):
            ax.set_xlabel(note, fontsize=8, labelpad=3)
    worst = float(error.max()) or 1.0
    for ax, image in zip(axes[-1], error, strict=True):
        ax.imshow(image, cmap="Greys", vmin=0, vmax=worst, interpolation="nearest")
    titles = [
        *(_legend(name, samples) for name in rows),
        f"absolute error\n(black: {number(worst)})",
    ]
    for ax, title in zip(axes[:, 0], titles, strict=True):
        ax.set_ylabel(
            title.replace(" input", "\ninput"), rotation=0, ha="right", va="center",
            color=INK, labelpad=8,
        )  # fmt: skip
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=FAINT)
    for at, ax in enumerate(axes[0]):
        if labels is not None or who is not None:
            title = "\n".join(above(at, labels, who, "sample"))
            ax.set_title(title, loc="center", fontsize=10 if who is None else 9, pad=5)
    return figure


def _draw_series(
    samples: dict[str, np.ndarray],
    notes: list[str],
    labels: Sequence[Any] | None,
    names: Sequence[str] | None,
    who: list[str] | None,
) -> Figure:
    lines = {name: as_series(samples[name]) for name in _SERIES_LOOKS if name in samples}
    total, steps, channels = lines["input"].shape
    columns = min(total, 3) if channels == 1 else total
    figure, axes = panels(total * channels, columns, 1.75, sharex=True, sharey="row")
    for index, ax in enumerate(axes):
        channel, sample = divmod(index, total)
        for name, array in lines.items():
            ax.plot(np.arange(steps), array[sample, :, channel], label=_legend(name, samples),
                    **_SERIES_LOOKS[name])  # fmt: skip
        if channel == 0:
            lines_above = above(sample, labels, who, "sample")
            joint = " · " if columns <= 3 and who is None else "\n"
            title = joint.join(["\n".join(lines_above), notes[sample]])
            ax.set_title(title, fontsize=9.5, pad=5)
        if channels > 1 and sample == 0:
            ax.set_ylabel(str(names[channel]) if names else f"channel {channel + 1}")
        ax.grid(axis="y")
    for ax in figure.axes[-columns:]:
        ax.set_xlabel("time step")
    legend_above(figure, axes[0], handlelength=3)
    return figure


def _draw_tables(
    samples: dict[str, np.ndarray],
    notes: list[str],
    labels: Sequence[Any] | None,
    names: Sequence[str] | None,
    who: list[str] | None,
) -> Figure:
    total, features = samples["input"].shape
    unit = "value"
    if scale := table_scale(samples["input"]):
        samples = {name: scale(array) for name, array in samples.items()}
        unit = "each feature from its lowest (0) to its highest (1) input here"
    height = 0.9 + 0.2 * features
    figure, axes = panels(total, min(total, 4), height, sharex=True, sharey=True)
    places = np.arange(features)
    for sample, ax in enumerate(axes):
        pair = samples["input"][sample], samples["reconstruction"][sample]
        ax.hlines(places, *pair, color="#BBBBBB", linewidth=1.2, zorder=1)
        for name, look in _TABLE_LOOKS.items():
            if name in samples:
                ax.plot(samples[name][sample], places, label=_legend(name, samples),
                        linestyle="", mew=1.4, **look)  # fmt: skip
        title = "\n".join([*above(sample, labels, who, "row"), notes[sample]])
        ax.set_title(title, fontsize=9.5, pad=6)
        ax.grid(axis="y")
    known = names or [f"feature {place + 1}" for place in places]
    axes[0].set_yticks(places, [plain(name, 32) for name in known])
    axes[0].set_ylim(features - 0.5, -0.5)
    figure.supxlabel(unit, fontsize=9, color=GREY)
    legend_above(figure, axes[0])
    return figure
