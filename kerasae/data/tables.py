"""Tables: CSV and Parquet files, or folders of them, read by pyarrow a batch at a time.

pyarrow's streaming readers are used and not `pyarrow.dataset`, whose scanner decodes a whole row
group of a Parquet file at once: 1,000,000 rows of 64 columns took 310 MB of memory, and
`ParquetFile.iter_batches` takes 42 MB.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types

from kerasae.data.rows import BLOCK_BYTES, Reader, bad, first_not_finite, way_out
from kerasae.errors import nearest, shorten

# pandas writes row indexes under these names; they number rows and describe nothing.
_INDEX_NAMES = ("", "__index_level_0__")
# Every column costs time and memory in every batch. A wide Parquet file is therefore read in
# batches of at least this many rows, as long as they do not exceed this many bytes.
_LEAST_ROWS, _MOST_BYTES = 4096, 1 << 24
_MOST_COLUMNS = 2**17
# The beginning of a CSV file, from which its header and its types are found.
_HEAD_BYTES = 1 << 16


class Table:
    """A table in one file, or in the files of a folder one after the other.

    Args:
        path: The file or folder, for messages.
        files: The files, in the order of their rows, all CSV or all Parquet.

    Attributes:
        names: Names of all columns; empty for an empty text file.
        rows: Number of rows, None where only reading tells.

    Raises:
        ValueError: A file cannot be read.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        is_csv = files[0].suffix.lower() == ".csv"
        self.path = path
        opened = [
            _Csv(file, keep_open=len(files) == 1) if is_csv else _Parquet(file) for file in files
        ]
        # An empty text file adds no row.
        self._files = [file for file in opened if file.names] or opened[:1]
        self.names = self._files[0].names
        counts = [file.rows for file in self._files if file.rows is not None]
        self.rows = sum(counts) if len(counts) == len(self._files) else None

    def choose(
        self,
        columns: Sequence[str] | None,
        label: str | None = None,
        leave_out: Sequence[str | None] = (),
    ) -> list[str]:
        """Return the columns to read, after checking that those asked for exist.

        Args:
            columns: Names in the order to read them; None takes all but the others.
            label: Name of the label.
            leave_out: Further columns not to read where `columns` is None.
        """
        if isinstance(columns, str):
            raise bad("`columns` must be a list of names.", columns=columns)
        if not self.names:
            raise bad(f"{self.path.name!r} is empty.", source=str(self.path))
        labels = [] if label is None else [label]
        if columns is None:
            others = {*labels, *leave_out, *_INDEX_NAMES}
            names = [name for name in self.names if name not in others]
        else:
            names = list(columns)
            self._check_known(names, columns=columns)
        self._check_known(labels, label=label)
        if label in names:
            raise bad("`columns` must not contain the label.", columns=columns, label=label)
        if not names:
            raise bad(
                f"{self.path.name!r} has no column to read.",
                source=str(self.path),
                columns=columns,
            )
        known, chosen = Counter(self.names), Counter(names)
        repeated = [n for n in [*names, *labels] if known[n] > 1 or chosen[n] > 1]
        if repeated:
            raise bad(
                f"Column names must be unique, but {repeated[0]!r} is there twice in "
                f"{self.path.name!r}.",
                source=str(self.path),
            )
        return names

    def label(self, name: str) -> pa.Schema:
        """Return the field of a label, which must have a value in every row."""
        [field] = self._common([name], {"label": name})
        return pa.schema([field.with_nullable(False)])

    def kept(self, names: Sequence[str]) -> pa.Schema | None:
        """Return the fields of columns to pass through, None without any.

        A column that has several types in the files of a folder gets one that holds all values.

        Raises:
            ValueError: A column does not exist, is named twice, or has types without such a one.
        """
        if not names:
            return None
        if not self.names:
            return pa.schema([(name, pa.string()) for name in names])
        self._check_known(names, keep=list(names))
        if len(set(names)) < len(names):
            raise bad("`keep` must name each column once.", keep=list(names))
        return self._common(names, {"keep": list(names)})

    def _check_known(self, names: Sequence[str], **received: Any) -> None:
        known = set(self.names)
        for name in names:
            if name not in known:
                shown = ", ".join(map(repr, self.names[:10]))
                if len(self.names) > 10:
                    shown += f", ... ({len(self.names)} columns)"
                raise bad(
                    f"{self.path.name!r} has no column {name!r}; it has {shown}."
                    f"{nearest(name, self.names)}",
                    **received,
                )

    def _common(self, names: Sequence[str], received: dict[str, Any]) -> pa.Schema:
        """Return fields of types that hold the values of all files without loss."""
        common = None
        for file in self._files:
            file.check_names(names, self.path)
            found = pa.schema([file.as_it_is(name) for name in names])
            if common is None or common.equals(found):
                common = found
                continue
            try:
                common = pa.unify_schemas(_lossless(common, found), promote_options="permissive")
            except pa.ArrowException as error:
                raise bad(
                    f"{file.path.name!r} has a column whose type and that of the files before it "
                    f"have none in common that holds both without loss: {shorten(error)}; leave "
                    "it out, or make a folder of outputs.",
                    **received,
                ) from None
        assert common is not None
        return common

    def reader(self, names: list[str], others: pa.Schema | None = None) -> Reader:
        """Return a reader of the table. A block is a row group of a Parquet file, or a CSV file.

        Args:
            names: Columns to read, in this order; or one column of lists, each a sample.
            others: Fields of the columns that come as a record batch with each piece.
        """
        uint8 = True
        for file in self._files if self.names else ():
            file.check_names([*names, *(others.names if others else ())], self.path)
            file.check_types(names)
            uint8 = uint8 and all(_inner(file.schema.field(n).type) == pa.uint8() for n in names)
        blocks = [(file, block) for file in self._files for block in range(len(file.starts))]
        dtype = "uint8" if uint8 else "float32"
        width = self._files[0].width(names)

        def read(number: int) -> Iterator[tuple[np.ndarray, Any]]:
            file, block = blocks[number]
            return file.read(block, names, others, dtype, width)

        titles = names if len(names) == width else [f"{names[0]}_{i}" for i in range(width)]
        return Reader(self.path.name, (width,), dtype, len(blocks), read, self.rows, titles, others)


