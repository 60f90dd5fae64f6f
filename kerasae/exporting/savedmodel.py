"""Export of an autoencoder to a verified SavedModel that needs only TensorFlow."""

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
    """Write a SavedModel with named signatures as the next version in `path`.

    The model takes and returns raw units, for any batch size, with float32 outputs. Loading it
    requires neither Keras nor kerasae. Only `generate` draws random numbers.

    | signature | inputs | outputs |
    |---|---|---|
    | `reconstruct`, also `serving_default` | `x` | `reconstruction` |
    | `encode` | `x` | `code` |
    | `decode` | `code` | `reconstruction` |
    | `score` | `x` | `score` `(batch,)`, `feature_scores` shaped like `x` |
    | `detect`, for calibrated models | `x` | `anomaly_score`, `p_value`, `is_anomaly` |
    | `detect_at_rate`, for calibrated models | `x`, `false_alarm_rate` (one number) | the same |
    | `generate`, with a prior or a sampler | `n`, `seed` (two numbers), int32 | `samples` |
    | `info` | none | `info`, a JSON string |

    `feature_scores` exists if the loss has a value per feature, as all of kerasae's losses do.
    Next to `saved_model.pb` are `card.json`, the model card `README.md` and, if `samples` are
    given, `golden.npz`: eight samples with the outputs of every signature, as
    `SIGNATURE/in/NAME` and `SIGNATURE/out/NAME`, for testing a server. TensorFlow and
    TensorFlow Serving ignore files that they do not know.

    The version folder appears under its number only when it is complete and verified. A
    failure leaves nothing behind, and earlier versions are never modified. Verification rejects
    operations that do more than compute, such as file operations, which `Served` does not load.

    Args:
        ae: A trained autoencoder, on the TensorFlow backend.
        path: Folder of the versions; created if it does not exist.
        also: Further formats to write: `"onnx"` (one file per signature in `onnx/`, for ONNX
            Runtime) and `"litert"` (`model.tflite`, for mobile and embedded devices). They do
            not include `generate`. Each requires the extra of the same name:
            `pip install "kerasae[onnx]"`.
        samples: Array `(samples, *input_shape)` of real samples in raw units, to verify on;
            the first 257 are used. None draws samples in the range of the scaler.
        verify: Whether to load the result in a fresh Python process without Keras and kerasae,
            and compare every signature on the samples, in one batch of 257 and one of 1, and on
            the extremes of their range. The other formats are verified in the same way, each
            with only its own runtime. An output may differ by 1e-5 times its largest magnitude,
            or by 1e-5 if that is below 1.
        metrics: Figures for the card, such as a run's `metrics.json`; may be nested.
        training: Description of the training for the card, in addition to the options of
            `kerasae.build`: data, epochs, the command.

    Returns:
        The version folder, `path/1` for the first.

    Raises:
        ValueError: If an argument is invalid, or the backend is not TensorFlow.
        VerificationError: If the SavedModel does not agree with `ae`, cannot be loaded, or
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
        # Hidden next to the versions, since servers consider only numbered folders.
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
            "export requires the TensorFlow backend; call ae.save('model.keras'), then load and "
            "export that file in a process with KERAS_BACKEND=tensorflow. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    if not getattr(ae.scaler, "adapted", True):
        raise ValueError(
            "ae must be trained before it is exported: its scaler is not adapted. "
            f"Received: scaler={type(ae.scaler).__name__} before fit"
        )
    there = next(p for p in (path, *path.parents) if p.exists())
    if not there.is_dir():
        raise ValueError(
            f"path must be a folder, not a file or inside one. Received: path={str(path)!r}"
        )
    if (path / "saved_model.pb").exists():
        raise ValueError(
            "path must be the folder that contains the versions, not a version. "
            f"Received: path={str(path)!r}, which contains a saved_model.pb"
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
            "kerasae.serving cannot load this model, since it does more than compute; set "
            "verify=False to export it for other servers. Nothing was written. "
            f"Received: {what}"
        )


def _check_targets(also: Any) -> list[str]:
    """Return the requested formats without duplicates, or raise if one cannot be written."""
    targets = [also] if isinstance(also, str) else list(dict.fromkeys(also))
    for target in targets:
        if target not in formats.TARGETS:
            raise ValueError(
                f"also (--to) may contain {' and '.join(map(repr, formats.TARGETS))}; a SavedModel "
                f"is always written.{nearest(target, formats.TARGETS)} "
                f"Received: also={target!r}"
            )
        for package in formats.TARGETS[target][1]:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(
                    f'Writing {target} requires {package}: pip install "kerasae[{target}]". '
                    f"Received: also={target!r}"
                )
    return targets


def _write(ae: Autoencoder, folder: Path) -> dict[str, Endpoint]:
    """Write the SavedModel, and return the traced function of each signature."""
    # `archive.track(ae)` would store every weight twice; the variables that the endpoints read
    # are found without it.
    archive = keras.export.ExportArchive()
    endpoints = {
        name: archive.add_endpoint(name, function, specs)
        for name, (function, specs) in signatures.endpoints(ae).items()
    }
    # In notebooks, TensorFlow logs every written file, even those in a temporary folder.
    with quiet("tensorflow"):
        archive.write_out(str(folder), verbose=False)
    return endpoints
