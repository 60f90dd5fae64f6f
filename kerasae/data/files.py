"""Files and folders: what is at a path, opened by its kind."""

import difflib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasae.data import arrays, images
from kerasae.data.rows import Loaded, Reader, bad, rebatch
from kerasae.errors import check_whole, nearest

TABLES = (".parquet", ".csv")
SUFFIXES = (".npy", ".npz", *TABLES)
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# Further kinds of data that a folder may hold, which are not read.
_OTHERS = (".tsv", ".jsonl", ".feather", ".arrow", ".orc", ".avro", ".pq", ".xlsx", ".h5")


def batches(
    path: str | os.PathLike, batch_size: int = 1024, columns: Sequence[str] | None = None
) -> Iterator[np.ndarray]:
    """Read a file in batches, in file order, without holding it in memory.

    Args:
        path: A `.npy`, `.npz`, `.csv` or `.parquet` file, an image, or a folder of images or of
            tables. An `.npz` is read whole.
        batch_size: Rows per batch; the last batch may be shorter.
        columns: Columns of a table to read, in this order; None reads all.

    Returns:
        Iterator of `(rows, *shape)` arrays, uint8 or float32.

    Raises:
        ValueError: If the file cannot be read or holds anything but finite numbers; values are
            checked while the iterator runs.
        FileNotFoundError: If there is no such file.

    Example:
        ```python
        for x in kerasae.data.batches("measurements.parquet"):
            print(ae.score(x))
        ```
    """
    batch_size = check_whole("batch_size", batch_size)
    opened = open_path(path, columns=columns, series=True)
    pieces = opened.x.pieces() if isinstance(opened.x, Reader) else [opened.x]
    return rebatch(pieces, batch_size)


