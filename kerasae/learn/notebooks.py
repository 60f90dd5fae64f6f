"""The notebooks of the lessons: where they are, copies of them, and running one."""

import ast
import copy as copying
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kerasae.files import replacing
from kerasae.learn import profiles

_PACKAGE = Path(__file__).parents[1]
# In a wheel beside the modules, in a checkout beside the package.
_FOLDERS = (_PACKAGE / "tutorials", _PACKAGE.parent / "tutorials")
_ASSIGNMENT = re.compile(r"^([A-Z][A-Z0-9_]*) = (.+?)(\s+# .*)?$")


class LessonError(RuntimeError):
    """A lesson did not run through; the message gives cell and reason."""


def find() -> dict[str, Path]:
    """Return the notebooks that are here, by number.

    Raises:
        OSError: There is none.
    """
    for folder in _FOLDERS:
        files = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
        if files:
            return {file.name[:2]: file for file in files}
    raise OSError(f"The notebooks of the lessons are not here. Received: {_FOLDERS[0]}")


def inject(source: str, values: Mapping[str, Any]) -> str:
    """Return a parameters cell with other values.

    Args:
        source: Lines `NAME = literal  # comment`.
        values: By name; every name of the cell must be given and no other.

    Raises:
        ValueError: A name is unknown, missing, or its line is no plain assignment.
    """
    lines, seen = [], set()
    for line in source.splitlines():
        match = _ASSIGNMENT.match(line)
        if match is None:
            if line.strip() and not line.startswith("#"):
                raise ValueError(
                    f"The parameters cell holds lines NAME = value  # comment. Received: {line!r}"
                )
            lines.append(line)
            continue
        name, old, comment = match.groups()
        ast.literal_eval(old)
        seen.add(name)
        if name in values:
            lines.append(f"{name} = {_literal(values[name])}{comment or ''}")
    if seen != set(values):
        raise ValueError(
            f"The parameters cell sets {', '.join(sorted(seen))}. "
            f"Received: {', '.join(sorted(values))}"
        )
    return "\n".join(lines)


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def with_profile(notebook: Any, lesson: str, profile: str, **values: Any) -> Any:
    """Return a notebook whose parameters cell has the values of a profile.

    Args:
        notebook: As `json` or `nbformat` reads it; it is not changed.
        lesson: Number with two digits.
        profile: "full" or "smoke".
        values: Parameters that get a value of their own, such as `SEED=3`.

    Raises:
        ValueError: There is not one cell tagged "parameters", or a name is unknown.
    """
    if profile not in profiles.PROFILES:
        raise ValueError(f"profile must be 'full' or 'smoke'. Received: profile={profile!r}")
    known = profiles.read(lesson)[profile].parameters
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(
            f"Lesson {lesson} has the parameters {', '.join(known)}. Received: {unknown}"
        )
    notebook = copying.deepcopy(notebook)
    cells = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", ())]
    if len(cells) != 1:
        raise ValueError(
            f"Lesson {lesson} must have one cell tagged 'parameters'. Received: {len(cells)}"
        )
    source = cells[0]["source"]
    source = source if isinstance(source, str) else "".join(source)
    cells[0]["source"] = inject(source, {"PROFILE": profile, **known, **values})
    return notebook


def copy(folder: str | os.PathLike, *, profile: str = "full", replace: bool = False) -> list[Path]:
    """Copy all notebooks to a folder of the reader's.

    A notebook that is there already is kept: it may hold a learner's work.

    Args:
        folder: Where to; made if needed.
        profile: "full" copies them as executed; "smoke" with the parameters of that profile and
            without outputs, to run without a network.
        replace: Write over notebooks that are there.

    Returns:
        The notebooks that were written.

    Raises:
        OSError: There are no notebooks, or the folder cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"The notebooks go into a folder. Received: {folder}")
    found = find()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, file in found.items():
        target = folder / file.name
        if target.exists() and not replace:
            continue
        notebook = json.loads(file.read_text("utf-8"))
        if profile != "full":
            notebook = with_profile(notebook, number, profile)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell["outputs"], cell["execution_count"] = [], None
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
        written.append(target)
    return written


def title(notebook: Any) -> str:
    """Return the title of a lesson, without its number."""
    first = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    return first.removeprefix("# ").split(" · ", 1)[-1]


def run(number: str, profile: str = "full") -> list[dict[str, Any]]:
    """Run a lesson as it ships, and return its claims.

    Args:
        number: Of the lesson; "3" is "03".
        profile: "full" or "smoke".

    Returns:
        One dictionary per claim: `id`, `sentence`, `value`, `op`, `bound`, `status`, `profile`.

    Raises:
        ValueError: There is no such lesson.
        LessonError: A cell failed, or it took too long.
    """
    import nbformat

    found = find()
    number = number.zfill(2)
    if number not in found:
        raise ValueError(f"There are lessons {', '.join(found)}. Received: {number!r}")
    notebook = nbformat.read(found[number], as_version=4)
    notebook = with_profile(notebook, number, profile)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder), profiles.read(number)[profile].limit_s)
    return claims(notebook)


def execute(
    notebook: Any, folder: Path, limit_s: float, finished: Callable[[int], None] | None = None
) -> float:
    """Run the code cells of a notebook in a kernel of their own, outputs into the notebook.

    Args:
        notebook: Of `nbformat`; changed in place.
        folder: Where its kernel works.
        limit_s: Seconds that all cells together may take.
        finished: Called with the index of each cell that ran.

    Returns:
        Seconds from the start of the kernel.

    Raises:
        LessonError: A cell raised, or the time was up.
    """
    import nbclient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    # Sockets in the file system: a kernel needs no network, not even the machine's own.
    sockets = tempfile.TemporaryDirectory()
    config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets.name}/kernel"}})
    client = nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        config=config,
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.monotonic()
    with sockets, client.setup_kernel(env=_environment()):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            left = limit_s - (time.monotonic() - start)
            try:
                if left < 1:
                    raise CellTimeoutError("no time left")
                client.timeout = int(left)
                client.execute_cell(cell, index)
            except CellTimeoutError:
                raise LessonError(
                    f"Cell {index + 1} was not done when the {limit_s:g} seconds of this lesson "
                    f"were over: {_first(cell)}"
                ) from None
            except CellExecutionError as error:
                raise LessonError(
                    f"Cell {index + 1} raised {error.ename}: {error.evalue} ({_first(cell)})"
                ) from None
            except DeadKernelError:
                raise LessonError(f"The kernel died in cell {index + 1}: {_first(cell)}") from None
            if finished is not None:
                finished(index)
    return time.monotonic() - start


def claims(notebook: Any) -> list[dict[str, Any]]:
    """Return what the outputs of a notebook say about its claims, in their order."""
    found = [
        output["metadata"]["kerasae"]["claim"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "claim" in output.get("metadata", {}).get("kerasae", {})
    ]
    return sorted((dict(entry) for entry in found), key=lambda c: [int(n) for n in _parts(c)])


def _parts(entry: dict[str, Any]) -> list[str]:
    return re.findall(r"\d+", entry["id"])


def _first(cell: Any) -> str:
    """The first line of a cell that says something."""
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return repr(lines[0] if lines else "")


def _environment() -> dict[str, str]:
    """Return the environment of a kernel: quiet, and with one order of sets and dictionaries."""
    return {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": "0",
        # Else frozen modules make the debugger of IPython warn on standard error.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
