"""Directions in code space: their variances, their information, how far the encoder stretches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kerasae.report.figures.samples import truths
from kerasae.report.figures.style import (
    BLUE,
    COLOURS,
    INK,
    MANY,
    ORANGE,
    SHARES,
    count,
    new_axes,
    number,
    share,
    styled,
)

_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.")
_MARKERS = "oDs^v"


@styled
def code_spectrum(eigenvalues: Any, ax: Axes | None = None) -> Axes:
    """Draw which share of the variance of the codes lies in each direction.

    The effective dimension is the participation ratio, `(sum of eigenvalues)^2 / sum of their
    squares`: k for k equal ones, close to 1 where one outweighs all others. The axis is
    logarithmic where the shares span more than a factor of 100.

    Args:
        eigenvalues: (latent_dim,), of the covariance of the codes, in any order.
        ax: Where to draw; a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: There is none, one is negative or not finite, or all are 0.
    """
    shares, effective, enough = _spectrum(eigenvalues)
    ax = ax or new_axes(7.0, 3.4)
    ranks = np.arange(1, len(shares) + 1)
    marker = "o" if len(shares) <= MANY else ""
    ax.plot(ranks, shares, color=BLUE, marker=marker, markersize=5, linewidth=1.4)
    if shares[0] > 100 * shares[-1]:
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(shares[-1], 1e-7 * shares[0]) / 2)
    else:
        ax.set_ylim(0, 1.12 * shares[0])
    ax.axvline(effective, color=INK, linewidth=1.4, linestyle="--")
    late = effective > 0.6 * len(shares)
    ax.annotate(
        f"effective dimension {number(effective)} of {len(shares)}\n"
        f"90% of the variance in the first {enough}",
        (effective, 0.96), (-8 if late else 8, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", va="top", ha="right" if late else "left", fontsize=9,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip
    ax.yaxis.set_major_formatter(SHARES)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set_xlim(0.5, len(shares) + 0.5)
    ax.set(xlabel="principal direction of the codes", ylabel="share of the variance")
    ax.grid(axis="y")
    return ax


def alt_code_spectrum(eigenvalues: Any) -> str:
    """Say in words what `code_spectrum` shows; same data."""
    shares, effective, enough = _spectrum(eigenvalues)
    return (
        f"Variance of the codes along {count(len(shares), 'principal direction')}: the first "
        f"holds {share(shares[0])}, the last {share(shares[-1])}; 90% lies in the first {enough}. "
        f"The effective dimension is {number(effective)} of {len(shares)}."
    )


@styled
def kl_per_dimension(values: Any, active: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the KL divergence of each dimension of a variational code from its prior.

    Args:
        values: (latent_dim,), mean over samples, in nats.
        active: (latent_dim,) truth values, or None. Active dimensions are filled, the others
            hatched.
        ax: Where to draw; a new figure when None.

    Returns:
        The axes, highest bar first.

    Raises:
        ValueError: A value is not finite, or `active` has another length.
    """
    values, active = _bars(values, active)
    ax = ax or new_axes(7.4, 3.3)
    order = np.argsort(-values, kind="stable")
    ranks, chosen = np.arange(1, len(values) + 1), active[order]
    looks: dict[bool, dict[str, Any]] = {
        True: {"facecolor": BLUE, "edgecolor": BLUE},
        False: {"facecolor": "white", "edgecolor": ORANGE, "hatch": "////"},
    }
    for kind, look in looks.items():
        members = chosen == kind
        if members.any():
            name = "active" if kind else "not active: says nothing about the input"
            ax.bar(
                ranks[members], values[order][members], width=0.75,
                label=f"{int(members.sum())} {name}", **look,
            )  # fmt: skip
    if not active.all():
        ax.legend(loc="upper right", fontsize=9)
    if len(values) <= 32:
        ax.set_xticks(ranks, [str(place) for place in order], fontsize=8 if len(values) > 16 else 9)
        ax.set_xlabel("code dimension, counted from 0, by its divergence")
    else:
        ax.set_xlabel("rank of the code dimension, by its divergence")
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(0.3, len(values) + 0.7)
    ax.set_ylabel("KL divergence (nats)")
    ax.set_title(f"{number(values.sum())} nats in all", fontweight="normal")
    ax.grid(axis="y")
    return ax


