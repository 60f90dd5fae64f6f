"""Commands that judge a trained model: evaluate, compare, report, calibrate."""

from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli import _helpers
from kerasae.cli._options import Columns, DataDir, DataOption, FalseAlarms, Label, RunPath

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


def evaluate(
    run: RunPath,
    data: DataOption = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test.", show_default="as the run was measured"),
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Measure generated samples, too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of noise and draws.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file to write, too.")
    ] = None,
    label: Label = None,
    column: Columns = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Measure a model beside baselines: on its own data, or on other data.

    On its own data, the metrics, figures and report of the run are made anew.
    """
    from kerasae import runs
    from kerasae.files import write_json

    metrics = runs.evaluate(
        run, data, split=split, sample_quality=samples, seed=seed, label=label, columns=column,
        data_dir=data_dir,
    )  # fmt: skip
    if output is not None:
        write_json(output, metrics)
    if not quiet:
        _helpers.print_metrics(metrics)


def calibrate(
    run: RunPath,
    data: DataOption = None,
    false_alarm_rate: FalseAlarms = 0.01,
    split: Annotated[
        str | None,
        typer.Option(help="Split of named data.", show_default="validation"),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Take --data as one series, a time step per row; windows this apart."),
    ] = None,
    allow_training_rows: Annotated[
        bool, typer.Option("--allow-training-rows", help="Take rows the model was trained on.")
    ] = False,
    label: Label = None,
    column: Columns = None,
    data_dir: DataDir = None,
) -> None:
    """Find the threshold above which a sample is an anomaly, and keep it with the model.

    The data are normal samples that the model was not trained on; a file is taken whole.
    """
    from kerasae import runs

    found = runs.calibrate(
        run, data, false_alarm_rate=false_alarm_rate, split=split, stride=stride,
        allow_training_rows=allow_training_rows, label=label, columns=column, data_dir=data_dir,
    )  # fmt: skip
    of = "time steps" if "stride" in found else "samples"
    _helpers.print_table(
        [
            ("threshold", f"{found['threshold']:.6g}"),
            ("false-alarm rate", f"{found['false_alarm_rate']:g}"),
            *([("of this threshold", "{:.2g} to {:.2g}, nine times out of ten".format(
                *found["rate_range"]))] if "rate_range" in found else []),
            ("calibrated on", f"{found['n']:,} {of}, {found['data']}"),
            *([("flagged", f"{found['flagged']:.2%} of the run's test split")]
              if "flagged" in found else []),
        ]
    )  # fmt: skip
    print(f"Now: kerasae detect {run} --input FILE --output FILE")


def compare(
    runs: Runs,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML page to write, with table and figure."),
    ] = None,
) -> None:
    """Show runs side by side, best first."""
    from kerasae import report

    found = [report.Run.read(run) for run in runs]
    _helpers.print_comparison(report.compare_rows(found))
    if output is not None:
        print(f"\nWritten to {report.write_comparison(found, output)}")


def report(run: RunPath) -> None:
    """Write report.html of a run anew from what the run directory holds."""
    from kerasae import report

    print(report.write_report(run))