def stream(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    *,
    preferred: Callable[[list[str]], list[str] | None] = lambda names: None,
    unwanted: str | None = None,
) -> Reader:
    """Open what `batches` opens, with columns of a table passed through next to the rows.

    Args:
        path: As in `batches`; a table or array may have no rows.
        columns: Columns of a table to read, in this order; or one column of lists.
        keep: Columns of a table to pass through.
        preferred: Where `columns` is None, takes the names of a table's columns and returns those
            to read, or None for all but those to keep.
        unwanted: Column not to read where all others are.

    Raises:
        ValueError: The file cannot be opened, or lacks a column.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if files := table_files(path):
        from kerasae.data.tables import Table

        table = Table(path, files)
        kept = table.kept(keep)
        columns = preferred(table.names) if columns is None else columns
        if not table.names:
            return table.reader(list(columns or ()), kept)
        return table.reader(table.choose(columns, leave_out=(*keep, unwanted)), kept)
    if keep:
        raise bad("`keep` selects from CSV and Parquet files only.", keep=list(keep))
    x = open_path(path, columns=columns, series=True, empty=True).x
    if isinstance(x, Reader):
        return x
    whole = (x, None)
    return Reader(path.name, x.shape[1:], x.dtype.name, 1, lambda _: iter([whole]), rows=len(x))


def table_files(path: str | os.PathLike) -> list[Path]:
    """Return a table, or the tables of a folder of tables; nothing for any other file or folder.

    Raises:
        ValueError: It is no data file, a folder without any, or one of several kinds.
    """
    path = Path(path)
    kind, files = kind_of(path) if path.exists() else ("", [])
    return files if kind in TABLES else []


def open_path(
    path: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    size: int | tuple[int, int] | None = None,
    series: bool = False,
    empty: bool = False,
) -> Loaded:
    """Find what a path is and open it; values are not read yet where they can be streamed.

    Args:
        path: File or folder.
        columns: Columns of a table to read.
        label: Column, or key of an `.npz`.
        size: Height and width of images; one number is both.
        series: Take an array `(n,)` for rows of one value, and an `.npz` without its labels.
        empty: Take an `.npy` file without rows.
    """
    path = Path(path)
    if not path.exists():
        near = nearest_file(path)
        raise FileNotFoundError(f"There is no such file or folder.{near} Received: {str(path)!r}")
    kind, files = kind_of(path)
    if columns is not None and kind not in TABLES:
        raise bad("`columns` selects from CSV and Parquet files only.", columns=columns)
    if label is not None and kind not in (*TABLES, ".npz"):
        raise bad("`label` names a column of a table or a key of an .npz file.", label=label)
    if size is not None and kind != "images":
        raise bad("`size` is for folders of images only.", size=size)
    if kind in TABLES:
        from kerasae.data.tables import Table

        table = Table(path, files)
        names = table.choose(columns, label)
        return Loaded(str(path), table.reader(names, table.label(label) if label else None))
    if kind == "images":
        return images.open_images(path, files, size)
    if kind == ".npz":
        return arrays.open_npz(path, label, series)
    return Loaded(str(path), arrays.open_npy(path, series, empty))


def kind_of(path: Path) -> tuple[str, list[Path]]:
    """Return a suffix of `SUFFIXES` or "images", and the files.

    Args:
        path: A file, or a folder of images or of tables.

    Raises:
        ValueError: It is no data file, a folder without any, or one of several kinds.
    """
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in images.SUFFIXES:
            return "images", [path]
        if suffix in SUFFIXES:
            return suffix, [path]
        raise bad(
            f"A data file must end in {', '.join(SUFFIXES)} or be a folder of images."
            f"{nearest(suffix, SUFFIXES)}",
            source=str(path),
        )
    check_one_kind(path)
    if found := images.find(path):
        return "images", found
    for suffix in TABLES:
        found = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() == suffix and not entry.name.startswith(".")
        )
        if found:
            return suffix, found
    raise bad(
        f"A folder must hold images ({', '.join(images.SUFFIXES)}), .parquet or .csv files, "
        f"but {path.name!r} holds none.",
        source=str(path),
    )


def check_one_kind(folder: Path, patterns: bool = False) -> None:
    """Refuse a folder of which some files would be left out silently.

    Args:
        folder: A folder of images or of tables.
        patterns: Whether the caller takes shell patterns, too.

    Raises:
        ValueError: It holds files of several kinds.
    """
    known = {*SUFFIXES, *images.SUFFIXES, *_OTHERS, *PACKED}
    kinds: dict[str, str] = {}
    for entry in sorted(folder.iterdir()):
        suffix = entry.suffix.lower()
        if suffix in known and not entry.name.startswith("."):
            kinds.setdefault("images" if suffix in images.SUFFIXES else suffix, entry.name)
    if len(kinds) > 1:
        read = [suffix for suffix in SUFFIXES if suffix in kinds]
        way_out = "give each kind a folder of its own"
        if read and patterns:
            way_out = f"pass a pattern such as {str(folder / f'*{read[0]}')!r}"
        raise bad(
            f"{folder.name!r} holds files of several kinds, such as "
            f"{' and '.join(map(repr, kinds.values()))}, and one kind is read at a time; "
            f"{way_out}.",
            source=str(folder),
        )


def nearest_file(path: Path) -> str:
    """Return a hint at a file next to a missing one, among those that can be read."""
    readable = {*SUFFIXES, *images.SUFFIXES}
    stems: dict[str, str] = {}
    # A long folder is not worth the time.
    entries = itertools.islice(path.parent.iterdir(), 10_000) if path.parent.is_dir() else ()
    for entry in sorted(entries):
        fits = entry.suffix.lower() in readable if path.suffix else entry.is_dir()
        if fits and not entry.name.startswith("."):
            stems.setdefault(entry.stem.lower(), entry.name)
    # Equal suffixes would make any two short names alike.
    close = difflib.get_close_matches(path.stem.lower(), stems, n=1, cutoff=0.6)
    return f" Did you mean {stems[close[0]]!r}?" if close else ""
