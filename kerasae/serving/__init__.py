"""Answers from an exported model: in Python, and over the network.

`Served` and `versions` need NumPy and the runtime that is asked for; `serve` needs
`pip install "kerasae[serve]"`.
"""

from typing import TYPE_CHECKING, Any

from kerasae.serving.served import Served, versions

if TYPE_CHECKING:
    from kerasae.serving.server import serve

__all__ = ["Served", "serve", "versions"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        from kerasae.serving.server import serve

        return serve
    raise AttributeError(f"module 'kerasae.serving' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
