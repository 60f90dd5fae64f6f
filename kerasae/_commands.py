"""What the commands do once their options are read. Imports are inside, as in `cli`."""

import json
import math
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

_CONSTANTS = {"None": None, "True": True, "False": False}


def apply(
    run: Path,
    source: Path,
    output: Path,
    columns: list[str] | None,
    batch_size: int,
    verb: Callable[[Any], Callable[[Any], Any]],
    names: list[str] | str | None,
) -> None:
    """Stream a file through a verb of a model; a string names columns by prefix."""
    import kerasae

    batches = kerasae.data.batches(source, batch_size, columns)
    ae = kerasae.load(run)
    if isinstance(names, str):
        names = [f"{names}_{i}" for i in range(ae.latent_dim)]
    function = verb(ae)
    results = (function(fit_to(ae, x)) for x in batches)
    rows = kerasae.data.write(output, results, names)
    print(f"{rows:,} rows written to {output}")


def fit_to(ae: Any, x: Any) -> Any:
    """Give rows of a table the shape of the model's samples, and whole numbers its dtype."""
    if x.shape[1:] != ae.sample_shape and math.prod(x.shape[1:]) == math.prod(ae.sample_shape):
        x = x.reshape(-1, *ae.sample_shape)
    if ae.input_dtype_name != "uint8":
        return x.astype("float32")
    whole = x.dtype != "uint8" and x.min() >= 0 and x.max() <= 255 and (x == x.round()).all()
    return x.astype("uint8") if whole else x


def column_names(source: Path, columns: list[str] | None) -> list[str] | None:
    """Return the names of a table's columns, to write them back; None for anything else."""
    if columns or not source.is_file():
        return columns
    if source.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(source).names)
    if source.suffix.lower() == ".csv":
        import csv

        with source.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), None)
    return None


def read_settings(words: list[str], taken: Container[str] = ()) -> dict[str, Any]:
    """Read `key=value` words; a value is JSON, None, True, False, or else text.

    Args:
        words: The words.
        taken: Keys that are options of their own on the command line.
    """
    settings = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key.isidentifier():
            raise ValueError(f"--set takes KEY=VALUE, such as kl_weight=0.5. Received: {word!r}")
        if key in taken:
            raise ValueError(
                f"--set is for options of variant and network; write --{key.replace('_', '-')}. "
                f"Received: {word!r}"
            )
        settings[key] = _value(value)
    return settings


def _value(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def print_table(rows: Iterable[tuple[str, str]]) -> None:
    """Print pairs as two columns; plain text, so that it can be piped."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
