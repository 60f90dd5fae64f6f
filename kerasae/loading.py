"""Loading of models from Keras files, run directories and SavedModels."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from kerasae.errors import shorten

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
# Largest size of a configuration in bytes, a thousand times that of a large model.
_MOST = 2**26
# Largest compression ratio of files above a size: deflate shrinks zeros a thousandfold, but not
# trained weights.
_EXPANSION, _SMALL = 500, 2**24
# Classes that contain or load code; a Lambda of a registered function does not.
_CODE = ("__lambda__", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer")
_MODULES = ("keras", "kerasae", "builtins")
# Arguments of layers that are the size of an axis of their weights.
_SIZES = ("units", "filters", "input_dim", "output_dim")


def load(path: Any, runtime: str | None = None) -> Any:
    """Load a model saved by kerasae.

    Args:
        path: A `.keras` file or a run directory, which return a Keras model, such as an
            `Autoencoder`, ready to use or to continue training; or a SavedModel folder, which
            returns a `kerasae.serving.Served` and imports only TensorFlow.
        runtime: For a SavedModel folder: `"tensorflow"`, the default, or `"onnx"` to run its
            ONNX files with only ONNX Runtime.

    Raises:
        FileNotFoundError: If `path` does not exist.
        ModuleNotFoundError: If ONNX Runtime is requested but not installed.
        ValueError: If `path` is not a model saved by kerasae, or does not run on `runtime`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be the path of a file or folder. Received: path={path!r}")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder to load. Received: path={str(path)!r}")
    if path.is_dir():
        if (path / "model.keras").is_file():
            return _load_keras(path / "model.keras", runtime)
        from kerasae.serving import Served

        return Served(path, runtime)
    return _load_keras(path, runtime)


def _load_keras(path: Path, runtime: str | None) -> Any:
    if runtime is not None:
        raise ValueError(
            "runtime is supported only for exported models, such as the saved_model of a run. "
            f"Received: runtime={runtime!r} with path={str(path)!r}"
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            "path must be a .keras file, a run directory or a SavedModel folder. "
            f"Received: path={str(path)!r}, which is not a Keras file"
        )
    import keras

    import kerasae.models  # noqa: F401

    check(path)
    try:
        return keras.saving.load_model(path, safe_mode=True)
    # Keras raises many kinds of exceptions for invalid files.
    except Exception as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, why: object) -> ValueError:
    """Return the error for a file that is not a model."""
    return ValueError(
        f"path cannot be read as a Keras file: {shorten(why)}. Received: path={str(path)!r}"
    )


def check(path: Path) -> None:
    """Raise ValueError if a `.keras` file is damaged or malicious.

    Args:
        path: A zip archive.

    Raises:
        ValueError: If the file is not a safe model; the message gives the reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            text = archive.read(_CONFIG)
            weights = archive.getinfo(_WEIGHTS).file_size if _WEIGHTS in archive.namelist() else 0
        config = json.loads(text)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError, zlib.error) as error:
        if isinstance(error, ValueError) and "Received: " in str(error):
            raise
        raise unreadable(path, error) from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise unreadable(path, f"{_CONFIG} describes no model")
    for part in _parts(config):
        _check_part(path, part, weights)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if _CONFIG not in names:
        raise unreadable(path, f"it contains no {_CONFIG}")
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or names.count(member.filename) > 1:
            raise unreadable(path, f"it contains a file named {member.filename!r}")
        size = member.file_size
        bomb = size > _SMALL and size > _EXPANSION * max(1, member.compress_size)
        if bomb or (member.filename.endswith(".json") and size > _MOST):
            raise unreadable(
                path, f"{member.filename!r} would take {size:,} bytes from {member.compress_size:,}"
            )


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a configuration, without recursion."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_part(path: Path, part: dict[str, Any], weights: int) -> None:
    kind = part.get("class_name")
    if isinstance(kind, str) and "config" in part:
        module, registered = part.get("module"), part.get("registered_name")
        if kind in _CODE:
            raise unreadable(path, f"it contains a {kind}, which may run code")
        if not (_is_ours(module) or _is_known(registered) or _is_known(part["config"])):
            raise unreadable(
                path,
                f"it contains {kind!r} of {module!r}, which is neither of Keras nor registered by "
                "keras.saving.register_keras_serializable",
            )
    for name in _SIZES:
        size = part.get(name)
        # A weight takes at least two bytes.
        if isinstance(size, int) and 2 * size > max(weights, 2**20):
            raise unreadable(path, f"{name}={size:,} does not match {weights:,} bytes of weights")


def _is_ours(module: Any) -> bool:
    # Keras writes no module for its own legacy names, such as those of activations.
    return module is None or (isinstance(module, str) and module.split(".")[0] in _MODULES)


def _is_known(name: Any) -> bool:
    import keras

    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None
