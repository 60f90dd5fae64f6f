"""Likelihood of variational autoencoders: the ELBO and tighter bounds."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.evaluation._likelihood import PIXELS, Pixels, Units
from kerasae.evaluation.passes import scale, scaled_pass, whole_numbers
from kerasae.layers.backend import normal, pure
from kerasae.layers.scaling import Scaler
from kerasae.models.autoencoder import decode
from kerasae.models.inputs import check_adapted, check_data

# Entries decoded at a time if batch_size is None; hidden layers need a multiple of this.
_DECODED = 2**20
_SAMPLES = 128

_NOTES = {
    "binary": (
        "Bits per dimension of binary values: a bound on the mean length of a lossless code."
    ),
    "grey": (
        "Grey values as targets of a Bernoulli likelihood: a cross-entropy, not a probability "
        "or a density of the pixels, so it compares with other numbers on grey pixels only."
    ),
    "raw": (
        "Nats refer to a density in scaled units, bits per dimension to the same density in raw "
        "units, where whole numbers such as uint8 have a step of 1; no noise was added to them."
    ),
    "scaled": (
        "Nats and bits per dimension refer to a density in scaled units; how this scaler changes "
        "volumes is not known."
    ),
    "none": (
        "The reconstruction loss is not a likelihood, so there are no bounds; use a model with "
        "loss='bce' or loss='gaussian' to obtain them."
    ),
}


def variational(
    ae: Any,
    data: Any,
    *,
    samples: int | Sequence[int] = (1, 10, 100),
    pixels: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Bound the log-likelihood of data under a variational autoencoder, and count its units.

    All figures are for the model without corruption and with a KL factor of 1, regardless of the
    `kl_weight` and `free_bits` used in training, in nats per sample unless stated otherwise,
    averaged over samples. The likelihood is that of the model's own loss: Bernoulli for `"bce"`
    (pixels independent given the code), Gaussian for `"gaussian"`.

    The reconstruction part is averaged over `max(samples)` codes drawn for each sample; the KL
    is exact. The bound with k draws,

        L_k = mean_x log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x),    z_i ~ q(z|x),

    is averaged over as many groups of k as the draws allow. It holds in expectation, increases
    with k, and converges to log p(x). Memory use does not depend on the size of the data, and
    hardly on k.

    Args:
        ae: A trained variational `Autoencoder`.
        data: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches of
            x, such as `splits.test`.
        samples: Value or values of k, each >= 1.
        pixels: Quantity to measure if the likelihood is Bernoulli; applied to values in scaled
            units, which must lie in [0, 1]. `"grey"`: unchanged values; `"thresholded"`: 1 for
            values of 0.5 and above, else 0; `"static"`: values that are already 0 or 1;
            `"dynamic"`: 1 with the value as probability, drawn with `seed`. None means
            `"static"` if all values are 0 or 1, otherwise `"grey"`.
        seed: Seed of all draws; results are reproducible for the same `batch_size`.
        limit: Number of samples to use, from the start of the data; None uses all.
        batch_size: Codes decoded at a time, samples times draws; None chooses by the size of
            a sample. A GPU can use more than the default.

    Returns:
        A dictionary of

        - `"elbo_nats"` (higher is better) with `"elbo_standard_error"` over samples, and its parts
          `"reconstruction_nats"` and `"kl_nats"`: elbo = -(reconstruction + kl).
        - `"bits_per_dimension"`: the negative ELBO divided by the number of features and log 2.
          If the likelihood is a density, it is a density in raw units. `"note"` describes the
          figure in a sentence.
        - `"importance_weighted"`: `{"k": {"nats", "standard_error"}}`, with the standard error
          over samples (None for a single sample).
        - `"kl_per_dimension"`: mean KL of each code dimension.
        - `"active_units"`: number of code dimensions whose `z_mean` has a variance above 0.01
          over samples; `"collapsed_units"`: the number of others.
        - `"pixels"`, if the likelihood is Bernoulli; `"samples"`, the number measured.
        - `"warning"`: a sentence, if most units have collapsed to the prior.

        With any other loss there is no likelihood: the bounds are omitted, as `"note"` states.

    Raises:
        ValueError: If the model has no Gaussian code, or the data or an argument is invalid.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, equation 10; Burda, Grosse
        and Salakhutdinov, "Importance Weighted Autoencoders", 2015, equation 8, and section
        5 for active units; Salakhutdinov and Murray, "On the quantitative analysis of deep belief
        networks", 2008 (dynamic and static binarization).
    """
    encode, decoder = _parts(ae)
    draws = sorted(set(whole_numbers("samples", samples, 1)))
    likelihood = _likelihood(ae, pixels)
    check_data(ae, data)
    check_adapted(ae)
    size = math.prod(ae.sample_shape)
    rows = min(4096, max(1, _DECODED // size)) if batch_size is None else int(batch_size)
    if rows < 1 or (limit is not None and limit < 1):
        name, value = ("batch_size", batch_size) if rows < 1 else ("limit", limit)
        raise ValueError(f"{name} must be >= 1 or None. Received: {name}={value}")
    most = max(draws) if likelihood else 1
    at_once = max(min(rows, _SAMPLES), rows // most)
    weights = _compiled(_log_weights(ae, decoder)) if likelihood else None
    encode = _compiled(encode)
    noise = keras.random.SeedGenerator(seed)
    binarize = Pixels(pixels, seed)
    units = Units(ae.latent_dim)
    # Per sample: reconstruction, KL, and the bound for each k.
    found: list[np.ndarray] = []
    for batch in _batches(data, at_once, limit):
        x = scale(ae, batch)
        if likelihood == "bernoulli":
            x = binarize(x)
        mean, log_var = encode(x)
        kl = units.add(mean, log_var)
        if weights is None:
            continue
        reconstruction: list[np.ndarray] = []
        log_weights: list[np.ndarray] = []
        step = max(1, rows // len(x))
        for start in range(0, most, step):
            shape = (len(x), min(step, most - start), ae.latent_dim)
            pair = weights(x, mean, log_var, normal(shape, noise))
            for held, value in zip((reconstruction, log_weights), pair, strict=True):
                held.append(np.asarray(ops.convert_to_numpy(value), "float64"))
        by_k = [_bound(np.concatenate(log_weights, axis=1), k) for k in draws]
        found.append(np.stack([np.concatenate(reconstruction, axis=1).mean(axis=1), kl, *by_k]))
    if not units.count:
        raise ValueError("data must contain at least one sample. Received: none")
    result: dict[str, Any] = {}
    if likelihood:
        result = _bounds(np.concatenate(found, axis=1), draws)
        bits = -result["elbo_nats"] / (size * math.log(2))
        if likelihood == "bernoulli":
            result["bits_per_dimension"] = bits
            result["pixels"] = binarize.name
            result["note"] = _NOTES["grey" if binarize.name == "grey" else "binary"]
            if binarize.outside:
                result["note"] += " Some values lie outside [0, 1], where it is meaningless."
        else:
            shift = _log_volume(ae) / (size * math.log(2))
            result["bits_per_dimension"] = bits + shift
            known = ae.scaler is None or isinstance(ae.scaler, Scaler)
            result["note"] = _NOTES["raw" if known else "scaled"]
    else:
        result["note"] = _NOTES["none"]
    return {**result, **units.report(), "samples": units.count}


def _parts(ae: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return functions from scaled input to `z_mean`, `z_log_var`, and from z to decoder output.

    Neither changes state or adds a loss.
    """
    inputs, pass_ = scaled_pass(ae)
    if not {"z_mean", "z_log_var"} <= set(pass_.others):
        raise ValueError(
            "variational requires a model with a Gaussian code, whose pass has z_mean and "
            "z_log_var, such as kerasae.build('variational', ...). "
            f"Received: variant={ae.variant!r}"
        )
    encode = pure(keras.Model(inputs, [pass_.z_mean, pass_.z_log_var]), training=False)
    latent = keras.Input(pass_.latent.shape[1:], name="latent")
    decoder = keras.Model(latent, decode(ae, latent, training=False))

    def posterior(x: Any) -> Any:
        return tuple(ops.cast(value, "float32") for value in encode(x))

    return posterior, pure(decoder, training=False)


def _likelihood(ae: Any, pixels: str | None) -> str | None:
    """Return the likelihood whose negative logarithm is the model's loss, or None."""
    loss = ae.reconstruction_loss
    if pixels is not None and pixels not in PIXELS:
        raise ValueError(
            f"pixels must be None or one of {', '.join(PIXELS)}. Received: pixels={pixels!r}"
        )
    likelihood = getattr(loss, "likelihood", None)
    if pixels is not None and likelihood != "bernoulli":
        raise ValueError(
            "pixels requires a model whose loss is 'bce', a Bernoulli likelihood. "
            f"Received: pixels={pixels!r}, loss={type(loss).__name__}"
        )
    return likelihood


def _log_weights(ae: Any, decode: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function for -log p(x|z) and log p(x|z) p(z) / q(z|x), per sample and draw."""
    loss = ae.reconstruction_loss

    def log_weights(x: Any, mean: Any, log_var: Any, noise: Any) -> tuple[Any, Any]:
        shape = ops.shape(noise)
        z = mean[:, None] + ops.exp(0.5 * log_var)[:, None] * noise
        decoded = decode(ops.reshape(z, (-1, ae.latent_dim)))
        if not loss.from_logits:
            decoded = ae.output_activation(decoded)
        target = ops.broadcast_to(x[:, None], (shape[0], shape[1], *ae.sample_shape))
        target = ops.reshape(target, (-1, *ae.sample_shape))
        error = loss.error(target, ops.cast(decoded, "float32"))
        error = ops.sum(ops.reshape(error, (-1, math.prod(ae.sample_shape))), axis=1)
        error = ops.reshape(error, shape[:2])
        # log p(z) - log q(z|x): the constants of the two Gaussians cancel.
        ratio = 0.5 * ops.sum(ops.square(noise) - ops.square(z) + log_var[:, None], axis=2)
        return error, ratio - error

    return log_weights


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def _batches(data: Any, rows: int, limit: int | None) -> Iterator[Any]:
    """Yield batches of at most `rows` raw samples, `limit` samples in all."""
    left = math.inf if limit is None else limit
    if hasattr(data, "shape"):
        batches = (data[start : start + rows] for start in range(0, len(data), rows))
    else:
        batches = iter(data.rebatch(rows) if hasattr(data, "rebatch") else data)
    for batch in batches:
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        yield x[: int(min(left, len(x)))]
        left -= len(x)
        if left <= 0:
            return


def _bound(log_weights: np.ndarray, k: int) -> np.ndarray:
    """Return `log 1/k sum exp` of groups of k draws, averaged over the groups, per sample."""
    groups = log_weights.shape[1] // k
    values = log_weights[:, : groups * k].reshape(len(log_weights), groups, k)
    # Subtracting the largest weight prevents overflow and underflow of exp.
    top = values.max(axis=2, keepdims=True)
    return (top[..., 0] + np.log(np.exp(values - top).mean(axis=2))).mean(axis=1)


def _bounds(found: np.ndarray, draws: list[int]) -> dict[str, Any]:
    """Return means over samples and standard errors of reconstruction, KL and bounds."""
    reconstruction, kl, *by_k = found
    elbo = -(reconstruction + kl)
    return {
        "elbo_nats": float(elbo.mean()),
        "elbo_standard_error": _standard_error(elbo),
        "reconstruction_nats": float(reconstruction.mean()),
        "kl_nats": float(kl.mean()),
        "importance_weighted": {
            str(k): {"nats": float(values.mean()), "standard_error": _standard_error(values)}
            for k, values in zip(draws, by_k, strict=True)
        },
    }


def _standard_error(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def _log_volume(ae: Any) -> float:
    """Return the logarithm of the ratio of volumes in raw units to volumes in scaled units."""
    if not isinstance(ae.scaler, Scaler):
        return 0.0
    by_channel = np.log(np.asarray(ops.convert_to_numpy(ae.scaler.scale), "float64"))
    return float(np.broadcast_to(by_channel, ae.sample_shape).sum())
