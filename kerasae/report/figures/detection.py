"""Anomaly scores: beside a threshold, and as what is found at which rate of false alarms."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures.samples import one_each, vector
from kerasae.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    SHARES,
    VERMILLION,
    count,
    new_axes,
    number,
    share,
    styled,
)


@styled
def score_histogram(
    normal_scores: Any,
    threshold: float | None = None,
    anomaly_scores: Any = None,
    false_alarm_rate: float | None = None,
    ax: Axes | None = None,
    *,
    name: str = "normal",
) -> Axes:
    """Draw the anomaly scores of normal samples, the threshold, and scores of anomalies.

    Each histogram is a share of its own samples. Below the threshold a sample passes, above it
    is flagged; the legend says which share is, and no bar lies on both sides. The axis is
    logarithmic where positive scores span more than a factor of 20 between their 1st and 99th
    percentile.

    Args:
        normal_scores: (n,), higher is worse.
        threshold: Score above which a sample is called an anomaly.
        anomaly_scores: (m,), scores of samples known to be anomalies.
        false_alarm_rate: Rate that the threshold was set for, between 0 and 1.
        ax: Where to draw; a new figure when None.
        name: What the samples of `normal_scores` are called, such as "test" where it is not
            known that all of them are normal.

    Returns:
        The axes.

    Raises:
        ValueError: There is no normal score, or a score is not finite.
    """
    groups = _scores(normal_scores, anomaly_scores)
    ax = ax or new_axes(7.4, 3.6)
    edges, logarithmic = _bins(groups, threshold)
    looks = {"normal": (BLUE, "-", None), "anomalies": (VERMILLION, "--", "////")}
    for group, values in groups.items():
        colour, dashes, hatch = looks[group]
        weights = np.full(len(values), 1 / len(values))
        # The outermost bins also hold what lies beyond them: no score is left out.
        heights, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges, weights=weights)
        ax.stairs(
            heights, edges, fill=True, facecolor=colour, edgecolor=colour, linewidth=0,
            alpha=0.28, hatch=hatch,
        )  # fmt: skip
        label = _who(group, len(values), name)
        if threshold is not None:
            label += f": {share(float(np.mean(values > threshold)))} above the threshold"
        ax.stairs(heights, edges, color=colour, linewidth=1.6, linestyle=dashes, label=label)
    if logarithmic:
        ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    if threshold is not None and math.isfinite(threshold):
        ax.axvline(threshold, color=INK, linewidth=1.6, linestyle=(0, (5, 2)))
        text = f"threshold {number(threshold)}"
        if false_alarm_rate is not None:
            text += f"\nset for {share(false_alarm_rate)} false alarms"
        right = ax.transData.transform((threshold, 0))[0] > ax.transAxes.transform((0.62, 0))[0]
        ax.annotate(
            text, (threshold, 0.96), (-6 if right else 6, 0), va="top",
            xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right" if right else "left", fontsize=9, color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    ax.set_ylim(0, ax.dataLim.y1 * (1.1 if threshold is None else 1.3))
    ax.yaxis.set_major_formatter(SHARES)
    ax.set_xlabel("anomaly score (higher is worse)")
    ax.set_ylabel("share of samples")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, fontsize=9)
    ax.grid(axis="y")
    return ax


def alt_score_histogram(
    normal_scores: Any,
    threshold: float | None = None,
    anomaly_scores: Any = None,
    false_alarm_rate: float | None = None,
    *,
    name: str = "normal",
) -> str:
    """Say in words what `score_histogram` shows; same data."""
    groups = _scores(normal_scores, anomaly_scores)
    parts = ["Histogram of anomaly scores."]
    if threshold is not None:
        text = f"The threshold is {number(threshold)}"
        if false_alarm_rate is not None:
            text += f", set for {share(false_alarm_rate)} false alarms"
        parts.append(f"{text}.")
    for group, values in groups.items():
        low, middle, high = np.percentile(values, [5, 50, 95])
        who = _who(group, len(values), name)
        text = f"{who}: median {number(middle)}, 5% to 95% from {number(low)} to {number(high)}"
        if threshold is not None:
            text += f", {share(float(np.mean(values > threshold)))} above the threshold"
        parts.append(f"{text}.")
    return " ".join(parts)


@styled
def roc_curve(scores: Any, labels: Any, ax: Axes | None = None) -> Axes:
    """Draw which share of the anomalies is found at which rate of false alarms.

    Args:
        scores: (n,), higher is worse.
        labels: (n,), true or 1 for anomalies.
        ax: Where to draw; a new figure when None.

    Returns:
        The axes; the title gives the area under the curve, 0.5 by chance and 1 at best.

    Raises:
        ValueError: One of the two kinds is missing, or the lengths differ.
    """
    alarms, found, area = _roc(scores, labels)
    ax = ax or new_axes(4.6, 4.4)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
    ax.annotate("by chance", (0.66, 0.6), color=GREY, fontsize=9, rotation=45, ha="center")
    ax.plot(alarms, found, color=BLUE)
    lines = []
    for rate in (0.01, 0.05):
        at = _found_at(alarms, found, rate)
        ax.plot(rate, at, "o", color=BLUE, markerfacecolor="white", markersize=7, clip_on=False)
        lines.append(f"at {share(rate)} false alarms {share(at)} found")
    ax.annotate(
        "\n".join(lines), (0.97, 0.05), xycoords="axes fraction", ha="right", fontsize=9,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2},
    )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(SHARES)
    ax.set_xlabel("false alarms among normal samples")
    ax.set_ylabel("anomalies found")
    ax.set_title(f"area under the curve {area:.3f}")
    ax.grid(visible=True, color=FAINT, linewidth=0.5)
    return ax


def alt_roc_curve(scores: Any, labels: Any) -> str:
    """Say in words what `roc_curve` shows; same data."""
    alarms, found, area = _roc(scores, labels)
    low, high = (share(_found_at(alarms, found, rate)) for rate in (0.01, 0.05))
    return (
        f"Receiver operating characteristic, area under the curve {area:.3f} (0.5 by chance, "
        f"1 at best). {low} of the anomalies are found at 1% false alarms, {high} at 5%."
    )


def _who(group: str, total: int, name: str) -> str:
    """How many samples of which kind a group holds."""
    if group == "anomalies":
        return f"{total:,} known anomal{'y' if total == 1 else 'ies'}"
    return count(total, f"{name} sample")


def _scores(normal_scores: Any, anomaly_scores: Any) -> dict[str, np.ndarray]:
    groups = {"normal": vector(normal_scores, "normal_scores")}
    if anomaly_scores is not None:
        groups["anomalies"] = vector(anomaly_scores, "anomaly_scores")
    return groups


def _bins(groups: dict[str, np.ndarray], threshold: float | None) -> tuple[np.ndarray, bool]:
    """Edges of the bins, and whether they are for a logarithmic axis."""
    # A single far outlier must not press all others into one bin.
    everything = np.concatenate(list(groups.values()))
    ends = np.array([np.percentile(values, [1, 99]) for values in groups.values()])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    logarithmic = everything.min() > 0 and high > 20 * low
    if logarithmic:
        everything, low, high = np.log(everything), math.log(low), math.log(high)
    extent = high - low
    low, high = max(everything.min(), low - extent), min(everything.max(), high + extent)
    line = None
    if threshold is not None and math.isfinite(threshold) and (threshold > 0 or not logarithmic):
        line = math.log(threshold) if logarithmic else threshold
        low, high = min(low, line), max(high, line)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    margin = 0.03 * (high - low)
    start = max(0.0, low - margin) if low >= 0 and not logarithmic else low - margin
    bins = int(np.clip(np.sqrt(max(map(len, groups.values()))), 12, 60))
    edges = np.linspace(start, high + margin, bins + 1)
    if threshold is None or line is None:
        return (np.exp(edges) if logarithmic else edges), logarithmic
    # No bar may lie on both sides of the line.
    width = (edges[-1] - start) / bins
    before = max(1, math.ceil((line - start) / width - 1e-9))
    after = max(1, math.ceil((edges[-1] - line) / width - 1e-9))
    edges = line + width * np.arange(-before, after + 1)
    if edges[0] < start < line:
        edges[0] = start
    edges = np.exp(edges) if logarithmic else edges
    # A score equal to the threshold is not above it.
    edges[before] = np.nextafter(threshold, np.inf)
    return edges, logarithmic


def _roc(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Shares of false alarms and of anomalies found at falling thresholds, and the area."""
    scores = vector(scores, "scores")
    labels = one_each(labels, len(scores)).astype(bool)
    if labels.all() or not labels.any():
        raise ValueError(
            "labels must hold both normal samples and anomalies. "
            f"Received: {int(labels.sum())} anomalies of {len(labels)}"
        )
    order = np.argsort(-scores, kind="stable")
    # Tied scores fall together: a point only where the score changes.
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.append(0, np.cumsum(labels[order])[last]) / labels.sum()
    alarms = np.append(0, np.cumsum(~labels[order])[last]) / (~labels).sum()
    return alarms, found, float(np.trapezoid(found, alarms))


def _found_at(alarms: np.ndarray, found: np.ndarray, rate: float) -> float:
    """The share found with at most this rate of false alarms."""
    return float(found[alarms <= rate + 1e-12].max())
