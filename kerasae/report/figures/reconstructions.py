"""Samples next to their reconstructions: images, series or rows of a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasae.errors import check_whole
from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.panels import draw_images, draw_series, draw_tables
from kerasae.report.figures.samples import (
    batch,
    finite,
    kind_of,
    like,
    one_each,
    shown,
    span_of,
)
from kerasae.report.figures.words import number, plain


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
    errors = finite(errors, "errors")
    total = len(errors)
    places = np.linspace(0, total - 1, min(check_whole("count", count), total)).round().astype(int)
    return np.argsort(errors, kind="stable")[places], places / max(1, total - 1)


@style.styled
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
) -> Drawing:
    """Draw samples next to their reconstructions, one column or panel per sample.

    Images get rows of input, reconstruction and absolute error, with the PSNR of each image below
    it. Series are overlaid, one panel per channel. Tables are paired dots, one line per feature.
    Next to a corrupted input the samples themselves are called clean. Everything given is drawn:
    pass 6 to 12 samples.

    Args:
        original: Samples (n, H, W), (n, H, W, 1 or 3), (n, T), (n, T, C) or (n, features).
        reconstruction: Same shape and units as `original`.
        corrupted: What the model was given instead of `original`, same shape, or None.
        scores: One value per sample to print instead of its PSNR or MSE, such as `ae.score(x)`;
            for a table in raw units these mean more than an MSE.
        labels: One label per sample, shown above it; it may have several lines.
        value_range: (lowest, highest) value of the data, for display and PSNR. When None: 0 to
            255 for uint8, 0 to 1 where the floats lie within, else what `original` spans.
        kind: "image", "series" or "table". When None: four axes are images, and so are three
            when the last two are at least 8; of two axes, up to 40 features are a table.
        names: Names of the channels of a series or of the features of a table.
        ranks: Rank of each sample among all, from 0 (best) to 1 (worst), as `best_to_worst`
            returns them; written above each sample. `scores` should be what they are ranks of.
        score_name: What `scores` are called.

    Returns:
        The figure, and in words the spread of the errors and the largest of them.

    Raises:
        ValueError: Shapes differ, there is no sample, `kind` is unknown or does not fit, or there
            is not one rank, score or label per sample.

    Example:
        >>> errors = ae.score(x)  # doctest: +SKIP
        >>> at, ranks = best_to_worst(errors)  # doctest: +SKIP
        >>> y = ae.reconstruct(x[at])  # doctest: +SKIP
        >>> reconstruction_grid(x[at], y, scores=errors[at], ranks=ranks)  # doctest: +SKIP
    """
    x = batch(original, "original")
    y = like(reconstruction, x, "reconstruction", "original")
    if corrupted is None:
        samples = {"input": x, "reconstruction": y}
    else:
        noisy = like(corrupted, x, "corrupted", "original")
        samples = {"clean": x, "corrupted input": noisy, "reconstruction": y}
    kind = kind_of(x, kind)
    span = span_of(original, value_range)
    total, *sides = x.shape
    for name, values in {"scores": scores, "labels": labels}.items():
        if values is not None:
            one_each(values, total, name)
    told = None if ranks is None else _told(ranks, total)

    shape = " by ".join(map(str, sides[:-1] if len(sides) == 3 and sides[-1] == 1 else sides))
    noun = {"image": f"images ({shape})", "series": f"series ({shape})", "table": "table rows"}
    clean = "" if corrupted is None else ", clean and corrupted,"
    parts = [f"{total} {noun[kind]} from the data{clean} and their reconstructions."]
    notes, errors = {}, np.zeros(total)
    for name in list(samples)[1:]:
        errors = np.square(x - samples[name]).reshape(total, -1).mean(axis=1)
        # Scores take the place of errors: what is written is what the words sum up.
        if scores is not None and name == "reconstruction":
            errors = np.asarray(scores, float)
            notes[name] = [f"{score_name} {number(value)}" for value in errors]
            named = score_name[:1].upper() + score_name[1:]
            parts.append(f"{named} of the {name}: {_spread(errors)}.")
        elif kind == "image":
            with np.errstate(divide="ignore"):
                decibels = 10 * np.log10((span[1] - span[0]) ** 2 / errors)
            notes[name] = [f"{value:.1f} dB" for value in decibels]
            parts.append(f"PSNR of the {name}: {_spread(decibels, ' dB')}.")
        elif scores is None:
            notes[name] = [f"MSE {number(value)}" for value in errors]
            parts.append(f"Mean squared error of the {name}: {_spread(errors)}.")
    if kind == "table" and names:
        parts.append(f"Columns: {', '.join(map(str, names))}.")
    if told:
        parts.append(f"Ordered by error among all samples: {', '.join(told)}.")
    worst = int(np.argmax(errors))
    label = "" if labels is None else f" ({', '.join(str(labels[worst]).splitlines())})"
    parts.append(f"The largest error is in sample {worst + 1}{label}.")

    titles = [""] * total if labels is None else [str(label) for label in labels]
    titles = ["\n".join(plain(line, 24) for line in title.split("\n")) for title in titles]
    if told:
        joint = "\n" if kind == "image" else ", "
        pairs = zip(told, titles, strict=True)
        titles = [joint.join(filter(None, pair)) for pair in pairs]
    if kind == "image":
        shades = {name: shown(array, span) for name, array in samples.items()}
        figure = draw_images(shades, np.abs(x - y), titles, notes)
    else:
        draw, one = (draw_series, "sample") if kind == "series" else (draw_tables, "row")
        titles = [title or f"{one} {index}" for index, title in enumerate(titles, start=1)]
        pairs = zip(titles, notes["reconstruction"], strict=True)
        figure = draw(samples, ["\n".join(pair) for pair in pairs], names)
    if told:
        below = "from best to worst of all samples; rank: share of samples with a lower error"
        lines = filter(None, [figure.get_supxlabel(), below])
        figure.supxlabel("\n".join(lines), fontsize=9, color=style.GREY)
    return Drawing(figure, " ".join(parts))


def _told(ranks: Sequence[float], total: int) -> list[str]:
    """Return ranks in words: "best", "rank 25%", ..., "worst"."""
    if len(ranks) != total or not all(0 <= rank <= 1 for rank in ranks):
        raise ValueError(
            f"ranks must be a number from 0 to 1 for each of the {total} samples. "
            f"Received: ranks={list(ranks)}"
        )
    named = {0: "best", 0.5: "median", 1: "worst"}
    return [named.get(float(rank), f"rank {rank:.0%}") for rank in ranks]


def _spread(values: np.ndarray, unit: str = "") -> str:
    low, high, middle = (
        number(value) + unit for value in (values.min(), values.max(), np.median(values))
    )
    return f"{low} to {high}, median {middle}"
