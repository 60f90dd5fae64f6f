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
from kerasae_lessons import profiles

_HERE = Path(__file__).parent
# A wheel has the notebooks in this package; in a checkout this package is tutorials/src/NAME.
_FOLDERS = (_HERE / "notebooks", _HERE.parents[1])
_ASSIGNMENT = re.compile(r"^([A-Z][A-Z0-9_]*) = (.+?)(\s+# .*)?$")


class LessonError(RuntimeError):
    """A lesson failed; the message gives the cell and the reason."""


def find() -> dict[str, Path]:
    """Return the notebooks of the lessons by number.

    Raises:
        OSError: If there are none.
    """
    for folder in _FOLDERS:
        files = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
        if files:
            return {file.name[:2]: file for file in files}
    raise OSError(f"The notebooks of the lessons are missing. Received: {_FOLDERS[0]}")


def inject(source: str, values: Mapping[str, Any]) -> str:
    """Return a parameters cell with other values.

    Args:
        source: Lines `NAME = literal  # comment`.
        values: Values by name, for exactly the names of the cell.

    Raises:
        ValueError: If a name is unknown or missing, or a line is not a plain assignment.
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
        values: Parameters with values of their own, such as `SEED=3`.

    Raises:
        ValueError: If there is not exactly one cell tagged "parameters", or a name is unknown.
    """
    profiles.check_profile(profile)
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
    source = "".join(cells[0]["source"])
    cells[0]["source"] = inject(source, {"PROFILE": profile, **known, **values})
    return notebook


def copy(folder: str | os.PathLike, *, profile: str = "full", replace: bool = False) -> list[Path]:
    """Copy all notebooks to a folder.

    Notebooks that exist there are kept: they may contain a learner's work.

    Args:
        folder: Where the copies go; it is created if needed.
        profile: "full" copies them with their outputs; "smoke" with the parameters of that
            profile and without outputs, to run without a network.
        replace: Whether to overwrite notebooks that exist.

    Returns:
        The notebooks that were written.

    Raises:
        OSError: If there are no notebooks, or the folder cannot be written to.
    """
    folder = Path(folder)
    profiles.check_profile(profile)
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
            notebook = _without_outputs(with_profile(notebook, number, profile))
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
        written.append(target)
    return written


def _without_outputs(notebook: Any) -> Any:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return notebook


def title(notebook: Any) -> str:
    """Return the title of a lesson, without its number."""
    first = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    return first.removeprefix("# ").split(" · ", 1)[-1]


def run(
    number: str,
    profile: str = "full",
    *,
    folder: str | os.PathLike,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[dict[str, Any]], Path]:
    """Run a lesson as it ships, and keep the executed notebook, also where a cell fails.

    Args:
        number: Number of the lesson; "3" is "03".
        profile: "full" or "smoke".
        folder: Where the executed notebook goes, as `NAME-run.ipynb`, over an earlier one.
        progress: Called with a line before each code cell.

    Returns:
        The claims, as dictionaries with `id`, `sentence`, `value`, `op`, `bound`, `status` and
        `profile`, and the path of the executed notebook.

    Raises:
        ValueError: If there is no such lesson.
        LessonError: If a cell failed, or the lesson took too long.
    """
    import nbformat

    found = find()
    number = number.zfill(2)
    if number not in found:
        raise ValueError(f"There are lessons {', '.join(found)}. Received: {number!r}")
    notebook = nbformat.read(found[number], as_version=4)
    notebook = _without_outputs(with_profile(notebook, number, profile))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{found[number].stem}-run.ipynb"
    try:
        execute(notebook, profiles.read(number)[profile].limit_s, progress)
    finally:
        notebook.metadata.pop("kerasae", None)  # it describes the shipped run
        with replacing(target) as temporary:
            nbformat.write(notebook, temporary)
    return claims(notebook), target


def execute(notebook: Any, limit_s: float, progress: Callable[[str], None] | None = None) -> float:
    """Run the code cells of a notebook in a kernel and a temporary folder of their own.

    Args:
        notebook: Of `nbformat`; it gets the outputs.
        limit_s: Seconds that all cells together may take.
        progress: Called with a line before each code cell.

    Returns:
        Seconds from the start of the kernel.

    Raises:
        LessonError: If a cell raised, or the time was up.
    """
    import nbclient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    start = time.monotonic()
    total = len(notebook.cells)
    place, first = 0, ""

    def begin(cell: Any, cell_index: int) -> None:
        nonlocal place, first
        place = cell_index + 1
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        if progress is not None:
            seconds = time.monotonic() - start
            progress(f"cell {place} of {total}, {seconds:.0f} s: {first[:60]}")

    with tempfile.TemporaryDirectory() as folder:
        # Sockets in the file system: the kernel needs no network, not even the loopback.
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        work = Path(folder) / "work"
        work.mkdir()
        client = nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            config=config,
            resources={"metadata": {"path": str(work)}},
            on_cell_execute=begin,
            timeout_func=lambda cell: max(1, int(limit_s - (time.monotonic() - start))),
        )
        try:
            client.execute(env=_environment())
        except CellTimeoutError:
            raise LessonError(
                f"Cell {place} was not done when the {limit_s:g} seconds of this lesson were "
                f"over: {first!r}"
            ) from None
        except CellExecutionError as error:
            raise LessonError(
                f"Cell {place} raised {error.ename}: {error.evalue} ({first!r})"
            ) from None
        except DeadKernelError:
            raise LessonError(f"The kernel died in cell {place}: {first!r}") from None
    return time.monotonic() - start


def claims(notebook: Any) -> list[dict[str, Any]]:
    """Return the claims in the outputs of a notebook, in the order of their numbers."""
    found = [
        dict(output["metadata"]["kerasae"]["claim"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "claim" in output.get("metadata", {}).get("kerasae", {})
    ]
    return sorted(found, key=lambda claim: int(claim["id"].partition(".")[2]))


def _environment() -> dict[str, str]:
    """Return the environment of a kernel: quiet, and with one order of sets."""
    return {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": "0",
        # Otherwise frozen modules make the debugger of IPython warn on standard error.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
