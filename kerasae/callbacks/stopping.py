"""Stopping without loss: on Ctrl-C, and when a loss is no longer a number."""

import math
import signal
import threading
from collections.abc import Callable
from typing import Any

import keras


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
    """Stops training at the first NaN or infinite loss, with the weights of the last good epoch.

    `fit` then raises `NonFiniteLoss`. List this callback before those that save.
    """

    acts_on_chunks = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Remember the weights; there may be no good epoch at all."""
        self._good = self.model.get_weights()
        self._bad: list[str] = []

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
        if bad:
            self.model.set_weights(self._good)
            raise NonFiniteLoss(bad, epoch + 1)
        self._good = self.model.get_weights()


def _not_finite(logs: dict[str, float]) -> list[str]:
    """Return the terms that are not finite, the sum only when no term of it is to blame."""
    bad = [name for name, value in logs.items() if name != "val_regularization_loss"]
    bad = [name for name in bad if not math.isfinite(logs[name])]
    return [name for name in bad if name not in ("loss", "val_loss")] or bad


class StopOnInterrupt(keras.callbacks.Callback):
    """Stops training on Ctrl-C after the current batch, with whole weights.

    `fit` then raises `KeyboardInterrupt`, and callbacks listed after this one do not see the
    unfinished epoch. A second Ctrl-C raises it at once. Outside the main thread, where Python
    has no signals, this callback does nothing.

    Args:
        on_interrupt: Called at the first Ctrl-C, for example to say what happens.
    """

    acts_on_chunks = True

    def __init__(self, on_interrupt: Callable[[], None] | None = None):
        super().__init__()
        self.on_interrupt = on_interrupt
        self.interrupted = False
        self._previous: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take over Ctrl-C."""
        self.interrupted = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self.model.stop_training = True
        self.model.stop_evaluating = True
        if self.on_interrupt is not None:
            self.on_interrupt()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Leave the epoch; `fit` itself may have reset the flag since the signal."""
        if self.interrupted:
            self.model.stop_training = True

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Skip the validation of an unfinished epoch."""
        if self.interrupted:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raise before other callbacks take the epoch for a whole one."""
        if self.interrupted:
            raise KeyboardInterrupt

    def on_train_end(self, logs: dict | None = None) -> None:
        """Give Ctrl-C back."""
        self.close()

    def close(self) -> None:
        """Give Ctrl-C back; call it after a `fit` that raised."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
