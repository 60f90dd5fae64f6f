"""What is told and written epoch by epoch."""

import csv
import os
from pathlib import Path
from typing import Any

import keras

from kerasae._atomic import replacing


class EpochOrder(keras.callbacks.Callback):
    """Tells the data which epoch begins, so that a resumed training sees the order it would have.

    Args:
        splits: A `kerasae.data.Splits`, or anything with a method `set_epoch(epoch)`.
    """

    def __init__(self, splits: Any):
        super().__init__()
        self.splits = splits

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the epoch of the next pass, counted from 0."""
        self.splits.set_epoch(epoch)


class HistoryFile(keras.callbacks.Callback):
    """Appends every epoch to a CSV file: `epoch,loss,...,val_loss,...`, epochs counted from 1.

    When training resumes at epoch `n`, rows from `n` on are dropped first.

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        self._names: list[str] | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forget the columns of an earlier training."""
        self._names = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Append a row."""
        row = {"epoch": epoch + 1, **(logs or {})}
        if self._names is None:
            self._names = list(row)
            self._keep_rows_before(epoch + 1)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([row.get(name, "") for name in self._names])

    def _keep_rows_before(self, epoch: int) -> None:
        rows = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]
        assert self._names is not None
        with (
            replacing(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._names, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


class EventLog(keras.callbacks.Callback):
    """Writes every term of every epoch as TensorBoard scalars.

    Names and folders are those of `keras.callbacks.TensorBoard` (`epoch_loss` in `train` and in
    `validation`), which needs the package tensorboard and slows every batch down; this needs
    TensorFlow only.

    Args:
        path: Folder for `tensorboard --logdir`.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the terms of an epoch, counted from 0 as Keras does."""
        import tensorflow as tf

        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind, data_class="DATA_CLASS_SCALAR")
        for name, value in (logs or {}).items():
            split = "validation" if name.startswith("val_") else "train"
            if split not in self._writers:
                self._writers[split] = tf.summary.create_file_writer(str(self.path / split))
            with self._writers[split].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, tf.constant(value, tf.float32), epoch, metadata)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files; call it after a `fit` that raised."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
