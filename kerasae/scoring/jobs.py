"""Which files `kerasae.scoring` makes of which, and what of that is done already."""

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.errors import nearest
from kerasae.scoring.record import made_in
from kerasae.serving import versions

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
    from kerasae.data.finding import SUFFIXES

    if form is not None and form not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}.{nearest(form, FORMATS)} "
            f"Received: format={form!r}"
        )
    words = [inputs] if isinstance(inputs, str) or not isinstance(inputs, Iterable) else [*inputs]
    named = output.suffix.lower() in SUFFIXES and not output.is_dir()
    sources, several = _find([str(word) for word in words], not named, output)
    for source in sources:
        _check_apart(source, output)
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
    read = {_file(source) for source in sources}
    for job in jobs:
        if job.target.exists() and _file(job.target) in read:
            raise ValueError(
                f"output must be another folder than that of the inputs; {job.target.name!r} "
                f"would be replaced. Received: output={str(output)!r}"
            )
    return Plan(jobs, output)


def _file(path: Path) -> tuple[int, int]:
    """Return what is the same for all names of a file."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _check_apart(source: Path, output: Path) -> None:
    """Refuse an output that would take the place of its input, or become a part of it."""
    if source.is_dir():
        inside = source.resolve() in (output.resolve(), *output.resolve().parents)
        if inside:
            raise ValueError(
                "output must lie outside of the input folder, of which it would be a part next "
                f"time. Received: output={str(output)!r} for input={str(source)!r}"
            )
    elif output.is_file() and _file(output) == _file(source):
        raise ValueError(
            "output must be another file than the input, which would be replaced. "
            f"Received: output={str(output)!r} for input={str(source)!r}"
        )


def _find(words: Sequence[str], apart: bool, output: Path) -> tuple[list[Path], bool]:
    """Return the files, and whether several were asked for.

    Args:
        words: Paths and patterns.
        apart: Whether the tables of a folder are inputs of their own.
        output: File or folder of the outputs; those that are there are no inputs.
    """
    from kerasae.data import finding
    from kerasae.data.files import table_files

    found: list[Path] = []
    several = len(words) > 1
    for word in words:
        path = Path(word)
        if not path.exists() and glob.has_magic(word):
            found += _matches(word, output)
            several = True
            continue
        if path.is_dir():
            finding.check_one_kind(path, patterns=apart)
        if path.is_dir() and apart and table_files(path):
            if output.is_dir() and _file(output) == _file(path):
                raise ValueError(
                    "output must be another folder than that of the inputs. "
                    f"Received: output={str(output)!r}"
                )
            found += table_files(path)
            several = True
        else:
            found.append(path)
    if not found:
        raise ValueError("There must be at least one input. Received: none")
    for path in found:
        if not path.exists():
            raise FileNotFoundError(
                f"There is no such file or folder.{finding.beside(path)} Received: {str(path)!r}"
            )
        if path.suffix.lower() in finding.PACKED and path.is_file():
            raise ValueError(
                f"{path.name!r} is compressed, which is not read here; unpack it first. "
                f"Received: input={str(path)!r}"
            )
    # A file that two patterns match is one input.
    return list(dict.fromkeys(found)), several


def _matches(pattern: str, output: Path) -> list[Path]:
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    matches = [match for match in matches if match.is_file()]
    if output.is_dir() and (made := made_in(output)):
        own = output.resolve()
        matches = [m for m in matches if m.name not in made or m.parent.resolve() != own]
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
    from kerasae.data.finding import SUFFIXES

    own = source.suffix.lower()
    if form is None:
        form = own[1:] if own in SUFFIXES and source.is_file() else "npy"
    return f"{source.stem if source.is_file() else source.name}.{form}"


def located(model: Path) -> Path:
    """Return the file or version folder that `kerasae.load` takes for a path.

    Raises:
        FileNotFoundError: There is nothing at `model`.
    """
    from kerasae.serving.served import is_version

    if not model.exists():
        raise FileNotFoundError(
            f"There is no file or folder to load. Received: path={str(model)!r}"
        )
    if (model / "model.keras").is_file():
        return model / "model.keras"
    if model.is_file() or is_version(model):
        return model
    written = {number: path for number, path in versions(model).items() if is_version(path)}
    return written[max(written)] if written else model


def fingerprint(model: Path) -> str:
    """Return a digest of the files of a model: equal for equal models only.

    Args:
        model: What `located` gives.
    """
    graph = model / "saved_model.pb"
    files = [model] if model.is_file() else [graph]
    if model.is_dir():
        files += sorted((model / ("variables" if graph.is_file() else "onnx")).glob("*"))
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def digest_of(model: Any) -> str:
    """Return a digest of the layers, weights and calibration of a Keras model in memory."""
    digest = hashlib.sha256()
    # A layer of the user's may have no configuration.
    with contextlib.suppress(NotImplementedError, TypeError, ValueError):
        layers = json.loads(model.to_json(), object_hook=_lasting)
        digest.update(json.dumps(layers, sort_keys=True).encode())
    scores = getattr(getattr(model, "calibration", None), "scores", None)
    for values in (*model.get_weights(), *(() if scores is None else (scores,))):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _lasting(part: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a configuration what the answers do not depend on, or only this process has."""
    return {k: v for k, v in part.items() if k not in ("compile_config", "shared_object_id")}
