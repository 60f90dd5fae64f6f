"""From an autoencoder to a SavedModel that TensorFlow alone serves, checked before it counts."""

import itertools
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import _card, _signatures, _verify
from kerasae.layers import UnitScale
from kerasae.models import Autoencoder, _checks
from kerasae.serving import versions

_BATCH = 257  # of the largest case: no multiple of a vector's or a thread's share
_MEMORY = 2**26  # entries of its input at most
_DRAWS = ((1, (0, 0)), (5, (20, -7)))  # count and seed of what `generate` is compared on

Endpoint = Any  # a tf.function from tensors to a dictionary of tensors


class VerificationError(RuntimeError):
    """The exported model does not say the same as the model in Python; nothing was written."""


def export(
    ae: Autoencoder,
    path: Any,
    *,
    samples: Any = None,
    verify: bool = True,
    metrics: Mapping[str, Any] | None = None,
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
    `card.json` and a model card, `README.md`, lie beside `saved_model.pb`; TensorFlow and
    TensorFlow Serving pass over files that they do not know.

    The version folder appears under its number only when it is complete and verified. A
    failure leaves nothing behind, and earlier versions are never touched.

    Args:
        ae: A trained autoencoder, on the TensorFlow backend.
        path: Folder of the versions; made if it does not exist.
        samples: Array `(samples, *input_shape)` of real samples in raw units, to verify on;
            the first 257 are used. None draws them in the range of the scaler.
        verify: Load the result in a fresh Python process without Keras and kerasae, and
            compare every signature on the samples in one batch of 257 and one of 1 and on the
            extremes of their range. An output may differ by 1e-5 times its largest magnitude,
            or by 1e-5 where that is below 1.
        metrics: Numbers for the card, such as a run's `metrics.json`; may be nested.

    Returns:
        The version folder, `path/1` for the first.

    Raises:
        ValueError: An argument does not fit, or the backend is not TensorFlow.
        VerificationError: The SavedModel says something else than `ae`, or cannot be loaded.

    Example:
    >>> import kerasae, tempfile
    >>> ae = kerasae.build("undercomplete", input_shape=(4,), latent_dim=2)
    >>> kerasae.export(ae, tempfile.mkdtemp()).name
    '1'
    """
    path = Path(path)
    _check(ae, path, samples)
    made = [p for p in (path, *path.parents) if not p.exists()]
    # Beside the versions, so that the rename stays on one file system. A server looks at
    # numbers only.
    folder = path / f".incoming-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True)
        endpoints = _write(ae, folder)
        verification = _verified(ae, endpoints, folder, samples) if verify else None
        card = _card.card(ae, _signatures.describe(ae), endpoints, verification, metrics)
        text = json.dumps(card, indent=2, allow_nan=False) + "\n"
        (folder / "card.json").write_text(text, encoding="utf-8")
        (folder / "README.md").write_text(_card.model_card(card), encoding="utf-8")
        return _publish(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
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
    if path.exists() and not path.is_dir():
        raise ValueError(f"path must be a folder, not a file. Received: path={str(path)!r}")
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
        _checks.check_data(ae, samples, name="samples")


def _write(ae: Autoencoder, folder: Path) -> dict[str, Endpoint]:
    """Write the SavedModel; return the traced function of each signature."""
    # Without `archive.track(ae)`, which would store every weight a second time; the variables
    # that the endpoints read are found without it.
    archive = keras.export.ExportArchive()
    endpoints = {
        name: archive.add_endpoint(name, function, specs)
        for name, (function, specs) in _signatures.endpoints(ae).items()
    }
    archive.write_out(str(folder), verbose=False)
    return endpoints


# Verification -----------------------------------------------------------------------------


def _verified(
    ae: Autoencoder, endpoints: dict[str, Endpoint], folder: Path, samples: Any
) -> dict[str, Any]:
    """Compare the SavedModel in `folder` with `ae`; return what the card says of it."""
    arrays = _verify.answers(endpoints, _inputs(ae, samples))
    bad = [key for key, value in arrays.items() if value.dtype.kind == "f" and _lost(key, value)]
    if bad:
        case, signature, _, name = bad[0].split("/")
        raise VerificationError(
            f"The model must answer with finite numbers; {signature!r} gives {name!r} with NaN or "
            f"infinite values on the {case}. Nothing was written. Received: variant={ae.variant!r}"
        )
    try:
        found = _verify.in_fresh_process(folder, {**arrays, **_ranks(ae, arrays)})
    except ChildProcessError as error:
        raise VerificationError(
            "TensorFlow alone cannot load and run the exported model; nothing was written. "
            f"Received: {error}"
        ) from error
    for signature, operations in found["random_operations"].items():
        if operations and signature != "generate":
            raise VerificationError(
                f"Only 'generate' may draw random numbers, and {signature!r} does; a layer of the "
                "model is noisy with training=False. Nothing was written. "
                f"Received: {', '.join(operations)}"
            )
    for signature, output, case, apart, allowed in found["failures"]:
        raise VerificationError(
            f"The exported model must say the same as the model: {signature!r} differs in "
            f"{output!r} on the {case} by more than {allowed:.2g}; nothing was written. "
            f"Received: a difference of {apart:.3g}"
        )
    return {
        "largest_difference": found["largest_difference"],
        "allowed_difference": "1e-5 * max(1, largest magnitude of the output)",
        "inputs": "random" if samples is None else "real",
        "without": ["keras", "kerasae"],
    }


def _lost(key: str, value: np.ndarray) -> bool:
    # Extremes may overflow; they are compared all the same.
    return "/out/" in key and not key.startswith("extremes") and not np.isfinite(value).all()


def _ranks(ae: Autoencoder, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what p-values may differ by: one rank, where two scores differ by round-off only."""
    allowed = {}
    if _signatures.detects(ae):
        rank = 1.5 / (ae.calibration.n + 1)  # type: ignore[union-attr]
        for key in arrays:
            case, signature, side, name = key.split("/")
            if name != "p_value" or side != "out":
                continue
            call = f"{case}/{signature}"
            given = arrays.get(f"{call}/in/false_alarm_rate", ae.calibration.false_alarm_rate)  # type: ignore[union-attr]
            allowed[f"{call}/allow/p_value"] = np.full(len(arrays[key]), rank)
            near = np.abs(arrays[key] - given) <= rank
            allowed[f"{call}/allow/is_anomaly"] = near.astype("float64")
    return allowed


def _inputs(ae: Autoencoder, samples: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return case, signature and inputs of every call to compare on."""
    calls: list[tuple[str, str, dict[str, Any]]] = []
    for case, x in _samples(ae, samples).items():
        calls += [(case, name, {"x": x}) for name in ("encode", "reconstruct", "score")]
        code = ops.cast(ae.encoder(x, training=False), "float32")
        calls.append((case, "decode", {"code": ops.convert_to_numpy(code)}))
        if len(x) == 1:
            calls.append((case, "serving_default", {"x": x}))
        if _signatures.detects(ae):
            rate = np.float32(0.5)
            calls.append((case, "detect", {"x": x}))
            calls.append((case, "detect_at_rate", {"x": x, "false_alarm_rate": rate}))
    if ae.can_generate:
        calls += [(f"seed {list(s)}", "generate", {"n": n, "seed": s}) for n, s in _DRAWS]
    return [*calls, ("empty input", "info", {})]


def _samples(ae: Autoencoder, samples: Any) -> dict[str, np.ndarray]:
    """Return the samples to compare on by case: real ones if given, and the edges."""
    rng = np.random.default_rng(0)
    batch = max(2, min(_BATCH, _MEMORY // int(np.prod(ae.sample_shape))))
    if samples is not None:
        rows = np.asarray(samples[:batch])
        low, high = rows.min(axis=0), rows.max(axis=0)
    else:
        # In scaled units, where the scaler tells what is usual.
        low, high = (
            np.full(ae.sample_shape, bound, "float32")
            for bound in ((0, 1) if isinstance(ae.scaler, UnitScale) else (-3, 3))
        )
        if ae.scaler is not None:
            low, high = (np.asarray(ae.scaler.inverse(bound[None]))[0] for bound in (low, high))
        low, high = np.minimum(low, high), np.maximum(low, high)
        rows = rng.uniform(low, high, size=(batch, *ae.sample_shape))
    if ae.input_dtype_name == "uint8":
        low, high = np.zeros(ae.sample_shape), np.full(ae.sample_shape, 255)
    mixed = rng.random(ae.sample_shape) < 0.5
    extremes = [low, high, np.where(mixed, low, high), np.where(mixed, high, low)]
    return {
        f"batch of {batch}": rows[np.arange(batch) % len(rows)].astype(ae.input_dtype_name),
        "batch of 1": rows[:1].astype(ae.input_dtype_name),
        "extremes of the range": np.stack(extremes).astype(ae.input_dtype_name),
    }


def _publish(folder: Path, path: Path) -> Path:
    """Give the complete folder its number, in one step."""
    for number in itertools.count(max(versions(path), default=0) + 1):
        target = path / str(number)
        if target.exists():
            continue
        try:
            os.rename(folder, target)
        except OSError:
            # Another export took the number in between.
            if target.exists():
                continue
            raise
        return target
    raise AssertionError("unreachable")
