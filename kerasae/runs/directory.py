"""The run directory: the names of its files, making it, replacing it."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasae.files import LOCK, is_temporary, locked, remove, replacing, sweep
from kerasae.files import write_json as write_json

CONFIG, MODEL, METRICS, HISTORY = "config.json", "model.keras", "metrics.json", "history.csv"
CHECKPOINTS, LOGS, FIGURES, EXPORT = "checkpoints", "logs", "figures", "saved_model"
# Where the files of a run are while another takes its place, and on their way there or back.
_REPLACED, _MOVING = ".replaced", ".moving"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def run_directory(out: Any, default: Path) -> Path:
    """Return `out` as a path, or the default where it is None."""
    if out is None:
        return default
    if not isinstance(out, (str, os.PathLike)) or not os.fspath(out):
        raise ValueError(f"out must be a path of a folder. Received: out={out!r}")
    return Path(out)


def check_target(path: Path, resume: bool, replace: bool) -> None:
    """Refuse to write where a run would be lost, or where something else is."""
    if resume and replace:
        raise ValueError(
            "resume=True (--resume) and replace=True (--replace) exclude each other. Received: both"
        )
    if not path.is_dir() and not path.exists():
        _check_writable(path)
        return
    # A run that was killed before its first file was whole leaves a lock and a part of it.
    if path.is_dir() and all(f.name == LOCK or is_temporary(f.name) for f in path.iterdir()):
        _check_writable(path)
        return
    if not (path / CONFIG).is_file():
        raise ValueError(
            "out must be a new or empty folder, or a run directory to resume or replace. "
            f"Received: out={str(path)!r}, which holds something else"
        )
    if resume and (path / METRICS).is_file():
        raise ValueError(
            "The run in out is finished, there is nothing to resume; pass replace=True (--replace) "
            f"to train it again, or choose another folder. Received: out={str(path)!r}"
        )
    if not resume and not replace:
        raise ValueError(
            "out exists; pass resume=True (--resume) to continue an unfinished run, replace=True "
            f"(--replace) to train it again, or another folder. Received: out={str(path)!r}"
        )
    _check_writable(path)


def _check_writable(path: Path) -> None:
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise _forbidden(path)


def _forbidden(path: Path) -> PermissionError:
    return PermissionError(
        f"out must be in a folder that can be written to. Received: out={str(path)!r}"
    )


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise errors of the system with a sentence on why a run directory cannot be written to."""
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        if not path.is_dir() and isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                "The run directory was removed while it was written to, and nothing of the run is "
                f"left. Received: out={str(path)!r}"
            ) from error
        # TensorFlow has exceptions of its own.
        if number in _FULL or os.strerror(errno.ENOSPC) in str(error):
            raise OSError(
                "The disk is full; what was saved before is as it was. Make room and continue with "
                f"resume=True (--resume). Received: out={str(path)!r}"
            ) from error
        where = getattr(error, "filename", None)
        if number in _FORBIDDEN and (where is None or path in Path(where).parents):
            raise _forbidden(path) from error
        raise


def settle(path: Path) -> None:
    """Put back a run whose replacement was killed before its first epoch was saved."""
    if not any((path / name).is_dir() for name in (_REPLACED, _MOVING)):
        return
    with contextlib.suppress(ValueError), locked(path):  # unless it is still being trained
        if (path / _MOVING).is_dir():
            _bring_back(path)
        elif is_begun(path):
            remove(path / _REPLACED)
        else:
            restore(path)


@contextlib.contextmanager
def opened(path: Path, resume: bool, replace: bool) -> Iterator[bool]:
    """Make a run directory and lock it; yield whether a run was replaced.

    After a failure the earlier run is put back, unless an epoch of the new one was saved, which
    can be resumed.
    """
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        # Another training may have been here since the first check.
        check_target(path, resume, replace)
        fresh = replace or not (path / CONFIG).is_file()
        replaced = replace and (path / CONFIG).is_file()
        if replaced:
            _set_aside(path)
        sweep(path)
        try:
            yield replaced
        except BaseException:
            if fresh and not is_begun(path):
                if replaced:
                    restore(path)
                else:
                    shutil.rmtree(path, ignore_errors=True)
            raise
        finally:
            remove(path / _REPLACED)


def is_begun(path: Path) -> bool:
    """Return whether an epoch of a run was saved."""
    return (path / CHECKPOINTS / "state.json").exists() or (path / MODEL).exists()


def _set_aside(path: Path) -> None:
    """Move the files of a run to a folder in it, from where they can be put back.

    The folder of the run itself stays, since its lock is held.
    """
    (path / _MOVING).mkdir()
    try:
        for file in [*path.iterdir()]:
            if file.name not in (LOCK, _MOVING):
                os.replace(file, path / _MOVING / file.name)
    except BaseException:
        _bring_back(path)
        raise
    os.replace(path / _MOVING, path / _REPLACED)


def restore(path: Path) -> None:
    """Put back the run that was to be replaced."""
    for file in [*path.iterdir()]:
        if file.name not in (LOCK, _REPLACED):
            remove(file)
    os.replace(path / _REPLACED, path / _MOVING)
    _bring_back(path)


def _bring_back(path: Path) -> None:
    for file in [*(path / _MOVING).iterdir()]:
        os.replace(file, path / file.name)
    (path / _MOVING).rmdir()


def save_model(ae: Any, path: Path) -> None:
    """Save a Keras file under a temporary name and rename it."""
    with replacing(path) as temporary:
        ae.save(temporary)
