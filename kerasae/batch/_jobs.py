"""Which files `kerasae.batch` makes of which, and what of that is done already."""

import contextlib
import difflib
import glob
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae._atomic import replacing
from kerasae._text import nearest

# Hidden, so that readers of the folder as one table pass over it.
RECORD = ".kerasae-batch.json"
FORMATS = ("parquet", "csv", "npy")


@dataclass(frozen=True)
class Job:
    """One file to make of another."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What to make; `folder` is None for a single file that is named itself."""

    jobs: list[Job]
    folder: Path | None


def plan(inputs: Any, output: Path, form: str | None) -> Plan:
    """Find the inputs, and an output for each.

    Args:
        inputs: A path or shell pattern, or several.
        output: A file for one input, a folder for several.
        form: One of `FORMATS`, or None for that of the input.

    Raises:
        ValueError: Inputs and output do not fit together.
        FileNotFoundError: There is no such input.
    """
    from kerasae.data.files import SUFFIXES

    if form is not None and form not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}.{nearest(form, FORMATS)} "
            f"Received: format={form!r}"
        )
    words = [inputs] if isinstance(inputs, str) or not isinstance(inputs, Iterable) else [*inputs]
    named = output.suffix.lower() in SUFFIXES and not output.is_dir()
    sources, several = _find([str(word) for word in words], apart=not named)
    if len(sources) == 1 and not (several or form):
        return Plan([Job(sources[0], output)], None)
    if named:
        problem = "is for a folder of outputs" if len(sources) == 1 else "need a folder as output"
        raise ValueError(
            f"{'format' if len(sources) == 1 else 'Several inputs'} {problem}, not a file. "
            f"Received: output={str(output)!r} for {len(sources)} inputs"
        )
    if output.exists() and not output.is_dir():
        raise ValueError(
            f"output must be a folder for several inputs. Received: output={str(output)!r}"
        )
    jobs = [Job(source, output / _name(source, form)) for source in sources]
    by_target: dict[Path, Path] = {}
    for job in jobs:
        other = by_target.setdefault(job.target, job.source)
        if other is not job.source:
            raise ValueError(
                f"Every input needs an output of its own, but {str(other)!r} and "
                f"{str(job.source)!r} would both become {job.target.name!r}. "
                f"Received: output={str(output)!r}"
            )
    read = {source.resolve() for source in sources}
    for job in jobs:
        if job.target.resolve() in read:
            raise ValueError(
                f"output must be another folder than that of the inputs; {job.target.name!r} "
                f"would be replaced. Received: output={str(output)!r}"
            )
    return Plan(jobs, output)


def _find(words: Sequence[str], apart: bool) -> tuple[list[Path], bool]:
    """Return the files, and whether several were asked for."""
    from kerasae.data.files import table_files

    found: list[Path] = []
    several = len(words) > 1
    for word in words:
        path = Path(word)
        if not path.exists() and glob.has_magic(word):
            matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]
            matches = [match for match in matches if match.is_file()]
            if not matches:
                raise FileNotFoundError(f"No file matches the pattern. Received: {word!r}")
            found += matches
            several = True
        elif apart and path.is_dir() and table_files(path):
            found += table_files(path)
            several = True
        else:
            found.append(path)
    if not found:
        raise ValueError("There must be at least one input. Received: none")
    for path in found:
        if not path.exists():
            raise FileNotFoundError(
                f"There is no such file or folder.{_beside(path)} Received: {str(path)!r}"
            )
    # A file that two patterns match is one input.
    return list(dict.fromkeys(found)), several


def _beside(path: Path) -> str:
    """Return a hint at a file beside a missing one, among those that can be read."""
    from kerasae.data import files, images

    readable = {*files.SUFFIXES, *images.SUFFIXES}
    stems: dict[str, str] = {}
    for entry in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
        if not entry.name.startswith(".") and (
            entry.is_dir() if not path.suffix else entry.suffix.lower() in readable
        ):
            stems.setdefault(entry.stem.lower(), entry.name)
    # Equal suffixes would make any two short names alike.
    close = difflib.get_close_matches(path.stem.lower(), stems, n=1, cutoff=0.6)
    return f" Did you mean {stems[close[0]]!r}?" if close else ""


