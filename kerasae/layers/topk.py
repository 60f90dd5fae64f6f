"""Layer that keeps the k largest activations of each sample."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import check_whole
from kerasae.layers.backend import batch_mean, batch_size


@keras.saving.register_keras_serializable("kerasae")
class TopK(keras.layers.Layer):
    """Keeps the `k` largest activations of each sample, if positive, and sets the others to 0.

    In training, the layer counts for each unit the samples since it was last active. A unit that
    was inactive for the last `dead_after` samples counts as dead; see `dead`.

    Args:
        k: Number of activations to keep, at most the number of units.
        dead_after: Number of samples after which an inactive unit counts as dead.

    Input shape:
        `(batch, units)`.

    Output shape:
        Same as the input.

    References:
        Makhzani and Frey, "k-Sparse Autoencoders", 2014; Gao et al., "Scaling and evaluating
        sparse autoencoders", 2024, section 2.3.
    """

    def __init__(self, k: int, dead_after: int = 10_000, **kwargs: Any):
        super().__init__(**kwargs)
        self.k = check_whole("k", k)
        self.dead_after = check_whole("dead_after", dead_after)

    def build(self, input_shape: tuple) -> None:
        if self.k > input_shape[-1]:
            raise ValueError(
                f"k must be at most the number of units, {input_shape[-1]}. Received: k={self.k}"
            )
        self.unused = self.add_weight(
            shape=(input_shape[-1],),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            name="unused",
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = keep_largest(inputs, self.k)
        if training:
            # Of the whole batch, where replicas share it.
            active = batch_mean(outputs > 0) > 0
            samples = ops.cast(batch_size(inputs), "int32")
            self.unused.assign(ops.where(active, 0, self.unused + samples))
        return outputs

    @property
    def dead(self) -> Any:
        """Boolean tensor `(units,)` that marks the dead units."""
        return ops.convert_to_tensor(self.unused) >= self.dead_after

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k, "dead_after": self.dead_after}


def keep_largest(activations: Any, k: int) -> Any:
    """Return activations with all but the `k` largest positive ones of each row set to 0.

    Args:
        activations: `(batch, units)`.
        k: Number of activations to keep.
    """
    # By place: of equal activations a threshold would keep more than k.
    places = ops.top_k(activations, k)[1]
    kept = ops.sum(ops.one_hot(places, activations.shape[-1], dtype=activations.dtype), axis=-2)
    return ops.relu(activations * ops.stop_gradient(kept))
