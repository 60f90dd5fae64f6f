"""Exact resumption of a training that was killed."""

import os
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.files import read_json, replacing, write_json

_STATE = "state.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


class Backup(keras.callbacks.BackupAndRestore):
    """A `BackupAndRestore` that also keeps the state of early stopping, and is never torn.

    After an epoch it saves every variable of model and optimizer (seeds, warm-ups and the
    learning rate among them), the best weights so far and how long early stopping has waited. A
    file that names the others replaces its predecessor last, so a process killed at any moment
    leaves the previous or the new state, whole. A training that early stopping had ended does
    not run another epoch when it is resumed.

    Args:
        backup_dir: Folder of the state; made when needed.
        early_stopping: The `EarlyStopping` of the same `fit`, listed before this callback.
        delete_checkpoint: Whether the folder is removed when training ends.
        min_seconds: Epochs that end sooner after a save are not saved, but for the last one. A
            resumed training repeats them, to the same result.

    Attributes:
        seconds: Time spent training, that of resumed runs included.
    """

    # The base class looks at batches, though it acts only after an epoch.
    acts_on_chunks = True

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
        """Return the saved state, or None if there is none. `epoch` counts finished epochs.

        Raises:
            ValueError: The file is damaged.
        """
        path = self.folder / _STATE
        if not path.is_file():
            return None
        try:
            state = read_json(path)
            int(state["epoch"]), float(state["seconds"]), str(state["variables"])
            state["early_stopping"], state["best_weights"]
        except _DAMAGE as error:
            raise _damaged(path) from error
        return state

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore the saved state, if there is one; nothing is restored of one that is damaged."""
        self._started, self._saved = time.monotonic(), None
        state = self.read()
        if state is None:
            return
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        variables = _variables(self.model)
        values = _load(self.folder / state["variables"], variables)
        stopping, stopped = self.early_stopping, False
        if stopping is not None and state["early_stopping"] is not None:
            best = _load(self.folder / state["best_weights"], self.model.weights)
            for name, value in state["early_stopping"].items():
                setattr(stopping, name, value)
            stopping.best_weights = best
            self._best_epoch = stopping.best_epoch
            stopped = stopping.stopped_epoch > 0
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._started -= state["seconds"]
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
            "variables": f"epoch-{epoch + 1}.npz",
            "early_stopping": None,
            "best_weights": None,
        }
        _save(self.folder / state["variables"], _values(_variables(self.model)))
        stopping = self.early_stopping
        if stopping is not None and stopping.best_weights is not None:
            names = ("wait", "best", "best_epoch", "stopped_epoch")
            state["early_stopping"] = {name: getattr(stopping, name) for name in names}
            state["best_weights"] = f"best-{stopping.best_epoch + 1}.npz"
            if self._best_epoch != stopping.best_epoch:
                _save(self.folder / state["best_weights"], stopping.best_weights)
                self._best_epoch = stopping.best_epoch
        write_json(self.folder / _STATE, state)
        for file in self.folder.iterdir():
            if file.name not in (_STATE, state["variables"], state["best_weights"]):
                file.unlink()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Remove the state, unless it is to stay."""
        self.model._initial_epoch = None
        self.seconds = time.monotonic() - self._started
        if self.delete_checkpoint:
            shutil.rmtree(self.folder, ignore_errors=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Return all that training changes: weights, seeds, and the variables of the optimizer."""
    return [*model.variables, *model.optimizer.variables]


def _values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.asarray(ops.convert_to_numpy(variable)) for variable in variables]


def _save(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Write arrays, with their checksums, through to the disk.

    Not as HDF5: its library brings the process down when a disk is full.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, *arrays)


def _load(path: Path, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return the saved values of variables; a file that is not theirs is refused whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = [stored[f"arr_{i}"] for i in range(len(stored.files))]
    except _DAMAGE as error:
        raise _damaged(path) from error
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise ValueError(
            "The checkpoint belongs to another model; resume with the settings the run was begun "
            f"with. Received: {str(path)!r} of {len(arrays)} arrays for {len(variables)} variables"
        )
    # NumPy knows bfloat16 by its bytes only.
    return [
        a.view(_values([v])[0].dtype) if a.dtype.kind == "V" else a
        for a, v in zip(arrays, variables, strict=True)
    ]


def _damaged(path: Path) -> ValueError:
    return ValueError(
        "The checkpoint is damaged, and the training cannot go on from it; remove the folder "
        f"{path.parent} to begin the training anew. Received: {str(path)!r}"
    )
