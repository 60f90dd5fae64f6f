"""Errors of the samples of each class."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.samples import by_class, finite
from kerasae.report.figures.words import count, number, plain

_HALF = 0.22  # of the height of a box, in rows


@style.styled
def class_errors(
    errors: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    quantity: str = "reconstruction error",
) -> Drawing:
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
        The figure, and in words the medians.

    Raises:
        ValueError: There is no sample, an error is not finite, or the lengths differ.

    Example:
        >>> class_errors(ae.score(x), labels).save("classes.png")  # doctest: +SKIP
    """
    errors = finite(errors, "errors")
    groups = by_class(labels, len(errors), class_names)
    boxes = boxplot_stats([errors[members] for members in groups.values()], whis=(5, 95))
    named = dict(sorted(zip(groups, boxes, strict=True), key=lambda item: item[1]["med"]))
    medians = {name: float(box["med"]) for name, box in named.items()}
    ax = ax or style.new_axes(7.4, 1.1 + 0.44 * len(named))
    ends = [box[end] for box in boxes for end in ("whislo", "whishi")]
    if style.spans(ends):
        ax.set_xscale("log")
    line = {"color": style.BLUE, "linewidth": 1.2}
    ax.bxp(
        list(named.values()),
        positions=range(len(named)),
        orientation="horizontal",
        showfliers=False,
        widths=2 * _HALF,
        patch_artist=True,
        boxprops={"facecolor": "#D6E6F2", "edgecolor": style.BLUE, "linewidth": 1.2},
        medianprops={"color": style.BLUE, "linewidth": 2.6},
        whiskerprops=line,
        capprops=line,
    )
    for row, middle in enumerate(medians.values()):
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 8.5}
        style.write(
            ax, number(middle), (middle, row - _HALF), (0, 1), annotation_clip=False, **look
        )
    ax.set_yticks(range(len(named)), [plain(name) for name in named])
    ax.tick_params(axis="y", length=0, labelcolor=style.INK)
    ax.set_ylim(len(named) - 0.5, -0.85)
    if ax.get_xscale() == "linear" and min(ends) >= 0:
        ax.set_xlim(0, 1.05 * float(max(ends)) or 1)
    ax.set_xlabel(
        f"{quantity} (lower is better)\n"
        "box: the middle half; whiskers: 5% to 95% of the class; number: the median, the thick mark"
    )
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    told = ", ".join(f"{name} ({number(value)})" for name, value in medians.items())
    classes = f"{len(named)} class{'' if len(named) == 1 else 'es'}"
    text = (
        f"{quantity[:1].upper()}{quantity[1:]} of {count(len(errors), 'sample')} in "
        f"{classes}, lowest median first: {told}."
    )
    low, high = min(medians.values()), max(medians.values())
    if len(named) > 1 and low > 0:
        text += f" The highest median is {number(high / low)} times the lowest."
    return Drawing.on(ax, text)
