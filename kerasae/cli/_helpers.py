"""What the commands do once their options are read. Imports are inside, as in `cli`."""

import json
import math
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

_CONSTANTS = {"None": None, "True": True, "False": False}


def apply(
    run: Path,
    source: Path,
    output: Path,
    columns: list[str] | None,
    batch_size: int,
    verb: str,
    names: list[str] | str | None,
) -> None:
    """Stream a file through a verb of a model; a string names columns by prefix."""
    import kerasae

    ae = _load(run, source, columns)
    if isinstance(names, str):
        names = [f"{names}_{i}" for i in range(ae.latent_dim)]
    function = getattr(ae, verb)
    results = (function(x, batch_size) for x in _read(ae, source, columns, batch_size))
    rows = kerasae.data.write(output, results, names)
    print(f"{rows:,} rows written to {output}")


def detect(
    run: Path,
    source: Path,
    output: Path,
    columns: list[str] | None,
    batch_size: int,
    false_alarm_rate: float | None,
) -> None:
    """Stream a file through `detect`; say how many anomalies there are."""
    import numpy as np

    import kerasae

    kinds = [("anomaly_score", "f4"), ("p_value", "f8"), ("is_anomaly", "?")]
    ae = _load(run, source, columns)
    pieces = _read(ae, source, columns, batch_size)
    if getattr(getattr(ae, "calibration", None), "stride", None) is not None:
        from kerasae.runs import read_series

        pieces = iter([read_series(ae, source, columns)])
    flagged = 0

    def results() -> Iterator[Any]:
        nonlocal flagged
        for x in pieces:
            found = ae.detect(x, false_alarm_rate=false_alarm_rate, batch_size=batch_size)
            rows = np.empty(len(x), kinds)
            for name, _ in kinds:
                rows[name] = found[name]
            flagged += int(rows["is_anomaly"].sum())
            yield rows

    rows = kerasae.data.write(output, results())
    print(
        f"{rows:,} rows written to {output}, {flagged:,} of them anomalies ({flagged / rows:.2%})"
    )


def _load(model: Path, source: Path, columns: list[str] | None) -> Any:
    """Load a model, once the input is known to be there; a mistyped name should cost no time."""
    import kerasae

    kerasae.data.batches(source, 1, columns)
    return kerasae.load(model)


def _read(ae: Any, source: Path, columns: list[str] | None, batch_size: int) -> Iterator[Any]:
    """Yield many batches of a file at a time, in bounded memory, as the model takes them."""
    import kerasae

    # A call of Keras's predict costs as much as many rows; 32 MiB are enough for it.
    size = 4 * math.prod(ae.sample_shape)
    rows = max(batch_size, min(64 * batch_size, 2**25 // size))
    for x in kerasae.data.batches(source, rows, columns):
        yield fit_to(ae, x)


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


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name and rename it."""
    from kerasae._atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def print_metrics(metrics: dict[str, Any], prefix: str = "") -> None:
    """Print nested numbers, one in a line, under the name that leads to each."""
    print_table(_lines(metrics, prefix))


def _lines(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", f"{len(value)} values"
        else:
            yield f"{prefix}{name}", f"{value:.6g}" if isinstance(value, float) else str(value)


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """Print one column for each run, one line for each quantity that a run has."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column()
    for row in rows:
        table.add_column(str(row["name"]), justify="right", overflow="fold")
    for name in dict.fromkeys(name for row in rows for name in row if name != "name"):
        cells = (_cell(row.get(name), relative=name.startswith("beside_")) for row in rows)
        table.add_row(name.replace("_", " "), *cells)
    Console(highlight=False).print(table)


def _cell(value: Any, relative: bool) -> str:
    if value is None:
        return "-"
    if relative:
        return f"{value:+.0%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
