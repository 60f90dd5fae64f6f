"""The options that several commands have, and commands made of parameters."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

RunPath = Annotated[Path, Argument(metavar="RUN", help="Run directory or .keras file.")]
ModelPath = Annotated[
    Path, Argument(metavar="MODEL", help="Run directory, .keras file or SavedModel.")
]
Data = Annotated[
    str | None, Option("--data", "-d", help="Name, TFDS set, or path; by default the run's own.")
]
Columns = Annotated[
    list[str] | None, Option("--column", help="Column of a table to read; repeat for more.")
]
Label = Annotated[str | None, Option("--label", help="Column (or .npz key) that holds labels.")]
Limit = Annotated[int | None, Option("--limit", help="Use at most this many samples.")]
Window = Annotated[
    int | None,
    Option(
        "--window",
        help="Cut one long series, a time step per row, into samples of so many steps; the splits "
        "are blocks of time.",
    ),
]
WindowStride = Annotated[
    int | None,
    Option("--window-stride", help="Time steps from one window to the next; 1 by default."),
]
DataDir = Annotated[
    Path | None, Option("--data-dir", help="Folder of prepared TFDS sets, else TFDS_DATA_DIR.")
]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Print nothing.")]


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """Return a parameter of a command."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def with_parameters(
    command: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Show parameters of a command that takes any keywords to typer.

    Args:
        command: The command.
        parameters: With annotations for typer.
    """
    command.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    return command
