"""Load a name, a path or an array as `Splits`."""

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.data import binarizing, embedded, images, tfds_sets
from kerasae.data.files import SUFFIXES, open_path
from kerasae.data.rows import Loaded, Reader, as_column, as_table, bad, encode
from kerasae.data.splits import MemoryStore, Splits, StreamStore, assign
from kerasae.data.windowing import check_series, check_windows, cut
from kerasae.errors import check_whole, is_real, nearest

_SOURCES: dict[str, tuple[Callable[[int], Loaded], str]] = {
    "digits": (embedded.digits, "1,797 handwritten digits, 8x8x1, ten classes (scikit-learn)"),
    "manifold": (embedded.manifold, "3,000 samples of a curved 2-D sheet in 10-D, five clusters"),
    "photos": (embedded.photos, "7,280 grey 16x16x1 patches of two photographs (scikit-learn)"),
    "photos8": (embedded.photos8, "8,480 grey 8x8x1 patches of two photographs (scikit-learn)"),
}


def sources() -> dict[str, str]:
    """Return the named sources that need no network, each with a line on what it is."""
    return {name: line for name, (_, line) in _SOURCES.items()}


def load(
    source: str | os.PathLike | np.ndarray,
    *,
    batch_size: int = 128,
    seed: int = 0,
    validation: float | None = None,
    test: float | None = None,
    limit: int | None = None,
    data_dir: str | os.PathLike | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    memory_budget: int = 2**30,
    size: int | tuple[int, int] | None = None,
    binarize: str | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> Splits:
    """Load data as train, validation and test splits.

    Values: uint8 stays uint8; booleans, integers and other floats become float32. Data up to
    `memory_budget` is held in memory (about twice that while loading); larger `.npy`, CSV and
    Parquet files and image folders are read once to check and measure them, then streamed in every
    epoch. Streaming Parquet takes about 1 MiB per column beside the budget.

    Splits: those a source defines are kept (a TFDS `test`, `x_test` of an `.npz`). What is missing
    is drawn from its training rows by `seed`: in memory the exact share, in proportion within each
    class; streamed, by a hash of the row number, so the share is approximate.

    One long series: with `window`, each row is a time step, and the samples are windows
    `(window, channels)`, of a single channel `(window, 1)`, whatever network they are for. The
    splits are blocks of the series, in the order of time train, validation, test; no window crosses
    from one into the next. The series is held in memory once, windows are cut from it as they are
    needed, and `array` gives a read-only view of it where it can. A folder of tables is one series,
    in the order of the file names; each of `x_train` and `x_test` of an `.npz` is one.

    CSV: UTF-8, separated by commas, semicolons or tabs. A first row of numbers is data, unless it
    counts 0, 1, 2, ... as pandas does, or is monotonic and far from the rows below, as wavelengths
    and years are: then it names the columns, with a warning. True and False become 1 and 0.

    Order of `train` when streamed: blocks (row groups, files, images) at random and rows shuffled
    within a window of a quarter of `memory_budget`. A single CSV file is one block, so a sorted
    CSV file larger than memory should become Parquet first.

    Args:
        source: A name of `kerasae.data.sources()`, the name of a TFDS image set ("mnist"), the path
            of a `.npy`, `.npz`, `.csv` or `.parquet` file, of a folder of images (sub-folders
            become labels) or of tables, or a NumPy array `(n, ...)`. A known name is never taken
            for a folder; write "./mnist" for that.
            With `window`, an array or file of numbers, `(steps,)` or `(steps, channels)`; the
            columns of a table are its channels.
        batch_size: Samples per batch.
        seed: Seed of generated data, of the splits and of the order; below 2**63.
        validation: Share (below 1) or number of the training rows set aside; default 0.1. With
            `window`, of the time steps.
        test: Likewise.
        limit: Use at most this many samples in total, every split shortened in proportion.
        data_dir: Folder of prepared TFDS sets; default the environment variable TFDS_DATA_DIR.
        label: Column (or `.npz` key, by default "y" or "labels") of labels: whole numbers, or text
            that becomes numbers and `class_names`.
        columns: Columns of a table to use, in this order; by default all but the label.
        memory_budget: Bytes of samples to hold in memory at most.
        size: Height and width to resize a folder of images to; one number is both.
        binarize: None, or how grey values (uint8, or floats in [0, 1]) become 0.0 or 1.0, float32.
            Likelihoods of the three compare only each with its own. `"threshold"`: 1 from the
            middle of the range on. `"static"`: 1 with the value as probability, one draw by `seed`
            for good. `"dynamic"`: a new draw in every epoch of `train`, by `seed` and epoch, and
            the fixed one for `validation`, `test` and `array`.
        window: Time steps of a window, at least 2; None takes every row for a sample.
        stride: Time steps from one window to the next, up to `window`. By default 1: the windows of
            a series that is watched later begin at any step, so training sees them begin anywhere,
            and more windows take no more memory. With millions of steps, a tenth of `window` or so
            makes for shorter epochs. Another window ends with each split.

    Returns:
        The splits.

    Raises:
        ValueError: For an argument or a value in the data that will not do; one sentence that names
            the file, row or column.
        OSError: For a file that is not there, or a TFDS set that cannot be had.

    Example:
        ```python
        splits = kerasae.data.load("measurements.csv", label="machine", validation=0.2)
        ae.fit(splits.train, validation_data=splits.validation)
        splits = kerasae.data.load("series.npy", window=100)  # samples (100, 1)
        ```
    """
    batch_size = check_whole("batch_size", batch_size)
    seed = check_whole("seed", seed, 0, 2**63 - 1)
    memory_budget = check_whole("memory_budget", memory_budget)
    if limit is not None:
        limit = check_whole("limit", limit, 3, optional=True)
    binarizing.check_kind(binarize)
    window, stride = check_windows(window, stride, label)
    loaded = _open(source, seed, limit, data_dir, label, columns, memory_budget, size, window)
    if window is not None:
        check_series(loaded, window)
    if loaded.starts is None and isinstance(loaded.x, Reader):
        loaded = _scan(loaded, memory_budget // _growth(loaded.x, binarize))
    shares = {}
    for split, share in (("validation", validation), ("test", test)):
        shares[split] = _share(split, share, loaded)
    make: Callable[[Loaded], Any]
    if window is not None:
        _check_in_memory(loaded, memory_budget)
        make = partial(cut, window=window, stride=stride, shares=shares, limit=limit, seed=seed)
        return Splits(_store(make, loaded, binarize, seed), loaded, batch_size)
    if isinstance(loaded.x, Reader):
        row_bytes = loaded.x.row_bytes * _growth(loaded.x, binarize)
        if limit is not None and limit * row_bytes <= memory_budget:
            loaded = _take(loaded, limit, seed)
    if isinstance(loaded.x, Reader):
        make = partial(_stream, shares=shares, limit=limit, seed=seed, budget=memory_budget)
        return Splits(_store(make, loaded, binarize, seed), loaded, batch_size)
    rows = assign(len(loaded.x), loaded.labels, loaded.parts, shares, limit, seed)
    if len(rows["train"]) == 0:
        raise _too_few(loaded.name, len(loaded.x))

    def hold(loaded: Loaded) -> MemoryStore:
        assert isinstance(loaded.x, np.ndarray)
        return MemoryStore(loaded.x, rows, seed)

    return Splits(_store(hold, loaded, binarize, seed), loaded, batch_size)


def _growth(reader: Reader, binarize: str | None) -> int:
    """Return how many times the bytes of the rows are held: binarized ones are float32."""
    if binarize is None:
        return 1
    drawn = 4 if reader.dtype == "uint8" else 1
    return drawn + (binarize == "dynamic")


def check_options(options: Any, taken: Iterable[str] = ()) -> None:
    """Refuse what `load` does not take, of arguments that reach it through another function.

    Args:
        options: Arguments by name.
        taken: Arguments that the other function gives by itself.

    Raises:
        ValueError: One is unknown, or taken.
    """
    if not isinstance(options, dict):
        raise bad("`data_options` must be a dictionary of arguments of load.", data_options=options)
    known = [name for name in inspect.signature(load).parameters if name != "source"]
    free = [name for name in known if name not in taken]
    for name, value in options.items():
        if name in taken:
            raise bad(f"`data_options` cannot hold {name}; it is an argument.", **{name: value})
        if name not in free:
            raise bad(
                f"kerasae.data.load has no argument {name!r}.{nearest(name, free)} It has "
                f"{', '.join(free)}.",
                data_options=options,
            )


def _store(make: Callable[[Loaded], Any], loaded: Loaded, binarize: str | None, seed: int) -> Any:
    if binarize is None:
        return make(loaded)
    drawn = make(binarizing.fixed(loaded, binarize, seed))
    drawn.value_range = (0.0, 1.0)
    if binarize == "dynamic":
        return binarizing.DynamicStore(make(loaded), drawn)
    return drawn


def _share(split: str, share: float | None, loaded: Loaded) -> float:
    if split in loaded.parts:
        if share is not None:
            raise bad(
                f"`{split}` cannot be chosen, because {loaded.name!r} has its own {split} split.",
                **{split: share},
            )
        return 0.0
    if share is None:
        return 0.1
    if not is_real(share) or not (0 <= share < 1 or share % 1 == 0 < share):
        raise bad(f"`{split}` must be a share from 0 to below 1, or a number.", **{split: share})
    return float(share)


def _too_few(name: str, count: int) -> ValueError:
    return bad(
        f"{name!r} has {count} training samples, too few to set some aside; validation=0 and "
        f"test=0 keep them all.",
        source=name,
    )


def _open(
    source: Any,
    seed: int,
    limit: int | None,
    data_dir: str | os.PathLike | None,
    label: str | None,
    columns: Sequence[str] | None,
    memory_budget: int,
    size: int | tuple[int, int] | None,
    window: int | None,
) -> Loaded:
    """Find out what a source is, and open it."""
    if isinstance(source, str) and not source:
        raise bad("`source` must not be empty.", source=source)
    if is_path(source):
        series = window is not None
        return open_path(source, columns=columns, label=label, size=size, series=series)
    for name, value in (("label", label), ("columns", columns), ("size", size)):
        if value is not None:
            raise bad(f"`{name}` is for files only.", **{name: value})
    if isinstance(source, np.ndarray):
        x = source if window is None else as_column(source)
        return Loaded("array", as_table(x, "array"))
    if not isinstance(source, str):
        kind = type(source).__name__
        raise bad("`source` must be a name, a path or a NumPy array.", source=kind)
    if window is not None:
        raise bad(
            "`window` cuts one long series, an array or the path of an existing file with a time "
            f"step per row, which {source!r} is not.",
            window=window,
        )
    if source in _SOURCES:
        return _SOURCES[source][0](seed)
    sets = tfds_sets.known()
    if source.split("/")[0].split(":")[0] in sets:
        return tfds_sets.open_tfds(source, data_dir, limit, memory_budget)
    raise bad(
        f"`source` must be one of {', '.join(_SOURCES)}, the name of a TFDS image set, the path of "
        f"an existing file or folder, or an array.{nearest(source, [*_SOURCES, *sets])}",
        source=source,
    )


def is_path(source: Any) -> bool:
    """Say whether `load` takes a source for a path.

    A known name stays a name even if there is a folder of that name.
    """
    if not isinstance(source, str) or not source:
        return isinstance(source, os.PathLike)
    if Path(source).suffix.lower() in (*SUFFIXES, *images.SUFFIXES):
        return True
    if source in _SOURCES or not os.path.exists(source):
        return False
    return os.path.basename(source) != source or source not in tfds_sets.known()


def _scan(loaded: Loaded, memory_budget: int) -> Loaded:
    """Read everything once: check it, count it, and keep it if it fits the budget."""
    reader = loaded.x
    assert isinstance(reader, Reader)
    kept: list[np.ndarray] | None = []
    labels: list[Any] = []
    starts, rows, low, high = [0], 0, np.inf, -np.inf
    for block in range(reader.blocks):
        for x, others in reader.read(block):
            rows += len(x)
            if len(x) and reader.dtype != "uint8":
                low, high = min(low, float(x.min())), max(high, float(x.max()))
            if others is not None:
                labels.append(others.column(0).dictionary_encode())
            if kept is not None:
                kept.append(x)
            if rows * reader.row_bytes > memory_budget:
                kept = None
        starts.append(rows)
    if rows == 0:
        raise bad(f"Data must not be empty, but {reader.name!r} has no rows.", source=loaded.name)
    if labels:
        loaded.labels, loaded.class_names = _decode(labels, reader.name)
    if kept is not None:
        loaded.x = np.concatenate(kept)
        return loaded
    loaded.starts = np.array(starts)
    loaded.value_range = (0.0, 255.0) if reader.dtype == "uint8" else (low, high)
    return loaded


def _check_in_memory(loaded: Loaded, memory_budget: int) -> None:
    """Refuse a series that is too large to be held."""
    if isinstance(loaded.x, Reader):
        assert loaded.starts is not None
        raise bad(
            f"A series is cut into windows in memory, but the {int(loaded.starts[-1]):,} steps "
            f"of {loaded.name!r} exceed `memory_budget`; give a larger one, or fewer channels.",
            memory_budget=memory_budget,
        )


def _decode(pieces: list[Any], name: str) -> tuple[np.ndarray, list[str] | None]:
    """Turn dictionary-encoded label columns into integers and class names."""
    import pyarrow as pa

    joined = pa.chunked_array(pieces).unify_dictionaries()
    numbers, names = encode(joined.chunk(0).dictionary.to_pylist(), name)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in joined.chunks])
    return numbers[codes], names


