"""Wording shared by error messages. Imports nothing, so every part may use it."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the known name closest to `name`, or `""`.

    Args:
        name: What was received; anything but a string has no neighbour.
        known: Names that would have worked.
    """
    if not isinstance(name, str):
        return ""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
