"""Loss terms over the epochs, and the final error next to its baselines."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.words import count, number

# Split -> colour, line style, marker.
_LOOKS = {"training": (style.BLUE, "-", "o"), "validation": (style.VERMILLION, (0, (4, 2)), "s")}


@style.styled
def learning_curves(
    history: Mapping[str, Sequence[float]], *, best_epoch: int | None = None
) -> Drawing:
    """Draw one panel per term of a Keras history, training and validation together.

    The axis of a term is logarithmic when positive values span more than a factor of 20. A `loss`
    that equals `reconstruction_loss` at every epoch shares its panel. `epoch` and `learning_rate`
    are not drawn.

    Args:
        history: `{"loss": [...], "val_loss": [...], ...}`, one value per epoch.
        best_epoch: Epoch to mark, counted from 1. When None: the lowest validation loss, or
            training loss where there is no other.

    Returns:
        The figure, and in words the first, the last and the best value of each term.

    Raises:
        ValueError: `history` has no term or no epoch.
    """
    terms = _terms(history)
    best = best_epoch or _best_epoch(history, next(iter(terms.values())))
    columns = min(len(terms), 3 if len(terms) % 2 or len(terms) > 4 else 2)
    figure, axes = style.panels(len(terms), columns, 3.1)
    sentences = []
    for ax, (title, name) in zip(axes, terms.items(), strict=True):
        lines = {"training": history[name], "validation": history.get(f"val_{name}", [])}
        known = {split: np.asarray(line, float) for split, line in lines.items() if len(line)}
        sentences.append(_draw_term(ax, title, known, best))
    epochs = count(len(next(iter(history.values()))), "epoch")
    lead = f"Learning curves over {epochs}, first to last; the best is {best}."
    return Drawing(figure, " ".join([lead, *sentences]))


def _draw_term(ax: Axes, title: str, curves: Mapping[str, np.ndarray], best: int) -> str:
    """Draw one term, training solid and validation dashed; return it in words."""
    parts = []
    # Labels of lines that end at the same height sit a little apart.
    ends = sorted(curves, key=lambda name: curves[name][-1])
    for name, values in curves.items():
        colour, dashes, marker = _LOOKS[name]
        few = marker if len(values) <= 12 else ""
        look: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": few}
        ax.plot(np.arange(1, len(values) + 1), values, label=name, markersize=4, **look)
        look = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.6}
        ax.plot(best, values[best - 1], marker=marker, markersize=7, **look)
        if np.isfinite(values[-1]):
            shift = 0 if len(ends) == 1 else 10 * ends.index(name) - 5
            look = {"color": colour, "fontsize": 9, "annotation_clip": False}
            style.write(ax, name, (len(values), values[-1]), (6, shift), **look)
        first, at_best, last = (number(values[at]) for at in (0, best - 1, -1))
        parts.append(f"{name} {first} to {last} ({at_best} at the best)")
    if style.spans(np.concatenate(list(curves.values()))):
        ax.set_yscale("log")
    ax.set_title(title, pad=21)
    watched, values = list(curves.items())[-1]
    text = f"{watched} {number(values[best - 1])} at epoch {best} (best)"
    look = {"xycoords": "axes fraction", "va": "baseline", "fontsize": 8.5, "color": style.GREY}
    style.write(ax, text, (0, 1), (0, 6), **look)
    ax.axvline(best, color=style.GREY, linewidth=0.8, linestyle=":", zorder=1)
    ax.xaxis.set_major_locator(style.whole_ticks(7))
    ax.margins(y=0.1)
    ax.set_xlabel("epoch")
    ax.grid(axis="y")
    return f"{title}: {'; '.join(parts)}."


@style.styled
def baselines(
    values: Mapping[str, float],
    ax: Axes | None = None,
    *,
    quantity: str = "mean squared error",
) -> Drawing:
    """Draw the error of a model next to its baselines, lowest on top.

    Args:
        values: Name to error, the model first: `{"denoising": .010, "PCA": .017, "mean": .067}`.
        ax: Where to draw; a new figure when None.
        quantity: What the numbers are; the axis says that lower is better.

    Returns:
        The figure, and in words the errors and their ratios to that of the model.

    Raises:
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("values must name at least one error. Received: values={}")
    model = next(iter(values))
    # What is not finite comes last.
    names = sorted(values, key=lambda name: (not math.isfinite(values[name]), values[name]))
    ax = ax or style.new_axes(7.4, 0.7 + 0.4 * len(names))
    parts = []
    for row, name in enumerate(names):
        value, own = values[name], name == model
        text = number(value)
        if not own and values[model] > 0:
            text += f" ({number(value / values[model])} times the model)"
        parts.append(f"{name} {text}")
        colour, weight = (style.BLUE, "bold") if own else (style.GREY, "normal")
        ax.hlines(row, 0, value, color=colour, linewidth=2.6 if own else 1.4)
        face, marker = (colour, "D") if own else ("white", "o")
        look: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markeredgewidth": 1.6}
        ax.plot(value, row, marker=marker, markersize=8, **look)
        style.write(ax, text, (value, row), (10, 0), fontweight=weight)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0, labelcolor=style.INK, labelsize=10)
    ax.get_yticklabels()[names.index(model)].set_fontweight("bold")
    ax.set_ylim(len(names) - 0.5, -0.5)
    highest = max((value for value in values.values() if math.isfinite(value)), default=0)
    ax.set_xlim(0, 1.02 * highest or 1)
    ax.set_xticks([])
    ax.set_xlabel(f"{quantity}, from zero (lower is better)", loc="left")
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.axvline(0, color=style.FAINT, linewidth=1, zorder=0)
    return Drawing.on(ax, f"{quantity.capitalize()}, lowest first: {', '.join(parts)}.")


def _terms(history: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return panel title -> key of `history`, the total first."""
    keys = [
        key
        for key in history
        if not key.startswith("val_") and key not in ("epoch", "learning_rate")
    ]
    if not keys or not len(history[keys[0]]):
        known = f"history={list(history)}"
        raise ValueError(f"history must hold a term such as 'loss' per epoch. Received: {known}")
    lengths = {key: len(values) for key, values in history.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"history must have one value per epoch of each term. Received: values {lengths}"
        )
    keys.sort(key=lambda key: key != "loss")
    terms = {key.replace("_", " ").replace("kl ", "KL "): key for key in keys}
    if {"loss", "reconstruction_loss"} <= set(keys) and np.allclose(
        history["loss"], history["reconstruction_loss"], rtol=1e-5, atol=0, equal_nan=True
    ):
        del terms["loss"], terms["reconstruction loss"]
        terms = {"loss (reconstruction only)": "reconstruction_loss", **terms}
    return terms


def _best_epoch(history: Mapping[str, Sequence[float]], first_term: str) -> int:
    watched = np.asarray(history.get("val_loss", history[first_term]), float)
    return 1 + int(np.argmin(np.where(np.isfinite(watched), watched, np.inf)))
