"""Penalties on activations.

Every penalty is summed over code units and averaged over the batch, so its value does not
depend on the batch size. A penalty can be used as the `activity_regularizer` of any Keras layer,
or through `kerasae.layers.ActivityPenalty`, which also supports a `Warmup` and names the term in
an `Autoencoder`; both give the same value. Since Keras divides an `activity_regularizer` by the
batch size (from version 3.14.0 on, keras pull request 22021), calling a regularizer multiplies
by the batch size.
"""

from typing import Any

import keras
from keras import ops

from kerasae.errors import is_real
from kerasae.schedules import Warmup, Weight, check_weight, weight_config


class ActivationRegularizer(keras.regularizers.Regularizer):
    """Base class of penalties: `weight * penalty(activations)`.

    Calling a penalty multiplies this by the batch size, by which Keras divides.

    Args:
        weight: Factor of the penalty, a number >= 0; with `ActivityPenalty` also a
            `keras.Variable` or a `Warmup`. It cannot be changed; set `weight` of the
            `ActivityPenalty` instead.
    """

    # Whether `values` returns one value per sample rather than a scalar.
    per_sample = False
    # Whether activations must lie in [0, 1].
    bounded = False

    def __init__(self, weight: Weight):
        self._weight = check_weight(weight, "weight")

    @property
    def weight(self) -> Weight:
        """Factor of the penalty."""
        return self._weight

    def values(self, activations: Any) -> Any:
        """Return the unweighted penalty, float32: `(batch,)` if `per_sample`, else a scalar."""
        raise NotImplementedError

    def penalty(self, activations: Any) -> Any:
        """Return the unweighted penalty, a float32 scalar."""
        return ops.mean(self.values(activations))

    def __call__(self, activations: Any) -> Any:
        """Return `weight * penalty(activations)` times the batch size, as Keras expects it.

        Raises:
            ValueError: If the weight is a `Warmup`, whose steps only `ActivityPenalty` counts.
        """
        if isinstance(self.weight, Warmup):
            raise ValueError(
                "weight may be a Warmup only in kerasae.layers.ActivityPenalty, which counts the "
                f"steps. Received: weight={self.weight!r}"
            )
        batch = ops.cast(ops.shape(activations)[0], "float32")
        return ops.cast(self.weight, "float32") * self.penalty(activations) * batch

    def get_config(self) -> dict[str, Any]:
        return {"weight": weight_config(self.weight)}


@keras.saving.register_keras_serializable("kerasae")
class L1Activation(ActivationRegularizer):
    """L1 penalty on the code: `weight * mean_batch(sum_j |h_j|)`.

    Args:
        weight: Factor lambda, a number >= 0 or a `Warmup`.

    Input shape:
        `(batch, units)`, or `(batch, ..., units)`; all axes but the first are summed.

    Output shape:
        Scalar, float32.

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011; Goodfellow, Bengio and Courville,
        "Deep Learning", 2016, section 14.2.1.

    Example:
    >>> import numpy as np
    >>> from kerasae.regularizers import L1Activation
    >>> float(L1Activation(0.5).penalty(np.array([[1.0, -2.0], [0.0, 3.0]])))
    3.0
    """

    per_sample = True

    def __init__(self, weight: Weight = 1e-3):
        super().__init__(weight)

    def values(self, activations: Any) -> Any:
        absolute = ops.abs(ops.cast(activations, "float32"))
        return ops.sum(absolute, axis=tuple(range(1, len(absolute.shape))))


@keras.saving.register_keras_serializable("kerasae")
class KLSparsity(ActivationRegularizer):
    """KL sparsity: `weight * sum_j KL(rho || rho_hat_j)` of Bernoulli rates.

    `KL(rho || r) = rho log(rho / r) + (1 - rho) log((1 - rho) / (1 - r))`, in nats, where
    `rho_hat_j` is the mean activation of unit `j` over the batch. As a function of the batch
    mean, it is not averaged over the batch again. The units must lie in [0, 1] (a sigmoid code).
    At exactly 0 or 1, value and slope are finite: rates are mapped to [1e-6, 1 - 1e-6].

    A batch mean is a noisy rate, and KL is convex, so the penalty is biased upward: at the
    target rate by about `var(h_j) / (2 * batch * rho * (1 - rho))` per unit. Set the `momentum`
    of `ActivityPenalty` to use a running mean instead.

    Args:
        target_activation: Target rate rho, in (0, 1).
        weight: Factor beta, a number >= 0 or a `Warmup`.

    Input shape:
        `(batch, units)`, or `(batch, ..., units)`; each entry past the first axis is a unit.

    Output shape:
        Scalar, float32.

    Raises:
        ValueError: If eager activations lie outside [0, 1]. (Values cannot be inspected in a
            compiled graph, so the `sparse_kl` builder validates the encoder.)

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3; Lee, Ekanadham and Ng,
        "Sparse deep belief net model for visual area V2", 2008.

    Example:
    >>> import numpy as np
    >>> from kerasae.regularizers import KLSparsity
    >>> round(float(KLSparsity(0.5, weight=1.0).penalty(np.array([[0.2], [0.3]]))), 4)
    0.1438
    """

    bounded = True

    def __init__(self, target_activation: float = 0.05, weight: Weight = 1e-2):
        super().__init__(weight)
        if not is_real(target_activation) or not 0 < target_activation < 1:
            raise ValueError(
                "target_activation must lie strictly between 0 and 1. "
                f"Received: target_activation={target_activation!r}"
            )
        self.target_activation = float(target_activation)

    def values(self, activations: Any) -> Any:
        check_unit_interval(activations)
        return self.divergence(ops.mean(ops.cast(activations, "float32"), axis=0))

    def divergence(self, mean_activation: Any) -> Any:
        """Return `sum_j KL(rho || mean_activation_j)`, a scalar.

        Args:
            mean_activation: Mean activation of each unit, any shape without a batch axis.
        """
        rho = self.target_activation
        # Mapped linearly: a clipped rate has no slope, so a dead unit would stay dead.
        rate = 1e-6 + (1 - 2e-6) * ops.clip(mean_activation, 0.0, 1.0)
        kl = rho * (ops.log(rho) - ops.log(rate)) + (1 - rho) * (
            ops.log(1 - rho) - ops.log1p(-rate)
        )
        return ops.sum(kl)

    def get_config(self) -> dict[str, Any]:
        return {"target_activation": self.target_activation, **super().get_config()}


def check_unit_interval(activations: Any) -> None:
    """Raise ValueError if eager activations lie outside [0, 1]; symbolic ones are not checked.

    Args:
        activations: Tensor or array of any shape.
    """
    try:
        values = ops.convert_to_numpy(activations)
    except Exception:  # a symbolic or traced tensor has no value
        return
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low < 0 or high > 1:
        raise ValueError(
            "KL sparsity requires activations between 0 and 1, such as those of a sigmoid; "
            f"use L1Activation for unbounded ones. Received: values from {low:.4g} to {high:.4g}"
        )
