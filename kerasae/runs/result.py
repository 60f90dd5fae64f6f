"""What a training leaves, in memory and as a table on the terminal."""

import io
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasae.runs import directory


@dataclass
class Run:
    """A training and what came of it.

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
        """Return a table of the model beside its baselines, and where to look."""
        from rich.console import Console

        console = Console(file=io.StringIO(), width=88, soft_wrap=True)
        show(self, console)
        return console.file.getvalue()  # type: ignore[attr-defined]


def show(run: Run, console: Any) -> None:
    """Print the outcome: a table beside the baselines, and where to look."""
    from rich.table import Table

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
    own = run.metrics["test"]
    others = {**run.metrics["baselines"], **{k: run.metrics[k] for k in ("noisy",)
              if k in run.metrics}}  # fmt: skip
    features = math.prod(config["input_shape"])
    code = min(config["latent_dim"], features)
    names = {
        "pca": f"PCA, {_plural(code, 'component')}{', all there are' if code == features else ''}",
        "mean": "mean of the training data",
        "noisy": "noisy input, as it is",
        "linear_denoiser": "best linear denoiser",
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"on {own['samples']:,} {config['measured_on']} samples")
    table.add_column("MSE", justify="right")
    if "psnr" in own:
        table.add_column("PSNR, dB", justify="right")
    rows = {"this model": own, **{names.get(k, k): v for k, v in others.items()}}
    for name, row in sorted(rows.items(), key=lambda item: item[1]["mse"]):
        cells = [name, f"{row['mse']:.5f}"] + ([f"{row['psnr']:.2f}"] if "psnr" in row else [])
        table.add_row(*cells, style="bold" if row is own else "")
    console.print(table)
    console.print(f"\nReport  {run.path / 'report.html'}")
    console.print(f"Model   {run.path / directory.MODEL}")
    if config["export"]:
        console.print(f"Export  {run.path / directory.EXPORT / '1'}")


def resume_command(config: dict[str, Any]) -> str:
    """Return what resumes a run, as a command line where one can say it."""
    if config["command"]:
        return f"{shlex.join(config['command'])} --resume"
    return "kerasae.train(...) with the same arguments and resume=True"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
