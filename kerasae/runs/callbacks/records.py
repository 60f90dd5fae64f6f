"""What is told and written epoch by epoch."""

import contextlib
import csv
import errno
import io
import os
from pathlib import Path
from typing import Any

import keras

from kerasae.files import replacing


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

    When training resumes at epoch `n`, rows from `n` on are dropped first, and a last row that
    was not written to its end. A row is written whole or not at all.

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
        line = io.StringIO()
        csv.writer(line).writerow([row.get(name, "") for name in self._names])
        # Not in append mode, which would make a file that somebody has removed anew.
        with self.path.open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            content = line.getvalue().encode()
            if file.write(content) != len(content):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _keep_rows_before(self, epoch: int) -> None:
        rows = []
        if self.path.is_file():
            text = self.path.read_text("utf-8", errors="replace")
            whole = io.StringIO(text[: text.rfind("\n") + 1])
            rows = [row for row in csv.DictReader(whole) if _is_before(epoch, row.get("epoch"))]
        assert self._names is not None
        with (
            replacing(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._names, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _is_before(epoch: int, written: str | None) -> bool:
    return written is not None and written.isdecimal() and int(written) < epoch


class EventLog(keras.callbacks.Callback):
    """Writes every term of every epoch as TensorBoard scalars.

    Names and folders are those of `keras.callbacks.TensorBoard` (`epoch_loss` in `train` and in
    `validation`), which needs the package tensorboard and slows every batch down; this needs
    TensorFlow only.

    Args:
        path: Folder for `tensorboard --logdir`.

    Raises:
        OSError: They cannot be written; at the end of an epoch.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the terms of an epoch, counted from 0 as Keras does."""
        import tensorflow as tf

        try:
            self._write(epoch, logs or {})
        except tf.errors.ResourceExhaustedError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)) from error
        except tf.errors.OpError as error:
            raise OSError(str(error.message)) from error

    def _write(self, epoch: int, logs: dict[str, Any]) -> None:
        import tensorflow as tf

        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind, data_class="DATA_CLASS_SCALAR")
        for name, value in logs.items():
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
        """Close the files; call it after a `fit` that raised. What cannot be written is left."""
        if not self._writers:
            return
        import tensorflow as tf

        for writer in self._writers.values():
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
        self._writers = {}
