"""Verification of an exported model in a process without Keras and kerasae.

`answers` and `in_fresh_process` are for `kerasae.exporting`. The latter runs this file as a
script, in a process in which Keras and kerasae cannot be imported, to prove that the SavedModel
requires only TensorFlow:

    python -P verify.py FOLDER CASES.npz RESULT.json RUNTIME

`CASES.npz` contains arrays named `CASE/SIGNATURE/in/NAME` and `CASE/SIGNATURE/out/NAME`. This
file must not import kerasae.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-5


def answers(
    endpoints: Mapping[str, Any], calls: Iterable[tuple[str, str, dict[str, Any]]]
) -> dict[str, np.ndarray]:
    """Return inputs and outputs of the functions, named as in the file of cases.

    Args:
        endpoints: The traced function of each signature, before it was saved.
        calls: Case, signature and inputs by name of each call.
    """
    import tensorflow as tf

    arrays: dict[str, np.ndarray] = {}
    for case, signature, inputs in calls:
        function = endpoints["reconstruct" if signature == "serving_default" else signature]
        specs = function.input_signature
        tensors = [tf.constant(inputs[spec.name], spec.dtype) for spec in specs]
        # On the CPU, like the other process, since a GPU may round to TensorFloat-32.
        with tf.device("/CPU:0"):
            outputs = {name: np.asarray(value) for name, value in function(*tensors).items()}
        for spec, tensor in zip(specs, tensors, strict=True):
            arrays[f"{case}/{signature}/in/{spec.name}"] = tensor.numpy()
        for name, value in outputs.items():
            # Without pickle, a file can store only strings of fixed length.
            fixed = value.astype("S") if value.dtype == object else value
            arrays[f"{case}/{signature}/out/{name}"] = fixed
    return arrays


def in_fresh_process(
    folder: Path, arrays: dict[str, Any], runtime: str = "savedmodel"
) -> dict[str, Any]:
    """Run `verify` in a process without Keras and kerasae, and with TensorFlow only if needed.

    Raises:
        ChildProcessError: If the model cannot be loaded or run; the message gives the reason.
    """
    with tempfile.TemporaryDirectory() as scratch:
        cases, result = Path(scratch, "cases.npz"), Path(scratch, "result.json")
        np.savez(cases, **arrays)
        # -P keeps this file's folder off sys.path, where its modules could shadow others.
        process = subprocess.run(
            [
                sys.executable,
                "-P",
                "-W",
                "ignore",
                __file__,
                str(folder),
                str(cases),
                str(result),
                runtime,
            ],
            # On the CPU, since the exporting process may hold all of the GPU's memory.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if process.returncode or not result.exists():
            lines = process.stderr.decode(errors="replace").strip().splitlines()
            status = f"exit status {process.returncode}"
            raise ChildProcessError(lines[-1] if lines else status)
        return json.loads(result.read_text(encoding="utf-8"))


def block_imports(runtime: str) -> None:
    """Make `import keras` and `import kerasae` fail, so that TensorFlow runs without Keras.

    For other runtimes, TensorFlow is blocked too.
    """
    for name in ("keras", "kerasae", *(["tensorflow"] if runtime != "savedmodel" else [])):
        # Python's import system treats None as "not found". A finder that raises would break
        # TensorFlow, which looks for Keras when it is imported.
        sys.modules[name] = None  # type: ignore[assignment]


def operations(function: Any) -> set[str]:
    """Return the types of all operations of a concrete function, including called functions."""
    graph = function.graph.as_graph_def()
    library = {f.signature.name: f for f in graph.library.function}
    types: set[str] = set()
    seen: set[str] = set()
    pending = [graph.node]
    while pending:
        for node in pending.pop():
            types.add(node.op)
            called = {node.op}
            for value in node.attr.values():
                called |= {value.func.name, *(f.name for f in value.list.func)}
            for name in (called & library.keys()) - seen:
                seen.add(name)
                pending.append(library[name].node_def)
    return types - library.keys()


def random_operations(function: Any) -> list[str]:
    """Return the types of the operations that draw random numbers."""
    words = ("Random", "Multinomial", "TruncatedNormal", "RngBitGenerator", "Rng")
    return sorted(op for op in operations(function) if any(word in op for word in words))


def difference(
    expected: np.ndarray, received: np.ndarray, ignored: np.ndarray | float = 0.0
) -> tuple[float, float]:
    """Return the largest absolute difference above `ignored`, and the largest allowed one.

    The allowed difference is `TOLERANCE` times the largest expected magnitude, or times 1 if
    that is smaller. Equal infinities, and NaN on both sides, do not differ.
    """
    if expected.dtype.kind == "S":
        return (0.0 if np.array_equal(expected, received.astype("S")) else float("inf")), 0.0
    if expected.shape != received.shape:
        return float("inf"), TOLERANCE
    expected, received = expected.astype("float64"), received.astype("float64")
    finite = np.isfinite(expected)
    allowed = TOLERANCE * max(1.0, float(np.abs(expected[finite]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        apart = np.abs(expected - received)
    same = (expected == received) | (np.isnan(expected) & np.isnan(received))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    apart = np.where(apart <= ignored, 0.0, apart)
    return float(apart.max(initial=0.0)), allowed


def _saved_model(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return each signature as a function of arrays, and information on the model."""
    import tensorflow as tf

    model = tf.saved_model.load(folder)

    def call(function: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: np.asarray(value.numpy()) for name, value in outputs.items()}

    signatures = {name: functools.partial(call, f) for name, f in model.signatures.items()}
    drawing = {name: random_operations(f) for name, f in model.signatures.items()}
    return signatures, {"random_operations": drawing, "tensorflow": tf.__version__}


