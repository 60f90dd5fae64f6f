"""Files and folders that are either whole or not there, the lock of a folder, bounded JSON.

What is written gets a temporary name next to its own and is renamed when it is whole. A process
that is killed leaves at most such a name, which the next writer in the folder removes.
"""

import contextlib
import errno
import functools
import hashlib
import itertools
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

_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[\w-]+)\.(?P<process>\d+)\.[0-9a-f]{12}\.(?P<kind>part|old)(\.\w+)?"
)
# What another host has not touched for a day is taken for abandoned.
_OLD_SECONDS = 86400
# Scanning a folder may take long where it holds many files, so it is not done for each of them.
_SWEEP_SECONDS = 60
_swept: dict[Path, float] = {}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write a file or folder under, and rename it to `path` at the end.

    The name is in the same folder and has the same suffix. After a failure it is removed, and
    what was at `path` is untouched.

    Args:
        path: The file or folder to write or replace.
    """
    sweep(path.parent)
    temporary = temporary_name(path, suffix=path.suffix)
    try:
        yield temporary
        sync(temporary)
        replace(temporary, path)
    finally:
        remove(temporary)


@contextlib.contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder, and remove it at the end unless it was renamed.

    Args:
        folder: Where to make it; made when needed.
        name: A word of its name, for who looks at the folder meanwhile.
    """
    sweep(folder)
    temporary = temporary_name(folder / name)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        remove(temporary)


def publish(temporary: Path, folder: Path, first: int) -> Path:
    """Rename a folder to the first number that is free, and return its new path.

    Args:
        temporary: The folder, which is whole.
        folder: Where the numbers are, on the same file system.
        first: The number to try first.
    """
    sync(temporary)
    for number in itertools.count(first):
        target = folder / str(number)
        if target.exists():
            continue
        try:
            os.rename(temporary, target)
        except OSError:
            if target.exists():  # another process took the number in between
                continue
            raise
        _sync_folder(folder)
        return target
    raise AssertionError("unreachable")


def temporary_name(path: Path, kind: str = "part", suffix: str = "") -> Path:
    """Return a hidden name next to `path` that no other process on any host takes.

    Args:
        path: What is to be written.
        kind: `"part"` for what is being written, `"old"` for what is set aside meanwhile.
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
    """Return a word for the machine since its start, or the container, that numbers our processes.

    Names of hosts are not enough, since containers may share one.
    """
    inside = []
    with contextlib.suppress(OSError):
        inside.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        inside.append(os.readlink("/proc/self/ns/pid"))
    name = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32]
    return f"{name}-{hashlib.sha256(''.join(inside).encode()).hexdigest()[:8]}"


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder.

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
            found = _TEMPORARY.fullmatch(entry.name)
            if found and _is_abandoned(entry, found):
                target = folder / found["name"]
                if found["kind"] == "old" and not target.exists():
                    os.replace(entry.path, target)
                else:
                    remove(Path(entry.path))


def is_temporary(name: str) -> bool:
    """Return whether a file of this name is one that was, or is, being written."""
    return _TEMPORARY.fullmatch(name) is not None


def _is_abandoned(entry: os.DirEntry, found: re.Match[str]) -> bool:
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
    """Rename a file or folder so that it outlives a loss of power.

    A file that is replaced hands on its permissions. A folder that is replaced is set aside
    meanwhile, and comes back after a failure.
    """
    if temporary.is_dir() and path.exists():
        aside = temporary_name(path, "old")
        os.replace(path, aside)
        try:
            os.replace(temporary, path)
        except BaseException:
            os.replace(aside, path)
            raise
        remove(aside)
    else:
        if not temporary.is_dir():
            with contextlib.suppress(OSError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


LOCK = ".lock"
# What a file system without locks answers.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a run directory, so that no other training writes to it.

    The system releases it when the process ends, however it ends: a file that a killed process
    left stops nobody. Where files cannot be locked (some network file systems) all are let in.

    Args:
        path: The directory, which exists.

    Raises:
        ValueError: Another training holds it, and the sentence names its process and host; or
            there is a link in place of the lock.
    """
    file = path / LOCK
    held: list[os.stat_result] = []

    def sign(descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
        held.append(os.fstat(descriptor))

    import filelock  # which makes a logger when it is imported

    lock = filelock.FileLock(file, on_acquired=sign)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ValueError(
            f"out is being trained by {_holder(file)}; wait for it, or choose another folder. "
            f"Received: out={str(path)!r}"
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(
                f"out must not hold a link at {LOCK}; remove it. Received: out={str(path)!r}"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        # While it is held, so that nobody else's is removed.
        with contextlib.suppress(OSError):
            if held and os.path.samestat(held[0], file.stat(follow_symlinks=False)):
                file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """Return what the holder of a lock wrote into it."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        return opened.read(1000).decode("utf-8", "replace").strip() or "another process"
    return "another process"


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


def write_json(path: Path, content: Any) -> None:
    """Write JSON to a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
