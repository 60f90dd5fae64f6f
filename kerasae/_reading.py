"""JSON files that others may have written: read within bounds. Imports nothing of ours."""

import json
from pathlib import Path
from typing import Any

# A thousand times what kerasae writes; a larger one is not read.
_MOST = 2**26


def read_json(path: Path, kind: type = dict) -> Any:
    """Return the content of a JSON file.

    Args:
        path: The file.
        kind: `dict` or `list`, what it must hold.

    Raises:
        ValueError: It is too large, or no JSON, or holds something else.
    """
    size = path.stat().st_size
    if size > _MOST:
        raise ValueError(
            f"{path.name} must not be larger than {_MOST:,} bytes. "
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
