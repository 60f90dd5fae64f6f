"""Schedules of weights during training."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import is_real, is_whole


@keras.saving.register_keras_serializable("kerasae")
class Warmup:
    """A linear ramp followed by a constant: `start + (end - start) * min(step / steps, 1)`.

    The schedule itself is stateless. The layer that owns it counts training steps in a
    variable, which is saved with the model, so that training can be resumed.

    Args:
        start: Weight at the first training step, at least 0.
        end: Weight from step `steps` on, at least 0.
        steps: Length of the ramp in training steps (batches, not epochs), at least 1.

    References:
        Bowman et al., "Generating Sentences from a Continuous Space", 2016, section 3.1
        (KL cost annealing).

    Example:
    >>> from kerasae.schedules import Warmup
    >>> [float(Warmup(0.0, 1.0, steps=4)(step)) for step in (0, 2, 4, 9)]
    [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, start: float = 0.0, end: float = 1.0, steps: int = 1000):
        for name, value in (("start", start), ("end", end)):
            if not is_real(value) or value < 0:
                raise ValueError(f"{name} must be a finite number >= 0. Received: {name}={value!r}")
        if not is_whole(steps, 1):
            raise ValueError(f"steps must be a whole number >= 1. Received: steps={steps!r}")
        self.start = float(start)
        self.end = float(end)
        self.steps = int(steps)

    def __call__(self, step: Any) -> Any:
        """Return the weight at `step`, a float32 scalar tensor."""
        progress = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * progress

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        return cls(**config)


# A number, a variable, or a schedule.
Weight = Any


def check_weight(weight: Weight, name: str) -> Weight:
    """Return `weight` as a float, a `keras.Variable` or a `Warmup`, or raise ValueError.

    Args:
        weight: A number >= 0, a `keras.Variable` with such a value, a `Warmup`, or the
            serialized form of a `Warmup`.
        name: Name of the argument, for the error message.
    """
    if isinstance(weight, dict):
        weight = keras.saving.deserialize_keras_object(weight)
    if isinstance(weight, Warmup):
        return weight
    if isinstance(weight, keras.Variable):
        check_weight(float(ops.convert_to_numpy(weight)), name)
        return weight
    if not is_real(weight) or weight < 0:
        raise ValueError(
            f"{name} must be a finite number >= 0 or a Warmup. Received: {name}={weight!r}"
        )
    return float(weight)


def weight_config(weight: Weight) -> Any:
    """Return the serialized form of `weight` for `get_config`."""
    if isinstance(weight, Warmup):
        return keras.saving.serialize_keras_object(weight)
    return float(ops.convert_to_numpy(weight))
