"""Which model it is: its files, their digest, and what is recorded of its training."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.files import read_json
from kerasae.runs import columns as run_columns
from kerasae.serving import versions
from kerasae.serving.runtimes import read_card
from kerasae.serving.served import is_version


def recorded(model: Path) -> dict[str, Any]:
    """Return what is recorded of the data that a model was trained on, `{}` where nothing is.

    Args:
        model: A run directory, its `model.keras`, or an export, whose card tells.

    Raises:
        ValueError: The record is damaged.
    """
    folder = model.parent if model.name == "model.keras" else model
    if (folder / "config.json").is_file():
        return run_columns.check_training(folder / "config.json", read_json(folder / "config.json"))
    newest = located(model) if model.is_dir() else model
    if (newest / "card.json").is_file():
        return run_columns.check_training(newest / "card.json", read_card(newest).get("training"))
    return {}


def trained_names(model: Path, shape: tuple[int, ...]) -> list[str] | None:
    """Return the names of the columns that a model was trained on, if they are recorded.

    Args:
        model: As for `recorded`.
        shape: Shape of one sample.
    """
    names = run_columns.of_run(recorded(model))
    return names if names and shape == (len(names),) else None


def located(model: Path) -> Path:
    """Return the file or version folder that `kerasae.load` takes for a path.

    Raises:
        FileNotFoundError: There is nothing at `model`.
    """
    if not model.exists():
        raise FileNotFoundError(
            f"There is no file or folder to load. Received: path={str(model)!r}"
        )
    if (model / "model.keras").is_file():
        return model / "model.keras"
    if model.is_file() or is_version(model):
        return model
    written = {number: path for number, path in versions(model).items() if is_version(path)}
    return written[max(written)] if written else model


def identify(model: Any) -> dict[str, Any]:
    """Return what tells a model from others, its `path` and a digest `sha256`.

    Args:
        model: The path that `located` gives, or a model in memory. One that was not loaded by
            its path is told by its layers, weights and calibration.
    """
    path = model if isinstance(model, Path) else getattr(model, "path", None)
    if isinstance(path, Path):  # Keras, too, calls something the path of a layer
        return {"path": str(path), "sha256": _digest_of_files(path)}
    return {"path": None, "sha256": _digest_of_weights(model)}


def _digest_of_files(model: Path) -> str:
    graph = model / "saved_model.pb"
    files = [model] if model.is_file() else [graph]
    if model.is_dir():
        files += sorted((model / ("variables" if graph.is_file() else "onnx")).glob("*"))
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _digest_of_weights(model: Any) -> str:
    digest = hashlib.sha256()
    # A layer of the user's may have no configuration.
    with contextlib.suppress(NotImplementedError, TypeError, ValueError):
        layers = json.loads(model.to_json(), object_hook=_without_passing)
        digest.update(json.dumps(layers, sort_keys=True).encode())
    scores = getattr(getattr(model, "calibration", None), "scores", None)
    for values in (*model.get_weights(), *(() if scores is None else (scores,))):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _without_passing(part: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a configuration what no answer depends on, or what only this process has."""
    return {k: v for k, v in part.items() if k not in ("compile_config", "shared_object_id")}
