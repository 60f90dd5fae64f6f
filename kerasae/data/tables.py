"""CSV and Parquet, read by pyarrow in pieces."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.data.arrays import is_list, is_numeric, numbers, stacked, unlisted, way_out
from kerasae.data.rows import BLOCK_BYTES, Reader, bad, first_not_finite, shorten
from kerasae.errors import nearest

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")
# What pandas calls a row index in the file; it numbers rows and describes nothing.
_INDEX_NAMES = ("", "__index_level_0__")

# Every column of every piece of a Parquet file has its price: wide tables are read in pieces of
# so many rows, if these are not too many bytes.
_LEAST_ROWS, _MOST_BYTES = 4096, 1 << 24

Pieces = Callable[[list[str]], "Iterator[pa.RecordBatch]"]
# The name of a label, which must have a value in every row, or names of columns to pass through.
Beside = str | list[str] | None


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
    tables = _open(files)
    return _reader(path, tables, _choose(path, tables[0], columns, label), label)


def open_stream(
    path: Path,
    files: list[Path],
    columns: Sequence[str] | None,
    keep: Sequence[str],
    preferred: Sequence[str] | None,
    unwanted: str | None,
) -> tuple[Reader, list[str], int | None]:
    """Open tables as a reader whose pieces come with the columns to keep.

    Args:
        path: What messages name.
        files: The files, in the order of their rows.
        columns: Columns to read; None reads the preferred ones, or all but those to keep.
        keep: Columns to pass through, a record batch for each piece.
        preferred: Columns to read where nothing is said, if the table has all of them.
        unwanted: Column to leave out where nothing is said.

    Returns:
        The reader, a name for each value of a row, and the number of rows if it is known.
    """
    tables = _open(files)
    known = tables[0].names
    for name in keep:
        _check_known(path, known, name, keep=list(keep))
    if len(set(keep)) < len(keep):
        raise bad("`keep` must name each column once.", keep=list(keep))
    if columns is None and preferred and set(preferred) <= set(known):
        columns = list(preferred)
    if columns is None:
        columns = [n for n in known if n not in (*_INDEX_NAMES, *keep, unwanted)]
    names = _choose(path, tables[0], columns, None)
    reader = _reader(path, tables, names, list(keep))
    width = reader.shape[0]
    if len(names) < width:
        names = [f"{names[0]}_{i}" for i in range(width)]
    counts = [table.rows for table in tables]
    return reader, names, None if None in counts else sum(counts)  # type: ignore[arg-type]


def _open(files: list[Path]) -> list["Table"]:
    from kerasae.data.delimited import open_csv

    opener = open_csv if files[0].suffix.lower() == ".csv" else _open_parquet
    return [opener(file) for file in files]


def _reader(path: Path, tables: list["Table"], names: list[str], beside: Beside) -> Reader:
    for table in tables:
        there = set(table.names)
        missing = [name for name in [*names, *listed(beside)] if name not in there]
        if missing:
            raise bad(
                f"All files of a folder must have the same columns, but {table.path.name!r} has "
                f"no column {missing[0]!r}.",
                source=str(path),
            )
        table.check(names)
    blocks = [(table, block) for table in tables for block in range(len(table.blocks))]
    dtype = "uint8" if all(table.uint8(names) for table in tables) else "float32"
    width = tables[0].width(names)

    def read(number: int) -> Iterator[tuple[np.ndarray, Any]]:
        table, block = blocks[number]
        return table.read(block, names, beside, dtype, width)

    return Reader(path.name, (width,), dtype, len(blocks), read)


def listed(beside: Beside) -> list[str]:
    """Return the columns that are read beside the numbers: the label, or those to pass through."""
    return [beside] if isinstance(beside, str) else beside or []


def needed(beside: Beside) -> list[str]:
    """Return those of them that must have a value in every row: the label."""
    return [beside] if isinstance(beside, str) else []


def _check_known(path: Path, known: list[str], name: str, **received: Any) -> None:
    if name not in known:
        raise bad(
            f"{path.name!r} has no column {name!r}; it has {_some(known)}.{nearest(name, known)}",
            **received,
        )


def _one(label: str | None) -> list[str]:
    return [] if label is None else [label]


def _choose(
    path: Path, table: "Table", columns: Sequence[str] | None, label: str | None
) -> list[str]:
    """Return the columns to read, after checking that the asked ones exist."""
    known = Counter(table.names)
    for argument, asked in (("columns", list(columns or ())), ("label", _one(label))):
        for name in asked:
            if name not in known:
                received = columns if argument == "columns" else label
                _check_known(path, table.names, name, **{argument: received})
    if columns is None:
        names = [n for n in table.names if n != label and n not in _INDEX_NAMES]
    else:
        names = list(columns)
        if label in names:
            raise bad("`columns` must not contain the label.", columns=columns, label=label)
    if not names:
        raise bad(f"{path.name!r} has no column to read.", source=str(path), columns=columns)
    chosen = Counter(names)
    repeated = [n for n in [*names, *_one(label)] if known[n] > 1 or chosen[n] > 1]
    if repeated:
        raise bad(
            f"Column names must be unique, but {repeated[0]!r} is there twice in {path.name!r}.",
            source=str(path),
        )
    return names


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ... ({len(names)} columns)" if len(names) > 10 else shown


class Table:
    """One file: its columns, its blocks with the row number where each begins."""

    def __init__(self, path: Path, names: list[str], blocks: list[int]) -> None:
        self.path, self.names, self.blocks = path, names, blocks
        self.rows: int | None = None

    def check(self, names: list[str]) -> None:
        """Refuse columns that cannot be numbers, as far as the file says so without reading."""

    def uint8(self, names: list[str]) -> bool:
        """Say whether all columns are uint8."""
        return False

    def width(self, names: list[str]) -> int:
        """Return how many values the columns have in a row: of one column of lists, its length."""
        return len(names)

    def batches(self, block: int, names: list[str], beside: Beside) -> "Iterator[Any]":
        """Yield record batches of the named columns and those beside them."""
        raise NotImplementedError

    def locate(self, names: list[str], beside: Beside) -> str | None:
        """Return where the file's first bad value is, if reading alone did not tell."""
        return None

    def read(
        self, block: int, names: list[str], beside: Beside, dtype: str, width: int
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(x, labels)`, or x and a record batch of other columns, in pieces, checked."""
        import pyarrow as pa

        row = self.blocks[block]
        wanted = [*names, *needed(beside)]
        try:
            for batch in self.batches(block, names, beside):
                for name in wanted:
                    if batch.column(name).null_count:
                        raise self._missing(batch.column(name), name, row, names, beside)
                columns = [batch.column(name) for name in names]
                if is_list(columns[0].type):
                    rows = unlisted(columns[0], width, dtype)
                    if isinstance(rows, int):
                        raise self._bad(f"has no list of {width} values{_place(row + rows, names)}")
                    x = rows
                else:
                    x = stacked(columns, dtype)
                self._finite(x, columns, row, names, beside)
                yield x, _chosen(batch, beside)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            where = self.locate(names, beside)
            raise self._bad(where or f"cannot be read: {shorten(error)}") from error

    def _bad(self, what: str) -> ValueError:
        return bad(f"{self.path.name!r} {what}.", source=str(self.path))

    def _missing(
        self, column: Any, name: str, row: int, names: list[str], beside: Beside
    ) -> ValueError:
        first = row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        where = self.locate(names, beside)
        return self._bad(where or f"has no value{_place(first, [name])}{way_out(None)}")

    def _finite(
        self, x: np.ndarray, columns: list[Any], row: int, names: list[str], beside: Beside
    ) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(x.sum()):  # three times as fast as in float64, which may tell more
                return
        at = first_not_finite(x)
        if at is not None:
            is_one = len(columns) == len(x[0])
            value = float(numbers(columns[at[1]])[at[0]]) if is_one else float(x[at])
            place = _place(row + at[0], [names[at[1] if is_one else 0]])
            where = self.locate(names, beside)
            said = f"holds {value}, not a finite float32,{place}{way_out(value)}"
            raise self._bad(where or said)


def _place(row: int, names: list[str]) -> str:
    return f" in row {row} (counted from 0), column {names[0]!r}"


def _chosen(batch: Any, beside: Beside) -> Any:
    """Return the labels, the columns to pass through, or None."""
    if isinstance(beside, str):
        return batch.column(beside)
    return batch.select(beside) if beside else None


class _Parquet(Table):
    def __init__(self, path: Path, file: Any) -> None:
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = [int(start) for start in np.cumsum([0, *counts])[:-1]]
        super().__init__(path, list(file.schema_arrow.names), starts)
        self.schema, self.metadata = file.schema_arrow, file.metadata
        self.rows = file.metadata.num_rows

    def check(self, names: list[str]) -> None:
        for name in names:
            kind = self.schema.field(name).type
            if (is_list(kind) and len(names) == 1) or is_numeric(kind):
                continue
            alone = "; read a column of lists alone" if is_list(kind) else ""
            raise bad(
                f"Columns must be numeric, but column {name!r} of {self.path.name!r} holds "
                f"{kind} values{alone}; choose others with columns=[...] (--column), pass it "
                "through with keep=[...] (--keep) or make it the label with label=... (--label).",
                source=str(self.path),
            )

    def width(self, names: list[str]) -> int:
        import pyarrow.parquet as pq

        kind = self.schema.field(names[0]).type
        if not is_list(kind):
            return len(names)
        if hasattr(kind, "list_size"):
            return kind.list_size
        with pq.ParquetFile(self.path, metadata=self.metadata) as file:
            for batch in file.iter_batches(batch_size=1, columns=names):
                first = batch.column(names[0])
                return 1 if first.null_count else len(first[0])
        return 1

    def uint8(self, names: list[str]) -> bool:
        import pyarrow as pa

        kinds = [self.schema.field(name).type for name in names]
        return all((k.value_type if is_list(k) else k) == pa.uint8() for k in kinds)

    def batches(self, block: int, names: list[str], beside: Beside) -> Iterator[Any]:
        import pyarrow.parquet as pq

        # Buffered, or a whole row group is held at once.
        with pq.ParquetFile(
            self.path, metadata=self.metadata, pre_buffer=False, buffer_size=1 << 16
        ) as file:
            columns = list(dict.fromkeys([*names, *listed(beside)]))
            row = 4 * max(len(columns), self.width(names))
            yield from file.iter_batches(
                batch_size=max(1, BLOCK_BYTES // row, min(_LEAST_ROWS, _MOST_BYTES // row)),
                row_groups=[block],
                columns=columns,
            )


def _open_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _Parquet(path, file)
    except (pa.ArrowException, OSError) as error:
        raise bad(
            f"{path.name!r} cannot be read as Parquet: {shorten(error)}.", source=str(path)
        ) from error
