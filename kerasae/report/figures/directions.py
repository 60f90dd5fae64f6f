"""Directions in code space: their variances, their information, how far the encoder stretches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasae.report.figures import style
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.samples import finite, one_each
from kerasae.report.figures.words import count, number, share

_MARKERS = "oDs^v"


@style.styled
def code_spectrum(eigenvalues: Any, ax: Axes | None = None) -> Drawing:
    """Draw which share of the variance of the codes lies in each direction.

    The effective dimension is the participation ratio, `(sum of eigenvalues)^2 / sum of their
    squares`: k for k equal ones, close to 1 where one outweighs all others. The axis is
    logarithmic where the shares span more than a factor of 100.

    Args:
        eigenvalues: (latent_dim,), of the covariance of the codes, in any order.
        ax: Where to draw; a new figure when None.

    Returns:
        The figure, and in words the shares and the effective dimension.

    Raises:
        ValueError: There is no value, one is negative or not finite, or all are 0.
    """
    values = finite(eigenvalues, "eigenvalues")
    # Round-off makes eigenvalues of a covariance slightly negative.
    if values.min() < -1e-9 * np.abs(values).max() or not values.max() > 0:
        raise ValueError(
            "eigenvalues must be at least 0, and not all of them 0. "
            f"Received: eigenvalues={np.array2string(values, threshold=8)}"
        )
    values = np.sort(np.clip(values, 0, None))[::-1]
    shares = values / values.sum()
    total, effective = len(shares), float(1 / np.square(shares).sum())
    enough = int(np.searchsorted(np.cumsum(shares), 0.9 - 1e-12)) + 1
    ax = ax or style.new_axes(7.0, 3.4)
    look: dict[str, Any] = {
        "color": style.BLUE,
        "marker": "o" if total <= style.MANY else "",
        "markersize": 5,
    }
    ax.plot(np.arange(1, total + 1), shares, linewidth=1.4, **look)
    if shares[0] > 100 * shares[-1]:
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(shares[-1], 1e-7 * shares[0]) / 2)
    else:
        ax.set_ylim(0, 1.12 * shares[0])
    ax.axvline(effective, color=style.INK, linewidth=1.4, linestyle="--")
    text = f"effective dimension {number(effective)} of {total}\n"
    text += f"90% of the variance in the first {enough}"
    aside, align = (-8, "right") if effective > 0.6 * total else (8, "left")
    look = {"xycoords": ("data", "axes fraction"), "fontsize": 9, "bbox": style.WHITE_BOX}
    style.write(ax, text, (effective, 0.96), (aside, 0), va="top", ha=align, **look)
    ax.yaxis.set_major_formatter(style.SHARES)
    ax.xaxis.set_major_locator(style.whole_ticks())
    ax.set_xlim(0.5, total + 0.5)
    ax.set(xlabel="principal direction of the codes", ylabel="share of the variance")
    ax.grid(axis="y")
    return Drawing.on(
        ax,
        f"Variance of the codes along {count(total, 'principal direction')}: the first holds "
        f"{share(shares[0])}, the last {share(shares[-1])}; 90% lies in the first {enough}. "
        f"The effective dimension is {number(effective)} of {total}.",
    )


@style.styled
def kl_per_dimension(values: Any, active: Any = None, ax: Axes | None = None) -> Drawing:
    """Draw the KL divergence of each dimension of a variational code from its prior.

    Args:
        values: (latent_dim,), mean over samples, in nats.
        active: (latent_dim,) truth values, or None. Active dimensions are filled, the others
            hatched.
        ax: Where to draw; a new figure when None.

    Returns:
        The figure, highest bar first, and in words the sum and the extremes.

    Raises:
        ValueError: A value is not finite, or `active` has another length.
    """
    values = finite(values, "values")
    text = (
        f"KL divergence of {count(len(values), 'code dimension')} from the prior: "
        f"{number(values.sum())} nats in all, highest {number(values.max())} "
        f"(dimension {int(values.argmax())}), median {number(np.median(values))}, "
        f"lowest {number(values.min())}."
    )
    chosen = np.ones(len(values), bool)
    if active is not None:
        chosen = one_each(active, len(values), "active", "code units").astype(bool)
        text += f" {int(chosen.sum())} of {len(values)} dimensions are active."
    ax = ax or style.new_axes(7.4, 3.3)
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "active": (chosen[order], {"facecolor": style.BLUE, "edgecolor": style.BLUE}),
        "not active: says nothing about the input": (
            ~chosen[order],
            {"facecolor": "white", "edgecolor": style.ORANGE, "hatch": "////"},
        ),
    }
    for name, (members, look) in kinds.items():
        if members.any():
            label = f"{members.sum()} {name}"
            ax.bar(ranks[members], values[order][members], width=0.75, label=label, **look)
    if not chosen.all():
        ax.legend(loc="upper right", fontsize=9)
    if len(values) <= 32:
        ax.set_xticks(ranks, map(str, order), fontsize=8 if len(values) > 16 else 9)
        ax.set_xlabel("code dimension, counted from 0, by its divergence")
    else:
        ax.set_xlabel("rank of the code dimension, by its divergence")
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(0.3, len(values) + 0.7)
    ax.set_ylabel("KL divergence (nats)")
    ax.set_title(f"{number(values.sum())} nats in all", fontweight="normal")
    ax.grid(axis="y")
    return Drawing.on(ax, text)


@style.styled
def singular_values(values: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Drawing:
    """Draw the mean singular values of an encoder's Jacobian by rank, of one model or several.

    A singular value says how far the code moves when the input moves by 1 in the direction it
    belongs to. The axis is logarithmic where positive values span more than a factor of 20.

    Args:
        values: Name of a model to its singular values, highest first.
        ax: Where to draw; a new figure when None.

    Returns:
        The figure, and in words the extremes and the norm of each model.

    Raises:
        ValueError: There is no model, or one has no value or one that is not finite.
    """
    if not values:
        raise ValueError("values must name at least one model. Received: values={}")
    lines = {str(n): np.sort(finite(v, f"values of {n!r}"))[::-1] for n, v in values.items()}
    ax = ax or style.new_axes(6.6, 3.6)
    parts = []
    for index, (name, line) in enumerate(lines.items()):
        look: dict[str, Any] = {
            "color": style.COLOURS[index % len(style.COLOURS)],
            "linestyle": style.DASHES[index % len(style.DASHES)],
            "marker": _MARKERS[index % len(_MARKERS)] if len(line) <= style.MANY else "",
        }
        ax.plot(np.arange(1, len(line) + 1), line, label=name, markersize=5, **look)
        parts.append(
            f"{name}: largest {number(line[0])}, median {number(np.median(line))}, smallest "
            f"{number(line[-1])}, root of the sum of squares {number(float(np.linalg.norm(line)))}"
        )
    everything = np.concatenate(list(lines.values()))
    positive = everything[everything > 0]
    if style.spans(positive):
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(positive.min() / 1.5, 1e-6 * positive.max()))
    else:
        ax.set_ylim(bottom=0)
    if len(lines) > 1:
        ax.legend(loc="upper right", fontsize=9.5, handlelength=3)
    ax.xaxis.set_major_locator(style.whole_ticks())
    ax.set(xlabel="rank", ylabel="singular value (mean over samples)")
    ax.grid(axis="y")
    return Drawing.on(ax, f"Singular values of the encoder's Jacobian. {'; '.join(parts)}.")
