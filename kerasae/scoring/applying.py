"""`apply`: files in, files out."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae.errors import nearest, shorten
from kerasae.files import read_json
from kerasae.runs import columns as run_columns
from kerasae.scoring import empty, jobs, kept
from kerasae.scoring import record as records
from kerasae.scoring.answering import answers, fit_to
from kerasae.scoring.record import RECORD
from kerasae.scoring.streaming import Progress, quick

__all__ = ["RECORD", "VERBS", "Applied", "apply", "fit_to", "recorded", "trained_names"]

VERBS = ("encode", "reconstruct", "score", "feature_scores", "detect")


@dataclass(frozen=True)
class Applied:
    """What `apply` did.

    Attributes:
        rows: Rows written, those of skipped files included.
        files: Number of outputs, those skipped included.
        skipped: Outputs that an earlier call had made.
        anomalies: Rows flagged by `detect`, None for other verbs and where there are no rows.
    """

    rows: int
    files: int
    skipped: int
    anomalies: int | None


def apply(
    model: Any,
    verb: str,
    inputs: Any,
    output: Any,
    *,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    false_alarm_rate: float | None = None,
    format: str | None = None,
    batch_size: int | None = None,
    resume: bool = False,
    replace: bool = False,
    progress: bool = False,
) -> Applied:
    """Put files through a model and write the answers.

    Files are read and computed at the same time, piece by piece: memory does not grow with their
    length. An output appears under its name when it is complete; when a file turns out bad, those
    finished before it stay. A file without rows gives one without rows.

    Args:
        model: A run directory, a `.keras` file, a SavedModel, or what `kerasae.load` gives.
        verb: `"encode"` (columns `code_0`, ...), `"reconstruct"`, `"score"` (column
            `reconstruction_error`), `"feature_scores"`, or `"detect"` (columns
            `anomaly_score`, `p_value`, and `is_anomaly`, 0 or 1).
        inputs: A file for `kerasae.data.batches`, a shell pattern such as `"data/*.parquet"`, a
            folder, or a list of these. A folder of images is one input; a folder of tables is
            one if `output` is a file, and as many as it holds if it is a folder.
        output: For one input a file for `kerasae.data.write`, which is replaced; for several
            inputs, a pattern, or with `format`, a folder, made if it is not there, that gets one
            output for each input, with its name.
        columns: Columns of a table to read; or one column of lists, each a sample. None takes
            those that the model was trained on, by their names, whatever their order; where
            their names are not known, all but those to keep and the run's label.
        keep: Columns of a table that the output gets first, unchanged: numbers, times, any
            text. Those of a CSV file are text.
        false_alarm_rate: For `detect`, another rate than the one calibrated for.
        format: `"parquet"`, `"csv"` or `"npy"`; by default that of each input.
        batch_size: Samples in one call of the model; by default 1024, or up to 8192 short ones.
        resume: Skip inputs whose output this command made before on the same model, as recorded
            in the output folder, and is as it was written.
        replace: Make the outputs of all inputs anew. The old ones are removed together, just
            before the first new one is there.
        progress: Show a progress bar on standard error, if that is a terminal.

    Returns:
        Numbers of rows, files and anomalies.

    Raises:
        ValueError: An argument, or a value in a file, does not fit; the sentence names file and
            row.
        FileNotFoundError: There is no such model or input.

    Example:
        ```python
        kerasae.scoring.apply("runs/x", "detect", "in.csv", "out.csv", keep=["id"])
        ```
    """
    _check(model, verb, false_alarm_rate, batch_size, resume, replace)
    for name, value in (("columns", columns), ("keep", keep)):
        if isinstance(value, str):
            raise ValueError(f"{name} must be a list of names. Received: {name}={value!r}")
    plan = jobs.plan(inputs, Path(output), format)
    jobs.check_outputs(plan, keep, images=verb in ("reconstruct", "feature_scores"))
    if plan.folder is None and resume:
        raise ValueError(
            "resume is for several inputs and a folder of outputs. "
            f"Received: output={str(output)!r} for one input"
        )
    is_path = isinstance(model, (str, Path))
    # Found once, so that a version that appears meanwhile is not taken for this one.
    path = jobs.located(Path(model)) if is_path else None
    config = recorded(path) if path is not None else {}

    record = None
    identity = None if plan.folder is None else _identity(path or model, resume)
    if plan.folder is not None and identity is not None:
        # Those of the training count, too: they are recorded beside the model, and not in it.
        read = columns or run_columns.of_run(config)
        command = {
            "verb": verb, "columns": None if read is None else list(read),
            "keep": list(keep), "false_alarm_rate": false_alarm_rate, "format": format,
        }  # fmt: skip
        record = records.Record(plan.folder, identity, command)
        record.open(plan.jobs, resume, replace)
    # A mistyped name should cost no time, so one input is opened before the model.
    _open(plan.jobs[0], verb, columns, keep, config)
    loaded = model
    if path is not None:
        import kerasae

        loaded = kerasae.load(path)
        if identity is not None and _identity(path, resume) != identity:
            raise ValueError(
                "The model was replaced while it was loaded; run the command again. "
                f"Received: model={str(model)!r}"
            )
    rows = skipped = anomalies = 0
    old = [job.target for job in plan.jobs]
    with _made(plan.folder), quick(loaded), Progress(len(plan.jobs), progress) as shown:
        for job in plan.jobs:
            found = record.done(job) if record is not None and resume else None
            if found is None:
                source = records.describe(job.source) if record is not None else {}
                stream, fields = _open(job, verb, columns, keep, config)
                made, names = answers(
                    loaded, verb, stream, job.source, fields, false_alarm_rate, batch_size,
                    columns, shown,
                )  # fmt: skip
                found = _written(job, made, names, record, source, old)
            else:
                skipped += 1
            shown.finished()
            rows += found["rows"]
            anomalies += found["anomalies"] or 0
    return Applied(rows, len(plan.jobs), skipped, anomalies if verb == "detect" and rows else None)


def _check(model: Any, verb: Any, rate: Any, batch_size: Any, resume: bool, replace: bool) -> None:
    if not isinstance(model, (str, Path)) and not hasattr(model, "sample_shape"):
        raise ValueError(
            "model must be a run directory, a .keras file, a SavedModel, or what kerasae.load "
            f"gives. Received: model={shorten(repr(model))}"
        )
    if verb not in VERBS:
        raise ValueError(
            f"verb must be one of {', '.join(VERBS)}.{nearest(verb, VERBS)} Received: verb={verb!r}"
        )
    if rate is not None and verb != "detect":
        raise ValueError(f"false_alarm_rate is for detect. Received: verb={verb!r}")
    if batch_size is not None and (
        isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1
    ):
        raise ValueError(
            f"batch_size must be a whole number >= 1. Received: batch_size={batch_size!r}"
        )
    if resume and replace:
        raise ValueError("resume and replace exclude each other. Received: both")


def _open(
    job: jobs.Job,
    verb: str,
    columns: Sequence[str] | None,
    keep: Sequence[str],
    config: dict[str, Any],
) -> tuple[Any, Any]:
    """Open an input; of a table, the columns to read. Return the schema of those to keep, too."""
    from kerasae.data import files

    source = job.source
    without = empty.array(source, keep) if columns is None else None
    if without is None:
        names = columns or run_columns.of_run(config)
        # The columns of some answers are those of the input.
        if names is not None or verb in ("encode", "score", "detect"):
            without = empty.text(source, keep, names)
    if without is None:
        known = run_columns.to_read(source, config) if columns is None else None
        label = run_columns.label_of_run(config)
        without = files.stream(source, columns, list(keep), preferred=known, unwanted=label)
    return without, kept.schema(source, keep, job.target)


def recorded(model: Path) -> dict[str, Any]:
    """Return what is recorded of the data that a model was trained on, `{}` where nothing is.

    Args:
        model: A run directory, its `model.keras`, or an export, whose card tells.

    Raises:
        ValueError: The record is damaged.
    """
    from kerasae.serving.runtimes import read_card

    folder = model.parent if model.name == "model.keras" else model
    if (folder / "config.json").is_file():
        return run_columns.check_training(folder / "config.json", read_json(folder / "config.json"))
    newest = jobs.located(model) if model.is_dir() else model
    if (newest / "card.json").is_file():
        return run_columns.check_training(newest / "card.json", read_card(newest).get("training"))
    return {}


def trained_names(model: Path, shape: tuple[int, ...]) -> list[str] | None:
    """Return the names of the columns that a model was trained on, if they are recorded.

    Args:
        model: As for `recorded`.
        shape: Shape of one sample.
    """
    names = run_columns.of_run(recorded(model))
    return names if names and shape == (len(names),) else None


def _identity(model: Any, resume: bool) -> dict[str, Any]:
    path = model if isinstance(model, Path) else getattr(model, "path", None)
    if not isinstance(path, Path):  # what Keras calls the path of a layer is none
        if resume:
            raise ValueError(
                "resume needs a model by its path, to know it again. "
                f"Received: model of type {type(model).__name__}"
            )
        return {"path": None, "sha256": jobs.digest_of(model)}
    return {"path": str(path), "sha256": jobs.fingerprint(path)}


@contextlib.contextmanager
def _made(folder: Path | None) -> Iterator[None]:
    """Make a folder, and remove it if nothing came of it."""
    fresh = [] if folder is None else [p for p in (folder, *folder.parents) if not p.exists()]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in fresh:
                path.rmdir()


def _written(
    job: jobs.Job,
    made: Iterator[Any],
    names: list[str] | None,
    record: records.Record | None,
    source: dict[str, Any],
    old: Sequence[Path],
) -> dict[str, Any]:
    """Write one output; return how many rows it has, and how many of them are anomalies."""
    from kerasae import data

    found: dict[str, Any] = {"rows": 0, "anomalies": None}

    def counted() -> Iterator[Any]:
        for piece in made:
            answer = piece[1] if isinstance(piece, tuple) else piece
            found["rows"] += len(answer)
            if answer.dtype.names:
                found["anomalies"] = (found["anomalies"] or 0) + int(answer["is_anomaly"].sum())
            yield piece

    ready = None if record is None else record.adding(job, source, found, old)
    data.write(job.target, counted(), names, empty=True, ready=ready)
    if record is not None:
        record.check(job)
    return found