def _take(loaded: Loaded, limit: int, seed: int) -> Loaded:
    """Read as many rows of a reader into memory, drawn by `seed`."""
    reader = loaded.x
    assert isinstance(reader, Reader)
    assert loaded.starts is not None
    rows = int(loaded.starts[-1])
    chosen = np.sort(np.random.default_rng(seed).choice(rows, min(limit, rows), replace=False))
    parts, row = [], 0
    for piece in reader.pieces():
        inside = chosen[np.searchsorted(chosen, row) : np.searchsorted(chosen, row + len(piece))]
        parts.append(piece[inside - row])
        row += len(piece)
    labels = None if loaded.labels is None else loaded.labels[chosen]
    return Loaded(loaded.name, np.concatenate(parts), labels, loaded.class_names)


def _stream(
    loaded: Loaded, shares: dict[str, float], limit: int | None, seed: int, budget: int
) -> StreamStore:
    assert loaded.starts is not None
    rows = int(loaded.starts[-1])
    kept = 1.0 if limit is None else min(1.0, limit / rows)
    portions = {
        split: kept * (share if share < 1 else share / rows) for split, share in shares.items()
    }
    store = StreamStore(loaded, {**portions, "kept": kept}, seed, budget // 4)
    if store.size("train") == 0:
        raise _too_few(loaded.name, rows)
    return store
