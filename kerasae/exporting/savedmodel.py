"""From an autoencoder to a SavedModel that TensorFlow alone serves, checked before it counts."""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae import files
from kerasae.errors import nearest
from kerasae.exporting import card as cards
from kerasae.exporting import formats, signatures
from kerasae.exporting._logging import quiet
from kerasae.exporting.comparison import VerificationError, golden, verified
from kerasae.models import Autoencoder, inputs
from kerasae.serving import versions, vetting

__all__ = ["VerificationError", "export"]

Endpoint = Any  # a tf.function from tensors to a dictionary of tensors


def export(
    ae: Autoencoder,
    path: Any,
    *,
    also: Sequence[str] = (),
    samples: Any = None,
    verify: bool = True,
    metrics: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write a SavedModel with named signatures as the next version below `path`.

    The model takes and gives raw units, any batch size, float32 outputs. Neither Keras nor
    kerasae is needed to load it. No signature but `generate` draws random numbers.

    | signature | inputs | outputs |
    |---|---|---|
    | `reconstruct`, also `serving_default` | `x` | `reconstruction` |
    | `encode` | `x` | `code` |
    | `decode` | `code` | `reconstruction` |
    | `score` | `x` | `score` `(batch,)`, `feature_scores` shaped like `x` |
    | `detect`, of calibrated models | `x` | `anomaly_score`, `p_value`, `is_anomaly` |
    | `detect_at_rate`, likewise | `x`, `false_alarm_rate` (one number) | the same |
    | `generate`, with a prior or a sampler | `n`, `seed` (two numbers), int32 | `samples` |
    | `info` | none | `info`, a JSON string |

    `feature_scores` exists where the loss has a value per feature, as all of kerasae's have.
    `card.json` and a model card, `README.md`, lie beside `saved_model.pb`, and, where there are
    samples, `golden.npz`: eight of them with the answers of every signature, as
    `SIGNATURE/in/NAME` and `SIGNATURE/out/NAME`, to test a server with. TensorFlow and
    TensorFlow Serving pass over files that they do not know.

    The version folder appears under its number only when it is complete and verified. A
    failure leaves nothing behind, and earlier versions are never touched. Verification refuses
    operations that do more than compute, such as those of files, which `Served` does not load.

    Args:
        ae: A trained autoencoder, on the TensorFlow backend.
        path: Folder of the versions; made if it does not exist.
        also: Other formats to write beside it: `"onnx"` (a file for each signature in `onnx/`,
            for ONNX Runtime) and `"litert"` (`model.tflite`, for phones and boards). They have
            no `generate`. Each needs the extra of its name: `pip install "kerasae[onnx]"`.
        samples: Array `(samples, *input_shape)` of real samples in raw units, to verify on;
            the first 257 are used. None draws them in the range of the scaler.
        verify: Load the result in a fresh Python process without Keras and kerasae, and
            compare every signature on the samples in one batch of 257 and one of 1 and on the
            extremes of their range; the other formats likewise, each with its own runtime
            alone. An output may differ by 1e-5 times its largest magnitude,
            or by 1e-5 where that is below 1.
        metrics: Numbers for the card, such as a run's `metrics.json`; may be nested.
        training: What the card says of the training beside the options of `kerasae.build`:
            data, epochs, the command.

    Returns:
        The version folder, `path/1` for the first.

    Raises:
        ValueError: An argument does not fit, or the backend is not TensorFlow.
        VerificationError: The SavedModel says something else than `ae`, cannot be loaded, or
            does more than compute.

    Example:
    >>> import kerasae, tempfile
    >>> ae = kerasae.build("undercomplete", input_shape=(4,), latent_dim=2)
    >>> kerasae.export(ae, tempfile.mkdtemp()).name
    '1'
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be the folder of the versions. Received: path={path!r}")
    path = Path(path)
    _check(ae, path, samples)
    also = _check_targets(also)
    made = [p for p in (path, *path.parents) if not p.exists()]
    try:
        # Next to the versions, hidden: a server looks at numbers only.
        with files.scratch(path, "version") as folder:
            endpoints = _write(ae, folder)
            for target in also:
                formats.TARGETS[target][0](ae, folder)
            verification = verified(ae, endpoints, folder, samples, also) if verify else None
            if verify:
                _check_computes(folder)
            if samples is not None:
                np.savez_compressed(folder / "golden.npz", **golden(ae, endpoints, samples))
            card = cards.card(
                ae, signatures.describe(ae), endpoints, verification, metrics, training
            )
            text = json.dumps(card, indent=2, allow_nan=False) + "\n"
            (folder / "card.json").write_text(text, encoding="utf-8")
            (folder / "README.md").write_text(cards.model_card(card), encoding="utf-8")
            return files.publish(folder, path, max(versions(path), default=0) + 1)
    except BaseException:
        for empty in made:
            if empty.exists() and not any(empty.iterdir()):
                empty.rmdir()
        raise


def _check(ae: Any, path: Path, samples: Any) -> None:
    if not isinstance(ae, Autoencoder):
        raise ValueError(f"ae must be a kerasae Autoencoder. Received: {type(ae).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export needs the TensorFlow backend; ae.save('model.keras') here, and load and export "
            "that in a process with KERAS_BACKEND=tensorflow. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    if not getattr(ae.scaler, "adapted", True):
        raise ValueError(
            "ae must be trained before it is exported: its scaler has not seen data. "
            f"Received: scaler={type(ae.scaler).__name__} before fit"
        )
    there = next(p for p in (path, *path.parents) if p.exists())
    if not there.is_dir():
        raise ValueError(
            f"path must be a folder, not a file or below one. Received: path={str(path)!r}"
        )
    if (path / "saved_model.pb").exists():
        raise ValueError(
            "path must be the folder above the versions, not one of them. "
            f"Received: path={str(path)!r}, which holds a saved_model.pb"
        )
    if samples is not None:
        if not hasattr(samples, "shape"):
            raise ValueError(
                "samples must be an array (samples, *input_shape) in raw units. "
                f"Received: samples of type {type(samples).__name__}"
            )
        inputs.check_data(ae, samples, name="samples")


def _check_computes(folder: Path) -> None:
    what = vetting.beyond(folder)
    if what is not None:
        raise VerificationError(
            "kerasae.serving loads models that compute and do nothing else, and not this one; "
            "verify=False writes it for other servers. Nothing was written. "
            f"Received: {what}"
        )


def _check_targets(also: Any) -> list[str]:
    """Return the formats asked for, once each, or raise if one cannot be written here."""
    targets = [also] if isinstance(also, str) else list(dict.fromkeys(also))
    for target in targets:
        if target not in formats.TARGETS:
            raise ValueError(
                f"also (--to) may name {' and '.join(map(repr, formats.TARGETS))}, beside the "
                f"SavedModel that is always written.{nearest(target, formats.TARGETS)} "
                f"Received: also={target!r}"
            )
        for package in formats.TARGETS[target][1]:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(
                    f'Writing {target} needs {package}; try: pip install "kerasae[{target}]". '
                    f"Received: also={target!r}"
                )
    return targets


def _write(ae: Autoencoder, folder: Path) -> dict[str, Endpoint]:
    """Write the SavedModel; return the traced function of each signature."""
    # Without `archive.track(ae)`, which would store every weight a second time; the variables
    # that the endpoints read are found without it.
    archive = keras.export.ExportArchive()
    endpoints = {
        name: archive.add_endpoint(name, function, specs)
        for name, (function, specs) in signatures.endpoints(ae).items()
    }
    # In notebooks TensorFlow's logger tells of each file, even of those in a temporary folder.
    with quiet("tensorflow"):
        archive.write_out(str(folder), verbose=False)
    return endpoints