def check_outputs(plan: Plan, keep: Sequence[str], *, images: bool) -> None:
    """Refuse outputs that cannot be written, before anything is read.

    Args:
        plan: What to make.
        keep: Columns to pass through.
        images: Whether the results could be images, for a folder.
    """
    from kerasae.data.writing import check_target

    for target in [job.target for job in plan.jobs]:
        if plan.folder is None:
            suffix = check_target(Path(os.path.abspath(target)))
            if not suffix and not images:
                raise ValueError(
                    "output must end in .npy, .npz, .csv or .parquet, since the results are no "
                    f"images. Received: output={str(target)!r}"
                )
        if keep and target.suffix.lower() not in (".csv", ".parquet"):
            raise ValueError(
                "Columns can be kept (--keep) in a .csv or .parquet file only. "
                f"Received: output={str(target)!r}"
            )


def _name(source: Path, form: str | None) -> str:
    from kerasae.data.files import SUFFIXES

    own = source.suffix.lower()
    if form is None:
        form = own[1:] if own in SUFFIXES and source.is_file() else "npy"
    return f"{source.stem if source.is_file() else source.name}.{form}"


def fingerprint(model: Path) -> str:
    """Return a digest of the files of a model: equal for equal models only.

    Raises:
        FileNotFoundError: There is nothing at `model`.
    """
    if not model.exists():
        raise FileNotFoundError(
            f"There is no file or folder to load. Received: path={str(model)!r}"
        )
    if model.is_dir() and (model / "model.keras").is_file():
        model = model / "model.keras"
    elif model.is_dir():
        from kerasae.serving import versions

        numbers = versions(model)
        if not (model / "saved_model.pb").is_file() and numbers:
            model = numbers[max(numbers)]
    files = [model] if model.is_file() else [model / "saved_model.pb"]
    if model.is_dir():
        files += sorted((model / "variables").glob("*"))
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


class Record:
    """What was made in a folder, by which command on which model; kept beside the outputs.

    Args:
        folder: The folder of outputs.
        model: What identifies the model.
        command: The options that the outputs depend on.
    """

    def __init__(self, folder: Path, model: dict[str, Any], command: dict[str, Any]):
        self.path = folder / RECORD
        self._made: dict[str, Any] = {"model": model, "command": command, "files": {}}

    def open(self, jobs: list[Job], resume: bool, replace: bool) -> None:
        """Compare with what is there, and refuse what would be lost or mixed.

        Raises:
            ValueError: Outputs exist and neither option is given, or they were made otherwise.
        """
        there = [job.target for job in jobs if job.target.exists()]
        if there and not (resume or replace):
            raise ValueError(
                f"{len(there)} of {len(jobs)} outputs exist, such as {there[0].name!r}; pass "
                "resume (--resume) to make the others only, or replace (--replace) to make all "
                f"anew. Received: output={str(self.path.parent)!r}"
            )
        if not resume:
            return
        before = self._read()
        if before is None:
            if there:
                raise ValueError(
                    f"There is no record of how {there[0].name!r} was made, so that nothing can "
                    "be resumed; pass replace (--replace) to make all anew. "
                    f"Received: output={str(self.path.parent)!r}"
                )
            return
        if before["model"]["sha256"] != self._made["model"]["sha256"]:
            raise ValueError(
                "The outputs were made by another model, or by this one before it changed; pass "
                "replace (--replace) to make all anew. "
                f"Received: model={self._made['model']['path']!r}"
            )
        for name, value in self._made["command"].items():
            if before["command"].get(name) != value:
                raise ValueError(
                    f"The outputs were made with {name}={before['command'].get(name)!r}; pass the "
                    f"same options, or replace (--replace) to make all anew. "
                    f"Received: {name}={value!r}"
                )
        self._made["files"] = before["files"]

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return found if {"model", "command", "files"} <= found.keys() else None
        except (OSError, ValueError, AttributeError):
            return None

    def done(self, job: Job) -> dict[str, Any] | None:
        """Return what was found in a job that need not be done again, or None."""
        known = self._made["files"].get(job.target.name)
        if not known or not job.target.exists() or known.get("output") != _state(job.target):
            return None
        return known["found"] if known["input"] == describe(job.source) else None

    def clear(self, targets: Sequence[Path]) -> None:
        """Remove the outputs of an earlier command, and first of all its record."""
        for path in (self.path, *targets):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def add(self, job: Job, source: dict[str, Any], found: dict[str, Any]) -> None:
        """Write down that a job is done; `source` describes the input as it was read."""
        output = _state(job.target)
        entry = {"input": source, "output": output, "found": found}
        self._made["files"][job.target.name] = entry
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(self._made, indent=1) + "\n", "utf-8")


def describe(source: Path) -> dict[str, Any]:
    """Return what tells whether an input has changed."""
    return {"path": str(source.resolve()), **_state(source)}


def _state(path: Path) -> dict[str, int]:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [file.stat() for file in files]
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max((state.st_mtime_ns for state in states), default=0),
    }
