"""Commands that judge a trained model: evaluate, compare, report, calibrate."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from kerasae.cli import _helpers
from kerasae.cli._options import Columns, Data, DataDir, Label, Quiet, RunPath


def evaluate(
    run: RunPath,
    data: Data = None,
    split: Annotated[
        str | None,
        Option(help="train, validation or test; by default as the run was measured."),
    ] = None,
    samples: Annotated[
        bool, Option("--samples/--no-samples", help="Measure generated samples, too.")
    ] = True,
    seed: Annotated[int, Option(help="Seed of noise and draws.")] = 0,
    output: Annotated[
        Path | None, Option("--output", "-o", help="JSON file to write, too.")
    ] = None,
    label: Label = None,
    columns: Columns = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Measure a model next to baselines: on its own data, or on other data.

    On its own data, the metrics, figures and report of the run are made again.
    """
    from kerasae import runs
    from kerasae.files import write_json

    given: dict[str, Any] = {"label": label, "columns": columns, "data_dir": data_dir}
    metrics = runs.evaluate(run, data, split=split, sample_quality=samples, seed=seed, **given)
    if output is not None:
        write_json(output, metrics)
    if not quiet:
        _helpers.print_metrics(metrics)


def calibrate(
    run: RunPath,
    data: Data = None,
    false_alarm_rate: Annotated[
        float, Option(help="Share of normal samples that may be flagged.", min=0.0, max=1.0)
    ] = 0.01,
    split: Annotated[str | None, Option(help="Split of named data; validation by default.")] = None,
    stride: Annotated[
        int | None,
        Option(help="Take --data as one series, a time step per row; windows this apart."),
    ] = None,
    allow_training_rows: Annotated[
        bool, Option("--allow-training-rows", help="Take rows the model was trained on.")
    ] = False,
    label: Label = None,
    columns: Columns = None,
    data_dir: DataDir = None,
) -> None:
    """Find the threshold above which a sample is an anomaly, and keep it with the model.

    The data are normal samples that the model was not trained on; a file is taken whole.
    """
    from kerasae import runs

    how: dict[str, Any] = {
        "split": split,
        "stride": stride,
        "allow_training_rows": allow_training_rows,
    }
    how |= {"label": label, "columns": columns, "data_dir": data_dir}
    found = runs.calibrate(run, data, false_alarm_rate=false_alarm_rate, **how)
    rows = [
        ("threshold", f"{found['threshold']:.6g}"),
        ("false-alarm rate", f"{found['false_alarm_rate']:g}"),
    ]
    if "rate_range" in found:
        low, high = found["rate_range"]
        rows.append(("of this threshold", f"{low:.2g} to {high:.2g}, nine times out of ten"))
    of = "time steps" if "stride" in found else "samples"
    rows.append(("calibrated on", f"{found['n']:,} {of}, {found['data']}"))
    if "flagged" in found:
        rows.append(("flagged", f"{found['flagged']:.2%} of the run's test split"))
    _helpers.print_table(rows)
    print(f"Now: kerasae detect {run} --input FILE --output FILE")


def compare(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Run directories.")],
    output: Annotated[
        Path | None, Option("--output", "-o", help="HTML page to write, with table and figure.")
    ] = None,
) -> None:
    """Show runs side by side, best first."""
    from kerasae import report

    found = [report.Run.read(run) for run in runs]
    _helpers.print_comparison(report.compare_rows(found))
    if output is not None:
        print(f"\nWritten to {report.write_comparison(found, output)}")


def report(run: RunPath) -> None:
    """Write report.html of a run again, from what the run directory holds."""
    from kerasae import report

    print(report.write_report(run))
