"""Signatures of an exported model, as TensorFlow functions over an autoencoder's parts."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from keras import ops

import kerasae
from kerasae import losses
from kerasae.anomaly import ROUND_OFF
from kerasae.models import Autoencoder


def endpoints(
    ae: Autoencoder, portable: bool = False
) -> dict[str, tuple[Callable[..., Any], list[Any]]]:
    """Return each signature's function and the specs of its inputs.

    Args:
        ae: The model.
        portable: Whether to return only the signatures that runtimes other than TensorFlow
            support, without `generate` and `info`.
    """
    import tensorflow as tf

    names = list(ae.input_spec_.fields)

    def pass_of(values: Any) -> Any:
        return ae.pass_of(dict(zip(names, values, strict=True)))

    def float32(value: Any) -> Any:
        return ops.cast(value, "float32")

    def reconstruct(*inputs: Any) -> dict[str, Any]:
        return {"reconstruction": float32(ae.finish(pass_of(inputs).decoded))}

    def encode(*inputs: Any) -> dict[str, Any]:
        return {"code": ops.cast(pass_of(inputs).code, ae.code_dtype)}

    def decode(code: Any, *further: Any) -> dict[str, Any]:
        given = {"code": code, **dict(zip(names[1:], further, strict=True))} if further else code
        return {"reconstruction": float32(ae.decoder(given, training=False))}

    def score(*inputs: Any) -> dict[str, Any]:
        found = pass_of(inputs)
        outputs = {"score": ae.errors(found)}
        if isinstance(ae.reconstruction_loss, losses.ReconstructionLoss):
            outputs["feature_scores"] = ae.feature_errors(found)
        return outputs

    def detect_at_rate(*inputs: Any) -> dict[str, Any]:
        *given, rate = inputs
        scores = score(*given)["score"]
        return {"anomaly_score": scores, **_judged(ae.calibration, scores, rate, portable)}

    def detect(*inputs: Any) -> dict[str, Any]:
        return detect_at_rate(*inputs, ae.calibration.false_alarm_rate)  # type: ignore[union-attr]

    def generate(n: Any, seed: Any, *further: Any) -> dict[str, Any]:
        # Philox gives the same numbers on every device and as Autoencoder.generate, where the
        # second draw has the next seed of a SeedGenerator.
        source: Any = ae.code_distribution
        normal = tf.random.stateless_normal((n, ae.latent_dim), seed, alg="philox")
        shape = (n, source.uniforms(ae.latent_dim))
        uniform = tf.random.stateless_uniform(shape, tf.add(seed, [0, 1]), alg="philox")
        repeated = [tf.repeat(value[None], n, axis=0) for value in further]
        code = source.draw(normal, uniform)
        return {"samples": decode(code, *repeated)["reconstruction"]}

    description = json.dumps(describe(ae))

    def info() -> dict[str, Any]:
        return {"info": tf.constant(description)}

    x = [
        tf.TensorSpec((None, *field.shape), field.dtype, name=name)
        for name, field in ae.input_spec_.fields.items()
    ]
    code = tf.TensorSpec((None, *ae.code_shape), ae.code_dtype, name="code")
    n, seed = tf.TensorSpec((), "int32", name="n"), tf.TensorSpec((2,), "int32", name="seed")
    # One condition for all generated samples.
    further = [
        tf.TensorSpec(field.shape, field.dtype, name=name)
        for name, field in ae.input_spec_.fields.items()
        if name != "x"
    ]
    # The first signature becomes `serving_default`.
    found: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        "reconstruct": (reconstruct, x),
        "encode": (encode, x),
        "decode": (decode, [code, *x[1:]]),
        "score": (score, x),
    }
    if detects(ae):
        rate = tf.TensorSpec((), "float32", name="false_alarm_rate")
        found["detect"] = (detect, x)
        found["detect_at_rate"] = (detect_at_rate, [*x, rate])
    if portable:
        return found
    if ae.can_generate:
        found["generate"] = (generate, [n, seed, *further])
    return {**found, "info": (info, [])}


def detects(ae: Autoencoder) -> bool:
    # A calibration on time steps of long series does not apply to single windows.
    return ae.calibration is not None and ae.calibration.stride is None


def _judged(calibration: Any, scores: Any, rate: Any, portable: bool) -> dict[str, Any]:
    """Return p-values and decisions in the graph, equal to those of `Calibration`."""
    import tensorflow as tf

    count = calibration.n
    known = tf.constant(calibration.scores)
    lowered = scores - ROUND_OFF * tf.abs(scores)
    # Infinite and NaN scores count as most abnormal. (The conversion to ONNX loses infinite
    # constants.)
    most = tf.float32.max
    lowered = tf.where(scores < most, lowered, tf.fill(tf.shape(scores), most))
    if portable:  # only TensorFlow has searchsorted
        as_bad = count - _search(known, lowered)
    else:
        as_bad = count - tf.searchsorted(known, lowered, side="left")
    kind = "float32" if portable else "float64"
    allowed = tf.cast(tf.floor((count + 1) * tf.cast(rate, kind) + 1e-3), "int32")
    return {
        "p_value": tf.cast(1 + as_bad, "float32") / (count + 1),
        # Compares counts, since the rate rounds differently in different precisions.
        "is_anomaly": 1 + as_bad <= allowed,
    }


def _search(known: Any, values: Any) -> Any:
    """Return how many of the sorted `known` are below each value, by binary search."""
    import tensorflow as tf

    count = int(known.shape[0])
    below = tf.zeros_like(values, "int32")
    for bit in reversed(range(count.bit_length())):
        more = below + 2**bit
        last = tf.gather(known, tf.minimum(more, count) - 1)
        below = tf.where(tf.logical_and(more <= count, last < values), more, below)
    return below


def describe(ae: Autoencoder) -> dict[str, Any]:
    known = ae.calibration
    calibration = None
    if known is not None:
        names = ("false_alarm_rate", "threshold", "n", "stride")
        calibration = {name: getattr(known, name) for name in names}
    return {
        "name": ae.name,
        "variant": ae.variant,
        "kerasae_version": kerasae.__version__,
        "input_shape": list(ae.sample_shape),
        "input_dtype": ae.input_dtype_name,
        "latent_dim": ae.latent_dim,
        "code_shape": list(ae.code_shape),
        "code_dtype": ae.code_dtype,
        "code_size": ae.code_size,
        "further_inputs": {
            name: dataclasses.asdict(field) | {"unknown": str(field.unknown)}
            for name, field in ae.input_spec_.fields.items()
            if name != "x"
        },
        "loss": type(ae.reconstruction_loss).__name__,
        "can_generate": ae.can_generate,
        "sampler": None if ae.sampler is None else ae.sampler.kind,
        "calibration": calibration,
    }
