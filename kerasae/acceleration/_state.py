"""Whether acceleration is on, and whether XLA compiles what is being traced."""

import contextlib
import contextvars
import os
from collections.abc import Iterator

_enabled = os.environ.get("KERASAE_ACCELERATION", "1") != "0"
_in_xla: contextvars.ContextVar[bool] = contextvars.ContextVar("in_xla", default=False)


def enable(on: bool = True) -> None:
    """Turn acceleration on or off for everything that is traced from now on.

    It is on by default, and off where the environment variable `KERASAE_ACCELERATION` is 0.
    Models that were compiled keep the functions they have; compile them again.

    Args:
        on: Whether to accelerate.
    """
    global _enabled
    _enabled = bool(on)


def enabled() -> bool:
    """Return whether acceleration is on."""
    return _enabled


@contextlib.contextmanager
def compiling(xla: bool = True) -> Iterator[None]:
    """Tell layers called inside that XLA compiles them, unless `xla` is false."""
    token = _in_xla.set(bool(xla) or _in_xla.get())
    try:
        yield
    finally:
        _in_xla.reset(token)


def in_xla() -> bool:
    """Return whether XLA compiles what is being traced, and acceleration is on."""
    return _enabled and _in_xla.get()
