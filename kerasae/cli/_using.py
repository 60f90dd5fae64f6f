"""Commands that use a model: files through it, its export, samples from it."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from kerasae.cli._options import Columns, ModelPath, RunPath, with_parameters

_OUTPUT = "A .npy, .npz, .csv or .parquet file; no suffix: a folder of PNGs."
_OUTPUTS = f"{_OUTPUT} For several inputs a folder, that gets a file for each."
_INPUTS = (
    "A .npy, .npz, .csv or .parquet file, an image, a folder of them, or a pattern such as "
    "'data/*.parquet'; repeat for more."
)
_KEEP = "Column of a table to pass through; repeat for more."
_BATCH_SIZE = "Samples in a call of the model; by default by their size."
_FORMAT = "Of files in a folder: parquet, csv or npy; by default that of the input."


def _apply(
    model: ModelPath,
    input: Annotated[list[str], Option("--input", "-i", metavar="FILE", help=_INPUTS)],
    output: Annotated[Path, Option("--output", "-o", help=_OUTPUTS)],
    columns: Columns = None,
    keep: Annotated[list[str] | None, Option(metavar="COLUMN", help=_KEEP)] = None,
    format: Annotated[str | None, Option(help=_FORMAT)] = None,
    batch_size: Annotated[int | None, Option(min=1, help=_BATCH_SIZE)] = None,
    resume: Annotated[
        bool, Option("--resume", help="Skip inputs whose output in the folder is complete.")
    ] = False,
    replace: Annotated[
        bool, Option("--replace", help="Make all outputs in the folder again.")
    ] = False,
    **how: Any,
) -> None:
    """Put files through a verb of a model and say how many rows that made."""
    from kerasae import scoring

    how |= {"columns": columns, "keep": keep or (), "format": format, "batch_size": batch_size}
    how |= {"resume": resume, "replace": replace, "progress": True}
    done = scoring.apply(model, how.pop("verb"), input, output, **how)
    several = output.is_dir() and (done.files > 1 or (output / scoring.RECORD).exists())
    files = f" of {done.files:,} files" if several else ""
    line = f"{done.rows:,} rows{files} written to {output}"
    if done.anomalies is not None and done.rows:
        line += f", {done.anomalies:,} of them anomalies ({done.anomalies / done.rows:.2%})"
    if done.skipped:
        line += f"; {done.skipped:,} of the files were there already"
    print(line)


def _on_files(verb: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Make a command of a function that returns the arguments of `_apply` that it is about."""
    own = inspect.signature(verb).parameters
    shared = [p for p in inspect.signature(_apply).parameters.values() if p.name != "how"]

    def command(**words: Any) -> None:
        how = verb(**{name: words.pop(name) for name in own})
        _apply(**words, **how)

    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    return with_parameters(command, [*shared[:3], *own.values(), *shared[3:]])


@_on_files
def reconstruct() -> dict[str, Any]:
    """Write the reconstruction of every sample, in the units of the input."""
    return {"verb": "reconstruct"}


@_on_files
def encode() -> dict[str, Any]:
    """Write the code of every sample, in columns code_0, code_1, ..."""
    return {"verb": "encode"}


@_on_files
def score(
    per_feature: Annotated[
        bool, Option("--per-feature", help="The error of every column, pixel or time step.")
    ] = False,
) -> dict[str, Any]:
    """Write the reconstruction error of every sample; higher is worse."""
    return {"verb": "feature_scores" if per_feature else "score"}


@_on_files
def detect(
    false_alarm_rate: Annotated[
        float | None,
        Option(help="Share of normal samples that may be flagged; by default as calibrated."),
    ] = None,
) -> dict[str, Any]:
    """Write score, p-value and decision for every sample, after kerasae calibrate.

    Columns anomaly_score, p_value and is_anomaly (0 or 1).
    """
    return {"verb": "detect", "false_alarm_rate": false_alarm_rate}


def export(
    run: RunPath,
    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Folder of the versions; RUN/saved_model by default."),
    ] = None,
    to: Annotated[
        list[str] | None,
        Option(help="onnx or litert; repeat for more. The SavedModel is always written."),
    ] = None,
    samples: Annotated[
        Path | None,
        Option(
            help="File of samples to verify on, eight of which go into golden.npz; by default the "
            "run's own data."
        ),
    ] = None,
) -> None:
    """Write a verified SavedModel as the next version, and other formats next to it.

    Models trained on any backend are exported on TensorFlow.
    """
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    from kerasae import runs

    also = [target for target in to or () if target != "savedmodel"]
    print(runs.export(run, output, also=also, samples=samples))


def generate(
    model: ModelPath,
    output: Annotated[Path, Option("--output", "-o", help=_OUTPUT)],
    count: Annotated[int, Option("--count", "-n", min=1, help="Number of samples.")] = 16,
    seed: Annotated[int, Option(help="Seed of the draw.")] = 0,
    sampler: Annotated[
        str | None,
        Option(
            help="Fit to the codes of the training split, and keep in the run: gaussian, mixture "
            "or neighbour; by default the prior, or the one kept."
        ),
    ] = None,
) -> None:
    """Write new samples, from the prior of a variational model or a fitted sampler."""
    import kerasae
    from kerasae import runs, scoring

    if sampler is not None:
        runs.fit_sampler(model, sampler)
    samples = kerasae.load(model).generate(count, seed=seed)
    kerasae.data.write(output, [samples], scoring.trained_names(model, samples.shape[1:]))
    print(f"{count:,} samples written to {output}")
