"""How active the units of a code are."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures.samples import truths
from kerasae.report.figures.style import (
    BLUE,
    GREY,
    INK,
    MANY,
    SHARES,
    VERMILLION,
    count,
    number,
    styled,
)

# Largest range of a dead unit, beside that of the most lively one.
_DEAD = 1e-3


@styled
def activation_histograms(
    codes: Any, target_activation: float | None = None, *, dead: Any = None
) -> Figure:
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
        The figure.

    Raises:
        ValueError: `codes` is not a finite 2-D array, or `dead` has another length.

    Example:
        >>> figure = activation_histograms(ae.encode(x), 0.05)  # doctest: +SKIP
    """
    codes, means, dead = _units(codes, dead)
    figure = Figure(figsize=(9.2, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    # numpy refuses to divide a range that float64 cannot resolve.
    low, high = float(codes.min()), float(codes.max())
    margin = 1e-6 * max(1.0, abs(low), abs(high))
    bins = np.linspace(low, high, 41) if high - low > margin else [low - 0.5, low + 0.5]
    heights, edges = np.histogram(codes, bins)
    shares = heights / codes.size
    left.stairs(shares, edges, fill=True, facecolor=BLUE, alpha=0.25)
    left.stairs(shares, edges, color=BLUE, linewidth=1.6)
    if shares.max() > 0.5 and len(shares) > 1:
        left.set_yscale("log")
        left.set_ylim(0.5 * shares[shares > 0].min(), 1.5)
    else:
        left.set_ylim(bottom=0)
    left.yaxis.set_major_formatter(SHARES)
    left.set_title("all activations", pad=_title_pad(dead, target_activation))
    left.set(xlabel="activation", ylabel="share of all activations")
    left.grid(axis="y")
    _draw_means(right, means, dead, target_activation, len(codes))
    return figure


def _title_pad(dead: np.ndarray, target: float | None) -> int:
    """Room for one or two lines of legend below the titles of both panels."""
    return 40 if dead.any() and target is not None else 24


def _draw_means(
    ax: Axes, means: np.ndarray, dead: np.ndarray, target: float | None, samples: int
) -> None:
    order = np.argsort(-means, kind="stable")
    ranks, gone = np.arange(1, len(means) + 1), dead[order]
    size = 5.5 if len(means) <= MANY else 3
    if len(means) <= MANY:
        ax.vlines(ranks, 0, means[order], color="#B9D3E6", linewidth=1)
    else:
        ax.fill_between(ranks, 0, means[order], step="mid", color="#D6E6F2", linewidth=0)
    ax.plot(
        ranks[~gone], means[order][~gone], "o", color=BLUE, markersize=size,
        label=f"{count(int((~dead).sum()), 'live unit')}",
    )  # fmt: skip
    if gone.any():
        ax.plot(
            ranks[gone], means[order][gone], "x", color=VERMILLION, markersize=size + 2, mew=1.6,
            label=f"{count(int(dead.sum()), 'dead unit')}, the same for every sample",
        )  # fmt: skip
    if target is not None:
        ax.axhline(target, color=INK, linewidth=1.4, linestyle="--", label=f"target {target:g}")
    else:
        ax.axhline(0, color=GREY, linewidth=0.8)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=9, ncols=2,
        handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
    ax.set_title(f"mean of each unit over {count(samples, 'sample')}", pad=_title_pad(dead, target))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set(xlabel="unit, by its mean activation", ylabel="mean activation")
    ax.set_xlim(0.4, len(means) + 0.6)
    ax.margins(y=0.1)
    ax.grid(axis="y")


def alt_activation_histograms(
    codes: Any, target_activation: float | None = None, *, dead: Any = None
) -> str:
    """Say in words what `activation_histograms` shows; same data."""
    codes, means, dead = _units(codes, dead)
    low, middle, high = np.percentile(codes, [5, 50, 95])
    these = "this sample" if len(codes) == 1 else f"these {len(codes):,} samples"
    parts = [
        f"Activations of {count(codes.shape[1], 'code unit')} for {count(len(codes), 'sample')}: "
        f"from {number(codes.min())} to {number(codes.max())}, median {number(middle)}, "
        f"5% to 95% from {number(low)} to {number(high)}.",
        f"The mean of a unit over {these} lies between {number(means.min())} and "
        f"{number(means.max())}, "
        f"{number(means.mean())} on average.",
    ]
    if target_activation is not None:
        parts.append(f"The target is {target_activation:g}.")
    alive = "No unit is dead." if not dead.any() else f"{count(int(dead.sum()), 'unit')} "
    if dead.any():
        alive += f"{'is' if dead.sum() == 1 else 'are'} dead, the same for every sample."
    return " ".join([*parts, alive])


def _units(codes: Any, dead: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, mean of each unit, and which units are dead."""
    codes = np.asarray(codes, float)
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        raise ValueError(
            f"codes must be a finite array of shape (n, units). Received: shape={codes.shape}"
        )
    if dead is None:
        spread = np.ptp(codes, axis=0)
        dead = (spread <= _DEAD * spread.max()) & (len(codes) > 1)
    return codes, codes.mean(axis=0), truths(dead, codes.shape[1], "dead")
