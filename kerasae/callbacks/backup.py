"""Exact resumption of a training that was killed."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae._atomic import replacing


class Backup(keras.callbacks.BackupAndRestore):
    """A `BackupAndRestore` that also keeps the state of early stopping, and is never torn.

    After an epoch it saves weights, optimizer, seeds, the best weights so far and how long
    early stopping has waited. A file that names the others replaces its predecessor last, so a
    process killed at any moment leaves the previous or the new state, whole. A training that
    early stopping had ended does not run another epoch when it is resumed.

    Args:
        backup_dir: Folder of the state; made when needed.
        early_stopping: The `EarlyStopping` of the same `fit`, listed before this callback.
        delete_checkpoint: Whether the folder is removed when training ends.
        min_seconds: Epochs that end sooner after a save are not saved, but for the last one. A
            resumed training repeats them, to the same result.

    Attributes:
        seconds: Time spent training, that of resumed runs included.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike,
        early_stopping: keras.callbacks.EarlyStopping | None = None,
        delete_checkpoint: bool = True,
        min_seconds: float = 0.0,
    ):
        super().__init__(str(backup_dir), delete_checkpoint=delete_checkpoint)
        self.folder = Path(backup_dir)
        self.early_stopping = early_stopping
        self.min_seconds = min_seconds
        self.seconds = 0.0
        self._saved: float | None = None
        self._best_epoch: int | None = None

    def read(self) -> dict[str, Any] | None:
        """Return the saved state, or None if there is none. `epoch` counts finished epochs."""
        path = self.folder / "state.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore the saved state, if there is one."""
        self._started, self._saved = time.monotonic(), None
        state = self.read()
        if state is None:
            return
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self.folder / state["weights"])
        self._started -= state["seconds"]
        stopped = False
        if self.early_stopping is not None and state["early_stopping"] is not None:
            for name, value in state["early_stopping"].items():
                setattr(self.early_stopping, name, value)
            with np.load(self.folder / state["best_weights"], allow_pickle=False) as arrays:
                self.early_stopping.best_weights = [arrays[name] for name in arrays.files]
            self._best_epoch = self.early_stopping.best_epoch
            stopped = self.early_stopping.stopped_epoch > 0
        # What Keras's own callback sets; `fit` begins there.
        self.model._initial_epoch = self.params["epochs"] if stopped else state["epoch"]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the restored epoch from a later `fit`, which Keras would begin there, too."""
        self.model._initial_epoch = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save the state after this epoch."""
        self.seconds = time.monotonic() - self._started
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        recent = self._saved is not None and self.seconds - self._saved < self.min_seconds
        if recent and not last:
            return
        self._saved = self.seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "epoch": epoch + 1,
            "seconds": self.seconds,
            "weights": f"epoch-{epoch + 1}.weights.h5",
            "early_stopping": None,
            "best_weights": None,
        }
        self.model.save_weights(self.folder / state["weights"], overwrite=True)
        stopping = self.early_stopping
        if stopping is not None and stopping.best_weights is not None:
            names = ("wait", "best", "best_epoch", "stopped_epoch")
            state["early_stopping"] = {name: getattr(stopping, name) for name in names}
            state["best_weights"] = f"best-{stopping.best_epoch + 1}.npz"
            if self._best_epoch != stopping.best_epoch:
                np.savez(self.folder / state["best_weights"], *stopping.best_weights)
                self._best_epoch = stopping.best_epoch
        with replacing(self.folder / "state.json") as temporary:
            temporary.write_text(json.dumps(state), "utf-8")
        for file in self.folder.iterdir():
            if file.name not in ("state.json", state["weights"], state["best_weights"]):
                file.unlink()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Remove the state, unless it is to stay."""
        self.model._initial_epoch = None
        self.seconds = time.monotonic() - self._started
        if self.delete_checkpoint:
            shutil.rmtree(self.folder, ignore_errors=True)
