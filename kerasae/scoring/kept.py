"""Columns that are passed through, of several files that become one table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def schema(source: Path, keep: Sequence[str], target: Path) -> Any:
    """Return the fields of the columns to keep, of types that hold the values of all files.

    Args:
        source: A table, or a folder of tables.
        keep: Names of the columns, which every file has.
        target: The output.

    Returns:
        A pyarrow schema; None without columns to keep.

    Raises:
        ValueError: The types of two files have none in common, or the output cannot hold one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kerasae.data.files import table_files

    if not keep:
        return None
    tables = table_files(source)
    if tables[0].suffix.lower() == ".csv":
        return pa.schema([(name, pa.string()) for name in keep])
    fields: dict[str, Any] = {}
    for table in tables:
        found = pq.read_schema(table)
        for name in keep:
            field = found.field(name)
            fields[name] = _common(fields.get(name, field), field, table)
    if target.suffix.lower() == ".csv":
        for field in fields.values():
            _check_csv(field, source)
    return pa.schema(list(fields.values()))


def _common(known: Any, field: Any, file: Path) -> Any:
    import pyarrow as pa

    if known.type == field.type:
        return known.with_nullable(known.nullable or field.nullable)
    plain = [f.with_type(getattr(f.type, "value_type", f.type)) if pa.types.is_dictionary(f.type)
             else f for f in (known, field)]  # fmt: skip
    lossy = sorted(pa.types.is_decimal(f.type) - pa.types.is_floating(f.type) for f in plain)
    try:
        if lossy == [-1, 1]:
            raise pa.ArrowTypeError("a decimal number has more digits")
        schemas = [pa.schema([f]) for f in plain]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0)
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        raise ValueError(
            f"Column {field.name!r} holds {field.type} values in {file.name!r} and {known.type} "
            "values in the files before it, and no type holds both without loss; leave it out "
            "(--keep), or make a folder of outputs. "
            f"Received: keep={field.name!r}"
        ) from None


def _check_csv(field: Any, source: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    try:
        csv.write_csv(pa.schema([field]).empty_table(), pa.BufferOutputStream())
    except pa.ArrowInvalid:
        raise ValueError(
            f"Column {field.name!r} of {source.name!r} holds {field.type} values, which a CSV file "
            "does not take; write Parquet, or leave it out (--keep). "
            f"Received: keep={field.name!r}"
        ) from None


def cast(pieces: Iterator[Any], wanted: Any, source: Path) -> Iterator[Any]:
    """Yield pieces `(x, kept)` whose columns to keep have the wanted types.

    Args:
        pieces: Those of a stream.
        wanted: What `schema` gives.
        source: What was read.

    Raises:
        ValueError: A value does not fit the type.
    """
    import pyarrow as pa

    row = 0
    for x, kept in pieces:
        if wanted is not None and kept.schema != wanted:
            columns = []
            for field in wanted:
                try:
                    columns.append(kept.column(field.name).cast(field.type))
                except pa.ArrowInvalid as error:
                    reason = str(error).splitlines()[0].rstrip(". ")
                    file, first = _at(source, row)
                    raise ValueError(
                        f"Column {field.name!r} of {file!r} has a value among rows {row - first} "
                        f"to {row - first + len(x) - 1} that {field.type}, the type which all "
                        f"files have in common, does not hold: {reason}; leave it out (--keep), "
                        f"or make a folder of outputs. Received: keep={field.name!r}"
                    ) from None
            kept = pa.RecordBatch.from_arrays(columns, schema=wanted)
        row += len(x)
        yield x, kept


def _at(source: Path, row: int) -> tuple[str, int]:
    """Return the file that a row of a folder of Parquet files is in, and its first row."""
    import pyarrow.parquet as pq

    from kerasae.data.files import table_files

    first = 0
    for file in table_files(source):
        rows = pq.read_metadata(file).num_rows
        if row < first + rows:
            return file.name, first
        first += rows
    return source.name, 0