def alt_kl_per_dimension(values: Any, active: Any = None) -> str:
    """Say in words what `kl_per_dimension` shows; same data."""
    given = active is not None
    values, active = _bars(values, active)
    text = (
        f"KL divergence of {count(len(values), 'code dimension')} from the prior: "
        f"{number(values.sum())} nats in all, highest {number(values.max())} "
        f"(dimension {int(values.argmax())}), median {number(np.median(values))}, "
        f"lowest {number(values.min())}."
    )
    if given:
        text += f" {int(active.sum())} of {len(values)} dimensions are active."
    return text


@styled
def singular_values(values: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw the mean singular values of an encoder's Jacobian by rank, of one model or several.

    A singular value says how far the code moves when the input moves by 1 in the direction it
    belongs to. The axis is logarithmic where positive values span more than a factor of 20.

    Args:
        values: Name of a model to its singular values, highest first.
        ax: Where to draw; a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: There is no model, or one has no value or one that is not finite.
    """
    lines = _lines(values)
    ax = ax or new_axes(6.6, 3.6)
    for index, (name, line) in enumerate(lines.items()):
        ax.plot(
            np.arange(1, len(line) + 1), line, color=COLOURS[index % len(COLOURS)],
            linestyle=_DASHES[index % len(_DASHES)], label=name, markersize=5,
            marker=_MARKERS[index % len(_MARKERS)] if len(line) <= MANY else "",
        )  # fmt: skip
    everything = np.concatenate(list(lines.values()))
    positive = everything[everything > 0]
    if positive.size and positive.max() > 20 * positive.min():
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(positive.min() / 1.5, 1e-6 * positive.max()))
    else:
        ax.set_ylim(bottom=0)
    if len(lines) > 1:
        ax.legend(loc="upper right", fontsize=9.5, handlelength=3)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set(xlabel="rank", ylabel="singular value (mean over samples)")
    ax.grid(axis="y")
    return ax


def alt_singular_values(values: Mapping[str, Sequence[float]]) -> str:
    """Say in words what `singular_values` shows; same data."""
    parts = []
    for name, line in _lines(values).items():
        parts.append(
            f"{name}: largest {number(line[0])}, median {number(np.median(line))}, smallest "
            f"{number(line[-1])}, root of the sum of squares {number(float(np.linalg.norm(line)))}"
        )
    return f"Singular values of the encoder's Jacobian. {'; '.join(parts)}."


def _spectrum(eigenvalues: Any) -> tuple[np.ndarray, float, int]:
    """Shares of the variance, highest first; their effective number; how many hold 90%."""
    values = np.asarray(eigenvalues, float)
    # Round-off makes eigenvalues of a covariance slightly negative.
    noise = 1e-9 * float(np.abs(values).max()) if values.size else 0.0
    if values.ndim != 1 or not np.isfinite(values).all() or not (values >= -noise).all():
        raise ValueError(
            "eigenvalues must be a list of finite numbers of at least 0. "
            f"Received: eigenvalues={np.array2string(values, threshold=8)}"
        )
    values = np.sort(np.clip(values, 0, None))[::-1]
    if not values.sum() > 0:
        raise ValueError(
            "eigenvalues must not all be 0: the codes do not vary. "
            f"Received: {len(values)} eigenvalues"
        )
    shares = values / values.sum()
    enough = int(np.searchsorted(np.cumsum(shares), 0.9 - 1e-12)) + 1
    return shares, float(1 / np.square(shares).sum()), enough


def _bars(values: Any, active: Any) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(values, float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"values must be finite numbers, one per code dimension. Received: shape={array.shape}"
        )
    everyone = np.ones(len(array), bool)
    return array, everyone if active is None else truths(active, len(array), "active")


def _lines(values: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    lines = {str(name): np.asarray(line, float) for name, line in values.items()}
    for name, line in lines.items():
        if line.ndim != 1 or not line.size or not np.isfinite(line).all():
            raise ValueError(
                "Each model must have a list of finite singular values. "
                f"Received: {name!r} of shape {line.shape}"
            )
    if not lines:
        raise ValueError("values must name at least one model. Received: values={}")
    return {name: np.sort(line)[::-1] for name, line in lines.items()}
