"""The files of a run directory: making it, replacing it, and what stands in it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasae._atomic import replacing
from kerasae._text import nearest

CONFIG, MODEL, METRICS, HISTORY = "config.json", "model.keras", "metrics.json", "history.csv"
CHECKPOINTS, LOGS, FIGURES, EXPORT = "checkpoints", "logs", "figures", "saved_model"


def check_target(path: Path, resume: bool, replace: bool) -> None:
    """Refuse a run directory that would be lost, or that is none."""
    if resume and replace:
        raise ValueError(
            "resume=True (--resume) and replace=True (--replace) exclude each other. Received: both"
        )
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / CONFIG).is_file():
        raise ValueError(
            "out must be a new or empty folder, or a run directory to resume or replace. "
            f"Received: out={str(path)!r}, which holds something else"
        )
    if resume and (path / METRICS).is_file():
        raise ValueError(
            "The run in out is finished, there is nothing to resume; pass replace=True (--replace) "
            f"to train it anew, or choose another folder. Received: out={str(path)!r}"
        )
    if not resume and not replace:
        raise ValueError(
            "out exists; pass resume=True (--resume) to continue an unfinished run, replace=True "
            f"(--replace) to train it anew, or another folder. Received: out={str(path)!r}"
        )


@contextlib.contextmanager
def opened(path: Path, replace: bool) -> Iterator[bool]:
    """Make a run directory and yield whether there was one; after a failure put it back.

    A failed run stays if an epoch of it was saved, which can be resumed.
    """
    fresh = replace or not (path / CONFIG).is_file()
    aside = None
    if replace and path.exists():
        aside = path.with_name(f".{path.name}.{os.getpid()}.old")
        os.replace(path, aside)
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield aside is not None
    except BaseException:
        if fresh and not any((path / name).exists() for name in (CHECKPOINTS, MODEL)):
            shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        if aside is not None and not path.exists():
            os.replace(aside, path)
        for old in path.parent.glob(f".{path.name}.*.old"):
            shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name and rename it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def save_model(ae: Any, path: Path) -> None:
    """Save a Keras file under a temporary name and rename it."""
    with replacing(path) as temporary:
        ae.save(temporary)


def check_count(name: str, value: Any) -> None:
    """Refuse anything but a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1. Received: {name}={value!r}")


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Refuse a value that is not known."""
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, known))}.{nearest(value, known)} "
            f"Received: {name}={value!r}"
        )
