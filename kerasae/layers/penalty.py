"""What a layer may know of the step it is traced in."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from kerasae.schedules import Warmup, Weight, check_weight, weight_config


@dataclasses.dataclass
class Step:
    """One `train_step` or `test_step` of an `Autoencoder` while it is traced.

    Attributes:
        training: False while evaluating.
        owner: The `Autoencoder` whose step it is; a nested one is a plain layer to it.
        terms: Name -> list of `(value, weighted)` tensors that penalties reported.
        tracked: Where the values of the terms go instead of their metrics, or None.
        xla: Whether XLA compiles it.
    """

    training: bool
    owner: Any = None
    terms: dict[str, list[tuple[Any, Any]]] = dataclasses.field(default_factory=dict)
    tracked: dict[str, Any] | None = None
    xla: bool = False

    @property
    def replicated(self) -> bool:
        """Whether replicas trace it in turns, and see what the others gave to `add_loss`."""
        return getattr(self.owner, "_replica_loss", None) is not None


_current: contextvars.ContextVar[Step | None] = contextvars.ContextVar("step", default=None)


@contextlib.contextmanager
def step(
    training: bool,
    owner: Any = None,
    tracked: dict[str, Any] | None = None,
    xla: bool = False,
) -> Iterator[Step]:
    """Enter a step; layers called inside see it through `current_step`."""
    token = _current.set(Step(training, owner, tracked=tracked, xla=xla))
    try:
        yield _current.get()  # type: ignore[misc]
    finally:
        _current.reset(token)


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Keep what layers called a second time on the side report out of the step.

    Noise stays on where it is on.
    """
    current = _current.get()
    token = _current.set(None if current is None else Step(current.training, xla=current.xla))
    try:
        yield
    finally:
        _current.reset(token)


def current_step() -> Step | None:
    """Return the step that is being traced, or None."""
    return _current.get()


def stochastic(training: bool | None) -> bool:
    """Tell whether noise is on: while training, and while an `Autoencoder` evaluates.

    Keras calls both `test_step` and `predict_step` with `training=False`, and only the first
    may corrupt and sample.
    """
    return bool(training) or _current.get() is not None


class PenaltyMixin:
    """Adds a named, weighted term to the loss once and counts the steps of a `Warmup`.

    Subclasses are Keras layers. They set `term_name`, call `_init_penalty` in `__init__`,
    `_build_penalty` in `build`, and `add_term` in `call`.
    """

    term_name = "penalty_loss"

    def _init_penalty(self, weight: Weight, name: str) -> Weight:
        self._weight = check_weight(weight, name)
        return self._weight

    def _build_penalty(self) -> None:
        if isinstance(self._weight, Warmup):
            self.warmup_step = self.add_weight(  # type: ignore[attr-defined]
                shape=(), initializer="zeros", dtype="int32", trainable=False, name="warmup_step"
            )

    def add_term(self, value: Any, training: bool | None) -> None:
        """Add `weight * value` to the loss and report both under `term_name`.

        Args:
            value: Unweighted penalty, a scalar.
            training: Whether the warm-up advances.
        """
        # A half-precision loss cannot be summed with a float32 one on TensorFlow.
        value = keras.ops.cast(value, "float32")
        weight: Any = self._weight
        if isinstance(weight, Warmup):
            weight = weight(self.warmup_step)
            if training:
                self.warmup_step.assign_add(1)
        weighted = weight * value
        current = _current.get()
        if current is not None:
            current.terms.setdefault(self.term_name, []).append((value, weighted))
        if current is None or not current.replicated:
            self.add_loss(weighted)  # type: ignore[attr-defined]

    @staticmethod
    def _weight_config(weight: Weight) -> Any:
        return weight_config(weight)
