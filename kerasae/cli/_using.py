"""Commands that put files through a model."""

from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli import _helpers
from kerasae.cli._options import (
    ColumnsOfRun,
    Format,
    Inputs,
    Keep,
    ModelPath,
    Output,
    Outputs,
    Replace,
    Resume,
    Rows,
    RunPath,
)


def reconstruct(
    model: ModelPath,
    input: Inputs,
    output: Outputs,
    column: ColumnsOfRun = None,
    keep: Keep = None,
    format: Format = None,
    batch_size: Rows = None,
    resume: Resume = False,
    replace: Replace = False,
) -> None:
    """Write the reconstruction of every sample, in the units of the input."""
    _helpers.apply(
        "reconstruct", model, input, output, columns=column, keep=keep, format=format,
        batch_size=batch_size, resume=resume, replace=replace,
    )  # fmt: skip


def encode(
    model: ModelPath,
    input: Inputs,
    output: Outputs,
    column: ColumnsOfRun = None,
    keep: Keep = None,
    format: Format = None,
    batch_size: Rows = None,
    resume: Resume = False,
    replace: Replace = False,
) -> None:
    """Write the code of every sample, in columns code_0, code_1, ..."""
    _helpers.apply(
        "encode", model, input, output, columns=column, keep=keep, format=format,
        batch_size=batch_size, resume=resume, replace=replace,
    )  # fmt: skip


def score(
    model: ModelPath,
    input: Inputs,
    output: Outputs,
    per_feature: Annotated[
        bool, typer.Option("--per-feature", help="The error of every column, pixel or time step.")
    ] = False,
    column: ColumnsOfRun = None,
    keep: Keep = None,
    format: Format = None,
    batch_size: Rows = None,
    resume: Resume = False,
    replace: Replace = False,
) -> None:
    """Write the reconstruction error of every sample; higher is worse."""
    _helpers.apply(
        "feature_scores" if per_feature else "score", model, input, output, columns=column,
        keep=keep, format=format, batch_size=batch_size, resume=resume, replace=replace,
    )  # fmt: skip


def detect(
    model: ModelPath,
    input: Inputs,
    output: Outputs,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            help="Share of normal samples that may be flagged.", show_default="as calibrated"
        ),
    ] = None,
    column: ColumnsOfRun = None,
    keep: Keep = None,
    format: Format = None,
    batch_size: Rows = None,
    resume: Resume = False,
    replace: Replace = False,
) -> None:
    """Write score, p-value and decision for every sample, after kerasae calibrate.

    Columns anomaly_score, p_value and is_anomaly (0 or 1).
    """
    _helpers.apply(
        "detect", model, input, output, columns=column, keep=keep, format=format,
        false_alarm_rate=false_alarm_rate, batch_size=batch_size, resume=resume, replace=replace,
    )  # fmt: skip


def export(
    run: RunPath,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the versions.", show_default="RUN/saved_model"
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            help="savedmodel, onnx or litert; repeat for more. The SavedModel is always there.",
            show_default="savedmodel",
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="File of samples to verify on; eight of them go into golden.npz.",
            show_default="the run's own data",
        ),
    ] = None,
) -> None:
    """Write a verified SavedModel as the next version, and other formats beside it.

    Models trained on any backend are exported on TensorFlow.
    """
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    from kerasae import runs

    also = [target for target in to or () if target != "savedmodel"]
    print(runs.export(run, output, also=also, samples=samples))


def generate(
    model: ModelPath,
    output: Output,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="Fit to the codes of the training split, and keep in the run: "
            "gaussian, mixture or neighbour.",
            show_default="the prior, or the one kept",
        ),
    ] = None,
) -> None:
    """Write new samples, from the prior of a variational model or a fitted sampler."""
    import kerasae

    if sampler is not None:
        from kerasae import runs

        runs.fit_sampler(model, sampler)
    from kerasae import scoring

    samples = kerasae.load(model).generate(count, seed=seed)
    kerasae.data.write(output, [samples], scoring.trained_names(model, samples.shape[1:]))
    print(f"{count:,} samples written to {output}")
