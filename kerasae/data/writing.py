"""Write batches to a file, whole or not at all."""

import itertools
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerasae import files
from kerasae.data.rows import bad
from kerasae.errors import shorten

_NUMBERED = re.compile(r"\d{6,}\.png")

# Small batches are gathered into row groups of a Parquet file of this many bytes.
_GROUP_BYTES = 1 << 24


def write(
    path: str | os.PathLike,
    batches: Iterable[Any],
    names: Sequence[str] | None = None,
    *,
    empty: bool = False,
    ready: Callable[[Path], None] | None = None,
) -> int:
    """Write batches to a file, or images to a folder.

    The file is written under a temporary name next to the target and takes its place when it is
    whole and on the disk; when anything fails, the target is what it was before. Where the target
    is a link, what it points to is replaced.

    Args:
        path: The suffix decides: `.npy`, `.npz` (key "x"), `.csv`, `.parquet`; none means a folder
            of numbered PNG files. An existing file is replaced; an existing folder only if it holds
            nothing but numbered PNG files.
        batches: Arrays of one type with equal shapes after the first axis, at least one row in
            all. Tables get one column per value, images get `(n, height, width)` or
            `(n, height, width, 1 or 3)` with values 0..255, rounded and clipped. A structured
            array `(n,)` gives a table one column per field, each of its own type. A pair of a
            pyarrow record batch and an array gives a table the columns of both.
        names: Column names of a table; default "x0", "x1", ..., or the names of the fields.
        empty: Write a file without rows where all batches have none, instead of raising.
        ready: Called with the temporary path just before it takes its place; an exception
            prevents that.

    Returns:
        Number of rows written.

    Raises:
        ValueError: If the suffix is unknown, a batch does not fit, or there is nothing to write.
        FileNotFoundError: If the folder to write in does not exist.
        OSError: If the file cannot be written, such as on a full disk.

    Example:
        ```python
        scores = (ae.score(x) for x in kerasae.data.batches("in.parquet"))
        kerasae.data.write("out.csv", scores, names=["score"])
        ```
    """
    suffix = check_target(Path(os.path.abspath(path)))
    path = Path(os.path.realpath(path))
    files.sweep(path.parent)
    rows = _Rows(batches, empty)
    if rows.kept is not None and suffix not in (".csv", ".parquet"):
        raise bad("Columns can be kept in a .csv or .parquet file only.", path=str(path))
    temporary = files.temporary_name(path)
    try:
        _WRITERS[suffix](temporary, rows, names)
        files.sync(temporary)
        if ready is not None:
            ready(temporary)
        _replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        reason = os.strerror(error.errno)
        told = type(error)(f"{path.name!r} cannot be written: {reason}. Received: path='{path}'")
        told.errno = error.errno
        raise told from error
    finally:
        files.remove(temporary)
    return rows.count


def check_target(path: Path) -> str:
    """Return the suffix of a file to write, in small letters.

    Raises:
        ValueError: The suffix is unknown, or something else is at `path`.
        FileNotFoundError: The folder to write in does not exist.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        known = ", ".join(filter(None, _WRITERS))
        raise bad(f"A file must end in {known}, or have no suffix for images.", path=str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder to write in. Received: path={str(path)!r}")
    _check_replaceable(path, is_folder=not suffix)
    return suffix


def _check_replaceable(path: Path, *, is_folder: bool) -> None:
    if not path.exists():
        return
    if is_folder != path.is_dir():
        kind = "a folder" if path.is_dir() else "a file"
        raise bad(f"{path.name!r} exists and is {kind}; choose another name.", path=str(path))
    if is_folder:
        foreign = [e.name for e in path.iterdir() if not _NUMBERED.fullmatch(e.name)]
        if foreign:
            raise bad(
                f"The folder {path.name!r} holds {foreign[0]!r}, which would be lost; choose a new "
                f"or empty folder.",
                path=str(path),
            )


def _replace(temporary: Path, path: Path) -> None:
    # Once more, for writing may have taken hours.
    _check_replaceable(path, is_folder=temporary.is_dir())
    files.replace(temporary, path)


class _Rows:
    """Batches, checked against the first one and counted as they pass.

    Attributes:
        kept: The schema of the columns that come first in a table, None without any.
        shape: Shape of a row.
        dtype: Type of the values.
        count: Number of rows that have passed.
    """

    def __init__(self, batches: Iterable[Any], empty: bool = False) -> None:
        self.count = 0
        self._batches = iter(batches)
        self._held: list[tuple[Any, np.ndarray]] = []
        for batch in self._batches:
            self._held = [_pair(batch)]
            if len(self._held[0][1]):
                break
        if not self._held or not (empty or len(self._held[0][1])):
            raise bad("There must be at least one row to write.", batches="no rows")
        kept, x = self._held[0]
        self.kept = None if kept is None else kept.schema
        self.shape, self.dtype = x.shape[1:], x.dtype

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for _, batch in self.pairs())

    def pairs(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield the columns that come first in a table, or None, and the values."""
        for kept, batch in itertools.chain(self._held, map(_pair, self._batches)):
            if batch.shape[1:] != self.shape or batch.dtype != self.dtype:
                raise bad(
                    f"All batches must have rows of shape {self.shape} and type {self.dtype}.",
                    shape=batch.shape[1:],
                    dtype=str(batch.dtype),
                )
            self.count += len(batch)
            yield kept, batch


