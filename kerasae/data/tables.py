"""CSV and Parquet, read by pyarrow in pieces."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae._text import nearest
from kerasae.data.rows import BLOCK_BYTES, Reader, bad, first_not_finite, shorten

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")
# What pandas calls a row index in the file; it numbers rows and describes nothing.
_INDEX_NAMES = ("", "__index_level_0__")

Pieces = Callable[[list[str]], "Iterator[pa.RecordBatch]"]


def open_table(
    path: Path, files: list[Path], columns: Sequence[str] | None, label: str | None
) -> Reader:
    """Open one table, or a folder of tables with the same columns, as a reader.

    A block is a row group of a Parquet file, or a whole CSV file.

    Args:
        path: What messages name.
        files: The files, in the order of their rows.
        columns: Columns to read, in this order; None reads all but the label.
        label: Column read beside them.
    """
    if isinstance(columns, str):
        raise bad("`columns` must be a list of names.", columns=columns)
    opener = _open_csv if files[0].suffix.lower() == ".csv" else _open_parquet
    tables = [opener(file) for file in files]
    names = _choose(path, tables[0], columns, label)
    for table in tables:
        missing = [name for name in [*names, *_one(label)] if name not in table.names]
        if missing:
            raise bad(
                f"All files of a folder must have the same columns, but {table.path.name!r} has "
                f"no column {missing[0]!r}.",
                source=str(path),
            )
        table.check(names)
    blocks = [(table, block) for table in tables for block in range(len(table.blocks))]
    dtype = "uint8" if all(table.uint8(names) for table in tables) else "float32"

    def read(number: int) -> Iterator[tuple[np.ndarray, Any]]:
        table, block = blocks[number]
        return table.read(block, names, label, dtype)

    return Reader(path.name, (len(names),), dtype, len(blocks), read)


def _one(label: str | None) -> list[str]:
    return [] if label is None else [label]


def _choose(
    path: Path, table: "_Table", columns: Sequence[str] | None, label: str | None
) -> list[str]:
    """Return the columns to read, after checking that the asked ones exist."""
    for argument, asked in (("columns", list(columns or ())), ("label", _one(label))):
        for name in asked:
            if name not in table.names:
                raise bad(
                    f"{path.name!r} has no column {name!r}; it has {_some(table.names)}."
                    f"{nearest(name, table.names)}",
                    **{argument: columns if argument == "columns" else label},
                )
    if columns is None:
        names = [n for n in table.names if n != label and n not in _INDEX_NAMES]
    else:
        names = list(columns)
        if label in names:
            raise bad("`columns` must not contain the label.", columns=columns, label=label)
    if not names:
        raise bad(f"{path.name!r} has no column to read.", source=str(path), columns=columns)
    repeated = [n for n in [*names, *_one(label)] if table.names.count(n) > 1 or names.count(n) > 1]
    if repeated:
        raise bad(
            f"Column names must be unique, but {repeated[0]!r} is there twice in {path.name!r}.",
            source=str(path),
        )
    return names


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ... ({len(names)} columns)" if len(names) > 10 else shown


class _Table:
    """One file: its columns, its blocks with the row number where each begins."""

    def __init__(self, path: Path, names: list[str], blocks: list[int]) -> None:
        self.path, self.names, self.blocks = path, names, blocks

    def check(self, names: list[str]) -> None:
        """Refuse columns that cannot be numbers, as far as the file says so without reading."""

    def uint8(self, names: list[str]) -> bool:
        """Say whether all columns are uint8."""
        return False

    def batches(self, block: int, names: list[str], label: str | None) -> "Iterator[Any]":
        """Yield record batches of the named columns and the label."""
        raise NotImplementedError

    def locate(self, names: list[str], label: str | None) -> str | None:
        """Return where the file's first bad value is, if reading alone did not tell."""
        return None

    def read(
        self, block: int, names: list[str], label: str | None, dtype: str
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(x, labels)` of a block in pieces, checked."""
        import pyarrow as pa

        row = self.blocks[block]
        try:
            for batch in self.batches(block, names, label):
                labels = batch.column(label) if label is not None else None
                for name in [*names, *_one(label)]:
                    if batch.column(name).null_count:
                        self._missing(batch.column(name), name, row, names, label)
                x = np.empty((batch.num_rows, len(names)), dtype)
                with np.errstate(over="ignore"):
                    for position, name in enumerate(names):
                        x[:, position] = _numbers(batch.column(name))
                self._finite(x, batch, row, names, label)
                yield x, labels
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            where = self.locate(names, label)
            found = where or f"cannot be read: {shorten(error)}"
            raise bad(f"{self.path.name!r} {found}.", source=str(self.path)) from error

    def _missing(
        self, column: Any, name: str, row: int, names: list[str], label: str | None
    ) -> None:
        first = row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        where = self.locate(names, label)
        found = where or f"has no value in row {first} (counted from 0), column {name!r}"
        raise bad(f"{self.path.name!r} {found}.", source=str(self.path))

    def _finite(
        self, x: np.ndarray, batch: Any, row: int, names: list[str], label: str | None
    ) -> None:
        where = first_not_finite(x)
        if where is not None:
            at, column = where
            value = float(_numbers(batch.column(names[column]))[at])
            found = self.locate(names, label) or (
                f"holds {value}, not a finite float32, in row {row + at} (counted from 0), "
                f"column {names[column]!r}"
            )
            raise bad(f"{self.path.name!r} {found}.", source=str(self.path))


def _numbers(column: Any) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)


class _Parquet(_Table):
    def __init__(self, path: Path, file: Any) -> None:
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = [int(start) for start in np.cumsum([0, *counts])[:-1]]
        super().__init__(path, list(file.schema_arrow.names), starts)
        self.schema, self.metadata = file.schema_arrow, file.metadata

    def check(self, names: list[str]) -> None:
        from pyarrow import types

        for name in names:
            kind = self.schema.field(name).type
            numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
            if not any(is_kind(kind) for is_kind in numeric):
                raise bad(
                    f"Columns must be numeric, but column {name!r} of {self.path.name!r} holds "
                    f"{kind} values; choose others with columns=[...] or make it the label.",
                    source=str(self.path),
                )

    def uint8(self, names: list[str]) -> bool:
        import pyarrow as pa

        return all(self.schema.field(name).type == pa.uint8() for name in names)

    def batches(self, block: int, names: list[str], label: str | None) -> Iterator[Any]:
        import pyarrow.parquet as pq

        # Buffered, or a whole row group is held at once.
        with pq.ParquetFile(
            self.path, metadata=self.metadata, pre_buffer=False, buffer_size=1 << 16
        ) as file:
            yield from file.iter_batches(
                batch_size=max(1, BLOCK_BYTES // (4 * len(names))),
                row_groups=[block],
                columns=[*names, *_one(label)],
            )


def _open_parquet(path: Path) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _Parquet(path, file)
    except (pa.ArrowException, OSError) as error:
        raise bad(
            f"{path.name!r} cannot be read as Parquet: {shorten(error)}.", source=str(path)
        ) from error


class _Csv(_Table):
    def __init__(self, path: Path, names: list[str], delimiter: str, header: bool) -> None:
        super().__init__(path, names, [0])
        self.delimiter, self.header = delimiter, header

    def batches(self, block: int, names: list[str], label: str | None) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        types = {name: pa.float32() for name in names}
        if label is not None:
            types[label] = pa.string()
        with arrow_csv.open_csv(
            self.path,
            read_options=arrow_csv.ReadOptions(
                block_size=BLOCK_BYTES, column_names=None if self.header else self.names
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=self.delimiter),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(types), column_types=types, strings_can_be_null=True
            ),
        ) as reader:
            yield from reader

    def locate(self, names: list[str], label: str | None) -> str | None:
        # pyarrow's messages name no row, so Python's slower reader looks for it, once.
        wanted = [(name, self.names.index(name)) for name in [*names, *_one(label)]]
        with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            for number, fields in enumerate(line for line in reader if line):
                place = f"in line {reader.line_num}"
                if len(fields) != len(self.names):
                    return f"has {len(fields)} instead of {len(self.names)} values {place}"
                if number == 0 and self.header:
                    continue
                for name, position in wanted:
                    text = fields[position].strip()
                    if problem := _problem(text, is_label=name == label):
                        return f"{problem} {place}, column {name!r}"
        return None


def _problem(text: str, *, is_label: bool) -> str | None:
    if not text:
        return "has no value"
    if is_label:
        return None
    try:
        value = float(text)
    except ValueError:
        return f"holds {text!r}, which is not a number,"
    if math.isnan(value) or abs(value) > float(np.finfo(np.float32).max):
        return f"holds {text!r}, which is not a finite float32,"
    return None


def _open_csv(path: Path) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
            while first and not first.strip():
                first = file.readline()
    except OSError as error:
        raise bad(f"{path.name!r} cannot be read: {shorten(error)}.", source=str(path)) from error
    if not first or "\0" in first:
        what = "is empty" if not first else "is not a text file"
        raise bad(f"{path.name!r} {what}.", source=str(path))
    delimiter = max(",;\t", key=first.count)
    names = next(csv.reader([first], delimiter=delimiter))
    header = not all(_is_number(name) for name in names)
    # Column labels 0, 1, 2, ... are what pandas writes for a frame without names.
    header = header or names == [str(index) for index in range(len(names))]
    if not header:
        names = [f"x{index}" for index in range(len(names))]
    return _Csv(path, names, delimiter, header)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
