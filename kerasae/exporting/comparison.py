"""Comparison of an exported model with the model in Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from kerasae.exporting import signatures, verify
from kerasae.layers import UnitScale
from kerasae.models import Autoencoder

_BATCH = 257  # samples of the largest case: not a multiple of a vector width or thread count
_MEMORY = 2**26  # largest number of entries of its input
_ROUND_OFF = 1e-4  # relative difference of a score allowed for the sums of another runtime
_DRAWS = ((1, (0, 0)), (5, (20, -7)))  # count and seed of the calls of `generate` to compare
_RUNTIMES = {"savedmodel": "TensorFlow", "onnx": "ONNX Runtime", "litert": "LiteRT"}


class VerificationError(RuntimeError):
    """The exported model differs from the model in Python; nothing was written."""


def verified(
    ae: Autoencoder, endpoints: dict[str, Any], folder: Path, samples: Any, also: Sequence[str]
) -> dict[str, Any]:
    """Compare the SavedModel in `folder` with `ae`, and return the card's entry."""
    arrays = verify.answers(endpoints, _inputs(ae, samples))
    bad = [key for key, value in arrays.items() if value.dtype.kind == "f" and _lost(key, value)]
    if bad:
        case, signature, _, name = bad[0].split("/")
        raise VerificationError(
            f"The model must return finite numbers; {signature!r} returns {name!r} with NaN or "
            f"infinite values on the {case}. Nothing was written. Received: variant={ae.variant!r}"
        )
    arrays |= _ranks(ae, arrays)
    found = {name: _compared(name, folder, arrays) for name in ("savedmodel", *also)}
    for signature, operations in found["savedmodel"]["random_operations"].items():
        if operations and signature != "generate":
            raise VerificationError(
                f"Only 'generate' may draw random numbers, but {signature!r} does too; a layer of "
                "the model adds noise with training=False. Nothing was written. "
                f"Received: {', '.join(operations)}"
            )
    others = {name: found[name]["largest_difference"] for name in also}
    return {
        "largest_difference": found["savedmodel"]["largest_difference"],
        "allowed_difference": "1e-5 * max(1, largest magnitude of the output)",
        "inputs": "random" if samples is None else "real",
        "without": ["keras", "kerasae"],
        **({"also": others} if others else {}),
    }


def golden(ae: Autoencoder, endpoints: dict[str, Any], samples: Any) -> dict[str, Any]:
    """Return some samples with the outputs of every signature, for tests of a server."""
    calls = _calls(ae, "golden", np.asarray(ae.input_spec_.main(samples)[:8]))
    if ae.can_generate:
        calls.append(("golden", "generate", {"n": 4, "seed": (0, 0), **_one(ae)}))
    arrays = verify.answers(endpoints, calls)
    return {key.removeprefix("golden/"): value for key, value in arrays.items()}


def _compared(runtime: str, folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Run the exported model in a fresh process, and raise if its outputs differ."""
    try:
        found = verify.in_fresh_process(folder, arrays, runtime)
    except ChildProcessError as error:
        raise VerificationError(
            f"{_RUNTIMES[runtime]} alone cannot load and run the exported model; nothing was "
            f"written. Received: {error}"
        ) from error
    for signature, output, case, apart, allowed in found["failures"]:
        raise VerificationError(
            f"The exported model must agree with the model: {output!r} of {signature!r} differs "
            f"on the {case} by more than {allowed:.2g} in {_RUNTIMES[runtime]}; nothing was "
            f"written. Received: a difference of {apart:.3g}"
        )
    return found


def _lost(key: str, value: np.ndarray) -> bool:
    # Outputs on the extremes may overflow; they are compared nevertheless.
    return "/out/" in key and not key.startswith("extremes") and not np.isfinite(value).all()


def _ranks(ae: Autoencoder, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return allowed differences of p-values and decisions for scores that differ by round-off."""
    allowed: dict[str, np.ndarray] = {}
    known = ae.calibration
    if known is None or not signatures.detects(ae):
        return allowed
    for key, p in arrays.items():
        case, signature, side, name = key.split("/")
        if name != "p_value" or side != "out":
            continue
        call = f"{case}/{signature}"
        scores = arrays[f"{call}/out/anomaly_score"]
        # Round-off of a sum of squares of small differences.
        apart = _ROUND_OFF * np.abs(scores)
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = known.p_value(scores + apart), known.p_value(scores - apart)
        # Equal ranks may still be represented by different float32 values.
        allowed[f"{call}/allow/p_value"] = np.maximum(high - p, p - low) + verify.TOLERANCE
        rate = arrays.get(f"{call}/in/false_alarm_rate", known.false_alarm_rate)
        near = (low - verify.TOLERANCE <= rate) & (rate <= high + verify.TOLERANCE)
        allowed[f"{call}/allow/is_anomaly"] = near.astype("float64")
    return allowed


def _inputs(ae: Autoencoder, samples: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return case, signature and inputs of every call to compare."""
    calls: list[tuple[str, str, dict[str, Any]]] = []
    for case, x in _samples(ae, samples).items():
        calls += _calls(ae, case, x)
        if len(x) == 1:
            calls.append((case, "serving_default", {"x": x, **_further(ae, 1)}))
    if ae.can_generate:
        calls += [
            (f"seed {list(seed)}", "generate", {"n": n, "seed": seed, **_one(ae)})
            for n, seed in _DRAWS
        ]
    return [*calls, ("empty input", "info", {})]


def _calls(ae: Autoencoder, case: str, x: np.ndarray) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the calls of every signature that takes samples or codes."""
    further = _further(ae, len(x))
    inputs = {"x": x, **further}
    code = ops.cast(ae.pass_of(inputs).code, ae.code_dtype)
    calls: list[tuple[str, str, dict[str, Any]]] = [
        (case, name, inputs) for name in ("encode", "reconstruct", "score")
    ]
    calls.append((case, "decode", {"code": ops.convert_to_numpy(code), **further}))
    if signatures.detects(ae):
        rate = np.float32(0.5)
        calls.append((case, "detect", inputs))
        calls.append((case, "detect_at_rate", {**inputs, "false_alarm_rate": rate}))
    return calls


def _further(ae: Autoencoder, rows: int) -> dict[str, np.ndarray]:
    """Return random values of the inputs other than x, including unknown ones."""
    rng = np.random.default_rng(0)
    found = {}
    for name, field in ae.input_spec_.fields.items():
        if name == "x":
            continue
        shape = (rows, *field.shape)
        if field.classes is not None:
            found[name] = rng.integers(-1, field.classes, shape).astype(field.dtype)
        else:
            found[name] = rng.normal(size=shape).astype(field.dtype)
            found[name][1::4] = np.nan
    return found


def _one(ae: Autoencoder) -> dict[str, np.ndarray]:
    """Return the inputs other than x for `generate`, one value for all samples."""
    return {name: values[0] for name, values in _further(ae, 1).items()}


def _samples(ae: Autoencoder, samples: Any) -> dict[str, np.ndarray]:
    """Return the samples to compare on, by case: real ones if given, and extremes."""
    rng = np.random.default_rng(0)
    batch = max(2, min(_BATCH, _MEMORY // int(np.prod(ae.sample_shape))))
    if samples is not None:
        rows = np.asarray(ae.input_spec_.main(samples)[:batch])
        low, high = rows.min(axis=0), rows.max(axis=0)
    else:
        # The scaler defines the usual range of scaled units.
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
