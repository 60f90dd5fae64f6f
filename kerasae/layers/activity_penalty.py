"""Layer that adds an activation regularizer to the loss exactly once."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import is_real
from kerasae.layers.backend import batch_mean
from kerasae.layers.penalty import Penalty
from kerasae.regularizers import ActivationRegularizer, KLSparsity, check_unit_interval


@keras.saving.register_keras_serializable("kerasae")
class ActivityPenalty(Penalty):
    """Returns its input and adds `regularizer(input)` to the loss exactly once.

    The penalty is summed over units and averaged over the batch, independently of how the
    installed version of Keras reduces an `activity_regularizer`. An `Autoencoder` reports it,
    unweighted, as `sparsity_loss`.

    With `momentum`, the mean activation of `KLSparsity` is a running mean over training
    batches, `m_t = momentum * m_{t-1} + (1 - momentum) * batch_mean`, divided by
    `1 - momentum^t` as in Adam. The penalty is evaluated at the running mean, and its gradient
    there is applied to the batch mean, so a small batch biases neither. Outside training, the
    mean of the current batch is used.

    Args:
        regularizer: A `kerasae.regularizers.L1Activation`, `KLSparsity` or another
            `ActivationRegularizer`. Its weight may be a `Warmup`.
        momentum: None, or the momentum of the running mean in [0, 1) (`KLSparsity` only).

    Input shape:
        `(batch, ...)`.

    Output shape:
        Same as the input.

    Raises:
        ValueError: If an argument has the wrong type or is out of range.
    """

    term_name = "sparsity_loss"

    def __init__(
        self, regularizer: ActivationRegularizer, momentum: float | None = None, **kwargs: Any
    ):
        if not isinstance(regularizer, ActivationRegularizer):
            raise ValueError(
                "regularizer must be an ActivationRegularizer such as "
                f"kerasae.regularizers.L1Activation. Received: regularizer={regularizer!r}"
            )
        if momentum is not None:
            if not isinstance(regularizer, KLSparsity):
                raise ValueError(
                    "momentum requires KLSparsity, the penalty on a mean activation. "
                    f"Received: regularizer={regularizer!r}, momentum={momentum}"
                )
            if not is_real(momentum) or not 0 <= momentum < 1:
                raise ValueError(f"momentum must lie in [0, 1). Received: momentum={momentum!r}")
        super().__init__(weight=regularizer.weight, **kwargs)
        self.regularizer = regularizer
        self.momentum = momentum
        self.per_sample = regularizer.per_sample
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        if self.momentum is not None:
            # In half precision, a running mean would stall.
            options: dict[str, Any] = {"dtype": "float32", "trainable": False, "autocast": False}
            self.mean_activation = self.add_weight(
                shape=input_shape[1:], initializer="zeros", name="mean_activation", **options
            )
            self.mean_weight = self.add_weight(
                shape=(), initializer="zeros", name="mean_weight", **options
            )

    def penalty(self, inputs: Any, outputs: Any, training: bool | None = None) -> Any:
        if not isinstance(self.regularizer, KLSparsity):
            return self.regularizer.values(inputs)
        check_unit_interval(inputs)
        # Under `tf.distribute`, a replica sees only part of the batch.
        mean = batch_mean(inputs)
        if self.momentum is not None and training:
            mean = self._running_mean(mean)
        return self.regularizer.divergence(mean)

    def _running_mean(self, mean: Any) -> Any:
        keep = self.momentum or 0.0
        running = keep * self.mean_activation + (1 - keep) * ops.stop_gradient(mean)
        weight = keep * self.mean_weight + (1 - keep)
        self.mean_activation.assign(running)
        self.mean_weight.assign(weight)
        return running / weight + mean - ops.stop_gradient(mean)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        weight = config.pop("weight")
        regularizer = keras.saving.serialize_keras_object(self.regularizer)
        regularizer["config"]["weight"] = weight  # may have been set since construction
        return {
            **config,
            "regularizer": regularizer,
            "momentum": self.momentum,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ActivityPenalty":
        regularizer = keras.saving.deserialize_keras_object(config["regularizer"])
        return cls(**{**config, "regularizer": regularizer})
