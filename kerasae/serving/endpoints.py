"""Signatures of an exported version as the Open Inference Protocol describes them."""

import importlib.util
import math
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlserver.types import MetadataTensor

from kerasae.serving.runtimes import read_card
from kerasae.serving.served import Served
from kerasae.serving.sources import SUFFIXES

# Datatypes of the protocol, and bytes of a number, by the dtypes that exports use.
DATATYPES = {
    "float32": "FP32",
    "uint8": "UINT8",
    "bool": "BOOL",
    "int32": "INT32",
    "int64": "INT64",
}
_BYTES = {"FP32": 4, "UINT8": 1, "BOOL": 1, "INT32": 4, "INT64": 8}
# Samples of one request to `generate`, which makes all of them in one call: the activations
# between its layers may be much larger than its answer.
_MOST_GENERATED = 1024
# Bytes of an answer that are kept for names, shapes and the id of the request.
_FRAME = 1024
_in_memory = weakref.WeakValueDictionary[tuple[str, str, int], Served]()
_lock = threading.Lock()


@dataclass(frozen=True)
class Endpoint:
    """A signature of a version.

    Attributes:
        signature: Its name.
        runtime: `"tensorflow"` or `"onnx"`.
        lazy: Whether the runtime is loaded at the first request.
        inputs: Its inputs; a size of -1 is the batch.
        outputs: Its outputs.
    """

    signature: str
    runtime: str
    lazy: bool
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]

    @property
    def batched(self) -> bool:
        """Whether all inputs have a batch, so that requests may be answered together."""
        return all(tensor.shape[0] == -1 for tensor in self.inputs)

    def most(self, limit: int) -> int:
        """Return how many samples have an answer of at most `limit` bytes, as raw numbers."""
        sample = sum(_BYTES[t.datatype] * math.prod(t.shape[1:]) for t in self.outputs)
        most = max(0, limit - _FRAME) // max(1, sample)
        return min(most, _MOST_GENERATED) if self.signature == "generate" else most


def read(folder: Path, runtime: str) -> dict[str, Endpoint]:
    """Return the signatures of a version by name, as its card describes them.

    Args:
        folder: The version folder.
        runtime: `"tensorflow"`, `"onnx"`, or `"auto"`, which takes ONNX Runtime where it is
            installed and the version has its files, and then TensorFlow for `generate`.

    Raises:
        ValueError: The card cannot be read, or a file that it names is missing.
    """
    card = read_card(folder)
    onnx = folder / "onnx"
    chosen = runtime
    if runtime == "auto":
        has_onnx = _installed("onnxruntime") and (onnx / "reconstruct.onnx").is_file()
        chosen = "onnx" if has_onnx else "tensorflow"
    has_tensorflow = _installed("tensorflow") and (folder / "saved_model.pb").is_file()
    found = {}
    for signature in SUFFIXES:
        described = _described(folder, card, signature)
        # ONNX has no random numbers.
        lazy = signature == "generate" and chosen == "onnx"
        if described is None or (lazy and not (runtime == "auto" and has_tensorflow)):
            continue
        if chosen == "onnx" and not lazy and not (onnx / f"{signature}.onnx").is_file():
            raise ValueError(
                f"The version has no ONNX file of {signature!r}, which its card names; export it "
                'with also=["onnx"], or on the command line with --to onnx. '
                f"Received: path={str(folder)!r}"
            )
        needed = "tensorflow" if lazy else chosen
        found[signature] = Endpoint(signature, needed, lazy, *described)
    return found


def acquire(folder: Path, endpoint: Endpoint) -> Served:
    """Return a version in memory, which all of its signatures share.

    Raises:
        ValueError: It cannot be loaded, or lacks the signature.
    """
    # The folder may have taken the place of another one whose model is still in memory.
    key = (str(folder), endpoint.runtime, folder.stat().st_ctime_ns)
    with _lock:
        served = _in_memory.get(key)
        if served is None:
            served = _in_memory[key] = Served(folder, endpoint.runtime)
    if endpoint.signature not in served.signatures:
        raise ValueError(
            f"The version lacks the signature {endpoint.signature!r} that its card names. "
            f"Received: path={str(folder)!r}"
        )
    return served


def _described(
    folder: Path, card: dict[str, Any], signature: str
) -> list[list[MetadataTensor]] | None:
    """Return the inputs and the outputs of a signature; None if the version has none."""
    try:
        if signature not in card["signatures"]:
            return None
        sides = [
            [_tensor(name, spec["shape"], spec["dtype"]) for name, spec in tensors.items()]
            for tensors in (card["signatures"][signature][side] for side in ("inputs", "outputs"))
        ]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"card.json lacks inputs or outputs of {signature!r} with a shape and a known "
            f"dtype. Received: path={str(folder)!r}"
        ) from error
    if signature == "generate":
        # One whole number each, as `Served.generate` takes them.
        further = [tensor for tensor in sides[0] if tensor.name not in ("n", "seed")]
        sides[0] = [*(_tensor(name, [1], "int64") for name in ("n", "seed")), *further]
    return sides


def _tensor(name: str, shape: list[int | None], dtype: str) -> MetadataTensor:
    # The protocol has no tensors without dimensions.
    sizes = [-1 if size is None else int(size) for size in shape] or [1]
    return MetadataTensor(name=name, datatype=DATATYPES[dtype], shape=sizes)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
