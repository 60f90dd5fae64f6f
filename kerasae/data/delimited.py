"""CSV and its relatives: tables as text."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kerasae.data.arrays import is_number, text_problem
from kerasae.data.rows import BLOCK_BYTES, bad, shorten
from kerasae.data.tables import Beside, Table, listed, needed

# A cell, or a row with line breaks in it, may have as many bytes.
_LONGEST = 2**26
# Columns of a file: each has its price, in time and memory.
_WIDEST = 2**17


class Csv(Table):
    """A file of text with a delimiter, read by pyarrow in blocks."""

    def __init__(
        self, path: Path, names: list[str], delimiter: str, header: bool, is_empty: bool = False
    ) -> None:
        super().__init__(path, names, [] if is_empty else [0])
        self.delimiter, self.header = delimiter, header
        self.rows = 0 if is_empty else None

    def batches(self, block: int, names: list[str], beside: Beside) -> Iterator[Any]:
        """Yield record batches of the named columns and those beside them."""
        import pyarrow as pa

        rows = 0
        try:
            for batch in self._read(names, beside):
                yield batch
                rows += batch.num_rows
        except pa.ArrowInvalid as error:
            # A cell with line breaks, or longer than a block; reading such takes longer.
            if not any(hint in str(error) for hint in ("newlines_in_values", "straddling")):
                raise
            for batch in self._read(names, beside, long=True):
                known = min(rows, batch.num_rows)
                rows -= known
                if known < batch.num_rows:
                    yield batch.slice(known)

    def _read(self, names: list[str], beside: Beside, long: bool = False) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        # What is passed through stays the text that it is.
        types = {n: pa.float32() for n in names} | {n: pa.string() for n in listed(beside)}
        with arrow_csv.open_csv(
            self.path,
            read_options=arrow_csv.ReadOptions(
                # Small blocks stay in the cache, unless all columns have their price in each.
                block_size=_LONGEST
                if long
                else BLOCK_BYTES
                if len(self.names) > 100
                else BLOCK_BYTES // 4,
                column_names=None if self.header else self.names,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=long),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(types),
                column_types=types,
                strings_can_be_null=isinstance(beside, str),
            ),
        ) as reader:
            yield from reader

    def locate(self, names: list[str], beside: Beside) -> str | None:
        """Return where the file's first bad value is."""
        # pyarrow's messages name no row, so Python's slower reader looks for it, once.
        at = {name: position for position, name in enumerate(self.names)}
        wanted = [(name, at[name]) for name in [*names, *needed(beside)]]
        _allow_long_cells()
        with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(_lines(file), delimiter=self.delimiter)
            for number, fields in enumerate(_rows(reader)):
                if isinstance(fields, str):
                    return f"{fields} in line {reader.line_num + 1}"
                place = f"in line {reader.line_num}"
                if len(fields) != len(self.names):
                    return f"has {len(fields)} instead of {len(self.names)} values {place}"
                if number == 0 and self.header:
                    continue
                for name, position in wanted:
                    text = fields[position].strip()
                    where = f"{place}, column {name!r}"
                    if problem := text_problem(text, where, is_label=name == beside):
                        return problem
        return None


def _allow_long_cells() -> None:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield lines; one that is too long ends them with an error."""
    while line := file.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise csv.Error(f"more than {_LONGEST:,} characters")
        yield line


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """Yield the rows that are not empty, and last, if there is one, what is wrong with one."""
    try:
        yield from (fields for fields in reader if fields)
    except csv.Error as error:
        yield f"has {shorten(error)}"


def open_csv(path: Path) -> Table:
    """Open a file of text; its first line tells delimiter and names."""
    _allow_long_cells()
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            filled = (line for line in _lines(file) if line.strip())
            first, second = next(filled, ""), next(filled, "")
        delimiter = max(",;\t", key=first.count)
        # Too many names are not worth their memory.
        is_wide = first.count(delimiter) >= _WIDEST
        names = [] if is_wide else next(csv.reader([first], delimiter=delimiter))
    except csv.Error as error:
        raise bad(f"{path.name!r} has {error} in a line.", source=str(path)) from error
    except OSError as error:
        raise bad(f"{path.name!r} cannot be read: {shorten(error)}.", source=str(path)) from error
    if not first or "\0" in first:
        what = "is empty" if not first else "is not a text file"
        raise bad(f"{path.name!r} {what}.", source=str(path))
    if is_wide:
        raise bad(
            f"A table must have at most {_WIDEST:,} columns, and {path.name!r} has "
            f"{first.count(delimiter) + 1:,}; save such rows as .npy.",
            source=str(path),
        )
    header = not all(is_number(name) for name in names)
    # Column labels 0, 1, 2, ... are what pandas writes for a frame without names.
    header = header or names == [str(index) for index in range(len(names))]
    if not header:
        names = [f"x{index}" for index in range(len(names))]
    # pyarrow cannot read a header that no line break ends.
    return Csv(path, names, delimiter, header, is_empty=header and not second)
