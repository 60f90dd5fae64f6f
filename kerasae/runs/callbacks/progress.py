"""Progress of a training on the terminal."""

import sys
from typing import Any

import keras


class Progress(keras.callbacks.Callback):
    """Shows the progress of training: a live bar on a terminal, a few lines elsewhere.

    All loss terms are shown, those of training and of validation.

    Args:
        monitor: Term whose lowest value so far is shown as the best.
        lines: Number of lines to print where there is no terminal, evenly over the epochs.
        file: Where to write; standard output by default.
    """

    acts_on_chunks = True

    def __init__(self, monitor: str = "val_loss", lines: int = 10, file: Any = None):
        super().__init__()
        self.monitor = monitor
        self.lines = lines
        self.file = file or sys.stdout
        self._display: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Find out where to write."""
        from rich.console import Console

        self._console = Console(file=self.file, highlight=False)
        self._best: tuple[float, int] | None = None
        self._shown_epoch = -1
        self._terms: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begin a new bar, or go on with it."""
        self._epoch = epoch
        steps = self.params.get("steps")
        if not self._console.is_terminal:
            return
        if self._display is None:
            self._display, self._text = _bar(self._console)
            total = steps and steps * self.params["epochs"]
            self._task = self._display.add_task("", total=total)
            self._display.start()
        self._display.update(
            self._task,
            description=f"epoch {epoch + 1}/{self.params['epochs']}",
            completed=steps and epoch * steps,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        if self._display is not None:
            steps = self.params.get("steps") or 0
            self._text.plain = self._line(logs or {})
            self._display.update(self._task, completed=self._epoch * steps + batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Show the terms of a whole epoch."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is not None and (self._best is None or value < self._best[0]):
            self._best = value, epoch + 1
        self._terms = logs
        if self._display is not None:
            self._text.plain = self._line(logs)
        elif (epoch + 1) % max(1, self.params["epochs"] // self.lines) == 0 or epoch == 0:
            self._print(epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leave the last state on the screen."""
        if self._display is None and self._terms and self._shown_epoch != self._epoch:
            self._print(self._epoch)
        self.close()

    def close(self) -> None:
        """Stop the live display; call it after a `fit` that raised."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _print(self, epoch: int) -> None:
        self._shown_epoch = epoch
        line = f"epoch {epoch + 1}/{self.params['epochs']}  {self._line(self._terms)}"
        self._console.print(line, soft_wrap=True)

    def _line(self, logs: dict[str, float]) -> str:
        """Return `loss .0123 (val .0145)` for each term, and the best epoch so far."""
        terms = [name for name in logs if not name.startswith("val_")]
        terms.sort(key=lambda name: name != "loss")
        if set(terms) == {"loss", "reconstruction_loss"}:
            terms = ["reconstruction_loss"]  # the sum of this one term
        parts = []
        for name in terms:
            validation = logs.get(f"val_{name}", self._terms.get(f"val_{name}"))
            seen = "" if validation is None else f" (val {validation:.4g})"
            parts.append(f"{name.replace('_', ' ')} {logs[name]:.4g}{seen}")
        if self._best is not None:
            parts.append(f"best epoch {self._best[1]}")
        return ", ".join(parts)


def _bar(console: Any) -> tuple[Any, Any]:
    """Return a bar with a line of text below it, and that text."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    text = Text(style="dim", overflow="fold")

    class Display(Progress):
        def get_renderables(self) -> Any:
            yield from super().get_renderables()
            yield text

    display = Display(
        TextColumn("{task.description}"),
        BarColumn(None),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        expand=True,
        refresh_per_second=8,
    )
    return display, text
