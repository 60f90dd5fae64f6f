"""One long series as windows: held in memory once, windows are cut from it batch by batch."""

from typing import Any

import numpy as np

from kerasae.data.rows import SPLITS, Loaded, bad
from kerasae.data.splits import MemoryStore, assign
from kerasae.errors import check_whole


def check_windows(window: Any, stride: Any, label: str | None) -> tuple[int | None, int]:
    """Check length and distance of windows, and return them; windows have no labels."""
    if window is None:
        if stride is not None:
            raise bad(
                "`stride` is the distance of windows; say how long they are with `window` "
                "(--window), too.",
                stride=stride,
            )
        return None, 1
    window = check_whole("window", window, 2, 2**31 - 1)
    # Up to `window`, so that windows leave no time step out.
    stride = 1 if stride is None else check_whole("stride", stride, 1, window)
    if label is not None:
        raise bad(
            "`label` is one value per sample, which a window of time steps does not have; name "
            "the channels with columns=[...] (--column).",
            label=label,
            window=window,
        )
    return window, stride


def check_series(loaded: Loaded, window: int) -> None:
    """Refuse what has not one row of channels per time step, before its values are read."""
    shape = loaded.x.shape[1:] if isinstance(loaded.x, np.ndarray) else loaded.x.shape
    if len(shape) != 1:
        raise bad(
            f"`window` cuts one long series, (steps,) or (steps, channels), but {loaded.name!r} "
            f"holds samples of shape {shape}.",
            window=window,
        )


def cut(
    loaded: Loaded,
    window: int,
    stride: int,
    shares: dict[str, float],
    limit: int | None,
    seed: int,
) -> MemoryStore:
    """Cut a series into windows.

    The splits are blocks of the series: train, validation and test in the order of time. No window
    crosses from one into the next, or a model would be tested on steps that it was trained on.

    Args:
        loaded: The series, `(steps, channels)`, with the blocks that the source itself defines.
        window: Time steps of a window.
        stride: Time steps from one window to the next. Another window ends with each block.
        shares: Share (below 1) or number of the time steps to set aside, for validation and test.
        limit: At most this many windows in total, every split shortened in proportion.
        seed: Seed of that draw and of the order.

    Raises:
        ValueError: A split is shorter than a window.
    """
    series = loaded.x
    assert isinstance(series, np.ndarray)
    blocks = _blocks(loaded, shares)
    starts: list[np.ndarray] = []
    rows = {}
    for split in SPLITS:
        first, end = blocks[split]
        if end - first < window and (end > first or split == "train"):
            raise bad(
                f"Every split must be at least as long as a window, but of the {len(series):,} "
                f"time steps of {loaded.name!r} {split} has {end - first:,}; choose a shorter "
                "window, or other shares with validation= and test= (--validation, --test).",
                window=window,
            )
        begin = np.arange(first, end - window + 1, stride)
        if len(begin) and begin[-1] != end - window:
            begin = np.append(begin, end - window)
        rows[split] = np.arange(len(begin)) + sum(len(others) for others in starts)
        starts.append(begin)
    joined = np.concatenate(starts)
    kept = assign(len(joined), None, rows, {}, limit, seed)
    whole = slice(*blocks["train"])
    return MemoryStore(
        series,
        {split: joined[chosen] for split, chosen in kept.items()},
        seed,
        length=window,
        measured=series[whole],
    )


def _blocks(loaded: Loaded, shares: dict[str, float]) -> dict[str, tuple[int, int]]:
    """Return first and last (not included) time step of each split, in the order of time."""
    first, end = 0, len(loaded.x)  # type: ignore[arg-type]
    own = {split: (int(rows[0]), int(rows[-1]) + 1) for split, rows in loaded.parts.items()}
    if own:
        first, end = own["train"]
    whole = end - first
    blocks = {}
    for split in ("test", "validation"):
        share = shares[split]
        number = int(share) if share >= 1 else max(round(share * whole), int(share > 0))
        blocks[split] = own.get(split) or (max(first, end - number), end)
        if split not in own:
            end = blocks[split][0]
    return {"train": (first, end), "validation": blocks["validation"], "test": blocks["test"]}
