"""The options that several commands have, and commands made of parameters."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run directory or .keras file.", show_default=False)
]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Run directory, .keras file or SavedModel.", show_default=False
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Column of a table to read; repeat for more."),
]
Label = Annotated[
    str | None, typer.Option("--label", help="Column (or .npz key) that holds labels.")
]
Limit = Annotated[int | None, typer.Option("--limit", help="Use at most this many samples.")]
Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        help="Cut one long series, a time step per row, into samples of so many steps; the splits "
        "are blocks of time.",
    ),
]
WindowStride = Annotated[
    int | None,
    typer.Option(
        "--window-stride", help="Time steps from one window to the next.", show_default="1"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of prepared TFDS sets.", show_default="TFDS_DATA_DIR"),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Name, TFDS set, or path.", show_default="the run's own"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


def with_parameters(
    command: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Give a command that takes keywords the parameters that the command line shows.

    Args:
        command: The command.
        parameters: With annotations for typer.
    """
    command.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    return command


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """Return a parameter of a command."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
