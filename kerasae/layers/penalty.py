"""Base class of layers that add a named, weighted term to the loss."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from kerasae.schedules import Warmup, Weight, check_weight, weight_config

# Value and weight of each reported term, by name.
Terms = dict[str, tuple[Any, Any]]

# What the variable of a weight holds while a schedule decides.
_SCHEDULED = -1.0
# Names of losses that every model has.
_TAKEN = ("loss", "reconstruction_loss", "regularization_loss")

_evaluating: contextvars.ContextVar[bool] = contextvars.ContextVar("evaluating", default=False)


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
    """Enable noise in this context, although layers are called with `training=False`.

    An `Autoencoder` evaluates the training objective, but Keras calls layers with
    `training=False` in both `test_step` and `predict_step`.
    """
    token = _evaluating.set(True)
    try:
        yield
    finally:
        _evaluating.reset(token)


def stochastic(training: bool | None) -> bool:
    """Return whether noise is on: in training, and while an `Autoencoder` evaluates."""
    return bool(training) or _evaluating.get()


class PenaltyWeight(keras.layers.Layer):
    """Weight of a penalty, stored in a variable so that compiled steps see its changes.

    The value is part of the owning layer's configuration and is saved there. Weight files
    contain only the step of a schedule.

    Args:
        value: A number >= 0, a `keras.Variable` (which is made non-trainable), or a `Warmup`.
        argument: Name of the argument, for error messages.
    """

    def __init__(self, value: Weight, argument: str = "weight"):
        super().__init__(name="weight", dtype="float32")
        self.argument = argument
        self.built = True
        value = check_weight(value, argument)
        self.schedule = value if isinstance(value, Warmup) else None
        if isinstance(value, keras.Variable):
            value.trainable = False
            self.constant = value
            return
        # A negative number means that the schedule determines the weight.
        start = _SCHEDULED if isinstance(value, Warmup) else value
        self.constant = self._variable("weight", start, "float32")
        if self.schedule is not None:
            self.step = self._variable("warmup_step", 0, "int32")

    def _variable(self, name: str, value: float, dtype: str) -> keras.Variable:
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=name,
        )

    def current(self) -> Any:
        """Return the weight at the current step, a float32 scalar tensor."""
        constant = ops.cast(self.constant, "float32")
        if self.schedule is None:
            return constant
        return ops.where(constant < 0, self.schedule(self.step), constant)

    def advance(self) -> None:
        """Advance the schedule by one training step."""
        if self.schedule is not None:
            self.step.assign_add(1)

    def read(self) -> Weight:
        """Return the schedule, or the number if there is none or a number has replaced it."""
        value = float(ops.convert_to_numpy(self.constant))
        return self.schedule if value < 0 and self.schedule is not None else value

    def assign(self, value: Weight) -> None:
        """Set the weight, also for steps that are already compiled.

        Args:
            value: A number >= 0, a `keras.Variable` whose value is used, or the same schedule.

        Raises:
            ValueError: If the value is out of range, or a different schedule.
        """
        value = check_weight(value, self.argument)
        if isinstance(value, Warmup):
            if self.schedule is None or value.get_config() != self.schedule.get_config():
                raise ValueError(
                    f"{self.argument} can be set only to a number; pass a schedule to the "
                    f"constructor of the layer. Received: {self.argument}={value!r}"
                )
            value = _SCHEDULED
        self.constant.assign(ops.convert_to_tensor(value, "float32"))

    def save_own_variables(self, store: Any) -> None:
        if self.schedule is not None:
            store["step"] = ops.convert_to_numpy(self.step)

    def load_own_variables(self, store: Any) -> None:
        if self.schedule is not None and "step" in store:
            self.step.assign(store["step"][()])


class Penalty(keras.layers.Layer):
    """Base class of layers that add a named, weighted term to the loss.

    Subclasses define `penalty`, and `transform` if they change their input:

        ```python
        class Smoothness(kerasae.layers.Penalty):
            term_name = "smoothness_loss"

            def penalty(self, inputs, outputs, training=None):
                return keras.ops.mean(keras.ops.square(outputs[:, 1:] - outputs[:, :-1]), axis=1)
        ```

    In any Keras model, the layer adds `weight * mean_batch(penalty)` to the loss by `add_loss`.
    As part of an `Autoencoder`, it reports the term by name instead: the unweighted mean is a
    metric called `term_name`, and sample weights apply to it.

    Setting `weight` takes effect at the next step, even in compiled models, and changes the
    value that `get_config` returns.

    Args:
        weight: Factor of the penalty, a number >= 0, a `keras.Variable` or a `Warmup`.

    Call arguments:
        inputs: As defined by the subclass.
        training: Whether the layer is called in training, where a `Warmup` advances.
        return_terms: Whether to return a pair of the outputs and `{term_name: (value, weight)}`
            instead of calling `add_loss`.
    """

    term_name = "penalty_loss"
    # Whether `penalty` returns one value per sample rather than a scalar.
    per_sample = True
    # The name of the argument that holds the weight.
    weight_argument = "weight"
    # Names of the layer's inputs in a `Pass`.
    input_names: tuple[str, ...] = ()

    def __init__(self, weight: Weight = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if self.term_name in _TAKEN:
            raise ValueError(
                f"term_name must be none of {', '.join(_TAKEN)}. "
                f"Received: term_name={self.term_name!r}"
            )
        self.penalty_weight = PenaltyWeight(weight, self.weight_argument)

    @property
    def weight(self) -> Weight:
        """The weight: a number, or the `Warmup` in effect."""
        return self.penalty_weight.read()

    @weight.setter
    def weight(self, value: Weight) -> None:
        self.penalty_weight.assign(value)

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras would track a variable passed as the weight as one of the layer's own.
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transform(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the layer; the inputs by default."""
        return inputs

    def penalty(self, inputs: Any, outputs: Any, training: bool | None = None) -> Any:
        """Return the unweighted penalty, float32: `(batch,)`, or a scalar if not `per_sample`."""
        raise NotImplementedError

    def call(
        self, inputs: Any, training: bool | None = None, return_terms: bool = False, **kwargs: Any
    ) -> Any:
        outputs = self.transform(inputs, training, **kwargs)
        return self.report(outputs, self.penalty(inputs, outputs, training), training, return_terms)

    def report(self, outputs: Any, value: Any, training: bool | None, return_terms: bool) -> Any:
        """Report a penalty and return the outputs, as `call` does.

        Args:
            outputs: Outputs of the layer.
            value: Unweighted penalty, `(batch,)` or a scalar.
            training: Whether a `Warmup` advances.
            return_terms: As in `call`.
        """
        value = ops.cast(value, "float32")
        weight = self.penalty_weight.current()
        if training:
            self.penalty_weight.advance()
        if return_terms:
            return outputs, {self.term_name: (value, weight)}
        # A half-precision loss cannot be summed with a float32 one on TensorFlow.
        self.add_loss(weight * ops.mean(value))
        return outputs

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = super().compute_output_spec(inputs, *args, **kwargs)
        if not kwargs.get("return_terms"):
            return outputs
        batch = keras.tree.flatten(inputs)[0].shape[:1]
        value = keras.KerasTensor(batch if self.per_sample else (), "float32")
        return outputs, {self.term_name: (value, keras.KerasTensor((), "float32"))}

    def compute_output_shape(self, input_shape: Any, **_: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            self.weight_argument: weight_config(self.penalty_weight.read()),
        }
