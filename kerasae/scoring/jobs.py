"""Which outputs are made of which inputs."""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae.data import files
from kerasae.data.writing import check_target
from kerasae.errors import nearest
from kerasae.scoring.record import made_in

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
    if form is not None and form not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}.{nearest(form, FORMATS)} "
            f"Received: format={form!r}"
        )
    words = [inputs] if isinstance(inputs, str) or not isinstance(inputs, Iterable) else inputs
    is_file = output.suffix.lower() in files.SUFFIXES and not output.is_dir()
    sources, several = _find([str(word) for word in words], output, apart=not is_file)
    for source in sources:
        _check_apart(source, output)
    if len(sources) == 1 and not (several or form):
        return Plan([Job(sources[0], output)], None)
    if is_file or (output.exists() and not output.is_dir()):
        what = "Several inputs need a folder" if len(sources) > 1 else "format is for a folder"
        raise ValueError(
            f"{what} of outputs, and output is a file. "
            f"Received: output={str(output)!r} for {len(sources)} inputs"
        )
    jobs = [Job(source, output / _name(source, form)) for source in sources]
    read = {_inode(source) for source in sources}
    by_target: dict[Path, Path] = {}
    for job in jobs:
        other = by_target.setdefault(job.target, job.source)
        if other is not job.source:
            raise ValueError(
                f"Every input needs an output of its own, but {str(other)!r} and "
                f"{str(job.source)!r} would both become {job.target.name!r}. "
                f"Received: output={str(output)!r}"
            )
        if job.target.exists() and _inode(job.target) in read:
            raise ValueError(
                f"output must be another folder than that of the inputs; {job.target.name!r} "
                f"would be replaced. Received: output={str(output)!r}"
            )
    return Plan(jobs, output)


def _inode(path: Path) -> tuple[int, int]:
    """Return what all names of a file have in common."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _check_apart(source: Path, output: Path) -> None:
    """Refuse an output that would take the place of its input, or become a part of it."""
    if source.is_dir():
        if source.resolve() in (output.resolve(), *output.resolve().parents):
            raise ValueError(
                "output must lie outside of the input folder, of which it would be a part next "
                f"time. Received: output={str(output)!r} for input={str(source)!r}"
            )
    elif output.is_file() and _inode(output) == _inode(source):
        raise ValueError(
            "output must be another file than the input, which would be replaced. "
            f"Received: output={str(output)!r} for input={str(source)!r}"
        )


def _find(words: Sequence[str], output: Path, apart: bool) -> tuple[list[Path], bool]:
    """Return the files, and whether several were asked for.

    Args:
        words: Paths and patterns.
        output: File or folder of the outputs; those that are there are no inputs.
        apart: Whether the tables of a folder are inputs of their own.
    """
    found: list[Path] = []
    several = len(words) > 1
    for word in words:
        path = Path(word)
        if not path.exists() and glob.has_magic(word):
            found += _matches(word, output)
            several = True
            continue
        if path.is_dir():
            files.check_one_kind(path, patterns=apart)
        if path.is_dir() and apart and (tables := files.table_files(path)):
            if output.is_dir() and _inode(output) == _inode(path):
                raise ValueError(
                    "output must be another folder than that of the inputs. "
                    f"Received: output={str(output)!r}"
                )
            found += tables
            several = True
        else:
            found.append(path)
    if not found:
        raise ValueError("There must be at least one input. Received: none")
    for path in found:
        if not path.exists():
            raise FileNotFoundError(
                f"There is no such file or folder.{files.nearest_file(path)} "
                f"Received: {str(path)!r}"
            )
        if path.suffix.lower() in files.PACKED and path.is_file():
            raise ValueError(
                f"{path.name!r} is compressed, which is not read here; unpack it first. "
                f"Received: input={str(path)!r}"
            )
    # A file that two patterns match is one input.
    return list(dict.fromkeys(found)), several


def _matches(pattern: str, output: Path) -> list[Path]:
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    made = made_in(output) if output.is_dir() else set()
    own = output.resolve()
    matches = [
        match
        for match in matches
        if match.is_file() and not (match.name in made and match.parent.resolve() == own)
    ]
    if not matches:
        raise FileNotFoundError(f"No file matches the pattern. Received: {pattern!r}")
    return matches


def check_outputs(plan: Plan, keep: Sequence[str], *, images: bool) -> None:
    """Refuse outputs that cannot be written, before anything is read.

    Args:
        plan: What to make.
        keep: Columns to pass through.
        images: Whether the results could be images, for a folder.
    """
    for target in [job.target for job in plan.jobs]:
        if plan.folder is None and not check_target(Path(os.path.abspath(target))) and not images:
            raise ValueError(
                "output must end in .npy, .npz, .csv or .parquet, since the results are no "
                f"images. Received: output={str(target)!r}"
            )
        if keep and target.suffix.lower() not in files.TABLES:
            raise ValueError(
                "Columns can be kept (--keep) in a .csv or .parquet file only. "
                f"Received: output={str(target)!r}"
            )


def _name(source: Path, form: str | None) -> str:
    if source.is_dir():
        return f"{source.name}.{form or 'npy'}"
    own = source.suffix.lower()
    return f"{source.stem}.{form or (own[1:] if own in files.SUFFIXES else 'npy')}"
