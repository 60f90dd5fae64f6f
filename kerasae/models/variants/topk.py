"""Sparse variants without a penalty: a code with a fixed number of active units."""

import dataclasses
import math
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerasae.errors import check_whole, is_real
from kerasae.layers import TopK
from kerasae.layers.penalty import Terms
from kerasae.layers.topk import keep_largest
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, with_defaults
from kerasae.models.variants.recipe import Recipe

# Active units by default.
_K = 8
# Rows whose median initializes the decoder's bias.
_ROWS = 10_000


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class SparseTopK(Recipe):
    """Keeps the k largest units, and trains dead units to explain the residual of the others."""

    term_names: ClassVar[tuple[str, ...]] = ("auxiliary_loss",)

    k: int | None = None
    auxiliary_weight: float = 1 / 32
    dead_after: int = 10_000
    # Whether `prepare` sets the weights, which are then none that a user has trained.
    start: bool = True

    @property
    def prepares(self) -> bool:
        return self.start

    def bottleneck(
        self, units: int, latent_dim: int, seed: int | None = None, conditional: bool = False
    ) -> keras.layers.Layer:
        return TopK(self.k or min(_K, units), self.dead_after, name="bottleneck")

    def prepare(self, ae: Any, batches: Any) -> None:
        """Initialize single Dense layers as transposes of each other, around the data's median."""
        layers = [
            [
                layer
                for layer in getattr(network, "layers", [network])
                if isinstance(layer, keras.layers.Dense)
            ]
            for network in (ae.encoder_network, ae.decoder_network)
        ]
        if [len(side) for side in layers] != [1, 1]:
            return
        (encode,), (decode,) = layers
        if not (encode.use_bias and decode.use_bias and encode.trainable and decode.trainable):
            return
        shape = (math.prod(ae.sample_shape), ae.latent_dim)
        if (*encode.kernel.shape, *decode.kernel.shape) != (*shape, *shape[::-1]):
            return
        if ae.output_activation.activation is not keras.activations.linear:
            return
        rows, count = [], 0
        for batch in batches:
            x = batch if ae.scaler is None else ae.scaler(batch)
            rows.append(ops.convert_to_numpy(x).reshape(len(batch), -1))
            count += len(batch)
            if count >= _ROWS:
                break
        median = np.median(np.concatenate(rows)[:_ROWS], axis=0).astype("float32")
        kernel = ops.convert_to_numpy(encode.kernel)
        columns = kernel / np.maximum(np.linalg.norm(kernel, axis=0), 1e-12)
        decode.set_weights([columns.T, median])
        encode.set_weights([columns, -median @ columns])

    def terms(self, ae: Any, pass_: Any) -> Terms:
        """Return the auxiliary loss: the error of the residual explained by the dead units."""
        activations = pass_.features
        dead = ops.cast(ae.bottleneck.dead, activations.dtype)
        lowest = ops.min(activations, axis=-1, keepdims=True) - 1
        of_dead = ops.where(dead > 0, activations, lowest)
        most = max(1, min(math.prod(ae.sample_shape) // 2, activations.shape[-1]))
        chosen = keep_largest(of_dead, most) * dead
        residual = ops.stop_gradient(pass_.target - ops.cast(pass_.decoded, "float32"))
        decoder = ae.decoder_network
        explained = decoder(chosen) - decoder(ops.zeros_like(chosen[:1]))
        error = ops.square(residual - ops.cast(explained, "float32"))
        value = ops.mean(ops.reshape(error, (-1, math.prod(ae.sample_shape))), axis=-1)
        # Without dead units the term is zero.
        return {
            "auxiliary_loss": (
                value * ops.cast(ops.any(dead > 0), "float32"),
                self.auxiliary_weight,
            )
        }

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        dead = int(ops.convert_to_numpy(ae.bottleneck.dead).sum())
        return {"sparsity": {"k": ae.bottleneck.k, "dead_units_in_training": dead}}


def sparse_topk(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    k: int | None = None,
    auxiliary_weight: float = 1 / 32,
    dead_after: int = 10_000,
    **options: Any,
) -> Autoencoder:
    """Build a sparse autoencoder whose code has at most k active units for each sample.

    The loss is `reconstruction_loss + auxiliary_weight * auxiliary_loss`. The auxiliary loss is
    the squared error, mean over features, of the residual as reconstructed by the dead units:
    the largest of their activations, half as many as the input has features, are decoded.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code; twice the input, at most 512, by default.
        k: Number of active units per sample.
        auxiliary_weight: Factor of the auxiliary loss.
        dead_after: Number of samples after which an inactive unit counts as dead.
        **options: See `kerasae.build`. The output is linear by default. On the dense network there
            is no hidden layer by default; encoder and decoder are then initialized as transposes
            of each other, around the median of the data.

    References:
        Makhzani and Frey, "k-Sparse Autoencoders", 2014; Gao et al., "Scaling and evaluating
        sparse autoencoders", 2024, appendix A.2.
    """
    if latent_dim is None and options.get("encoder") is None:
        latent_dim = min(2 * math.prod(input_shape), 512)
    if not is_real(auxiliary_weight) or auxiliary_weight < 0:
        raise ValueError(
            "auxiliary_weight must be a number >= 0. "
            f"Received: auxiliary_weight={auxiliary_weight!r}"
        )
    if k is not None:
        k = check_whole("k", k)
    start = options.get("encoder") is None
    recipe = SparseTopK(k, auxiliary_weight, dead_after, start)
    # A sum of columns, as in the papers, whatever the range of the input.
    options = {"output_activation": None, **options}
    return assemble(recipe, input_shape, latent_dim, **with_defaults(options, hidden=()))