class _File:
    """A file of a table.

    Attributes:
        names: Names of all columns.
        schema: Types to read columns of numbers by.
        starts: The first row of each block.
        rows: Number of rows, None where only reading tells.
    """

    path: Path
    names: list[str]
    schema: pa.Schema
    starts: list[int]
    rows: int | None

    def as_it_is(self, name: str) -> pa.Field:
        """Return the field of a column that is passed through unchanged."""
        return self.schema.field(name)

    def check_names(self, names: Sequence[str], folder: Path) -> None:
        """Raise ValueError if a column is missing, which the first file of the folder has."""
        there = set(self.names)
        for name in names:
            if name not in there:
                raise bad(
                    f"All files of a folder must have the same columns, but {self.path.name!r} "
                    f"has no column {name!r}.",
                    source=str(folder),
                )

    def check_types(self, names: list[str]) -> None:
        """Raise ValueError for columns that cannot be samples."""
        for name in names:
            kind = self.schema.field(name).type
            if _is_number(_inner(kind)) and (len(names) == 1 or not _is_list(kind)):
                continue
            alone = "; read a column of lists alone" if _is_list(kind) else ""
            raise bad(
                f"Columns must be numeric, but column {name!r} of {self.path.name!r} holds "
                f"{kind} values{alone}; choose others with columns=[...] (--column), pass it "
                "through with keep=[...] (--keep) or make it the label with label=... (--label).",
                source=str(self.path),
            )

    def width(self, names: list[str]) -> int:
        """Return the number of values in a row: of one column of lists, its length."""
        return len(names)

    def place(self, row: int) -> str:
        """Return what messages call a row."""
        return f"row {row} (counted from 0)"

    def explain(self, error: Exception) -> str:
        """Return what pyarrow says of the file, as the end of a sentence that begins with it."""
        return f"cannot be read: {shorten(error)}"

    def batches(
        self, block: int, names: list[str], others: pa.Schema, width: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield record batches of the named columns and the others."""
        raise NotImplementedError

    def read(
        self, block: int, names: list[str], others: pa.Schema | None, dtype: str, width: int
    ) -> Iterator[tuple[np.ndarray, pa.RecordBatch | None]]:
        """Yield pieces `(x, others)` of a block, checked."""
        row = self.starts[block]
        fields = pa.schema([]) if others is None else others
        needed = [*names, *(field.name for field in fields if not field.nullable)]
        try:
            for batch in self.batches(block, names, fields, width):
                for name in needed:
                    if batch.column(name).null_count:
                        missing = batch.column(name).is_null().to_numpy(zero_copy_only=False)
                        place = self.place(row + int(np.argmax(missing)))
                        raise self._bad(f"has no value in {place}, column {name!r}{way_out(None)}")
                x = self._numbers(batch.select(names), row, dtype, width)
                columns = [self._cast(batch.column(f.name), f, row) for f in fields]
                yield x, pa.RecordBatch.from_arrays(columns, schema=fields) if columns else None
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise self._bad(self.explain(error)) from error

    def _numbers(self, batch: pa.RecordBatch, row: int, dtype: str, width: int) -> np.ndarray:
        """Return the columns of a batch without nulls as rows `(rows, width)`, checked."""
        names = batch.schema.names
        if _is_list(batch.schema.types[0]):
            x = self._unlisted(batch.column(0), names[0], row, dtype, width)
        elif set(batch.schema.types) == {pa.from_numpy_dtype(dtype)}:
            # Twice as fast as one column after the other.
            x = batch.to_tensor(row_major=True).to_numpy()
        else:
            x = np.empty((batch.num_rows, width), dtype)
            with np.errstate(over="ignore"):
                for position, column in enumerate(batch.columns):
                    x[:, position] = self._values(column, names[position], row)
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(x.sum()):  # three times as fast as in float64
                return x
        at = first_not_finite(x)
        if at is not None:
            value = float(x[at])
            if len(names) == width:  # what float32 holds as infinite may be a large number
                value = float(self._values(batch.column(at[1]), names[at[1]], row)[at[0]])
            name = names[at[1] if len(names) == width else 0]
            raise self._bad(
                f"holds {value}, not a finite float32, in {self.place(row + at[0])}, column "
                f"{name!r}{way_out(value)}"
            )
        return x

    def _values(self, column: pa.Array, name: str, row: int) -> np.ndarray:
        """Return a column as an array `(rows,)` of numbers; text is parsed."""
        if types.is_decimal(column.type):
            column = column.cast(pa.float64())
        elif types.is_string(column.type):
            try:
                column = column.cast(pa.float32())
            except pa.ArrowInvalid:
                texts = column.to_pylist()
                at = next(i for i, text in enumerate(texts) if not _is_numeric(text))
                raise self._bad(_no_number(texts[at], self.place(row + at), name)) from None
        return column.to_numpy(zero_copy_only=False)

    def _unlisted(
        self, column: pa.Array, name: str, row: int, dtype: str, width: int
    ) -> np.ndarray:
        """Return a column of lists as rows; each list must hold `width` values."""
        wrong = np.zeros(len(column), bool)
        if not types.is_fixed_size_list(column.type):
            lengths = pc.list_value_length(column)
            wrong |= pc.not_equal(lengths, width).to_numpy(zero_copy_only=False)
        values = column.flatten()
        if not wrong.any() and values.null_count:
            missing = values.is_null().to_numpy(zero_copy_only=False)
            wrong |= missing.reshape(-1, width).any(axis=1)
        if wrong.any():
            place = self.place(row + int(np.argmax(wrong)))
            raise self._bad(f"has no list of {width} values in {place}, column {name!r}")
        with np.errstate(over="ignore"):
            x = np.ascontiguousarray(self._values(values, name, row), dtype)
        return x.reshape(len(column), width)

    def _cast(self, column: pa.Array, field: pa.Field, row: int) -> pa.Array:
        try:
            return column.cast(field.type)
        except pa.ArrowInvalid as error:
            last = self.place(row + len(column) - 1)
            raise self._bad(
                f"has a value in column {field.name!r}, in or before {last}, that {field.type}, "
                f"the type that all files have in common, does not hold: {shorten(error)}; leave "
                "it out (--keep), or make a folder of outputs"
            ) from None

    def _bad(self, what: str) -> ValueError:
        return bad(f"{self.path.name!r} {what}.", source=str(self.path))


class _Parquet(_File):
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                self._metadata, self.schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self._bad(f"cannot be read as Parquet: {shorten(error)}") from error
        self.names = self.schema.names
        self.rows = self._metadata.num_rows
        groups = range(self._metadata.num_row_groups)
        counts = [self._metadata.row_group(group).num_rows for group in groups]
        self.starts = list(accumulate(counts, initial=0))[:-1]

    def _open(self) -> pq.ParquetFile:
        # Buffered, since otherwise the bytes of a whole row group are held.
        return pq.ParquetFile(
            self.path, metadata=self._metadata, pre_buffer=False, buffer_size=1 << 16
        )

    def width(self, names: list[str]) -> int:
        kind = self.schema.field(names[0]).type
        if not _is_list(kind):
            return len(names)
        if types.is_fixed_size_list(kind):
            return kind.list_size
        with self._open() as file:
            for batch in file.iter_batches(batch_size=1, columns=names):
                first = batch.column(0)
                return 1 if first.null_count else len(first[0])
        return 1

    def batches(
        self, block: int, names: list[str], others: pa.Schema, width: int
    ) -> Iterator[pa.RecordBatch]:
        columns = list(dict.fromkeys([*names, *others.names]))
        row_bytes = 4 * max(len(columns), width)
        rows = max(1, BLOCK_BYTES // row_bytes, min(_LEAST_ROWS, _MOST_BYTES // row_bytes))
        with self._open() as file:
            yield from file.iter_batches(batch_size=rows, row_groups=[block], columns=columns)


class _Csv(_File):
    """Text with a delimiter. The first lines tell the delimiter, the names and the types.

    Args:
        path: The file.
        keep_open: Read it later without opening it again.
    """

    def __init__(self, path: Path, keep_open: bool) -> None:
        self.path = path
        self._source: pa.NativeFile | None = None
        try:
            source = pa.OSFile(str(path))
            head = source.read(_HEAD_BYTES)
            whole = len(head) < _HEAD_BYTES
            if b"\n" not in head and not whole:
                head += source.read(BLOCK_BYTES)
                whole = len(head) < _HEAD_BYTES + BLOCK_BYTES
        except OSError as error:
            raise self._bad(f"cannot be read: {shorten(error)}") from error
        if keep_open:
            self._source = source
        else:
            source.close()
        lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
        # The last line may be cut.
        self._find_columns(lines if whole else lines[:-1], whole)

    def _find_columns(self, lines: list[bytes], whole: bool) -> None:
        self.starts, self.rows = [0], None
        if not lines and whole:
            self.names, self.schema, self.starts, self.rows = [], pa.schema([]), [], 0
            return
        if not lines:
            raise self._bad(f"has a first line of more than {BLOCK_BYTES:,} bytes")
        if b"\0" in lines[0]:
            raise self._bad("is not a text file")
        try:
            first = lines[0].decode()
        except UnicodeDecodeError:
            raise self._bad("is not UTF-8 text in its first line; save it as UTF-8") from None
        self._delimiter = max(",;\t", key=first.count)
        # The names alone would take the memory of a model.
        if first.count(self._delimiter) >= _MOST_COLUMNS:
            raise bad(
                f"A table must have at most {_MOST_COLUMNS:,} columns, and {self.path.name!r} has "
                f"{first.count(self._delimiter) + 1:,}; save such rows as .npy.",
                source=str(self.path),
            )
        sample = self._sample(lines)
        self.names = sample.column_names
        # Writers that quote names do not quote numbers.
        quoted = b'"' in lines[0] and not any(b'"' in line for line in lines[1:2])
        named = quoted or not all(map(_is_numeric, self.names))
        self._header = named or self._are_names(sample)
        if not self._header:
            self.names = [f"x{index}" for index in range(len(self.names))]
        kinds = [t if types.is_boolean(t) else pa.float32() for t in sample.schema.types]
        self.schema = pa.schema(list(zip(self.names, kinds, strict=True)))
        # pyarrow cannot read a header that no line break ends.
        if self._header and whole and len(lines) == 1:
            self.starts, self.rows = [], 0

    def _sample(self, lines: list[bytes]) -> pa.Table:
        """Return the first rows, with the types that pyarrow infers, as far as it can."""
        options = pa.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True)
        for count in (len(lines), 1):
            try:
                text = pa.BufferReader(b"\n".join(lines[:count]) + b"\n")
                return pa.csv.read_csv(text, parse_options=options)
            except pa.ArrowInvalid as error:
                problem = error
        raise self._bad(f"cannot be read: {shorten(problem)}")

    def _are_names(self, sample: pa.Table) -> bool:
        """Say whether a first row of numbers names the columns, and warn where it may be data.

        It does where it counts 0, 1, 2, ... as pandas does for a frame without names; or where it
        rises or falls, as wavelengths and years do, and the rows below neither do that nor come
        near it in any column.
        """
        counts = self.names == [str(index) for index in range(len(self.names))]
        if counts and len(self.names) > 2:
            return True
        if not (counts or (all(map(_is_number, sample.schema.types)) and self._are_apart(sample))):
            return False
        warnings.warn(
            f"The first row of {self.path.name!r} holds numbers and is taken for the names of the "
            "columns; write names above it if it is data.",
            stacklevel=2,
        )
        return True

    def _are_apart(self, sample: pa.Table) -> bool:
        """Say whether names that are numbers rise or fall, far from rows that do not."""
        first = np.array(self.names, float)
        rows = np.stack([column.to_numpy().astype(float) for column in sample.columns], axis=1)
        up, all_up = np.diff(first) > 0, np.diff(rows, axis=1) > 0
        if not (up.all() or (np.diff(first) < 0).all()):
            return False
        # The chance of a row to lie beyond all others in every column.
        chance = (2 / (len(rows) + 1)) ** len(first)
        if len(first) < 3 or chance > 1e-5 or (all_up == up).all(axis=1).mean() > 0.1:
            return False
        return bool(((first < rows.min(axis=0)) | (first > rows.max(axis=0))).all())

    def as_it_is(self, name: str) -> pa.Field:
        return pa.field(name, pa.string())

    def place(self, row: int) -> str:
        first = "the header is" if self._header else "the first one is"
        return f"row {row + 1 + self._header} ({first} row 1)"

    def explain(self, error: Exception) -> str:
        pattern = r"In CSV column #(\d+): Row #(\d+): .*invalid value '(.*)'"
        found = re.fullmatch(pattern, str(error), re.DOTALL)
        if found is None:
            if "straddling" in str(error):
                return f"has a row of more than {BLOCK_BYTES:,} bytes"
            return super().explain(error)
        column, row, text = found.groups()
        place = self.place(int(row) - 1 - self._header)
        return _no_number(text, place, self.names[int(column)])

    def batches(
        self, block: int, names: list[str], others: pa.Schema, width: int
    ) -> Iterator[pa.RecordBatch]:
        kinds = {name: self.schema.field(name).type for name in names}
        kinds |= {field.name: field.type for field in others}
        options = pa.csv.ConvertOptions(
            include_columns=list(kinds),
            column_types=kinds,
            null_values=[""],
            strings_can_be_null=not all(field.nullable for field in others),
        )
        try:
            yield from self._batches(options, threads=True)
        except pa.ArrowInvalid:
            # Without threads, the error names the row.
            for _ in self._batches(options, threads=False):
                pass
            raise

    def _batches(self, options: pa.csv.ConvertOptions, threads: bool) -> Iterator[pa.RecordBatch]:
        source, self._source = self._source or pa.OSFile(str(self.path)), None
        source.seek(0)
        reading = pa.csv.ReadOptions(
            use_threads=threads,
            block_size=BLOCK_BYTES,
            column_names=None if self._header else self.names,
        )
        parsing = pa.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True)
        with source, pa.csv.open_csv(source, reading, parsing, options) as reader:
            yield from reader


def _lossless(*schemas: pa.Schema) -> list[pa.Schema]:
    """Return schemas to unify: categories as their values; no decimal number becomes a float."""
    plain = [
        pa.schema(
            [
                field.with_type(field.type.value_type) if types.is_dictionary(field.type) else field
                for field in schema
            ]
        )
        for schema in schemas
    ]
    for one, other in zip(*plain, strict=True):
        kinds = (one.type, other.type)
        if any(map(types.is_decimal, kinds)) and any(map(types.is_floating, kinds)):
            raise pa.ArrowTypeError(f"Field {one.name} is {one.type} and {other.type}")
    return plain


def _is_list(kind: pa.DataType) -> bool:
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists)


def _inner(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a list, and any other type as it is."""
    return kind.value_type if _is_list(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    known = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(is_kind(kind) for is_kind in known)


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_number(text: str, place: str, name: str) -> str:
    shown = repr(shorten(text) if text else text)
    return f"holds {shown}, which is not a number, in {place}, column {name!r}{way_out(text)}"
