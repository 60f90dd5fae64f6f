"""How active the units of a code are."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.samples import finite, one_each
from kerasae.report.figures.words import count, number

# Largest range of a dead unit, relative to that of the most active one.
_DEAD = 1e-3


@style.styled
def activation_histograms(
    codes: Any, target_activation: float | None = None, *, dead: Any = None
) -> Drawing:
    """Draw how active the units of a code are: all activations, and the mean of each unit.

    The left panel counts every activation of every unit; its vertical axis is logarithmic where
    one bin holds more than half of them, as in a sparse code. The right panel has the mean
    activation of each unit, highest first, and marks dead units with a cross.

    Args:
        codes: (n, units).
        target_activation: Mean activation that the units were trained for, if any.
        dead: (units,) truth values. When None, a unit is dead where its range is at most a
            thousandth of the largest range of any unit.

    Returns:
        The figure, and in words the spread of activations and means, and the dead units.

    Raises:
        ValueError: `codes` is not a finite 2-D array, or `dead` has another length.

    Example:
        >>> activation_histograms(ae.encode(x), 0.05)  # doctest: +SKIP
    """
    codes = finite(codes, "codes", axes=2)
    samples, units = codes.shape
    if dead is None:
        spread = np.ptp(codes, axis=0)
        dead = (spread <= _DEAD * spread.max()) & (samples > 1)
    dead = one_each(dead, units, "dead", "code units").astype(bool)
    means = codes.mean(axis=0)
    figure = Figure(figsize=(9.2, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_all(left, codes)
    _draw_means(right, means, dead, target_activation)
    # Room for one or two lines of legend below the titles of both panels.
    pad = 40 if dead.any() and target_activation is not None else 24
    left.set_title("all activations", pad=pad)
    right.set_title(f"mean of each unit over {count(samples, 'sample')}", pad=pad)

    low, middle, high = map(number, np.percentile(codes, [5, 50, 95]))
    these = "this sample" if samples == 1 else f"these {samples:,} samples"
    parts = [
        f"Activations of {count(units, 'code unit')} for {count(samples, 'sample')}: from "
        f"{number(codes.min())} to {number(codes.max())}, median {middle}, "
        f"5% to 95% from {low} to {high}. The mean of a unit over {these} lies between "
        f"{number(means.min())} and {number(means.max())}, {number(means.mean())} on average."
    ]
    if target_activation is not None:
        parts.append(f"The target is {target_activation:g}.")
    verb = "is" if dead.sum() == 1 else "are"
    gone = f"{count(int(dead.sum()), 'unit')} {verb} dead, the same for every sample."
    parts.append(gone if dead.any() else "No unit is dead.")
    return Drawing(figure, " ".join(parts))


def _draw_all(ax: Axes, codes: np.ndarray) -> None:
    # numpy refuses to divide a range that float64 cannot resolve.
    low, high = float(codes.min()), float(codes.max())
    margin = 1e-6 * max(1.0, abs(low), abs(high))
    bins = np.linspace(low, high, 41) if high - low > margin else [low - 0.5, low + 0.5]
    heights, edges = np.histogram(codes, bins)
    shares = heights / codes.size
    ax.stairs(shares, edges, fill=True, facecolor=style.BLUE, alpha=0.25)
    ax.stairs(shares, edges, color=style.BLUE, linewidth=1.6)
    if shares.max() > 0.5 and len(shares) > 1:
        ax.set_yscale("log")
        ax.set_ylim(0.5 * shares[shares > 0].min(), 1.5)
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(style.SHARES)
    ax.set(xlabel="activation", ylabel="share of all activations")
    ax.grid(axis="y")


def _draw_means(ax: Axes, means: np.ndarray, dead: np.ndarray, target: float | None) -> None:
    order = np.argsort(-means, kind="stable")
    ranks, values, gone = np.arange(1, len(means) + 1), means[order], dead[order]
    size = 5.5 if len(means) <= style.MANY else 3
    if len(means) <= style.MANY:
        ax.vlines(ranks, 0, values, color=style.PALE, linewidth=1)
    else:
        ax.fill_between(ranks, 0, values, step="mid", color="#D6E6F2", linewidth=0)
    label = count(int((~dead).sum()), "live unit")
    ax.plot(ranks[~gone], values[~gone], "o", color=style.BLUE, markersize=size, label=label)
    if gone.any():
        label = f"{count(int(dead.sum()), 'dead unit')}, the same for every sample"
        look: dict[str, Any] = {"color": style.VERMILLION, "markersize": size + 2, "mew": 1.6}
        ax.plot(ranks[gone], values[gone], "x", label=label, **look)
    if target is not None:
        ax.axhline(
            target, color=style.INK, linewidth=1.4, linestyle="--", label=f"target {target:g}"
        )
    else:
        ax.axhline(0, color=style.GREY, linewidth=0.8)
    room = {"borderaxespad": 0, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=9, ncols=2, **room)
    ax.xaxis.set_major_locator(style.whole_ticks())
    ax.set(xlabel="unit, by its mean activation", ylabel="mean activation")
    ax.set_xlim(0.4, len(means) + 0.6)
    ax.margins(y=0.1)
    ax.grid(axis="y")
