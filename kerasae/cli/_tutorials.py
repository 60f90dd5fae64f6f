"""The command that copies, opens and runs the lessons. Imports are inside, as in `cli`."""

from pathlib import Path
from typing import Annotated, Any

import typer


def tutorials(
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where the notebooks go.")
    ] = Path("lessons"),
    run: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Run this lesson instead, print its claims, and keep the executed notebook.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the lessons instead.")] = False,
    profile: Annotated[
        str, typer.Option(help="full, or smoke: embedded data, no network, seconds.")
    ] = "full",
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite notebooks that exist.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, if it is installed.")
    ] = True,
) -> None:
    """Copy the lessons to a folder and open them in JupyterLab.

    Existing notebooks are kept.
    """
    notebooks = _lessons()
    if list_:
        _list(notebooks)
    elif run is not None:
        _run(notebooks, run, profile, to)
    else:
        written = notebooks.copy(to, profile=profile, replace=replace)
        kept = len(notebooks.find()) - len(written)
        line = f"{len(written)} notebooks written to {to}"
        print(line + (f"; {kept} exist already and were kept" if kept else ""))
        _open(to, open_)


def _lessons() -> Any:
    """Import the helpers of the lessons, which are installed next to kerasae."""
    try:
        from kerasae_lessons import notebooks
    except ModuleNotFoundError as error:
        if error.name != "kerasae_lessons":
            raise
        raise ImportError(
            "The lessons are not installed; in a checkout run: pip install -e ."
        ) from None
    return notebooks


def _list(notebooks: Any) -> None:
    import json

    from kerasae.cli import _helpers

    rows = []
    for number, file in notebooks.find().items():
        notebook = json.loads(file.read_text("utf-8"))
        about = notebook["metadata"]["kerasae"]
        seconds, claims = about["run"]["seconds"], len(about["claims"])
        rows.append(
            (number, f"{notebooks.title(notebook)} ({claims} claims, ran in {seconds:.0f} s)")
        )
    _helpers.print_table(rows)


def _run(notebooks: Any, number: str, profile: str, folder: Path) -> None:
    """Run a lesson in a kernel; a lesson that fails is exit status 1."""
    import sys
    import time
    from importlib.util import find_spec

    from kerasae_lessons.claims import relation

    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        raise ImportError("Running a lesson needs more packages: pip install nbclient ipykernel")

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    start = time.monotonic()
    try:
        claims, written = notebooks.run(number, profile, folder=folder, progress=progress)
    except notebooks.LessonError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    for claim in claims:
        print(f"{claim['id']:<6}{claim['status']:<6}  {claim['sentence']}: {relation(claim)}")
    ran = ", ".join({claim["profile"] for claim in claims})
    print(f"{len(claims)} claims, {ran} profile, {time.monotonic() - start:.0f} s; {written}")


def _open(folder: Path, wanted: bool) -> None:
    """Open JupyterLab on a folder and wait until it ends, or say how to open it."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("jupyterlab") is None:
        print(
            "Open them in any notebook editor, or: pip install jupyterlab and run "
            f"jupyter lab {folder}"
        )
    elif wanted:
        subprocess.run([sys.executable, "-m", "jupyterlab", str(folder)], check=False)
    else:
        print(f"Open them with: jupyter lab {folder}")
