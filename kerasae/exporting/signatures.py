"""The signatures of an exported model: functions of TensorFlow over an autoencoder's parts."""

import json
from collections.abc import Callable
from typing import Any

from keras import ops

import kerasae
from kerasae import losses
from kerasae.anomaly import ROUND_OFF
from kerasae.models import Autoencoder
from kerasae.models._parts import compared
from kerasae.models._parts import score as errors


def endpoints(
    ae: Autoencoder, portable: bool = False
) -> dict[str, tuple[Callable[..., Any], list[Any]]]:
    """Return each signature's function and the specs of its inputs.

    Args:
        ae: The model.
        portable: Only what other runtimes than TensorFlow can do, which leaves out `generate`
            and `info`.
    """
    import tensorflow as tf

    def float32(value: Any) -> Any:
        return ops.cast(value, "float32")

    def reconstruct(x: Any) -> dict[str, Any]:
        return {"reconstruction": float32(ae(x, training=False))}

    def encode(x: Any) -> dict[str, Any]:
        return {"code": float32(ae.encoder(x, training=False))}

    def decode(code: Any) -> dict[str, Any]:
        return {"reconstruction": float32(ae.decoder(code, training=False))}

    def score(x: Any) -> dict[str, Any]:
        target, decoded = compared(ae, x)
        outputs = {"score": errors(ae, target, decoded)}
        if isinstance(ae.reconstruction_loss, losses.ReconstructionLoss):
            outputs["feature_scores"] = ae.reconstruction_loss.error(target, decoded)
        return outputs

    def detect_at_rate(x: Any, false_alarm_rate: Any) -> dict[str, Any]:
        scores = score(x)["score"]
        return {
            "anomaly_score": scores,
            **_judged(ae.calibration, scores, false_alarm_rate, portable),
        }

    def detect(x: Any) -> dict[str, Any]:
        return detect_at_rate(x, ae.calibration.false_alarm_rate)  # type: ignore[union-attr]

    def generate(n: Any, seed: Any) -> dict[str, Any]:
        # Philox gives the same numbers on every device, and those of Autoencoder.generate.
        code = tf.random.stateless_normal((n, ae.latent_dim), seed, alg="philox")
        if ae.sampler is not None:
            # The next seed of a SeedGenerator, from which Autoencoder.generate draws these.
            uniform = tf.random.stateless_uniform((n, 3), tf.add(seed, [0, 1]), alg="philox")
            code = ae.sampler.draw(code, uniform)
        return {"samples": decode(code)["reconstruction"]}

    description = json.dumps(describe(ae))

    def info() -> dict[str, Any]:
        return {"info": tf.constant(description)}

    x = tf.TensorSpec((None, *ae.sample_shape), ae.input_dtype_name, name="x")
    code = tf.TensorSpec((None, ae.latent_dim), "float32", name="code")
    n, seed = tf.TensorSpec((), "int32", name="n"), tf.TensorSpec((2,), "int32", name="seed")
    # The first is what TensorFlow Serving calls `serving_default`.
    found: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        "reconstruct": (reconstruct, [x]),
        "encode": (encode, [x]),
        "decode": (decode, [code]),
        "score": (score, [x]),
    }
    if detects(ae):
        rate = tf.TensorSpec((), "float32", name="false_alarm_rate")
        found["detect"] = (detect, [x])
        found["detect_at_rate"] = (detect_at_rate, [x, rate])
    if portable:
        return found
    if ae.can_generate:
        found["generate"] = (generate, [n, seed])
    return {**found, "info": (info, [])}


def detects(ae: Autoencoder) -> bool:
    # A calibration on time steps of long series does not judge single windows.
    return ae.calibration is not None and ae.calibration.stride is None


def _judged(calibration: Any, scores: Any, rate: Any, portable: bool) -> dict[str, Any]:
    """Return p-values and decisions in the graph, as `Calibration` gives them."""
    import tensorflow as tf

    count = calibration.n
    known = tf.constant(calibration.scores)
    lowered = scores - ROUND_OFF * tf.abs(scores)
    # What has no finite score, or none at all, is as abnormal as can be. (An infinite constant
    # is lost on the way to ONNX.)
    most = tf.float32.max
    lowered = tf.where(scores < most, lowered, tf.fill(tf.shape(scores), most))
    if portable:  # no runtime but TensorFlow has the operation
        as_bad = count - _search(known, lowered)
    else:
        as_bad = count - tf.searchsorted(known, lowered, side="left")
    kind = "float32" if portable else "float64"
    allowed = tf.cast(tf.floor((count + 1) * tf.cast(rate, kind) + 1e-3), "int32")
    return {
        "p_value": tf.cast(1 + as_bad, "float32") / (count + 1),
        # Counted, not compared with the rate, which no two roundings would agree on.
        "is_anomaly": 1 + as_bad <= allowed,
    }


def _search(known: Any, values: Any) -> Any:
    """Return how many of `known`, sorted, are below each value: bit by bit, from the highest."""
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
        "loss": type(ae.reconstruction_loss).__name__,
        "can_generate": ae.can_generate,
        "sampler": None if ae.sampler is None else ae.sampler.kind,
        "calibration": calibration,
    }
