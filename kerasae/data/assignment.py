"""Which row belongs to which split."""

import numpy as np

from kerasae.data.rows import SPLITS


def uniform_hash(rows: np.ndarray, seed: int) -> np.ndarray:
    """Map row numbers to [0, 1) by SplitMix64, the same for a row whatever is read around it.

    References:
        Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    z = (rows + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z ^= np.array([seed * 0xD1342543DE82EF95 % 2**64], np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def assign(
    count: int,
    labels: np.ndarray | None,
    parts: dict[str, np.ndarray],
    validation: float,
    test: float,
    limit: int | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Give each row a split, in proportion within each class.

    Args:
        count: Number of rows.
        labels: `(count,)` integers to stratify by, or None.
        parts: Splits the source defines; they stay as they are.
        validation: Share (below 1) or number of the training rows to set aside.
        test: Likewise.
        limit: At most this many rows in total, every split shortened in proportion.
        seed: Seed of the draws.

    Returns:
        Sorted row numbers by split.
    """
    rng = np.random.default_rng(seed)
    rest = parts["train"] if parts else np.arange(count)
    out = dict(parts)
    whole = len(rest)
    for split, share in (("test", test), ("validation", validation)):
        if split not in parts:
            number = int(share) if share >= 1 else max(round(share * whole), int(share > 0))
            out[split] = _draw(rest, number, labels, rng)
            rest = np.setdiff1d(rest, out[split], assume_unique=True)
    out["train"] = rest
    total = sum(len(rows) for rows in out.values())
    if limit is not None and limit < total:
        for split in ("test", "validation"):
            out[split] = _draw(out[split], round(len(out[split]) * limit / total), labels, rng)
        left = limit - len(out["test"]) - len(out["validation"])
        out["train"] = _draw(out["train"], left, labels, rng)
    return {split: np.sort(out[split]) for split in SPLITS}


def _draw(
    rows: np.ndarray, number: int, labels: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Draw `number` of `rows`: every class gives its share, to within one row."""
    number = min(number, len(rows))
    if number == 0:
        return rows[:0]
    order = rng.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    evenly = (np.arange(number) + rng.random()) * len(order) / number
    return np.sort(order[np.minimum(evenly.astype(np.int64), len(order) - 1)])
