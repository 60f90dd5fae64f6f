"""What stands above a sample: its rank, its label, what it is called."""

from collections.abc import Sequence
from typing import Any

from kerasae.report.figures.style import plain


def with_ranks(
    ranks: Sequence[float], labels: Sequence[Any] | None, total: int, kind: str
) -> list[str]:
    """Labels that say the rank: "best", "rank 25%", ..., "worst"."""
    ranks = [float(rank) for rank in ranks]
    if len(ranks) != total or not all(0 <= rank <= 1 for rank in ranks):
        raise ValueError(
            f"ranks must be a number from 0 to 1 for each of the {total} samples. "
            f"Received: ranks={ranks}"
        )
    ends = {0.0: "best", 1.0: "worst"}
    told = [ends.get(rank, "median" if rank == 0.5 else f"rank {rank:.0%}") for rank in ranks]
    if labels is None:
        return told
    between = "\n" if kind == "image" else ", "
    return [f"{rank}{between}{label}" for rank, label in zip(told, labels, strict=False)]


def called(rows: Sequence[int] | None, split: str, total: int) -> list[str] | None:
    """What each sample is called, such as "test sample 417"; None where no row is known."""
    if rows is None:
        return None
    if len(rows) != total:
        raise ValueError(
            f"rows must hold one row for each of the {total} samples. Received: rows={rows!r}"
        )
    return [f"{split} sample {row}".strip() for row in rows]


def above(sample: int, labels: Any, who: list[str] | None, noun: str) -> list[str]:
    """Lines above a panel: the label, and what the sample is called."""
    told = [] if labels is None else [title(labels[sample])]
    if who is not None:
        told.append(who[sample])
    return told or [f"{noun} {sample + 1}"]


def title(label: Any) -> str:
    """The lines of a label, long ones shortened."""
    return "\n".join(plain(line, 24) for line in str(label).split("\n"))
