"""What makes training fast and nothing else."""

import contextlib
import contextvars
from collections.abc import Iterator

_compiling: contextvars.ContextVar[bool] = contextvars.ContextVar("compiling", default=False)


@contextlib.contextmanager
def compiling(on: bool = True) -> Iterator[None]:
    """Let layers know inside that XLA compiles what they compute."""
    token = _compiling.set(on)
    try:
        yield
    finally:
        _compiling.reset(token)


def compiled_by_xla() -> bool:
    """Return whether XLA compiles what is computed now, as far as that is known."""
    return _compiling.get()
