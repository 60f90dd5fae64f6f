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
            metavar="NUMBER", help="Run this lesson instead, and print its claims.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the lessons instead.")] = False,
    profile: Annotated[
        str, typer.Option(help="full, or smoke: embedded data, no network, seconds.")
    ] = "full",
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over notebooks that are there already.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, if it is installed.")
    ] = True,
) -> None:  # fmt: skip
    """Copy the lessons to a folder and open them in JupyterLab.

    Notebooks that are there already are kept.
    """
    from kerasae.learn import notebooks

    if list_:
        _list(notebooks.find())
    elif run is not None:
        _run(run, profile)
    else:
        written = notebooks.copy(to, profile=profile, replace=replace)
        kept = len(notebooks.find()) - len(written)
        line = f"{len(written)} notebooks written to {to}"
        print(line + (f"; {kept} were there already" if kept else ""))
        _open(to, open_)


def _list(found: dict[str, Path]) -> None:
    import json

    from kerasae.cli import _helpers
    from kerasae.learn import notebooks

    rows = []
    for number, file in found.items():
        notebook = json.loads(file.read_text("utf-8"))
        about = notebook["metadata"]["kerasae"]
        seconds, claims = about["run"]["seconds"], len(about["claims"])
        rows.append(
            (number, f"{notebooks.title(notebook)} ({claims} claims, ran in {seconds:.0f} s)")
        )
    _helpers.print_table(rows)


def _run(number: str, profile: str) -> None:
    """Run a lesson in a kernel; a lesson that fails is exit status 1."""
    import sys
    import time

    from kerasae.learn import claiming, notebooks

    try:
        import nbclient  # noqa: F401
        import nbformat  # noqa: F401
    except ImportError:
        raise ImportError(
            'Running a lesson needs more packages: pip install "kerasae[tutorials]"'
        ) from None
    start = time.monotonic()
    try:
        claims: list[dict[str, Any]] = notebooks.run(number, profile)
    except notebooks.LessonError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    for claim in claims:
        print(f"{claim['id']:<6}{claim['status']:<6}  {claim['sentence']}: "
              f"{claiming.relation(claim)}")  # fmt: skip
    ran = ", ".join({claim["profile"] for claim in claims})
    print(f"{len(claims)} claims, {ran} profile, {time.monotonic() - start:.0f} s")


def _open(folder: Path, wanted: bool) -> None:
    """Open JupyterLab on a folder and wait for its end, or say how."""
    import importlib.util
    import subprocess
    import sys

    if wanted and importlib.util.find_spec("jupyterlab") is not None:
        subprocess.run([sys.executable, "-m", "jupyterlab", str(folder)], check=False)
    elif importlib.util.find_spec("jupyterlab") is not None:
        print(f"Open them with: jupyter lab {folder}")
    else:
        print('Open them in any notebook editor, or: pip install "kerasae[tutorials]" and run '
              f"jupyter lab {folder}")  # fmt: skip
