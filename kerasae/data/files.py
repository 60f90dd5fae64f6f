"""Files by suffix: NumPy arrays here, tables and images in their own modules."""

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerasae.data import images, tables
from kerasae.data.finding import beside, kind_of
from kerasae.data.rows import (
    BLOCK_BYTES,
    Loaded,
    Reader,
    as_column,
    as_labels,
    as_rows,
    as_table,
    bad,
    rebatch,
    shorten,
)
from kerasae.errors import nearest

# Bytes that an .npz may expand to.
_MOST = 2**34


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
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise bad("`batch_size` must be an integer of at least 1.", batch_size=batch_size)
    opened = open_path(path, columns=columns, series=True)
    pieces = opened.x.pieces() if isinstance(opened.x, Reader) else [opened.x]
    return rebatch(pieces, batch_size)


@dataclass(frozen=True)
class Stream:
    """A file to be read once in pieces as large as pays, for `kerasae.scoring`.

    Args:
        name: What messages call it.
        shape: Shape of one row.
        names: Names of the values of a row of a table, None for anything else.
        rows: Number of rows, None where only reading tells.
        pieces: Yields `(x, kept)`: `(rows, *shape)` uint8 or float32, and a record batch of
            the columns to keep, or None.
    """

    name: str
    shape: tuple[int, ...]
    names: list[str] | None
    rows: int | None
    pieces: Callable[[], Iterator[tuple[np.ndarray, Any]]]


def stream(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    *,
    preferred: Sequence[str] | None = None,
    unwanted: str | None = None,
) -> Stream:
    """Open what `batches` opens, with columns of a table passed through beside the rows.

    Args:
        path: As in `batches`.
        columns: Columns of a table to read, in this order; or one column of lists.
        keep: Columns of a table to pass through.
        preferred: Columns to read where `columns` is None and the table has all of them.
        unwanted: Column not to read where `columns` is None.

    Raises:
        ValueError: The file cannot be opened, or lacks a column.
        FileNotFoundError: If there is no such file.
    """
    files = table_files(path)
    if files:
        reader, names, rows = tables.open_stream(
            Path(path), files, columns, keep, preferred, unwanted
        )
        return Stream(Path(path).name, reader.shape, names, rows, _read_all(reader))
    if keep:
        raise bad("`keep` selects from CSV and Parquet files only.", keep=list(keep))
    x = open_path(path, columns=columns, series=True).x
    if isinstance(x, Reader):
        return Stream(Path(path).name, x.shape, None, None, _read_all(x))
    return Stream(Path(path).name, x.shape[1:], None, len(x), lambda: iter([(x, None)]))


def _read_all(reader: Reader) -> Callable[[], Iterator[tuple[np.ndarray, Any]]]:
    def pieces() -> Iterator[tuple[np.ndarray, Any]]:
        for block in range(reader.blocks):
            yield from reader.read(block)

    return pieces


def table_files(path: str | os.PathLike) -> list[Path]:
    """Return a table, or the tables of a folder of tables; nothing for any other file or folder.

    Raises:
        ValueError: It is no data file, a folder without any, or one of several kinds.
    """
    path = Path(path)
    kind, files = kind_of(path) if path.exists() else ("", [])
    return files if kind in tables.SUFFIXES else []


def open_path(
    path: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    size: tuple[int, int] | None = None,
    series: bool = False,
) -> Loaded:
    """Find what a path is and open it; values are not read yet where they can be streamed.

    Args:
        path: File or folder.
        columns: Columns of a table to read.
        label: Column, or key of an `.npz`.
        size: Height and width of images.
        series: Take an array `(n,)` for rows of one value, and an `.npz` without its labels.
    """
    path = Path(path)
    if not path.exists():
        near = beside(path)
        raise FileNotFoundError(f"There is no such file or folder.{near} Received: {str(path)!r}")
    kind, files = kind_of(path)
    if columns is not None and kind not in tables.SUFFIXES:
        raise bad("`columns` selects from CSV and Parquet files only.", columns=columns)
    if label is not None and kind not in (*tables.SUFFIXES, ".npz"):
        raise bad("`label` names a column of a table or a key of an .npz file.", label=label)
    if size is not None and kind != "images":
        raise bad("`size` is for folders of images only.", size=size)
    if kind in tables.SUFFIXES:
        return Loaded(str(path), tables.open_table(path, files, columns, label))
    if kind == "images":
        return images.open_images(path, files, size)
    if kind == ".npz":
        return _npz(path, label, series)
    return Loaded(str(path), _npy(path, series))


