"""One `load` for what kerasae writes: a Keras file, a run directory, a SavedModel."""

import os
from pathlib import Path
from typing import Any


def load(path: Any, runtime: str | None = None) -> Any:
    """Load a model that kerasae saved.

    Args:
        path: A `.keras` file or a run directory, which give an `Autoencoder`, ready to use or
            to train on; or a SavedModel folder, which gives a `kerasae.serving.Served` and
            imports TensorFlow only.
        runtime: For a SavedModel folder: `"tensorflow"`, which is the default, or `"onnx"` to
            run the ONNX files in it with ONNX Runtime alone.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ModuleNotFoundError: ONNX Runtime is asked for and not installed.
        ValueError: What is there is not a model of kerasae, or does not run on `runtime`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be that of a file or folder. Received: path={path!r}")
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
    import zipfile

    if runtime is not None:
        raise ValueError(
            "runtime is for the folder of an exported model; that of a run is its saved_model. "
            f"Received: runtime={runtime!r} with path={str(path)!r}"
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            "path must be a .keras file, a run directory or a SavedModel folder. "
            f"Received: path={str(path)!r}, which is not a Keras file"
        )
    import keras

    from kerasae import _vetting
    from kerasae.models import Autoencoder

    _vetting.check(path)
    try:
        model = keras.saving.load_model(path, safe_mode=True)
    # Whatever is wrong with the file, Keras has a dozen exceptions for it.
    except Exception as error:
        raise _vetting.unreadable(path, error) from error
    if not isinstance(model, Autoencoder):
        raise ValueError(
            "The file holds another kind of Keras model than a kerasae Autoencoder. "
            f"Received: path={str(path)!r} with a {type(model).__name__}"
        )
    return model
