"""Loss terms over the epochs, and the final error beside its baselines."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    VERMILLION,
    count,
    new_axes,
    number,
    styled,
)

# Split -> colour, line style, marker.
_LOOKS = {"training": (BLUE, "-", "o"), "validation": (VERMILLION, (0, (4, 2)), "s")}


@styled
def learning_curve(
    training: Sequence[float],
    validation: Sequence[float] | None = None,
    *,
    title: str = "loss",
    best_epoch: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one loss term over the epochs: training solid, validation dashed.

    The vertical axis is logarithmic when positive values span more than a factor of 20.

    Args:
        training: One value per epoch.
        validation: One value per epoch, or None.
        title: Name of the term.
        best_epoch: Epoch to mark, counted from 1; its value is written below the title.
        ax: Where to draw; a new figure when None.

    Returns:
        The axes.
    """
    ax = ax or new_axes(6.0, 3.4)
    curves = {"training": np.asarray(training, float)}
    if validation is not None:
        curves["validation"] = np.asarray(validation, float)
    for name, values in curves.items():
        colour, dashes, marker = _LOOKS[name]
        ax.plot(
            np.arange(1, len(values) + 1), values, color=colour, linestyle=dashes,
            marker=marker if len(values) <= 12 else "", markersize=4, label=name,
        )  # fmt: skip
    everything = np.concatenate(list(curves.values()))
    everything = everything[np.isfinite(everything)]
    if everything.size and everything.min() > 0 and everything.max() > 20 * everything.min():
        ax.set_yscale("log")
    _label_line_ends(ax, curves)
    ax.set_title(title, pad=21 if best_epoch else 10)
    if best_epoch:
        watched = "training" if validation is None else "validation"
        ax.annotate(
            f"{watched} {number(curves[watched][best_epoch - 1])} at epoch {best_epoch} (best)",
            (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
            fontsize=8.5, color=GREY,
        )  # fmt: skip
        ax.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        for name, values in curves.items():
            colour, _, marker = _LOOKS[name]
            ax.plot(
                best_epoch, values[best_epoch - 1], marker=marker, markersize=7,
                markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.6,
            )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    ax.margins(y=0.1)
    ax.set_xlabel("epoch")
    ax.grid(axis="y")
    return ax


@styled
def learning_curves(
    history: Mapping[str, Sequence[float]],
    *,
    best_epoch: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw one panel per term of a Keras history, training beside validation.

    A `loss` that equals `reconstruction_loss` at every epoch shares its panel. `epoch` and
    `learning_rate` are not drawn.

    Args:
        history: `{"loss": [...], "val_loss": [...], ...}`, one value per epoch.
        best_epoch: Epoch to mark, counted from 1. When None: the lowest validation loss, or
            training loss where there is no other.
        figure: Where to draw; a new figure when None.

    Returns:
        The figure.

    Raises:
        ValueError: `history` has no term or no epoch.
    """
    terms = _terms(history)
    best = best_epoch or _best_epoch(history)
    columns = min(len(terms), 3 if len(terms) % 2 or len(terms) > 4 else 2)
    rows = math.ceil(len(terms) / columns)
    width = 6.4 if columns == 1 else min(9.2, 4.6 * columns)
    figure = figure or Figure(figsize=(width, 3.3 * rows), layout="constrained")
    for position, (title, name) in enumerate(terms.items(), start=1):
        ax = figure.add_subplot(rows, columns, position)
        learning_curve(
            history[name], history.get(f"val_{name}"), title=title, best_epoch=best, ax=ax
        )
    return figure


def alt_learning_curves(
    history: Mapping[str, Sequence[float]], *, best_epoch: int | None = None
) -> str:
    """Say in words what `learning_curves` shows; same data."""
    terms = _terms(history)
    best = best_epoch or _best_epoch(history)
    sentences = []
    for title, name in terms.items():
        parts = []
        for kind, key in (("training", name), ("validation", f"val_{name}")):
            if key in history:
                first, at_best, last = (number(history[key][at]) for at in (0, best - 1, -1))
                parts.append(f"{kind} {first} to {last} ({at_best} at the best)")
        sentences.append(f"{title}: {'; '.join(parts)}.")
    epochs = count(len(next(iter(history.values()))), "epoch")
    lead = f"Learning curves over {epochs}, first to last; the best is {best}."
    return " ".join([lead, *sentences])


@styled
def baselines(
    values: Mapping[str, float],
    ax: Axes | None = None,
    *,
    quantity: str = "mean squared error",
) -> Axes:
    """Draw the error of a model beside its baselines, lowest on top.

    Args:
        values: Name to error, the model first: `{"denoising": .010, "PCA": .017, "mean": .067}`.
        ax: Where to draw; a new figure when None.
        quantity: What the numbers are; the axis says that lower is better.

    Returns:
        The axes.

    Raises:
        ValueError: `values` is empty.
    """
    ordered = _ordered(values)
    model = next(iter(values))
    ax = ax or new_axes(7.4, 0.7 + 0.4 * len(ordered))
    for row, (name, value) in enumerate(ordered.items()):
        own = name == model
        colour = BLUE if own else GREY
        ax.hlines(row, 0, value, color=colour, linewidth=2.6 if own else 1.4)
        ax.plot(
            value, row, marker="D" if own else "o", markersize=8, color=colour,
            markerfacecolor=colour if own else "white", markeredgewidth=1.6,
        )  # fmt: skip
        ax.annotate(
            _beside(value, values[model], own), (value, row), (10, 0),
            textcoords="offset points", va="center", color=INK,
            fontweight="bold" if own else "normal",
        )  # fmt: skip
    ax.set_yticks(range(len(ordered)), list(ordered))
    for tick in ax.get_yticklabels():
        tick.set(color=INK, fontsize=10, fontweight="bold" if tick.get_text() == model else None)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(ordered) - 0.5, -0.5)
    finite = [value for value in ordered.values() if math.isfinite(value)]
    ax.set_xlim(0, 1.02 * max(finite, default=0) or 1)
    ax.set_xticks([])
    ax.set_xlabel(f"{quantity}, from zero (lower is better)", loc="left")
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.axvline(0, color=FAINT, linewidth=1, zorder=0)
    return ax


def alt_baselines(values: Mapping[str, float], *, quantity: str = "mean squared error") -> str:
    """Say in words what `baselines` shows; same data."""
    ordered = _ordered(values)
    model = next(iter(values))
    rows = [
        f"{name} {_beside(value, values[model], name == model)}" for name, value in ordered.items()
    ]
    return f"{quantity.capitalize()}, lowest first: {', '.join(rows)}."


def _terms(history: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Panel title -> key of `history`, the total first."""
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


def _best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    first_term = next(iter(_terms(history).values()))
    watched = np.asarray(history.get("val_loss", history[first_term]), float)
    return 1 + int(np.argmin(np.where(np.isfinite(watched), watched, np.inf)))


def _label_line_ends(ax: Axes, curves: Mapping[str, np.ndarray]) -> None:
    # The upper label sits a little higher and the lower a little lower: lines that end at the
    # same height stay readable without measuring text.
    ends = sorted(curves.items(), key=lambda item: item[1][-1])
    for place, (name, values) in enumerate(ends):
        shift = 0 if len(ends) == 1 else (5 if place else -5)
        if np.isfinite(values[-1]):
            ax.annotate(
                name, (len(values), values[-1]), (6, shift), textcoords="offset points",
                va="center", color=_LOOKS[name][0], fontsize=9, annotation_clip=False,
            )  # fmt: skip


def _ordered(values: Mapping[str, float]) -> dict[str, float]:
    """Lowest first, what is not finite last."""
    if not values:
        raise ValueError("values must name at least one error. Received: values={}")
    return dict(sorted(values.items(), key=lambda item: (not math.isfinite(item[1]), item[1])))


def _beside(value: float, model: float, own: bool) -> str:
    """The error, and its ratio to that of the model."""
    ratio = "" if own or not model > 0 else f" ({number(value / model)} times the model)"
    return number(value) + ratio
