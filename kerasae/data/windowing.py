"""One long series as windows: held in memory once, windows are cut from it batch by batch."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.data.pipelines import Epoch, Resident
from kerasae.data.rows import SPLITS, Loaded, bad
from kerasae.data.splits import assign
from kerasae.errors import check_whole

if TYPE_CHECKING:
    import tensorflow as tf


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


class WindowStore:
    """A series and where the windows of each split begin.

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

    def __init__(
        self,
        loaded: Loaded,
        window: int,
        stride: int,
        shares: dict[str, float],
        limit: int | None,
        seed: int,
    ) -> None:
        assert isinstance(loaded.x, np.ndarray)
        self.series, self.window, self.seed = loaded.x, window, seed
        self.shape = (window, self.series.shape[1])
        self.dtype = self.series.dtype.name
        blocks = _blocks(loaded, shares)
        starts = {}
        for split, (first, end) in blocks.items():
            if end - first < window and (end > first or split == "train"):
                raise bad(
                    f"Every split must be at least as long as a window, but of the "
                    f"{len(self.series):,} time steps of {loaded.name!r} {split} has "
                    f"{end - first:,}; choose a shorter window, or other shares with validation= "
                    "and test= (--validation, --test).",
                    window=window,
                )
            starts[split] = first + _starts(end - first, window, stride)
        self._starts = _limited(starts, limit, seed)
        self._resident: Any = None
        train = self.series[slice(*blocks["train"])]
        self.value_range = (float(train.min()), float(train.max()))
        if self.dtype == "uint8":
            self.value_range = (0.0, 255.0)

    def size(self, split: str) -> int:
        """Return the number of windows of a split."""
        return len(self._starts[split])

    def select(self, values: np.ndarray | None, split: str) -> None:
        """Return None: what belongs to a time step belongs to no window."""

    def array(self, split: str, limit: int | None) -> np.ndarray:
        """Return the first windows of a split: a read-only view where they lie evenly."""
        starts = self._starts[split][:limit]
        view = np.lib.stride_tricks.sliding_window_view(self.series, self.window, axis=0)
        view = np.moveaxis(view, -1, 1)
        distances = np.diff(starts)
        if len(distances) and (distances == distances[0]).all():
            return view[starts[0] : starts[-1] + 1 : distances[0]]
        return view[starts]

    def dataset(self, split: str, batch_size: int, epoch: Epoch | None) -> "tf.data.Dataset":
        """Return the pipeline of a split; all splits cut windows from one resident tensor."""
        import tensorflow as tf

        if self._resident is None:
            with tf.device("CPU:0"):
                self._resident = tf.constant(self.series)
        starts = self._starts[split]
        resident = Resident(self._resident, starts, batch_size, self.seed, epoch, self.window)
        return resident.dataset()


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


def _starts(total: int, window: int, stride: int) -> np.ndarray:
    """Return where windows begin; the last one ends with the block, so that no step is left out."""
    starts = np.arange(0, total - window + 1, stride, dtype=np.int64)
    if len(starts) and starts[-1] != total - window:
        starts = np.append(starts, total - window)
    return starts


def _limited(starts: dict[str, np.ndarray], limit: int | None, seed: int) -> dict[str, np.ndarray]:
    joined = np.concatenate([starts[split] for split in SPLITS])
    ends = np.cumsum([0, *(len(starts[split]) for split in SPLITS)])
    parts = {split: np.arange(ends[i], ends[i + 1]) for i, split in enumerate(SPLITS)}
    kept = assign(len(joined), None, parts, 0.0, 0.0, limit, seed)
    return {split: joined[kept[split]] for split in SPLITS}
