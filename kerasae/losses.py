"""Reconstruction losses, and their reduction to one value per sample.

`features="mean"` averages over the features of a sample (deterministic variants, as in the
formulas of the tutorials); `features="sum"` sums over them (variational variants, where the
loss is the negative ELBO, in nats per sample). Keras then averages over the batch. Targets and
reconstructions are in scaled units.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import is_real, nearest


class ReconstructionLoss(keras.losses.Loss):
    """Base class of reconstruction losses: an error per feature, reduced over the features.

    Args:
        features: `"mean"` or `"sum"` over the features of a sample.

    Call arguments:
        y_true, y_pred: Tensors of the same shape `(batch, ...)`. If `from_logits` is true,
            `y_pred` is the output before the output activation.

    Returns:
        `call` returns shape `(batch,)`; calling the object returns the mean over the batch.
    """

    from_logits = False
    # Name of the likelihood whose negative logarithm is the loss, or None.
    likelihood: str | None = None
    # Whether the model learns a parameter of the loss, which `bind` sets.
    learned = False

    def __init__(self, features: str = "mean", name: str | None = None, **kwargs: Any):
        if features not in ("mean", "sum"):
            raise ValueError(f"features must be 'mean' or 'sum'. Received: features={features!r}")
        super().__init__(name=name or "reconstruction_loss", **kwargs)
        self.features = features

    def error(self, y_true: Any, y_pred: Any) -> Any:
        """Return the error of each feature, shaped like `y_true`."""
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = self.error(y_true, y_pred)
        axes = tuple(range(1, len(error.shape)))
        return ops.mean(error, axis=axes) if self.features == "mean" else ops.sum(error, axis=axes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "features": self.features}


@keras.saving.register_keras_serializable("kerasae")
class SquaredError(ReconstructionLoss):
    """Squared error `(x - y)^2`. With `features="mean"` this is the MSE.

    Args:
        features: `"mean"` or `"sum"` over the features of a sample.
    """

    def error(self, y_true: Any, y_pred: Any) -> Any:
        return ops.square(y_true - y_pred)


@keras.saving.register_keras_serializable("kerasae")
class AbsoluteError(ReconstructionLoss):
    """Absolute error `|x - y|`. With `features="mean"` this is the MAE.

    Args:
        features: `"mean"` or `"sum"` over the features of a sample.
    """

    def error(self, y_true: Any, y_pred: Any) -> Any:
        return ops.abs(y_true - y_pred)


@keras.saving.register_keras_serializable("kerasae")
class BinaryCrossentropy(ReconstructionLoss):
    """Bernoulli negative log-likelihood from logits `a`, in nats, targets in [0, 1].

    `max(a, 0) - a x + log(1 + exp(-|a|))`, stable for any finite logit. For grey pixels its
    minimum is the entropy of the target, not 0.

    Args:
        features: `"mean"` or `"sum"` over the features of a sample.
    """

    from_logits = True
    likelihood = "bernoulli"

    def error(self, y_true: Any, y_pred: Any) -> Any:
        # In the explicit formula, relu and abs have the wrong slope at a logit of exactly 0.
        return ops.binary_crossentropy(y_true, y_pred, from_logits=True)


@keras.saving.register_keras_serializable("kerasae")
class GaussianNLL(ReconstructionLoss):
    """Gaussian negative log-likelihood with one standard deviation, in nats.

    `(x - y)^2 / (2 s^2) + log(s) + log(2 pi) / 2` per feature.

    Args:
        features: `"mean"` or `"sum"` over the features of a sample.
        stddev: `s`, in scaled units. If None, the `Autoencoder` learns it, starting at 1.

    References:
        Rybkin, Daniilidis and Levine, "Simple and Effective VAE Training with Calibrated
        Decoders", 2021, section 3.1.
    """

    likelihood = "gaussian"

    def __init__(self, features: str = "sum", stddev: float | None = None, **kwargs: Any):
        super().__init__(features, **kwargs)
        if stddev is not None and not (is_real(stddev) and stddev > 0):
            raise ValueError(f"stddev must be > 0 or None (learned). Received: stddev={stddev!r}")
        self.stddev = stddev
        self._log_stddev: Any = None if stddev is None else float(np.log(stddev))

    @property
    def learned(self) -> bool:  # type: ignore[override]
        """Whether the standard deviation is learned."""
        return self.stddev is None

    def bind(self, log_stddev: Any) -> None:
        """Set the variable of the learned `log(s)`; called by `Autoencoder`."""
        self._log_stddev = log_stddev

    def error(self, y_true: Any, y_pred: Any) -> Any:
        if self._log_stddev is None:
            raise ValueError(
                "GaussianNLL(stddev=None) can be used only in an Autoencoder, which learns stddev."
            )
        log_stddev = ops.cast(self._log_stddev, y_pred.dtype)
        scaled = (y_true - y_pred) * ops.exp(-log_stddev)
        return 0.5 * ops.square(scaled) + log_stddev + 0.5 * float(np.log(2 * np.pi))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}


LOSSES: dict[str, type[ReconstructionLoss]] = {
    "mse": SquaredError,
    "mae": AbsoluteError,
    "bce": BinaryCrossentropy,
    "gaussian": GaussianNLL,
}


def get(loss: Any, features: str = "mean") -> keras.losses.Loss:
    """Return the loss object for a name, a serialized loss or a Keras loss.

    Args:
        loss: `"mse"`, `"mae"`, `"bce"`, `"gaussian"`, a `keras.losses.Loss` or its
            serialized form.
        features: Reduction over features for a loss given by name.

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(loss, dict):
        loss = keras.saving.deserialize_keras_object(loss)
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss](features=features)
    raise ValueError(
        f"loss must be a keras.losses.Loss or one of {', '.join(LOSSES)}."
        f"{nearest(loss, LOSSES)} Received: loss={loss!r}"
    )
