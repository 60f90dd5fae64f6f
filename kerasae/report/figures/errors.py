"""Errors of the samples of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures.samples import one_each, vector
from kerasae.report.figures.style import BLUE, INK, count, new_axes, number, plain, styled

_WHISKERS = (5, 95)  # percentiles
_HALF = 0.22  # of the height of a box, in rows


@styled
def class_errors(
    errors: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    quantity: str = "reconstruction error",
) -> Axes:
    """Draw how the errors of the samples are distributed in each class, lowest median on top.

    A box holds the middle half of a class, its whiskers reach from the 5th to the 95th
    percentile, and the number above its thick mark is the median. The axis is logarithmic where the
    positive whiskers span more than a factor of 20.

    Args:
        errors: (n,), one error per sample.
        labels: (n,), one class per sample.
        class_names: Names indexed by integer labels.
        ax: Where to draw; a new figure when None.
        quantity: What the errors are; the axis says that lower is better.

    Returns:
        The axes.

    Raises:
        ValueError: There is no sample, an error is not finite, or the lengths differ.

    Example:
        >>> ax = class_errors(ae.score(x), labels)  # doctest: +SKIP
    """
    groups = _by_class(errors, labels, class_names)
    ax = ax or new_axes(7.4, 1.1 + 0.44 * len(groups))
    # Whiskers end at the outermost samples within the percentiles.
    limits = [np.percentile(values, _WHISKERS) for values in groups.values()]
    reach = np.array([
        (values[values >= low].min(), values[values <= high].max())
        for values, (low, high) in zip(groups.values(), limits, strict=True)
    ])  # fmt: skip
    if reach.min() > 0 and reach.max() > 20 * reach.min():
        ax.set_xscale("log")
    ax.boxplot(
        list(groups.values()), positions=range(len(groups)), orientation="horizontal",
        whis=_WHISKERS, showfliers=False, widths=2 * _HALF, patch_artist=True,
        boxprops={"facecolor": "#D6E6F2", "edgecolor": BLUE, "linewidth": 1.2},
        medianprops={"color": BLUE, "linewidth": 2.6},
        whiskerprops={"color": BLUE, "linewidth": 1.2},
        capprops={"color": BLUE, "linewidth": 1.2},
    )  # fmt: skip
    for row, values in enumerate(groups.values()):
        middle = float(np.median(values))
        ax.annotate(
            number(middle), (middle, row - _HALF), (0, 1), textcoords="offset points",
            ha="center", va="bottom", fontsize=8.5, color=INK, annotation_clip=False,
        )  # fmt: skip
    ax.set_yticks(range(len(groups)), [plain(name) for name in groups])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set_ylim(len(groups) - 0.5, -0.85)
    if ax.get_xscale() == "linear" and reach.min() >= 0:
        ax.set_xlim(0, 1.05 * float(reach.max()) or 1)
    ax.set_xlabel(
        f"{quantity} (lower is better)\n"
        "box: the middle half; whiskers: 5% to 95% of the class; number: the median, the thick mark"
    )
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    return ax


def alt_class_errors(
    errors: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    quantity: str = "reconstruction error",
) -> str:
    """Say in words what `class_errors` shows; same data."""
    groups = _by_class(errors, labels, class_names)
    medians = {name: float(np.median(values)) for name, values in groups.items()}
    named = ", ".join(f"{name} ({number(value)})" for name, value in medians.items())
    total = sum(map(len, groups.values()))
    classes = f"{len(groups)} class{'' if len(groups) == 1 else 'es'}"
    text = (
        f"{quantity[:1].upper()}{quantity[1:]} of {count(total, 'sample')} in "
        f"{classes}, lowest median first: {named}."
    )
    low, high = min(medians.values()), max(medians.values())
    if len(groups) > 1 and low > 0:
        text += f" The highest median is {number(high / low)} times the lowest."
    return text


def _by_class(errors: Any, labels: Any, class_names: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Class name -> its errors, lowest median first."""
    errors = vector(errors, "errors")
    labels = one_each(labels, len(errors))
    groups = {
        str(class_names[value] if class_names else value): errors[labels == value]
        for value in np.unique(labels)
    }
    return dict(sorted(groups.items(), key=lambda item: float(np.median(item[1]))))
