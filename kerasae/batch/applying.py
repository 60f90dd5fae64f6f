"""`apply`: files in, files out."""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import _run_columns
from kerasae._text import nearest
from kerasae.batch import _empty, _jobs
from kerasae.batch._streaming import Progress, ahead, gathered, joined, quick
from kerasae.serving import versions

RECORD = _jobs.RECORD
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
        kerasae.batch.apply("runs/x", "detect", "in.csv", "out.csv", keep=["id"])
        ```
    """
    _check(verb, false_alarm_rate, batch_size, resume, replace)
    for name, value in (("columns", columns), ("keep", keep)):
        if isinstance(value, str):
            raise ValueError(f"{name} must be a list of names. Received: {name}={value!r}")
    plan = _jobs.plan(inputs, Path(output), format)
    _jobs.check_outputs(plan, keep, images=verb in ("reconstruct", "feature_scores"))
    if plan.folder is None and resume:
        raise ValueError(
            "resume is for several inputs and a folder of outputs. "
            f"Received: output={str(output)!r} for one input"
        )
    is_path = isinstance(model, (str, Path))
    config = recorded(Path(model)) if is_path else {}

    record = None
    if plan.folder is not None:
        command = {
            "verb": verb, "columns": None if columns is None else list(columns),
            "keep": list(keep), "false_alarm_rate": false_alarm_rate, "format": format,
        }  # fmt: skip
        record = _jobs.Record(plan.folder, _identity(model, resume), command)
        record.open(plan.jobs, resume, replace)
    # A mistyped name should cost no time, so one input is opened before the model.
    _open(plan.jobs[0].source, columns, keep, config)
    loaded = model
    if is_path:
        import kerasae

        loaded = kerasae.load(model)
    rows = skipped = anomalies = 0
    old = [job.target for job in plan.jobs] if record is not None and replace else []
    with _made(plan.folder), quick(loaded), Progress(len(plan.jobs), progress) as shown:
        for job in plan.jobs:
            found = record.done(job) if record is not None and resume else None
            if found is None:
                source = _jobs.describe(job.source)
                stream = _open(job.source, columns, keep, config)
                none = None if stream.rows else _empty.kept(job.source, keep)
                answers, names = _answers(
                    loaded, verb, stream, none, false_alarm_rate, batch_size, columns, shown
                )
                found = _written(job.target, answers, names, record, old)
                old = []
                if record is not None:
                    record.add(job, source, found)
            else:
                skipped += 1
            shown.finished()
            rows += found["rows"]
            anomalies += found["anomalies"] or 0
    return Applied(rows, len(plan.jobs), skipped, anomalies if verb == "detect" and rows else None)


def _check(verb: Any, rate: Any, batch_size: Any, resume: bool, replace: bool) -> None:
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
    source: Path, columns: Sequence[str] | None, keep: Sequence[str], config: dict[str, Any]
) -> Any:
    """Open an input; of a table, the columns to read."""
    from kerasae.data import files

    without = _empty.array(source, keep) if columns is None else None
    if without is not None:
        return without
    known = _run_columns.to_read(source, config) if columns is None else None
    label = _run_columns.label_of_run(config)
    return files.stream(source, columns, list(keep), preferred=known, unwanted=label)


def recorded(model: Path) -> dict[str, Any]:
    """Return what is recorded of the data that a model was trained on, `{}` where nothing is.

    Args:
        model: A run directory, its `model.keras`, or an export, whose card tells.
    """
    folder = model.parent if model.name == "model.keras" else model
    if (folder / "config.json").is_file():
        return json.loads((folder / "config.json").read_text("utf-8"))
    newest = max(versions(model).items(), default=(0, model))[1]
    if (newest / "card.json").is_file():
        return json.loads((newest / "card.json").read_text("utf-8")).get("training") or {}
    return {}


def trained_names(model: Path, shape: tuple[int, ...]) -> list[str] | None:
    """Return the names of the columns that a model was trained on, if they are recorded.

    Args:
        model: As for `recorded`.
        shape: Shape of one sample.
    """
    names = _run_columns.of_run(recorded(model))
    return names if names and shape == (len(names),) else None


def _identity(model: Any, resume: bool) -> dict[str, Any]:
    path = model if isinstance(model, (str, Path)) else getattr(model, "path", None)
    if not isinstance(model, (str, Path)) and not isinstance(path, Path):
        path = None  # what Keras calls the path of a layer
    if path is None and resume:
        raise ValueError(
            "resume needs a model by its path, to know it again. "
            f"Received: model of type {type(model).__name__}"
        )
    if path is None:
        return {"path": None, "sha256": None}
    return {"path": str(path), "sha256": _jobs.fingerprint(Path(path))}


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


def _answers(
    model: Any,
    verb: str,
    stream: Any,
    without: Any,
    rate: float | None,
    batch_size: int | None,
    columns: Sequence[str] | None,
    shown: Progress,
) -> tuple[Iterator[Any], list[str] | None]:
    """Return the answers to one input piece by piece, and the names of their columns.

    `without` are the columns to keep of an input without rows.
    """
    as_series = verb == "detect" and _stride(model) is not None
    # Of lists that are not there nobody knows the length.
    if not as_series and not (stream.rows == 0 and len(stream.names or ()) == 1):
        _check_width(model, stream, columns)
    size = batch_size or _rows_at_once(model)

    def answers() -> Iterator[Any]:
        some = False
        with ahead(stream.pieces()) as pieces:
            for x, kept in _whole(pieces, model) if as_series else gathered(pieces):
                x = x if as_series else fit_to(model, x)
                if verb == "detect":
                    found = model.detect(x, false_alarm_rate=rate, batch_size=size)
                    answer = np.empty(len(x), _empty.DETECTED)
                    for name, _ in _empty.DETECTED:
                        answer[name] = found[name]
                else:
                    answer = getattr(model, verb)(x, size)
                shown.advance(len(x), stream.rows)
                some = True
                yield answer if kept is None else (kept, answer)
        if not some:
            answer = _empty.answer(model, verb)
            yield answer if without is None else (without, answer)

    names = stream.names if stream.rows else _empty.widened(stream.names, model)
    named = {
        "score": ["reconstruction_error"],
        "encode": [f"code_{i}" for i in range(model.latent_dim)],
        "detect": None,
    }
    return answers(), named.get(verb, names)


def _written(
    target: Path,
    answers: Iterator[Any],
    names: list[str] | None,
    record: _jobs.Record | None,
    old: Sequence[Path],
) -> dict[str, Any]:
    """Write one output; return how many rows it has, and how many of them are anomalies."""
    from kerasae import data

    flagged = None

    def counted() -> Iterator[Any]:
        nonlocal flagged
        for piece in answers:
            answer = piece[1] if isinstance(piece, tuple) else piece
            if answer.dtype.names:
                flagged = (flagged or 0) + int(answer["is_anomaly"].sum())
            yield piece
        # The first file went well, so that the others are worth losing what was there.
        if record is not None and old:
            record.clear(old)

    rows = data.write(target, counted(), names, empty=True)
    return {"rows": rows, "anomalies": flagged}


def _stride(model: Any) -> int | None:
    return getattr(getattr(model, "calibration", None), "stride", None)


def _check_width(model: Any, stream: Any, columns: Sequence[str] | None) -> None:
    shape = model.sample_shape
    if stream.names is None or math.prod(stream.shape) == math.prod(shape):
        return
    wanted = ", ".join(["samples", *map(str, shape)])
    some = ", ".join(stream.names[:5]) + (", ..." if len(stream.names) > 5 else "")
    raise ValueError(
        f"What is read of {stream.name!r} must have shape ({wanted}) for this model; name the "
        "columns to read (--column), or those to pass through (--keep). "
        f"Received: {len(stream.names)} columns, {some}, for columns={columns!r}"
    )


def _rows_at_once(model: Any) -> int:
    """Return how many samples to give to a call, so that its price does not count.

    Networks of images and series hold many times their input.
    """
    if len(model.sample_shape) > 1:
        return 1024
    return max(1024, min(8192, 2**23 // (4 * model.sample_shape[0])))


def _whole(pieces: Iterator[Any], model: Any) -> Iterator[Any]:
    """Yield a file as one long series, a time step per row."""
    held = [*pieces]
    if not held:
        return
    xs, kepts = zip(*held, strict=True)
    x = np.concatenate(xs)
    if len(model.sample_shape) == 1 and x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    yield x.astype(model.input_dtype_name, copy=False), joined(kepts)


def fit_to(model: Any, x: np.ndarray) -> np.ndarray:
    """Give rows of a table the shape of the model's samples, and whole numbers its dtype.

    Raises:
        ValueError: The model takes uint8, and a value is not a whole number from 0 to 255.
    """
    if x.shape[1:] != model.sample_shape and math.prod(x.shape[1:]) == math.prod(
        model.sample_shape
    ):
        x = x.reshape(-1, *model.sample_shape)
    if model.input_dtype_name != "uint8":
        return x.astype("float32", copy=False)
    if x.dtype == "uint8":
        return x
    low, high, broken = x.min(), x.max(), x[x != x.round()]
    if low < 0 or high > 255 or broken.size:
        such = f", such as {broken[0]:g}" if broken.size else ""
        raise ValueError(
            "Values must be whole numbers from 0 to 255, the uint8 that this model was built for. "
            f"Received: values from {low:g} to {high:g}{such}"
        )
    return x.astype("uint8")
