"""One training at a time in a run directory."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

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
    file = _open(path / LOCK)
    try:
        _write_holder(file)
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file), os.stat(path / LOCK)):
                os.unlink(path / LOCK)
        os.close(file)


def _open(path: Path) -> int:
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