def _pair(batch: Any) -> tuple[Any, np.ndarray]:
    """Return the columns that come first in a table, or None, and the values, checked."""
    kept, values = batch if isinstance(batch, tuple) else (None, batch)
    x = np.asarray(values)
    fields = x.dtype.names or ()
    kinds = {x.dtype[name].kind for name in fields} or {x.dtype.kind}
    if x.ndim == 0 or (fields and x.ndim > 1) or not kinds <= set("biuf"):
        raise bad(
            "Batches must be arrays of numbers with one row per sample.",
            shape=x.shape,
            dtype=str(x.dtype),
        )
    return kept, x


def _write_npy(path: Path, rows: _Rows, names: Sequence[str] | None) -> None:
    with path.open("wb") as file:
        _npy_header(file, rows)
        begin = file.tell()
        for batch in rows:
            file.write(np.ascontiguousarray(batch).data)
        # NumPy pads the header so that the final row count fits in its place.
        file.seek(0)
        _npy_header(file, rows)
        assert file.tell() == begin


def _npy_header(file: IO[bytes], rows: _Rows) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(rows.dtype),
        "fortran_order": False,
        "shape": (rows.count, *rows.shape),
    }
    np.lib.format.write_array_header_1_0(file, header)


def _write_npz(path: Path, rows: _Rows, names: Sequence[str] | None) -> None:
    member = path.with_name(path.name + ".npy")
    try:
        _write_npy(member, rows, names)
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(member, "x.npy")
    finally:
        files.remove(member)


def _write_csv(path: Path, rows: _Rows, names: Sequence[str] | None) -> None:
    import pyarrow as pa
    from pyarrow import csv

    tables, schema = _tables(rows, names)
    try:
        writer = csv.CSVWriter(path, schema)
    except pa.ArrowInvalid as error:
        raise bad(
            f"A CSV file does not take a column to keep: {shorten(error)}; write Parquet, or leave "
            "it out (--keep).",
            keep=[field.name for field in rows.kept or ()],
        ) from None
    with writer:
        for table in tables:
            writer.write(table)


def _write_parquet(path: Path, rows: _Rows, names: Sequence[str] | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import types

    tables, schema = _tables(rows, names)
    # Numbers that hardly repeat are only slowed down by a dictionary of them.
    repeating = [f.name for f in schema if not types.is_floating(f.type)]
    with pq.ParquetWriter(path, schema, use_dictionary=repeating or False) as writer:
        held, size = [], 0
        for table in tables:
            held.append(table)
            size += table.nbytes
            if size >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(held))
                held, size = [], 0
        if held:
            writer.write_table(pa.concat_tables(held))


def _tables(rows: _Rows, names: Sequence[str] | None) -> tuple[Iterator[Any], Any]:
    """Return batches as pyarrow tables, a column per value or field, and their schema."""
    import pyarrow as pa

    fields = rows.dtype.names
    titles = list(fields or (f"x{index}" for index in range(int(np.prod(rows.shape)))))
    if names is not None:
        if isinstance(names, str) or len(set(names)) != len(titles) or len(names) != len(titles):
            raise bad(f"`names` must be {len(titles)} different column names.", names=names)
        titles = list(names)
    dtypes = [rows.dtype[name] for name in fields] if fields else [rows.dtype] * len(titles)
    # CSV readers take 0 and 1 for numbers, and true and false for text.
    dtypes = [np.dtype(np.uint8) if dtype == np.bool_ else dtype for dtype in dtypes]
    before = list(rows.kept or ())
    repeated = {field.name for field in before} & set(titles)
    if repeated:
        raise bad(
            f"Column {min(repeated)!r} cannot be kept, since the results have a column of that "
            "name.",
            keep=[field.name for field in before],
        )
    own = [(title, pa.from_numpy_dtype(t)) for title, t in zip(titles, dtypes, strict=True)]
    schema = pa.schema([*before, *own])

    def tables() -> Iterator[Any]:
        for kept, batch in rows.pairs():
            values = (
                [batch[n] for n in fields] if fields else batch.reshape(len(batch), len(titles)).T
            )
            columns = [
                pa.array(np.ascontiguousarray(column, dtype))
                for column, dtype in zip(values, dtypes, strict=True)
            ]
            columns = [*([] if kept is None else kept.columns), *columns]
            yield pa.Table.from_arrays(columns, schema=schema)

    return tables(), schema


def _write_folder(path: Path, rows: _Rows, names: Sequence[str] | None) -> None:
    from PIL import Image

    if len(rows.shape) not in (2, 3) or (len(rows.shape) == 3 and rows.shape[2] not in (1, 3)):
        raise bad(
            "A folder takes images (n, height, width) or (n, height, width, 1 or 3); give other "
            "data a file name with a suffix.",
            path=path.name,
            shape=rows.shape,
        )
    path.mkdir()
    number = 0
    for batch in rows:
        pixels = np.clip(np.rint(batch), 0, 255).astype(np.uint8)
        if pixels.shape[-1] == 1 and pixels.ndim == 4:
            pixels = pixels[..., 0]
        for image in pixels:
            Image.fromarray(image).save(path / f"{number:06d}.png")
            number += 1


_WRITERS: dict[str, Callable[[Path, _Rows, Sequence[str] | None], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    "": _write_folder,
}
