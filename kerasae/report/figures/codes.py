"""Codes as points of a plane."""

import functools
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures.style import COLOURS, count, new_axes, number, plain, styled

_MARKERS = "os^DvPX<>*"  # 10 against 7 colours: the pair repeats only after 70 classes
_METHODS = ("pca", "tsne")
_TSNE_POINTS = 1000  # a few seconds; the time grows faster than the number


@styled
def code_map(
    codes: Any,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    method: str = "pca",
) -> Axes:
    """Draw codes as points in a plane, with the name of each class at its median.

    By default codes of more than two dimensions are projected on their first two principal
    components, and the axes say which share of the variance each explains. A code of one
    dimension is spread vertically, in the order of the samples, to keep its points apart.

    t-SNE keeps neighbours together instead: it shows groups that a projection lays over each
    other, but its axes have no units, and sizes of groups and distances between them mean
    nothing. It starts from PCA with a fixed seed, and the same codes give the same map.

    Args:
        codes: (n, latent_dim).
        labels: One class per code, or None.
        class_names: Names indexed by integer labels.
        ax: Where to draw; a new figure when None.
        method: "pca" or "tsne". Of more than 1,000 codes t-SNE takes 1,000, spread evenly.

    Returns:
        The axes.

    Raises:
        ValueError: `codes` is not a finite 2-D array, `labels` has another length, or `method`
            is unknown or needs more codes or dimensions.

    References:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    codes, labels = _chosen(codes, labels, method)
    points, shares = _plane(codes, method)
    groups = _groups(points, labels, class_names)
    ax = ax or new_axes(7.0, 5.6)
    size = float(np.clip(20000 / len(points), 7, 26))
    for index, members in enumerate(groups.values()):
        ax.scatter(
            points[members, 0], points[members, 1], s=size, alpha=0.55, linewidths=0,
            color=COLOURS[index % len(COLOURS)], marker=_MARKERS[index % len(_MARKERS)],
        )  # fmt: skip
    if labels is not None:
        medians = _medians(points, groups)
        for index, (name, place) in enumerate(zip(groups, _apart(medians, points), strict=True)):
            ax.annotate(
                plain(name, 24), medians[index], place, ha="center", va="center", fontsize=12,
                fontweight="bold", color=_darker(COLOURS[index % len(COLOURS)]), zorder=5,
                path_effects=[withStroke(linewidth=4, foreground="white")],
            )  # fmt: skip
    for axis, index in ((ax.xaxis, 0), (ax.yaxis, 1)):
        name = f"principal component {index + 1}" if shares else f"code dimension {index}"
        axis.set_label_text(f"{name} ({shares[index]:.0%} of the variance)" if shares else name)
        axis.set_major_locator(MaxNLocator(nbins=6))
    if method == "tsne":
        ax.set_xlabel("t-SNE: neighbours lie together; the axes have no units")
        ax.set_ylabel("")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    elif np.shape(codes)[1] == 1:
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)
    ax.grid(visible=True)
    return ax


def alt_code_map(
    codes: Any,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    *,
    method: str = "pca",
) -> str:
    """Say in words what `code_map` shows; same data."""
    codes, labels = _chosen(codes, labels, method)
    points, shares = _plane(codes, method)
    parts = [f"Map of {len(points):,} codes of {count(np.shape(codes)[1], 'dimension')}."]
    if method == "tsne":
        parts.append("t-SNE placed them, which keeps neighbours together; the axes have no units.")
    elif shares:
        parts.append(
            "Horizontal and vertical are the first two principal components: "
            f"{shares[0]:.0%} and {shares[1]:.0%} of the variance."
        )
    groups = _groups(points, labels, class_names)
    if len(groups) < 2:
        (x, y), (dx, dy) = np.median(points, axis=0), np.std(points, axis=0)
        spread = f"standard deviation {number(dx)} by {number(dy)}"
        return " ".join([*parts, f"Median at ({number(x)}, {number(y)}), {spread}."])
    if method == "tsne":
        same = _same_as_nearest(points, groups)
        return " ".join([
            *parts,
            f"{len(groups)} classes, each named at its median; {same:.0%} of the points have a "
            "nearest neighbour of their own class.",
        ])  # fmt: skip
    medians = _medians(points, groups)
    distance = {
        (one, other): float(np.linalg.norm(medians[i] - medians[j]))
        for (i, one), (j, other) in combinations(enumerate(groups), 2)
    }
    near, far = min(distance, key=distance.__getitem__), max(distance, key=distance.__getitem__)
    closest = np.linalg.norm(points[:, None] - medians, axis=2).argmin(axis=1)
    at_home = sum(
        np.count_nonzero(closest[members] == index) for index, members in enumerate(groups.values())
    )
    return " ".join([
        *parts,
        f"{len(groups)} classes, each named at its median; {at_home / len(points):.0%} of the "
        "points lie closest to the median of their own class.",
        f"Closest together are {near[0]} and {near[1]}, farthest apart {far[0]} and {far[1]}.",
    ])  # fmt: skip


def _chosen(codes: Any, labels: Any, method: str) -> tuple[np.ndarray, Any]:
    """The codes that are drawn, and their labels; t-SNE takes only so many."""
    array = np.asarray(codes, float)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"codes must be a finite array of shape (n, latent_dim). Received: shape={array.shape}"
        )
    if method not in _METHODS:
        raise ValueError(f"method must be 'pca' or 'tsne'. Received: method={method!r}")
    if method == "pca":
        return array, labels
    if len(array) < 4 or array.shape[1] < 2:
        raise ValueError(
            "method 'tsne' needs at least 4 codes of at least 2 dimensions. "
            f"Received: shape={array.shape}"
        )
    _groups(array, labels, None)  # checks the labels before the choice hides their length
    chosen = np.linspace(0, len(array) - 1, min(len(array), _TSNE_POINTS)).round().astype(int)
    return array[chosen], None if labels is None else np.asarray(labels)[chosen]


@functools.lru_cache(maxsize=4)  # the words about a map need it again
def _tsne(codes: bytes, total: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    array = np.frombuffer(codes).reshape(total, -1)
    if not np.ptp(array, axis=0).any():
        return np.zeros((total, 2))
    perplexity = min(30.0, (total - 1) / 3)
    # Threads gain little here, cost much on a busy machine, and add up in another order.
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(array)


def _same_as_nearest(points: np.ndarray, groups: dict[str, np.ndarray]) -> float:
    """Share of the points whose nearest neighbour is of their own class."""
    square = np.square(points).sum(axis=1)
    distances = square[:, None] + square - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    member = np.argmax(np.stack(list(groups.values())), axis=0)
    return float(np.mean(member[distances.argmin(axis=1)] == member))


def _plane(array: np.ndarray, method: str = "pca") -> tuple[np.ndarray, tuple[float, float] | None]:
    """Codes as points of a plane, and the shares of variance where PCA made it."""
    if method == "tsne":
        return np.asarray(_tsne(array.tobytes(), len(array)), float), None
    if array.shape[1] == 1:
        # The golden ratio spreads any number of points evenly, and the same way every time.
        spread = np.arange(len(array)) * 0.6180339887 % 1
        return np.column_stack([array[:, 0], spread]), None
    if array.shape[1] == 2:
        return array, None
    centred = array - array.mean(axis=0)
    _, singular, components = np.linalg.svd(centred, full_matrices=False)
    if len(array) == 1:  # one point has one component, of no variance
        return np.zeros((1, 2)), (0.0, 0.0)
    components = components[:2]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[[0, 1], largest])
    power = np.square(singular)
    first, second = power[:2] / (power.sum() or 1.0)
    return centred @ (components * signs[:, None]).T, (float(first), float(second))


def _groups(
    points: np.ndarray, labels: Any, class_names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Class name -> which points belong to it."""
    if labels is None:
        return {"": np.ones(len(points), bool)}
    labels = np.asarray(labels)
    if labels.shape != (len(points),):
        raise ValueError(
            f"labels must hold one class for each of the {len(points)} codes. "
            f"Received: shape={labels.shape}"
        )
    return {
        str(class_names[value] if class_names else value): labels == value
        for value in np.unique(labels)
    }


def _medians(points: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([np.median(points[members], axis=0) for members in groups.values()])


def _apart(medians: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move labels that would overlap apart, by steps, starting from the medians."""
    extent = np.ptp(points, axis=0)
    extent = np.where(extent > 0, extent, 1)
    places = medians / extent
    reach = 0.06
    for _ in range(60):
        for one, other in combinations(range(len(places)), 2):
            gap = places[one] - places[other]
            distance = float(np.linalg.norm(gap))
            if distance < reach:
                away = gap / distance if distance > 1e-9 else np.array([0.0, 1.0])
                places[one] += away * (reach - distance) / 2
                places[other] -= away * (reach - distance) / 2
    return places * extent


def _darker(colour: str) -> tuple[float, ...]:
    """The colour mixed with black, for text that must stand out from its points."""
    return tuple(0.72 * channel for channel in to_rgb(colour))
