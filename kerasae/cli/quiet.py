"""Keeps TensorFlow's start-up log lines from the user.

`TF_CPP_MIN_LOG_LEVEL=3` silences most of them, but TensorFlow 2.21 writes some while its libraries
load, before it reads that variable. So standard error is held back during `import tensorflow`, and
whatever is not such a line is passed on afterwards. `TF_CPP_MIN_LOG_LEVEL=0` shows everything.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"


def silence_tensorflow() -> None:
    """Silence what TensorFlow logs when it starts, unless the user asked to see it."""
    os.environ.setdefault(_VARIABLE, "3")
    if os.environ[_VARIABLE] != "0":
        logging.getLogger("tensorflow").addFilter(_is_no_false_alarm)
    if os.environ[_VARIABLE] != "0" and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Finder)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Drop the warning about retracing.

    Keras gives every model a `predict` function of one name, and TensorFlow, which counts by
    name, takes an encoder, a decoder and a scorer used in turn for one function traced anew.
    """
    return "triggered tf.function retracing" not in str(record.msg)


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Let a logger pass on errors only, for as long as the context lasts."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Finder:
    """Finds `tensorflow` as Python does, and holds standard error back while it is imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def quietly(module: Any) -> None:
                sys.meta_path.remove(_Finder)
                with _held_back():
                    execute(module)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Collect what is written to standard error, and pass on all but start-up lines."""
    import tempfile

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
            rest = b"".join(line for line in lines if not _is_startup(line))
            if rest:
                os.write(2, rest)


def _is_startup(line: bytes) -> bool:
    import re

    logged = rb"[IWE]\d{4} [\d:.]+ +\d+ \S+\.cc:\d+\]|\d{4}-\d\d-\d\d [\d:.]+ [IWE] \S+\.cc:\d+\]"
    announced = rb"WARNING: All log messages before absl::InitializeLog\(\) is called"
    continued = rb"To enable the following instructions:"
    return re.match(rb"|".join((logged, announced, continued)), line) is not None
