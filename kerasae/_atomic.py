"""Files that are either whole or not there. Imports nothing of ours, so every part may use it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write a file under, and rename it to `path` when that is done.

    The name is in the same folder and has the same suffix. After a failure it is removed and
    what was at `path` is untouched.

    Args:
        path: The file to write or replace.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
