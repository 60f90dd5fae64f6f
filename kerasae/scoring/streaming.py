"""How `kerasae.scoring` keeps reader and model busy, and shows it."""

import contextlib
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Rows of small files and row groups are gathered up to this, for a call has its price.
_LEAST_BYTES = 1 << 22
_PIECES_AHEAD = 2


def gathered(pieces: Iterator[Any]) -> Iterator[Any]:
    """Join pieces that are too small to be worth a call."""
    held: list[Any] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += piece[0].nbytes
        if size >= _LEAST_BYTES:
            yield _merged(held)
            held, size = [], 0
    if held:
        yield _merged(held)


def _merged(held: list[Any]) -> Any:
    if len(held) == 1:
        return held[0]
    xs, kepts = zip(*held, strict=True)
    return np.concatenate(xs), joined(kepts)


def joined(kepts: Sequence[Any]) -> Any:
    if kepts[0] is None:
        return None
    import pyarrow as pa

    return pa.Table.from_batches(kepts)


@contextlib.contextmanager
def ahead(pieces: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Read in a thread of its own, a few pieces ahead."""
    waiting: queue.Queue = queue.Queue(_PIECES_AHEAD)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def read() -> None:
        try:
            for piece in pieces:
                put((piece, None))
                if stop.is_set():
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    def received() -> Iterator[Any]:
        while True:
            piece, error = waiting.get()
            if error is not None:
                raise error
            if piece is None:
                return
            yield piece

    thread = threading.Thread(target=read, name="kerasae-batch-reader", daemon=True)
    thread.start()
    try:
        yield received()
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def quick(model: Any) -> Iterator[None]:
    """Let a Keras model answer arrays without the price of Keras's `predict`, for a while.

    On the TensorFlow backend alone; elsewhere, and for exported models, nothing changes.
    """
    run = _runner() if hasattr(model, "_run") else None
    if run is None:
        yield
        return
    # Past Keras, which tracks what is assigned to a model.
    object.__setattr__(model, "_run", run)
    try:
        yield
    finally:
        object.__delattr__(model, "_run")


def _runner() -> Any:
    import keras

    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    functions: dict[int, Any] = {}

    def run(part: Any, x: Any, batch_size: int) -> np.ndarray:
        if id(part) not in functions:
            spec = tf.TensorSpec((None, *x.shape[1:]), x.dtype)
            call = tf.function(lambda batch: part(batch, training=False), input_signature=[spec])
            functions[id(part)] = call
        parts = [
            functions[id(part)](x[start : start + batch_size]).numpy()
            for start in range(0, len(x), batch_size)
        ]
        return np.concatenate(parts).astype("float32", copy=False)

    return run


class Progress:
    """A bar on standard error: files done, rows, rows per second."""

    def __init__(self, count: int, wanted: bool):
        self._bar: Any = None
        self._done = self._rows = self._in_file = 0
        if not (wanted and sys.stderr.isatty()):
            return
        from rich import progress
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._count = count
        self._bar = progress.Progress(
            SpinnerColumn(), BarColumn(None), TextColumn("{task.description}"),
            TimeElapsedColumn(), console=Console(stderr=True), transient=True, expand=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=self._count)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int, of: int | None) -> None:
        """Count rows of the file at hand, which has that many if it is known."""
        if self._bar is None:
            return
        self._rows += rows
        self._in_file += rows
        seconds = self._bar.tasks[0].elapsed or 1e-9
        self._bar.update(
            self._task,
            completed=self._done + (min(1.0, self._in_file / of) if of else 0.0),
            description=f"{self._done}/{self._count} files, {self._rows:,} rows, "
            f"{self._rows / seconds:,.0f} rows/s",
        )

    def finished(self) -> None:
        """Count a file."""
        self._done += 1
        self._in_file = 0
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
