"""What the commands do once their options are read. Imports are inside, as in `cli`."""

import json
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

_CONSTANTS = {"None": None, "True": True, "False": False}


def apply(verb: str, model: Path, inputs: list[str], output: Path, **options: Any) -> None:
    """Put files through a verb of a model and say how many rows that made."""
    from kerasae import scoring

    options["keep"] = options["keep"] or ()
    done = scoring.apply(model, verb, inputs, output, progress=True, **options)
    several = output.is_dir() and (done.files > 1 or (output / scoring.RECORD).exists())
    what = f"{done.rows:,} rows"
    what += f" of {done.files:,} files" if several else ""
    line = f"{what} written to {output}"
    if done.anomalies is not None and done.rows:
        line += f", {done.anomalies:,} of them anomalies ({done.anomalies / done.rows:.2%})"
    if done.skipped:
        line += f"; {done.skipped:,} of the files were there already"
    print(line)


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
