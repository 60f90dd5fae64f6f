"""Runtimes that call the signatures of an exported model: TensorFlow and ONNX Runtime."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerasae.serving import vetting

# Keys of the signature `info`, which `card.json` holds among others.
_INFO = (
    "name",
    "variant",
    "kerasae_version",
    "input_shape",
    "input_dtype",
    "latent_dim",
    "code_shape",
    "code_dtype",
    "code_size",
    "further_inputs",
    "loss",
    "can_generate",
    "sampler",
    "calibration",
)
_MOST = 2**26  # bytes of a card, a thousand times what one has
_NEEDED = ("variant", "input_shape", "input_dtype", "latent_dim", "loss")


class Runtime(Protocol):
    """A loaded model.

    Attributes:
        info: Description of the model.
        outputs: Names of the outputs of each signature.
    """

    info: dict[str, Any]
    outputs: dict[str, list[str]]

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the outputs of a signature by name; inputs have its dtypes."""


class SavedModel:
    """The SavedModel in `folder`, by TensorFlow."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        vetting.check(folder)
        try:
            self._model = tf.saved_model.load(str(folder))
        # TensorFlow raises a dozen kinds of exceptions for files that are damaged.
        except Exception as error:
            raise _unreadable("SavedModel", folder, error) from error
        self._functions = dict(self._model.signatures)
        if "info" not in self._functions:
            found = ", ".join(sorted(self._functions)) or "none"
            raise ValueError(
                "path must hold a model that kerasae.export wrote, with a signature 'info'. "
                f"Received: path={str(folder)!r} with {found}"
            )
        info = json.loads(self._functions["info"]()["info"].numpy())
        self.info = vetting.check_info(folder, info)
        self.outputs = {name: list(f.structured_outputs) for name, f in self._functions.items()}

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {name: v.numpy() for name, v in self._functions[signature](**tensors).items()}


class Onnx:
    """The files `onnx/NAME.onnx` in `folder`, by ONNX Runtime alone."""

    def __init__(self, folder: Path):
        if importlib.util.find_spec("onnxruntime") is None:
            raise ModuleNotFoundError(
                'runtime="onnx" needs onnxruntime; try: pip install "kerasae[onnx]". '
                f"Received: path={str(folder)!r}"
            )
        import onnxruntime

        files = sorted((folder / "onnx").glob("*.onnx"))
        if not files:
            raise ValueError(
                'The version has no ONNX files; export it with also=["onnx"], or on the command '
                f"line with --to onnx. Received: path={str(folder)!r}"
            )
        self.info = _information(folder)
        options = onnxruntime.SessionOptions()
        # Otherwise the threads of each file would spin while they wait.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions: dict[str, Any] = {}
        for file in files:
            try:
                self._sessions[file.stem] = onnxruntime.InferenceSession(
                    file, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                raise _unreadable("ONNX file", file, error) from error
        self.outputs = {
            name: [output.name for output in session.get_outputs()]
            for name, session in self._sessions.items()
        }

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        values = {name: np.asarray(value) for name, value in inputs.items()}
        answers = self._sessions[signature].run(None, values)
        return dict(zip(self.outputs[signature], answers, strict=True))


RUNTIMES: dict[str, type[SavedModel] | type[Onnx]] = {"tensorflow": SavedModel, "onnx": Onnx}


def read_card(folder: Path) -> dict[str, Any]:
    """Return `card.json` of a version.

    Raises:
        ValueError: There is none, or it is not one that `kerasae.export` wrote.
    """
    file = folder / "card.json"
    try:
        if file.stat().st_size > _MOST:
            raise ValueError(f"it has {file.stat().st_size:,} bytes")
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable("card of the model", file, error) from error
    missing = [key for key in _NEEDED if not isinstance(card, dict) or key not in card]
    if missing:
        raise ValueError(
            f"card.json must be as kerasae.export wrote it; it lacks {', '.join(missing)}. "
            f"Received: path={str(file)!r}"
        )
    return vetting.check_info(file, card)


def _information(folder: Path) -> dict[str, Any]:
    card = read_card(folder)
    return {key: card[key] for key in _INFO if key in card}


def _unreadable(what: str, path: Path, error: Exception) -> ValueError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(f"The {what} cannot be read: {reason}. Received: path={str(path)!r}")
