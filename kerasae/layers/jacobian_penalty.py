"""The contractive penalty: the squared Frobenius norm of the encoder's Jacobian."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import is_whole, nearest
from kerasae.layers.backend import (
    call_with_jacobian_norm,
    call_with_vjps,
    slope,
    squared_norm,
    uniform,
)
from kerasae.layers.penalty import Penalty, stochastic
from kerasae.schedules import Weight

METHODS = ("estimate", "closed_form", "exact")


@keras.saving.register_keras_serializable("kerasae")
class JacobianPenalty(Penalty, keras.layers.Wrapper):
    """Wraps an encoder and adds `weight * mean_batch ||d code / d x||_F^2` to the loss.

    The penalty is active in training and while an `Autoencoder` evaluates; at inference, the
    layer only calls the encoder. An `Autoencoder` reports the penalty, unweighted, as
    `jacobian_loss`, and passes the uncorrupted input as `clean` if there is a corruption.

    Methods:
        `"estimate"`: `||J^T v||^2` for `probes` random sign vectors `v` (Hutchinson), an
            unbiased estimate by one vector-Jacobian product each, for any encoder.
        `"closed_form"`: exact, for a chain of `Dense` layers with elementwise activations
            (`Flatten` and `Reshape` may precede them). One layer costs almost nothing:
            `sum_j s_j^2 ||w_j||^2` with slopes `s_j`. A chain avoids the Jacobian itself:
            with `J = M W_1^T` and `G = W_1^T W_1`, `||J||^2 = sum(M * (M G))`.
        `"exact"`: exact, by autodiff, for any encoder; one product per code unit.

    Args:
        layer: The encoder, from `(batch, ...)` to `(batch, units)`. It must treat samples
            independently (no batch normalization in training).
        weight: Factor lambda, a number >= 0 or a `Warmup`.
        method: `"estimate"`, `"closed_form"` or `"exact"`.
        probes: Number of random vectors of `"estimate"`.
        seed: Seed of the random vectors. None draws a seed.

    Call arguments:
        inputs: `(batch, ...)`, in scaled units.
        clean: Optional tensor shaped like `inputs`, at which to take the Jacobian instead.

    Output shape:
        Output shape of the encoder.

    Raises:
        ValueError: If an argument is out of range, or `"closed_form"` does not support a layer.

    References:
        Rifai et al., "Contractive Auto-Encoders", ICML 2011, equations 5 and 7; Hutchinson,
        "A stochastic estimator of the trace", 1990.
    """

    term_name = "jacobian_loss"

    def __init__(
        self,
        layer: keras.layers.Layer,
        weight: Weight = 1e-3,
        method: str = "estimate",
        probes: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"layer must be a Keras layer or model. Received: layer={layer!r}")
        super().__init__(weight=weight, layer=layer, **kwargs)
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}."
                f"{nearest(method, METHODS)} Received: method={method!r}"
            )
        if not is_whole(probes, 1):
            raise ValueError(f"probes must be a whole number >= 1. Received: probes={probes!r}")
        if method == "closed_form":
            _check_chain(layer)
        self.method = method
        self.probes = int(probes)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        code_shape = tuple(self.layer.compute_output_shape(input_shape))
        if self.method != "estimate" and len(code_shape) != 2:
            raise ValueError(
                f"method={self.method!r} requires a code of shape (batch, units); use 'estimate' "
                f"or flatten it. Received: an encoder with output of shape {code_shape}"
            )
        if self.method == "closed_form":
            widths = [layer.kernel.shape for layer in _dense_chain(self.layer)]
            ends = [math.prod(input_shape[1:]), *(width[1] for width in widths[:-1])]
            if [width[0] for width in widths] != ends:
                raise ValueError(
                    "method='closed_form' requires Dense layers over whole samples; add a Flatten "
                    f"layer before them. Received: input of shape {tuple(input_shape)}"
                )

    def call(  # type: ignore[override]
        self,
        inputs: Any,
        clean: Any = None,
        training: bool | None = None,
        return_terms: bool = False,
    ) -> Any:
        if not stochastic(training):
            code = self.layer(inputs, training=training)
            return (code, {}) if return_terms else code
        if clean is None:
            code, norms = self._with_norm(inputs, training)
        else:
            code = self.layer(inputs, training=training)
            _, norms = self._with_norm(clean, training, aside=True)
        return self.report(code, norms, training, return_terms)

    def _with_norm(self, x: Any, training: bool | None, aside: bool = False) -> tuple[Any, Any]:
        """Return the code and `||d code / d x||_F^2` of each sample, shape `(batch,)`."""
        if self.method == "closed_form":
            return _dense_jacobian_norm(self.layer, x)
        if self.method == "exact":
            return call_with_jacobian_norm(self.layer, x, training, aside)
        code, products = call_with_vjps(self.layer, x, self._sign_vectors, training, aside)
        return code, sum(squared_norm(p) for p in products) / self.probes

    def _sign_vectors(self, code: Any) -> list[Any]:
        draws = [uniform(ops.shape(code), self.seed_generator) for _ in range(self.probes)]
        return [ops.cast(ops.where(u < 0.5, -1.0, 1.0), code.dtype) for u in draws]

    def compute_output_shape(self, input_shape: tuple, **_: Any) -> tuple:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "method": self.method,
            "probes": self.probes,
            "seed": self.seed,
        }


def _dense_chain(network: keras.layers.Layer) -> list[keras.layers.Dense]:
    """Return the Dense layers of a plain chain, in order."""
    layers = network.layers if isinstance(network, keras.Model) else [network]
    return [layer for layer in layers if isinstance(layer, keras.layers.Dense)]


def _check_chain(network: keras.layers.Layer) -> None:
    """Raise ValueError naming the offending layer unless `network` has a closed form."""
    # A functional model may also contain bare operations, which `layers` omits.
    parts = getattr(network, "operations", None) or getattr(network, "layers", [network])
    for part in parts:
        if isinstance(part, keras.layers.Dense):
            if not _elementwise(part.activation):
                name = getattr(part.activation, "__name__", type(part.activation).__name__)
                raise ValueError(
                    "method='closed_form' requires elementwise activations; use 'estimate'. "
                    f"Received: layer {part.name!r} with activation {name}"
                )
            if part.activity_regularizer is not None:
                raise ValueError(
                    "method='closed_form' supports no activity_regularizer inside the encoder; "
                    "add a kerasae.layers.ActivityPenalty after it. "
                    f"Received: layer {part.name!r}"
                )
        elif not isinstance(
            part, (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)
        ):
            raise ValueError(
                "method='closed_form' requires a chain of Dense layers; use 'estimate' or 'exact' "
                f"for other encoders. Received: layer {part.name!r} ({type(part).__name__})"
            )
    if not _dense_chain(network):
        raise ValueError("method='closed_form' requires at least one Dense layer. Received: none")
    if hasattr(network, "operations"):
        for part in network.get_config()["layers"]:
            if len(part["inbound_nodes"]) > 1:
                raise ValueError(
                    "method='closed_form' supports no shared layers; use 'estimate' or 'exact'. "
                    f"Received: layer {part['name']!r} used {len(part['inbound_nodes'])} times"
                )


def _elementwise(activation: Any) -> bool:
    """Return whether each output entry depends only on the corresponding input entry."""
    if isinstance(activation, keras.layers.Layer):  # may have weights
        return False
    one, other = np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")
    other[:, :2] = one[:, :2]
    before, after = (
        ops.convert_to_numpy(activation(ops.convert_to_tensor(x))) for x in (one, other)
    )
    return before.shape == one.shape and np.allclose(before[:, :2], after[:, :2])


def _dense_jacobian_norm(network: keras.layers.Layer, x: Any) -> tuple[Any, Any]:
    chain = _dense_chain(network)
    h = ops.reshape(x, (-1, chain[0].kernel.shape[0]))
    slopes = []
    for layer in chain:
        h = ops.matmul(h, ops.cast(layer.kernel, h.dtype))
        if layer.use_bias:
            h = h + ops.cast(layer.bias, h.dtype)
        slopes.append(ops.cast(slope(layer.activation, h), "float32"))
        h = layer.activation(h)
    first = ops.cast(chain[0].kernel, "float32")
    if len(chain) == 1:
        return h, ops.matmul(ops.square(slopes[0]), ops.sum(ops.square(first), axis=0))
    # m[b] = D_L W_L^T D_{L-1} ... W_2^T D_1, so the Jacobian is m[b] W_1^T.
    m = slopes[-1][:, :, None]
    for layer, s in zip(chain[:0:-1], slopes[-2::-1], strict=True):
        kernel = ops.transpose(ops.cast(layer.kernel, "float32"))
        m = m * kernel if layer is chain[-1] else ops.matmul(m, kernel)
        m = m * s[:, None, :]
    return h, _gram_norm(m, first)


@ops.custom_gradient
def _gram_norm(m: Any, kernel: Any) -> Any:
    """Return `||m[b] kernel^T||_F^2` for each `b`; the gradient reuses the product `m G`."""
    gram = ops.matmul(ops.transpose(kernel), kernel)
    units = gram.shape[0]
    rows = ops.reshape(m, (-1, units))
    product = ops.reshape(ops.matmul(rows, gram), ops.shape(m))

    def gradient(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
        if upstream is None:
            (upstream,) = args
        weighted = m * upstream[:, None, None]
        outer = ops.matmul(ops.transpose(rows), ops.reshape(weighted, (-1, units)))
        return 2 * upstream[:, None, None] * product, 2 * ops.matmul(kernel, outer)

    return ops.sum(m * product, axis=(1, 2)), gradient
