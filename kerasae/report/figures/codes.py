"""Codes as points of a plane."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.samples import by_class, finite
from kerasae.report.figures.words import count, number, plain

_MARKERS = "os^DvPX<>*"  # 10 against 7 colours: the pair repeats only after 70 classes
_TSNE_POINTS = 1000  # a few seconds; the time grows faster than the number


@style.styled
def code_map(
    codes: Any,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    method: str = "pca",
) -> Drawing:
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
        The figure, and in words how well the classes are apart.

    Raises:
        ValueError: `codes` is not a finite 2-D array, `labels` has another length, or `method`
            is unknown or needs more codes or dimensions.

    References:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    codes = finite(codes, "codes", axes=2)
    groups = by_class(labels, len(codes), class_names)
    if method not in ("pca", "tsne"):
        raise ValueError(f"method must be 'pca' or 'tsne'. Received: method={method!r}")
    names = [f"code dimension {index}" for index in range(2)]
    explained = ""
    if method == "tsne":
        if len(codes) < 4 or codes.shape[1] < 2:
            raise ValueError(
                "method 'tsne' needs at least 4 codes of at least 2 dimensions. "
                f"Received: shape={codes.shape}"
            )
        total = len(codes)
        chosen = np.linspace(0, total - 1, min(total, _TSNE_POINTS)).round().astype(int)
        groups = {name: members[chosen] for name, members in groups.items()}
        points = _tsne(codes[chosen])
        names = ["t-SNE: neighbours lie together; the axes have no units", ""]
        explained = " t-SNE placed them, which keeps neighbours together; the axes have no units."
    elif codes.shape[1] == 1:
        # The golden ratio spreads any number of points evenly, and the same way every time.
        points = np.column_stack([codes[:, 0], np.arange(len(codes)) * 0.6180339887 % 1])
    elif codes.shape[1] == 2:
        points = codes
    else:
        points, shares = _principal(codes)
        names = [
            f"principal component {index} ({part:.0%} of the variance)"
            for index, part in enumerate(shares, start=1)
        ]
        explained = (
            " Horizontal and vertical are the first two principal components: "
            f"{shares[0]:.0%} and {shares[1]:.0%} of the variance."
        )
    ax = ax or style.new_axes(7.0, 5.6)
    _draw(ax, points, groups)
    for axis, name in ((ax.xaxis, names[0]), (ax.yaxis, names[1])):
        axis.set_label_text(name)
        axis.set_major_locator(MaxNLocator(nbins=6))
    if method == "tsne":
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    elif codes.shape[1] == 1:
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)
    lead = f"Map of {len(points):,} codes of {count(codes.shape[1], 'dimension')}.{explained}"
    return Drawing.on(ax, f"{lead} {_words(points, groups, method)}")


def _principal(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes along their first two principal components, and the shares of variance."""
    from sklearn.decomposition import PCA

    if len(codes) == 1:
        return np.zeros((1, 2)), np.zeros(2)
    pca = PCA(2, svd_solver="full").fit(codes)
    return pca.transform(codes), pca.explained_variance_ratio_


def _tsne(codes: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.ptp(codes, axis=0).any():
        return np.zeros((len(codes), 2))
    perplexity = min(30.0, (len(codes) - 1) / 3)
    # Threads gain little here, cost much on a busy machine, and add up in another order.
    with threadpool_limits(1):
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=0)
        return np.asarray(tsne.fit_transform(codes), float)


def _draw(ax: Axes, points: np.ndarray, groups: dict[str, np.ndarray]) -> None:
    size = float(np.clip(20000 / len(points), 7, 26))
    medians = _medians(points, groups)
    places = _apart(medians, points)
    for index, (name, members) in enumerate(groups.items()):
        colour, marker = style.COLOURS[index % len(style.COLOURS)], _MARKERS[index % len(_MARKERS)]
        x, y = points[members].T
        ax.scatter(x, y, s=size, marker=marker, color=colour, alpha=0.55, linewidths=0)
        if name:
            # Darker than its points, to stand out from them.
            dark = tuple(0.72 * channel for channel in to_rgb(colour))
            look: dict[str, Any] = {"color": dark, "fontsize": 12, "fontweight": "bold"}
            look["path_effects"] = [withStroke(linewidth=4, foreground="white")]
            place: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5}
            ax.annotate(plain(name, 24), medians[index], places[index], **place, **look)
    ax.grid(visible=True)


def _words(points: np.ndarray, groups: dict[str, np.ndarray], method: str) -> str:
    """Say how the points are spread, or how well their classes are apart."""
    if len(groups) < 2:
        (x, y), (dx, dy) = np.median(points, axis=0), np.std(points, axis=0)
        spread = f"standard deviation {number(dx)} by {number(dy)}"
        return f"Median at ({number(x)}, {number(y)}), {spread}."
    member = np.argmax(np.stack(list(groups.values())), axis=0)
    lead = f"{len(groups)} classes, each named at its median;"
    if method == "tsne":
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points)
        nearest = search.kneighbors(return_distance=False)[:, 0]
        same = np.mean(member[nearest] == member)
        return f"{lead} {same:.0%} of the points have a nearest neighbour of their own class."
    medians = _medians(points, groups)
    closest = np.linalg.norm(points[:, None] - medians, axis=2).argmin(axis=1)
    pairs = sorted(
        combinations(range(len(groups)), 2),
        key=lambda pair: float(np.linalg.norm(medians[pair[0]] - medians[pair[1]])),
    )
    near, far = (" and ".join(list(groups)[at] for at in pair) for pair in (pairs[0], pairs[-1]))
    return (
        f"{lead} {np.mean(closest == member):.0%} of the points lie closest to the median of their "
        f"own class. Closest together are {near}, farthest apart {far}."
    )


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