def _npy(path: Path, series: bool) -> Reader:
    """Open an array file as a reader of blocks of rows, mapped rather than read."""
    try:
        with path.open("rb") as file:
            _check_claim(file, path.stat().st_size)
        # Maps the file and, unlike `np.load`, never unpickles.
        x: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    if series:
        x = as_column(x)
    if x.ndim < 2 or x.size == 0 or x.dtype.kind not in "biuf":
        as_table(x, path.name)
    dtype = "uint8" if x.dtype == np.uint8 else "float32"
    rows = max(1, BLOCK_BYTES // max(1, x[0].nbytes))

    def read(block: int) -> Iterator[tuple[np.ndarray, Any]]:
        start = block * rows
        # A fresh map each time: pages of a long-lived one would count as our memory.
        part = np.array(np.lib.format.open_memmap(path, mode="r")[start : start + rows])
        yield as_rows(as_column(part), path.name, first_row=start), None

    return Reader(path.name, x.shape[1:], dtype, -(-len(x) // rows), read)


def _npz(path: Path, label: str | None, series: bool) -> Loaded:
    """Read an array archive: `x`, or `x_train` and `x_test`, with labels if any."""
    try:
        # Opened here because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = list(archive.files)
            x_key, y_key = _npz_keys(path, keys, label)
            y_key = None if series else y_key
            wanted = [key for key in keys if key in _wanted(keys, x_key, y_key)]
            _check_sizes(path, archive.zip, wanted)
            arrays = {key: archive[key] for key in wanted}
            arrays = {key: as_column(x) for key, x in arrays.items()} if series else arrays
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        # NumPy takes any file that it does not know for a pickle.
        raise bad(
            f"{path.name!r} is not an .npz file, or holds Python objects (or rows of unequal "
            f"length).",
            source=str(path),
        ) from error
    x_keys = _split_keys(keys, x_key)
    if not x_keys:
        x = as_table(arrays[x_key], path.name)
        labels, names = None, None
        if y_key:
            labels, names = as_labels(arrays[y_key], path.name, len(x))
        return Loaded(str(path), x, labels, names)
    xs = {split: as_table(arrays[key], f"{path.name}:{key}") for split, key in x_keys.items()}
    shapes = {split: x.shape[1:] for split, x in xs.items()}
    if len(set(shapes.values())) > 1 or len({x.dtype for x in xs.values()}) > 1:
        raise bad(
            f"All splits must have samples of one shape and type, but {path.name!r} has {shapes}.",
            source=str(path),
        )
    x = np.concatenate(list(xs.values()))
    ends = np.cumsum([0] + [len(part) for part in xs.values()])
    parts = {split: np.arange(a, b) for split, a, b in zip(xs, ends[:-1], ends[1:], strict=True)}
    labels, names = None, None
    if y_key:
        y_keys = _split_keys(keys, y_key)
        for split, part in xs.items():
            if split not in y_keys or len(arrays[y_keys[split]]) != len(part):
                raise bad(
                    f"Labels must be one per sample, but {path.name!r} has {len(part)} samples in "
                    f"{x_keys[split]!r} and no labels that fit.",
                    source=str(path),
                )
        joined = np.concatenate([np.ravel(arrays[y_keys[split]]) for split in xs])
        labels, names = as_labels(joined, path.name, len(x))
    return Loaded(str(path), x, labels, names, parts=parts)


def _check_claim(file: IO[bytes], size: int) -> None:
    """Refuse an array whose head says that it is larger than its bytes."""
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size:
        raise OSError(f"its shape would be {shape}, and it has {size:,} bytes")


def _check_sizes(path: Path, archive: zipfile.ZipFile, keys: list[str]) -> None:
    """Refuse arrays that say they are larger than they are, or than may be read whole."""
    total = 0
    for key in keys:
        name = key if key in archive.namelist() else f"{key}.npy"
        size = archive.getinfo(name).file_size
        total += size
        with archive.open(name) as member:
            _check_claim(member, size)
    if total > _MOST:
        raise bad(
            f"An .npz file is read whole, at most {_MOST:,} bytes, and {path.name!r} has "
            f"{total:,}; save the samples as .npy, which is streamed.",
            source=str(path),
        )


_SPLIT_ENDINGS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}


def _split_keys(keys: list[str], base: str) -> dict[str, str]:
    """Return the keys `base_train`, `base_test`, ... by split; empty without `base_train`."""
    found = {
        split: f"{base}_{ending}"
        for split, endings in _SPLIT_ENDINGS.items()
        for ending in endings
        if f"{base}_{ending}" in keys
    }
    return found if "train" in found else {}


def _wanted(keys: list[str], x_key: str, y_key: str | None) -> set[str]:
    wanted = {x_key, y_key}
    for base in (x_key, y_key):
        wanted |= set(_split_keys(keys, base).values()) if base else set()
    return {key for key in wanted if key}


def _npz_keys(path: Path, keys: list[str], label: str | None) -> tuple[str, str | None]:
    """Choose the keys (or their stems, as in `x_train`) of samples and of labels."""

    def present(names: Sequence[str]) -> str | None:
        return next((n for n in names if n in keys or _split_keys(keys, n)), None)

    if label is not None and present([label]) is None:
        raise bad(f"{path.name!r} holds {_listed(keys)}.{nearest(label, keys)}", label=label)
    y_key = label or present(("y", "labels"))
    x_key = present(("x", "X"))
    if x_key is None:
        others = [key for key in keys if key != y_key]
        if len(others) != 1:
            raise bad(
                f"An .npz file must hold its samples under 'x' (or 'x_train' and 'x_test'), or "
                f"hold one array only, but {path.name!r} holds {_listed(keys)}.",
                source=str(path),
            )
        x_key = others[0]
    return x_key, y_key


def _listed(keys: list[str]) -> str:
    return ", ".join(map(repr, keys)) or "nothing"


def _unreadable(path: Path, error: BaseException) -> ValueError:
    return bad(f"{path.name!r} cannot be read: {shorten(error)}.", source=str(path))