def _onnx(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    import onnxruntime

    def call(file: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))

    files = Path(folder, "onnx").glob("*.onnx")
    signatures = {file.stem: functools.partial(call, str(file)) for file in files}
    return signatures, {"onnxruntime": onnxruntime.__version__}


def _litert(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from importlib import metadata

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(Path(folder, "model.tflite")))

    def call(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return interpreter.get_signature_runner(name)(**inputs)

    signatures = {name: functools.partial(call, name) for name in interpreter.get_signature_list()}
    return signatures, {"ai_edge_litert": metadata.version("ai-edge-litert")}


_RUNTIMES = {"savedmodel": _saved_model, "onnx": _onnx, "litert": _litert}


def verify(folder: str, cases: Any, runtime: str = "savedmodel") -> dict[str, Any]:
    """Load the exported model and compare its outputs; return a JSON-serializable dictionary."""
    signatures, known = _RUNTIMES[runtime](folder)
    calls: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
    for key in cases:
        case, signature, side, name = key.split("/")
        if signature in signatures or runtime == "savedmodel":
            call = calls.setdefault((case, signature), {"in": {}, "out": {}, "allow": {}})
            call[side][name] = cases[key]

    largest: dict[str, float] = {}
    failures = []
    for (case, signature), call in calls.items():
        outputs = signatures[signature](call["in"])
        if outputs.keys() != call["out"].keys():
            raise ValueError(f"{signature} returns {sorted(outputs)}")
        for name, expected in call["out"].items():
            apart, allowed = difference(
                expected, np.asarray(outputs[name]), call["allow"].get(name, 0.0)
            )
            largest[signature] = max(largest.get(signature, 0.0), apart)
            if not apart <= allowed:
                failures.append([signature, name, case, apart, allowed])
    return {
        "largest_difference": largest,
        "failures": failures,
        **known,
        "imported": [name for name in ("keras", "kerasae") if sys.modules.get(name) is not None],
    }


def main(folder: str, cases: str, result: str, runtime: str) -> None:
    block_imports(runtime)
    with np.load(cases) as arrays:
        answer = verify(folder, arrays, runtime)
    with open(result, "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
