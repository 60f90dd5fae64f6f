"""The contractive penalty: the squared Frobenius norm of the encoder's Jacobian."""

from typing import Any

import keras
from keras import ops

from kerasae._text import nearest
from kerasae.layers._backend import (
    call_with_jacobian_norm,
    call_with_vjps,
    slope,
    squared_norm,
    uniform,
)
from kerasae.layers._step import PenaltyMixin, stochastic, suspended
from kerasae.schedules import Weight

METHODS = ("estimate", "closed_form", "exact")
_NOT_ELEMENTWISE = {"softmax", "log_softmax", "glu"}


@keras.saving.register_keras_serializable("kerasae")
class JacobianPenalty(PenaltyMixin, keras.layers.Wrapper):
    """Wraps an encoder and adds `weight * mean_batch ||d code / d x||_F^2` to the loss.

    Active in training and while an `Autoencoder` evaluates; at inference the layer is the
    encoder and nothing else. An `Autoencoder` reports the penalty, unweighted, as
    `jacobian_loss`, and passes the uncorrupted input as `clean` where there is a corruption.

    Methods:
        `"estimate"`: `||J^T v||^2` for `probes` random sign vectors `v` (Hutchinson), an
            unbiased estimate by one vector-Jacobian product each, for any encoder.
        `"closed_form"`: exact, for an encoder that is a chain of `Dense` layers (elementwise
            activations; `Flatten`, `Reshape` and `Dropout`-free). One layer costs almost
            nothing: `sum_j s_j^2 ||w_j||^2` with slopes `s_j`. A chain avoids the Jacobian
            itself: with `J = M W_1^T` and `G = W_1^T W_1`, `||J||^2 = sum(M * (M G))`.
        `"exact"`: exact, by autodiff, for any encoder; as many products as code units.

    Args:
        layer: The encoder, from `(batch, ...)` to `(batch, units)`. It must treat samples one
            by one (no batch normalization in training).
        weight: Factor lambda, a number >= 0 or a `Warmup`.
        method: `"estimate"`, `"closed_form"` or `"exact"`.
        probes: Number of random vectors of `"estimate"`.
        seed: Seed of the random vectors. None draws one.

    Call arguments:
        inputs: `(batch, ...)`, in scaled units.
        clean: Optional tensor shaped like `inputs`, where to take the Jacobian instead.

    Output shape:
        That of the encoder.

    Raises:
        ValueError: An argument is out of range, or `"closed_form"` meets another layer.

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
        super().__init__(layer, **kwargs)
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}."
                f"{nearest(method, METHODS)} Received: method={method!r}"
            )
        if int(probes) != probes or probes < 1:
            raise ValueError(f"probes must be a whole number >= 1. Received: probes={probes}")
        if method == "closed_form":
            _dense_chain(layer)
        self.weight = self._init_penalty(weight, "weight")
        self.method = method
        self.probes = int(probes)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self._build_penalty()

    def call(self, inputs: Any, clean: Any = None, training: bool | None = None) -> Any:
        if not stochastic(training):
            return self.layer(inputs, training=training)
        if clean is None:
            code, norms = self._with_norm(inputs, training)
        else:
            code = self.layer(inputs, training=training)
            with suspended():
                _, norms = self._with_norm(clean, training)
        self.add_term(ops.mean(norms), training)
        return code

    def _with_norm(self, x: Any, training: bool | None) -> tuple[Any, Any]:
        """Return the code and `||d code / d x||_F^2` of each sample, shape `(batch,)`."""
        if self.method == "closed_form":
            return _dense_jacobian_norm(self.layer, x)
        if self.method == "exact":
            return call_with_jacobian_norm(self.layer, x, training)
        code, products = call_with_vjps(self.layer, x, self._sign_vectors, training)
        return code, sum(squared_norm(p) for p in products) / self.probes

    def _sign_vectors(self, code: Any) -> list[Any]:
        draws = [uniform(ops.shape(code), self.seed_generator) for _ in range(self.probes)]
        return [ops.cast(ops.where(u < 0.5, -1.0, 1.0), code.dtype) for u in draws]

    def compute_output_shape(self, input_shape: tuple, **_: Any) -> tuple:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weight": self._weight_config(self.weight),
            "method": self.method,
            "probes": self.probes,
            "seed": self.seed,
        }


def _dense_chain(network: keras.layers.Layer) -> list[keras.layers.Dense]:
    """Return the Dense layers of a plain chain, or raise naming the layer in the way."""
    layers = network.layers if isinstance(network, keras.Model) else [network]
    chain = []
    for layer in layers:
        if isinstance(layer, keras.layers.Dense):
            if getattr(layer.activation, "__name__", "") in _NOT_ELEMENTWISE:
                raise ValueError(
                    "method='closed_form' needs elementwise activations; use 'estimate'. "
                    f"Received: layer {layer.name!r} with activation {layer.activation.__name__}"
                )
            chain.append(layer)
        elif not isinstance(
            layer, (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)
        ):
            raise ValueError(
                "method='closed_form' takes a chain of Dense layers; use 'estimate' or 'exact' "
                f"for other encoders. Received: layer {layer.name!r} ({type(layer).__name__})"
            )
    if not chain:
        raise ValueError("method='closed_form' needs at least one Dense layer. Received: none")
    return chain


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
    # m[b] = D_L W_L^T D_{L-1} ... W_2^T D_1, so that the Jacobian is m[b] W_1^T.
    m = slopes[-1][:, :, None]
    for layer, s in zip(chain[:0:-1], slopes[-2::-1], strict=True):
        kernel = ops.transpose(ops.cast(layer.kernel, "float32"))
        m = m * kernel if layer is chain[-1] else ops.matmul(m, kernel)
        m = m * s[:, None, :]
    return h, _gram_norm(m, first)


@ops.custom_gradient
def _gram_norm(m: Any, kernel: Any) -> Any:
    """Return `||m[b] kernel^T||_F^2` of each `b`, with the product `m G` used twice."""
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
