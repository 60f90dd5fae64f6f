"""Apply a model to files: files in, files out."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kerasae import data
from kerasae.data import files
from kerasae.data.rows import Reader
from kerasae.errors import check_whole, nearest, shorten
from kerasae.runs import columns as run_columns
from kerasae.scoring import jobs
from kerasae.scoring.answering import VERBS, answers, quick
from kerasae.scoring.identity import identify, located, recorded
from kerasae.scoring.record import Record, describe


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
    _check(model, verb, false_alarm_rate, resume, replace)
    if batch_size is not None:
        batch_size = check_whole("batch_size", batch_size, optional=True)
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
    # Found once, so that a version that appears meanwhile is not taken for this one.
    path = located(Path(model)) if isinstance(model, (str, Path)) else None
    config = recorded(path) if path is not None else {}

    record = None
    identity = None if plan.folder is None else identify(path or model)
    if plan.folder is not None and identity is not None:
        if resume and identity["path"] is None:
            raise ValueError(
                "resume needs a model by its path, to know it again. "
                f"Received: model of type {type(model).__name__}"
            )
        # Those of the training count, too: they are recorded beside the model, and not in it.
        read = columns or run_columns.of_run(config)
        command = {
            "verb": verb,
            "columns": None if read is None else list(read),
            "keep": list(keep),
            "false_alarm_rate": false_alarm_rate,
            "format": format,
        }
        record = Record(plan.folder, identity, command)
        record.open([job.target for job in plan.jobs], resume, replace)
    # A mistyped name should cost no time, so one input is opened before the model.
    opened = [_open(plan.jobs[0].source, verb, columns, keep, config)]
    loaded = model
    if path is not None:
        import kerasae

        loaded = kerasae.load(path)
        if not hasattr(loaded, "sample_shape"):
            raise ValueError(
                "model must hold an Autoencoder, not another kind of Keras model. "
                f"Received: model={str(model)!r}"
            )
        if identity is not None and identify(path) != identity:
            raise ValueError(
                "The model was replaced while it was loaded; run the command again. "
                f"Received: model={str(model)!r}"
            )
    rows = skipped = anomalies = 0
    old = [job.target for job in plan.jobs]
    with _made(plan.folder), quick(loaded), _Progress(len(plan.jobs), progress) as shown:
        for job in plan.jobs:
            found = record.done(job.source, job.target) if record is not None and resume else None
            first = opened.pop() if opened else None
            if found is None:
                source, stream = first or _open(job.source, verb, columns, keep, config)
                made, names = answers(
                    loaded, verb, stream, false_alarm_rate, batch_size, columns, shown.advance
                )
                found = _written(job.target, made, names, record, source, old)
            else:
                skipped += 1
            shown.finished()
            rows += found["rows"]
            anomalies += found["anomalies"] or 0
    return Applied(rows, len(plan.jobs), skipped, anomalies if verb == "detect" and rows else None)


def _check(model: Any, verb: Any, rate: Any, resume: bool, replace: bool) -> None:
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
    if resume and replace:
        raise ValueError("resume and replace exclude each other. Received: both")


def _open(
    source: Path,
    verb: str,
    columns: Sequence[str] | None,
    keep: Sequence[str],
    config: dict[str, Any],
) -> tuple[dict[str, Any], Reader]:
    """Open an input; return what tells whether it has changed, too."""
    state = describe(source)
    stream = files.stream(
        source,
        columns,
        keep,
        preferred=lambda names: run_columns.among(names, config, source),
        unwanted=run_columns.label_of_run(config),
    )
    # The columns of these answers are those of the input.
    if stream.names == [] and verb in ("reconstruct", "feature_scores"):
        raise ValueError(f"{source.name!r} is empty. Received: input={str(source)!r}")
    return state, stream


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
    target: Path,
    made: Iterator[Any],
    names: list[str] | None,
    record: Record | None,
    source: dict[str, Any],
    old: Sequence[Path],
) -> dict[str, Any]:
    """Write one output; return how many rows it has, and how many of them are anomalies."""
    found: dict[str, Any] = {"rows": 0, "anomalies": None}

    def counted() -> Iterator[Any]:
        for piece in made:
            answer = piece[1] if isinstance(piece, tuple) else piece
            found["rows"] += len(answer)
            if answer.dtype.names:
                found["anomalies"] = (found["anomalies"] or 0) + int(answer["is_anomaly"].sum())
            yield piece

    ready = None
    if record is not None:
        ready = partial(record.add, target=target, source=source, found=found, old=old)
    data.write(target, counted(), names, empty=True, ready=ready)
    if record is not None:
        record.check(target)
    return found


class _Progress:
    """A bar on standard error: files done, rows, rows per second."""

    def __init__(self, count: int, wanted: bool):
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.BarColumn(None),
            progress.TextColumn("{task.description}"),
            progress.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            disable=not (wanted and sys.stderr.isatty()),
        )
        self._task = self._bar.add_task("", total=count)
        self._count = count
        self._done = self._rows = self._in_file = 0

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def advance(self, rows: int, of: int | None) -> None:
        """Count rows of the file at hand, which has that many if it is known."""
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
        self._bar.update(self._task, completed=self._done)
