"""Stopping without loss: on Ctrl-C or SIGTERM, and when a loss is no longer a number."""

import contextlib
import math
import signal
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

# Ctrl-C, and what schedulers and containers send before they kill.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class NonFiniteLoss(ArithmeticError):
    """A loss became NaN or infinite.

    Attributes:
        terms: Names of the loss terms that did.
        epoch: Epoch in which they did, counted from 1.
    """

    def __init__(self, terms: list[str], epoch: int):
        super().__init__(f"{' and '.join(terms)} became NaN or infinite in epoch {epoch}.")
        self.terms = terms
        self.epoch = epoch


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops training at the first NaN or infinite loss, with the state of the last good epoch.

    Weights and optimizer are then those of the end of that epoch, and `fit` raises
    `NonFiniteLoss`. An epoch is good if its losses are finite, and the weights after it. List
    this callback before those that save.
    """

    acts_on_chunks = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forget an earlier training."""
        self._bad: list[str] = []
        self._good: list[np.ndarray] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remember the state that training begins with; there may be no good epoch at all."""
        if self._good is None:
            if not self.model.optimizer.built:
                self.model.optimizer.build(self.model.trainable_variables)
            self._good = self._state()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop after a batch that spoiled the loss."""
        logs = logs or {}
        if not math.isfinite(logs.get("loss", 0.0)):
            self._bad = _not_finite(logs)
            self.model.stop_training = True

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Skip the validation of an epoch that is lost."""
        if self._bad:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raise if a loss was not finite, with the weights restored."""
        bad = self._bad or _not_finite(logs or {})
        state = self._state()
        # The last step of an epoch may spoil weights that no loss has seen yet.
        if not bad and not _all_finite(state[: len(self.model.weights)]):
            bad = ["weights"]
        if bad:
            for variable, array in zip(self._variables(), self._good or (), strict=True):
                variable.assign(array)
            raise NonFiniteLoss(bad, epoch + 1)
        self._good = state

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.weights, *self.model.optimizer.variables]

    def _state(self) -> list[np.ndarray]:
        # Copies: a view of a variable would change with it.
        return [np.array(ops.convert_to_numpy(variable)) for variable in self._variables()]


def _all_finite(arrays: list[np.ndarray]) -> bool:
    # NumPy files bfloat16 under V.
    return all(bool(np.isfinite(array).all()) for array in arrays if array.dtype.kind in "fV")


def _not_finite(logs: dict[str, float]) -> list[str]:
    """Return the terms that are not finite, the sum only when no term of it is to blame."""
    bad = [name for name, value in logs.items() if name != "val_regularization_loss"]
    bad = [name for name in bad if not math.isfinite(logs[name])]
    return [name for name in bad if name not in ("loss", "val_loss")] or bad


class StopOnInterrupt(keras.callbacks.Callback):
    """Stops training on Ctrl-C or SIGTERM after the current batch, with whole weights.

    `fit` then raises `KeyboardInterrupt`, and callbacks listed after this one do not see the
    unfinished epoch. A second signal raises it at once. Outside the main thread, where Python
    has no signals, this callback does nothing.

    Processes that train together stop together: all of them after the epoch in which a signal
    came to one, which is finished and saved like any other.

    Args:
        on_interrupt: Called at the first signal, for example to say what happens.
        anywhere: Takes whether a signal came here, and returns whether one came to any of the
            processes that train together. Called once an epoch. None if there is only one.

    Attributes:
        signal: Number of the first signal, None before one came.
        at_once: Whether a second one came.
    """

    acts_on_chunks = True

    def __init__(
        self,
        on_interrupt: Callable[[], None] | None = None,
        anywhere: Callable[[bool], bool] | None = None,
    ):
        super().__init__()
        self.on_interrupt = on_interrupt
        self.anywhere = anywhere
        self.signal: int | None = None
        self.at_once = False
        self._previous: dict[int, Any] = {}

    @property
    def interrupted(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    @property
    def _stops_now(self) -> bool:
        return self.interrupted and self.anywhere is None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take over the signals."""
        self.signal, self.at_once = None, False
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}

    def _handle(self, number: int, frame: Any) -> None:
        self.at_once = self.interrupted
        if self.at_once:
            raise KeyboardInterrupt
        self.signal = number
        if self._stops_now:
            self.model.stop_training = True
            self.model.stop_evaluating = True
        if self.on_interrupt is not None:
            with contextlib.suppress(RuntimeError):  # the signal came in the midst of a print
                self.on_interrupt()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Leave the epoch; `fit` itself may have reset the flag since the signal."""
        if self.at_once:
            # Keras on JAX catches everything while it reads the losses of a batch.
            raise KeyboardInterrupt
        if self._stops_now:
            self.model.stop_training = True

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Skip the validation of an unfinished epoch."""
        if self._stops_now:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raise before other callbacks take the epoch for a whole one."""
        if self._stops_now:
            raise KeyboardInterrupt
        if self.anywhere is not None and self.anywhere(self.interrupted):
            self.signal = self.signal or signal.SIGINT
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        """Give the signals back."""
        self.close()

    def close(self) -> None:
        """Give the signals back; call it after a `fit` that raised."""
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}
