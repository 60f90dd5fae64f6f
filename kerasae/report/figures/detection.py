"""Anomaly scores on both sides of a threshold."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.samples import finite
from kerasae.report.figures.words import count, number, share


@style.styled
def score_histogram(
    normal_scores: Any,
    threshold: float | None = None,
    anomaly_scores: Any = None,
    false_alarm_rate: float | None = None,
    ax: Axes | None = None,
    *,
    name: str = "normal",
) -> Drawing:
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
        The figure, and in words the spread of the scores and the shares above the threshold.

    Raises:
        ValueError: There is no normal score, or a score is not finite.
    """
    normal = finite(normal_scores, "normal_scores")
    groups: dict[str, tuple[Any, ...]] = {}
    groups[count(len(normal), f"{name} sample")] = (normal, style.BLUE, "-", None)
    if anomaly_scores is not None:
        known = finite(anomaly_scores, "anomaly_scores")
        who = f"{len(known):,} known anomal{'y' if len(known) == 1 else 'ies'}"
        groups[who] = (known, style.VERMILLION, "--", "////")
    ax = ax or style.new_axes(7.4, 3.6)
    edges, logarithmic = _edges([values for values, *_ in groups.values()], threshold)
    if logarithmic:
        ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    parts = ["Histogram of anomaly scores."]
    if threshold is not None:
        set_for = (
            "" if false_alarm_rate is None else f"set for {share(false_alarm_rate)} false alarms"
        )
        parts.append(f"The threshold is {number(threshold)}, {set_for}".rstrip(", ") + ".")
        if math.isfinite(threshold):
            ax.axvline(threshold, color=style.INK, linewidth=1.6, linestyle=(0, (5, 2)))
            right = ax.transData.transform((threshold, 0))[0] > ax.transAxes.transform((0.62, 0))[0]
            aside, align = (-6, "right") if right else (6, "left")
            text = f"threshold {number(threshold)}\n{set_for}".strip()
            look: dict[str, Any] = {
                "xycoords": ("data", "axes fraction"),
                "fontsize": 9,
                "bbox": style.WHITE_BOX,
            }
            style.write(ax, text, (threshold, 0.96), (aside, 0), va="top", ha=align, **look)
    for who, (values, colour, dashes, hatch) in groups.items():
        # The outermost bins also hold what lies beyond them: no score is left out.
        heights, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        low, middle, high = map(number, np.percentile(values, [5, 50, 95]))
        text = f"{who}: median {middle}, 5% to 95% from {low} to {high}"
        if threshold is not None:
            above = f"{share(float(np.mean(values > threshold)))} above the threshold"
            text, who = f"{text}, {above}", f"{who}: {above}"
        parts.append(f"{text}.")
        look = {"facecolor": colour, "edgecolor": colour, "linewidth": 0, "hatch": hatch}
        ax.stairs(heights / len(values), edges, fill=True, alpha=0.28, **look)
        look = {"color": colour, "linewidth": 1.6, "linestyle": dashes}
        ax.stairs(heights / len(values), edges, label=who, **look)
    ax.set_ylim(0, ax.dataLim.y1 * (1.1 if threshold is None else 1.3))
    ax.yaxis.set_major_formatter(style.SHARES)
    ax.set_xlabel("anomaly score (higher is worse)")
    ax.set_ylabel("share of samples")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, fontsize=9)
    ax.grid(axis="y")
    return Drawing.on(ax, " ".join(parts))


def _edges(groups: list[np.ndarray], threshold: float | None) -> tuple[np.ndarray, bool]:
    """Return the edges of the bins, and whether they are for a logarithmic axis."""
    # A single far outlier must not press all others into one bin.
    everything = np.concatenate(groups)
    ends = np.array([np.percentile(values, [1, 99]) for values in groups])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    logarithmic = everything.min() > 0 and style.spans([low, high])
    to, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    lowest, low, high, highest = to([everything.min(), low, high, everything.max()])
    low, high = max(lowest, 2 * low - high), min(highest, 2 * high - low)
    line = low
    if threshold is not None and (not math.isfinite(threshold) or threshold <= 0 < logarithmic):
        threshold = None  # it has no place on the axis
    if threshold is not None:
        line = float(to(threshold))
        low, high = min(low, line), max(high, line)
    bins = int(np.clip(np.sqrt(max(map(len, groups))), 12, 60))
    margin = 0.03 * (high - low) or 0.5
    width = (high - low + 2 * margin) / bins
    # No bar may lie on both sides of the line, and a score equal to the threshold is not above it.
    before, after = (math.ceil((side + margin) / width) for side in (line - low, high - line))
    edges = back(line + width * np.arange(-before, after + 1))
    if threshold is not None:
        edges[before] = np.nextafter(threshold, np.inf)
    return edges, logarithmic
