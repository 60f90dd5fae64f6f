"""The result of a training, in memory and as a table on the terminal."""

import io
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasae.runs import directory


@dataclass
class Run:
    """The result of a training.

    Attributes:
        path: The run directory.
        model: The `Autoencoder`, with the best weights.
        history: Term to one value per epoch, as in `history.csv`.
        metrics: As in `metrics.json`; empty if training was interrupted.
        config: As in `config.json`.
        interrupted: Whether Ctrl-C or SIGTERM ended the training.
        restored: Whether it did so in the first epoch of a replacement, so that the run
            directory is the one that was there before.
        signal: Number of the signal that ended the training, or None.
    """

    path: Path
    model: Any
    history: dict[str, list[float]]
    metrics: dict[str, Any]
    config: dict[str, Any] = field(repr=False)
    interrupted: bool = False
    restored: bool = False
    signal: int | None = None

    def summary(self) -> str:
        """Return a table of the model next to its baselines, and where to look."""
        from rich.console import Console

        console = Console(file=io.StringIO(), width=88, soft_wrap=True)
        show(self, console)
        return console.file.getvalue()  # type: ignore[attr-defined]


def show(run: Run, console: Any) -> None:
    """Print the outcome: a table next to the baselines, and where to look."""
    config, trained = run.config, run.metrics["training"]
    title = f"{config['variant']} autoencoder on {config['data']}"
    if run.restored:
        console.print(
            f"\n[bold]{title}[/]: interrupted in the first epoch. {run.path} is as it was before."
        )
        return
    if run.interrupted:
        kept = f"the weights of epoch {trained['best_epoch']}, the best so far"
        if trained["best_epoch"] is None:
            kept = "weights of the unfinished first epoch"
        console.print(
            f"\n[bold]{title}[/]: interrupted after {_plural(trained['epochs'], 'epoch')}. "
            f"{run.path / directory.MODEL} has {kept}."
        )
        console.print(f"Continue with: {resume_command(config)}")
        return
    console.print(
        f"\n[bold]{title}[/], a code of {_plural(config['latent_dim'], 'value')}: "
        f"{_plural(trained['epochs'], 'epoch')} in {trained['seconds']:.0f} s on "
        f"{config['device']}; the best was epoch {trained['best_epoch']}."
    )
    console.print(_table(run))
    console.print(f"\nReport  {run.path / 'report.html'}")
    console.print(f"Model   {run.path / directory.MODEL}")
    if config["export"]:
        console.print(f"Export  {run.path / directory.EXPORT / '1'}")


def _table(run: Run) -> Any:
    """Return the errors of the model and its baselines as a table, the smallest first."""
    from rich.table import Table

    own, config = run.metrics["test"], run.config
    features = math.prod(config["input_shape"])
    code = min(config["latent_dim"], features)
    names = {
        "pca": f"PCA, {_plural(code, 'component')}{', all there are' if code == features else ''}",
        "mean": "mean of the training data",
        "noisy": "noisy input, as it is",
        "linear_denoiser": "best linear denoiser",
    }
    rows = {"this model": own, **run.metrics["baselines"]}
    if "noisy" in run.metrics:
        rows["noisy"] = run.metrics["noisy"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"on {own['samples']:,} {config['measured_on']} samples")
    columns = {"mse": ("MSE", 5), "psnr": ("PSNR, dB", 2)}
    shown = [name for name in columns if name in own]
    for name in shown:
        table.add_column(columns[name][0], justify="right")
    for row, values in sorted(rows.items(), key=lambda item: item[1]["mse"]):
        cells = [f"{values[name]:.{columns[name][1]}f}" for name in shown if name in values]
        style = "bold" if values is own else ""
        table.add_row(names.get(row, row), *cells, style=style)
    return table


def resume_command(config: dict[str, Any]) -> str:
    """Return what resumes a run, as a command line where one can say it."""
    if config["command"]:
        return f"{shlex.join(config['command'])} --resume"
    return "kerasae.train(...) with the same arguments and resume=True"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
