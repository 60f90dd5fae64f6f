"""Export to ONNX and LiteRT."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from kerasae.exporting import signatures
from kerasae.exporting._logging import quiet
from kerasae.models import Autoencoder

# Version of the ONNX operator set, from 2022, which current runtimes support.
_OPSET = 17


def to_onnx(ae: Autoencoder, folder: Path) -> None:
    """Write `onnx/NAME.onnx` in `folder` for every signature that draws no random numbers."""
    import tensorflow as tf
    import tf2onnx

    target = folder / "onnx"
    target.mkdir()
    handlers: dict[str, Any] = {"Log1p": (_log1p, [])}
    for name, (function, specs) in signatures.endpoints(ae, portable=True).items():
        traced = tf.function(function, input_signature=specs)
        with quiet("tf2onnx"):
            tf2onnx.convert.from_function(
                traced,
                input_signature=specs,
                opset=_OPSET,
                custom_op_handlers=handlers,
                output_path=str(target / f"{name}.onnx"),
            )


def to_litert(ae: Autoencoder, folder: Path) -> None:
    """Write `model.tflite` with every signature that draws no random numbers."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch, quiet("absl"):
        archive = keras.export.ExportArchive()
        endpoints = signatures.endpoints(ae, portable=True)
        for name, (function, specs) in endpoints.items():
            archive.add_endpoint(name, function, specs)
        archive.write_out(scratch, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[*endpoints])
        (folder / "model.tflite").write_bytes(converter.convert())


# Maps a format to its writer, and to the packages that writing and verification require.
TARGETS: dict[str, tuple[Callable[[Autoencoder, Path], None], tuple[str, ...]]] = {
    "onnx": (to_onnx, ("tf2onnx", "onnxruntime")),
    "litert": (to_litert, ("ai_edge_litert",)),
}


def _log1p(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write log1p(x), which ONNX lacks, as log(1 + x); close enough for x = exp(-|logit|)."""
    import numpy as np

    one = ctx.make_const(f"{name}_one", np.array(1, "float32")).output[0]
    plus = ctx.make_node("Add", [node.input[0], one], name=f"{name}_plus").output[0]
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    ctx.remove_node(node.name)
    ctx.make_node("Log", [plus], outputs=node.output, name=name, shapes=[shape], dtypes=[dtype])
