"""One `load` for what kerasae writes: a Keras file, a run directory, a SavedModel."""

from pathlib import Path
from typing import Any


def load(path: Any) -> Any:
    """Load a model that kerasae saved.

    Args:
        path: A `.keras` file or a run directory, which give an `Autoencoder`, ready to use or
            to train on; or a SavedModel folder, which gives a `kerasae.serving.Served` and
            imports TensorFlow only.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ValueError: What is there is not a model of kerasae.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder to load. Received: path={str(path)!r}")
    if path.is_dir():
        if (path / "model.keras").is_file():
            return _load_keras(path / "model.keras")
        from kerasae.serving import Served

        return Served(path)
    return _load_keras(path)


def _load_keras(path: Path) -> Any:
    import zipfile

    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            "path must be a .keras file, a run directory or a SavedModel folder. "
            f"Received: path={str(path)!r}, which is not a Keras file"
        )
    import keras

    from kerasae.models import Autoencoder

    model = keras.saving.load_model(path, safe_mode=True)
    if not isinstance(model, Autoencoder):
        raise ValueError(
            "The file holds another kind of Keras model than a kerasae Autoencoder. "
            f"Received: path={str(path)!r} with a {type(model).__name__}"
        )
    return model
