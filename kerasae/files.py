"""Files that are either whole or not there, the lock of a folder, and JSON read within bounds."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LEFT = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[\w-]+)\.(?P<process>\d+)\.[0-9a-f]{12}\.(?P<kind>part|old)(\.\w+)?"
)
# What another host has not touched for a day, nobody writes any more.
_OLD_SECONDS = 86400
# A folder is looked through at most so often: one that many files are written to may be large.
_SWEEP_SECONDS = 60
_swept: dict[Path, float] = {}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write a file under, and rename it to `path` when that is done.

    The name is in the same folder and has the same suffix. After a failure it is removed and
    what was at `path` is untouched.

    Args:
        path: The file to write or replace.
    """
    sweep(path.parent)
    temporary = temporary_name(path, suffix=path.suffix)
    try:
        yield temporary
        sync(temporary)
        replace(temporary, path)
    finally:
        remove(temporary)


def temporary_name(path: Path, kind: str = "part", suffix: str = "") -> Path:
    """Return a hidden name beside `path` that no other process on any host takes.

    Args:
        path: What is to be written.
        kind: `"part"` of what is being written, `"old"` of what is set aside meanwhile.
        suffix: How the name ends.
    """
    name = path.name.removesuffix(suffix)
    # A file system allows 255 bytes, of which the rest takes less than 100.
    while kind == "part" and len(name.encode()) > 150:
        name = name[:-1]
    return path.with_name(f".{name}.{writer()}.{kind}{suffix}")


def writer() -> str:
    """Return a word that tells host, process and moment: `HOST.PROCESS.RANDOM`."""
    return f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:12]}"


@functools.cache
def _host() -> str:
    """Return a word for what numbers our processes: a machine since its start, or a container.

    Names of hosts are not enough, for containers may share one.
    """
    inside = []
    with contextlib.suppress(OSError):
        inside.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        inside.append(os.readlink("/proc/self/ns/pid"))
    name = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32]
    return f"{name}-{hashlib.sha256(''.join(inside).encode()).hexdigest()[:8]}"


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in a folder.

    Of this host, what dead processes left; of others, what is a day old. A folder that was set
    aside takes its place again if nothing else has.

    Args:
        folder: Where they wrote.
    """
    now = time.monotonic()
    if now - _swept.get(folder, -_SWEEP_SECONDS) < _SWEEP_SECONDS:
        return
    _swept[folder] = now
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _LEFT.fullmatch(entry.name) if entry.name[0] == "." else None
            if found and _is_dead(entry, found):
                target = folder / found["name"]
                if found["kind"] == "old" and not target.exists():
                    os.replace(entry.path, target)
                else:
                    remove(Path(entry.path))


def is_temporary(name: str) -> bool:
    """Return whether a file of this name is one that was, or is, being written."""
    return _LEFT.fullmatch(name) is not None


def _is_dead(entry: os.DirEntry, found: re.Match[str]) -> bool:
    if found["host"] == _host():
        return not _runs(int(found["process"]))
    state = entry.stat(follow_symlinks=False)
    touched = state.st_mtime
    if found["kind"] == "old":  # its content may be of last year, and it set aside just now
        touched = max(touched, state.st_ctime)
    return time.time() - touched > _OLD_SECONDS


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere a signal of 0 ends the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk.

    Raises:
        OSError: It cannot be written, such as on a full disk.
    """
    if path.is_dir():
        # Once for all: a call for each of many images takes longer than making them.
        getattr(os, "sync", lambda: None)()
        return
    with path.open("rb" if os.name == "posix" else "rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what a file system lacks
                raise


def replace(temporary: Path, path: Path) -> None:
    """Rename a file, or a folder to where none is, so that it outlives a loss of power.

    A file that is replaced hands on its permissions.
    """
    with contextlib.suppress(OSError):
        temporary.chmod(stat.S_IMODE(path.stat().st_mode))
    os.replace(temporary, path)
    if os.name == "posix":
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


LOCK = ".lock"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a run directory, so that no other training writes to it.

    The system lets go of it when the process ends, however it ends: a file that a killed process
    left stops nobody. Where files cannot be locked (Windows, some network file systems) all are
    let in.

    Args:
        path: The directory, which exists.

    Raises:
        ValueError: Another training holds it; the sentence names its process and host.
    """
    file = _open_lock(path / LOCK)
    try:
        _write_holder(file)
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file), os.stat(path / LOCK)):
                os.unlink(path / LOCK)
        os.close(file)


def _open_lock(path: Path) -> int:
    """Return a locked file at `path`."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
            # The one that held it may have removed the file meanwhile.
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except BlockingIOError:
            holder = os.pread(file, 1000, 0).decode("utf-8", "replace").strip()
            os.close(file)
            raise ValueError(
                f"out is being trained by {holder or 'another process'}; wait for it, or choose "
                f"another folder. Received: out={str(path.parent)!r}"
            ) from None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a file system without locks


def _write_holder(file: int) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


# A thousand times what kerasae writes; a larger one is not read.
_MOST_JSON = 2**26


def read_json(path: Path, kind: type = dict) -> Any:
    """Return the content of a JSON file.

    Args:
        path: The file.
        kind: `dict` or `list`, what it must hold.

    Raises:
        ValueError: It is too large, or no JSON, or holds something else.
    """
    size = path.stat().st_size
    if size > _MOST_JSON:
        raise ValueError(
            f"{path.name} must not be larger than {_MOST_JSON:,} bytes. "
            f"Received: {str(path)!r} of {size:,} bytes"
        )
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:  # broken JSON and broken UTF-8 alike
        raise ValueError(f"{path.name} must be JSON: {error}. Received: {str(path)!r}") from error
    if not isinstance(content, kind):
        what = "object" if kind is dict else "list"
        raise ValueError(f"{path.name} must hold a JSON {what}. Received: {str(path)!r}")
    return content


def check_training(path: Path, training: Any) -> dict[str, Any]:
    """Return what is recorded of the data of a training, `{}` where nothing is.

    Args:
        path: The `config.json` of a run, or the `card.json` of an export, for messages.
        training: Its content, or the part of that.

    Raises:
        ValueError: The names of columns are no list of names, or the options no object.
    """
    right = training is None or isinstance(training, dict)
    if right:
        training = training or {}
        options = training.get("data_options") or {}
        right = isinstance(options, dict)
        for part in (training, options) if right else ():
            names = part.get("columns") or []
            right = right and isinstance(names, list) and all(isinstance(n, str) for n in names)
    if not right:
        raise ValueError(
            f"{path.name} must name the columns of its training in a list. Received: {str(path)!r}"
        )
    return training
