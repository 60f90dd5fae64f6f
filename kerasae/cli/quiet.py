"""A quiet start of TensorFlow, for the command line only.

`TF_CPP_MIN_LOG_LEVEL=3` silences most lines of the start, but TensorFlow 2.21 writes some while its
libraries load, before it reads that variable. So standard error is held back during `import
tensorflow`, and all but such lines is passed on afterwards. `TF_CPP_MIN_LOG_LEVEL=0` shows
everything.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_STARTUP = re.compile(
    rb"[IWE]\d{4} [\d:.]+ +\d+ \S+\.cc:\d+\]"
    rb"|\d{4}-\d\d-\d\d [\d:.]+ [IWE] \S+\.cc:\d+\]"
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called"
    rb"|To enable the following instructions:"
)


def silence_tensorflow() -> None:
    """Silence what TensorFlow logs when it starts, unless the user asked to see it."""
    # Hints for authors of tf.functions, which no user of a command is.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault(_VARIABLE, "3")
    if os.environ[_VARIABLE] != "0" and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds `tensorflow` as Python does, and holds standard error back while it is imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(_Finder)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def quietly(module: Any) -> None:
                with _held_back():
                    execute(module)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Collect what is written to standard error, and pass on all but start-up lines."""
    try:
        terminal = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            lines = held.read().splitlines(keepends=True)
            os.write(2, b"".join(line for line in lines if not _STARTUP.match(line)))
