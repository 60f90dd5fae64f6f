"""The answers of a model to one input, piece by piece."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.scoring import empty
from kerasae.scoring import kept as kept_columns
from kerasae.scoring.streaming import Progress, ahead, gathered, joined


def answers(
    model: Any,
    verb: str,
    stream: Any,
    source: Path,
    fields: Any,
    rate: float | None,
    batch_size: int | None,
    columns: Sequence[str] | None,
    shown: Progress,
) -> tuple[Iterator[Any], list[str] | None]:
    """Return the answers to one input, and the names of their columns.

    Args:
        model: The model.
        verb: What it is asked for.
        stream: The input, opened.
        source: Its path.
        fields: pyarrow schema of the columns to keep, None without any.
        rate: Of false alarms, for `detect`.
        batch_size: Samples in a call of the model, None for as many as pay.
        columns: As the caller gave them, for messages.
        shown: Counts the rows.

    Raises:
        ValueError: The input does not have the shape that the model takes.
    """
    as_series = is_series(model, verb, stream)
    # Of lists that are not there nobody knows the length.
    if not as_series and not (stream.rows == 0 and len(stream.names or ()) == 1):
        _check_width(model, stream, columns)
    size = batch_size or rows_at_once(model)

    def pieces_of(stream: Any) -> Iterator[Any]:
        some = False
        with ahead(kept_columns.cast(stream.pieces(), fields, source)) as pieces:
            for x, kept in _whole(pieces, model, stream) if as_series else gathered(pieces):
                x = x if as_series else _fitting(model, x, stream)
                answer = _answer(model, verb, x, rate, size, as_series)
                shown.advance(len(x), stream.rows)
                some = True
                yield answer if kept is None else (kept, answer)
        if not some:
            answer = empty.answer(model, verb)
            yield answer if fields is None else (fields.empty_table(), answer)

    names = stream.names if stream.rows else empty.widened(stream.names, model)
    named = {
        "score": ["reconstruction_error"],
        "encode": [f"code_{i}" for i in range(model.latent_dim)],
        "detect": None,
    }
    return pieces_of(stream), named.get(verb, names)


def _answer(
    model: Any, verb: str, x: np.ndarray, rate: float | None, size: int, as_series: bool
) -> np.ndarray:
    if verb == "detect":
        found = model.detect(x, false_alarm_rate=rate, batch_size=size)
        answer = np.empty(len(x), empty.DETECTED)
        for name, _ in empty.DETECTED:
            answer[name] = found[name]
        return answer
    if as_series:
        return model.score_series(x, model.calibration.stride, size)
    return getattr(model, verb)(x, size)


def is_series(model: Any, verb: str, stream: Any) -> bool:
    """Say whether an input is one long series, that is judged by its time steps.

    Args:
        model: The model.
        verb: What it is asked for.
        stream: The input, opened.

    Raises:
        ValueError: It is one, and the verb needs samples; or the model cannot judge one.
    """
    shape = model.sample_shape
    length, channels = shape[0], math.prod(shape[1:])
    # Rows of a time step, which are too narrow for samples.
    steps = len(shape) <= 2 and length > 1 and stream.shape == (channels,)
    stride = _stride(model)
    if stride is not None and (verb == "detect" or (steps and verb == "score")):
        if not hasattr(model, "score_series"):
            raise ValueError(
                "This model is calibrated on the time steps of long series, which an export does "
                "not judge; take the run directory or its .keras file. "
                f"Received: {verb} for model={str(getattr(model, 'path', model))!r}"
            )
        if not steps and stream.rows != 0:
            raise ValueError(
                f"{stream.name!r} must be a series of {channels} channels, a time step per row, "
                "as this model was calibrated on. "
                f"Received: rows of shape {stream.shape}"
            )
        return True
    if steps and (stride is not None or len(shape) == 2) and stream.rows != 0:
        judged = "its time steps are judged by score and detect"
        if stride is None:
            judged += ", once the run is calibrated on them (kerasae calibrate RUN --data FILE "
            judged += "--stride N)"
        raise ValueError(
            f"{verb} takes a sample in each row, of shape {shape}, but {stream.name!r} has a time "
            f"step in each; {judged}, and windows of it make samples "
            f"(kerasae.anomaly.windows(series, {length}), in a .npy file). "
            f"Received: rows of shape {stream.shape}"
        )
    return False


def _stride(model: Any) -> int | None:
    known = getattr(model, "calibration", None)
    if known is not None:
        return known.stride
    info = getattr(model, "info", None)
    return ((info or {}).get("calibration") or {}).get("stride")


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


def rows_at_once(model: Any) -> int:
    """Return how many samples to give to a call, so that its price does not count.

    Networks of images and series hold many times their input.
    """
    if len(model.sample_shape) > 1:
        return 1024
    return max(1024, min(8192, 2**23 // (4 * model.sample_shape[0])))


def _whole(pieces: Iterator[Any], model: Any, stream: Any) -> Iterator[Any]:
    """Yield a file as one long series, a time step per row."""
    held = [*pieces]
    if not held:
        return
    xs, kepts = zip(*held, strict=True)
    x, length = np.concatenate(xs), model.sample_shape[0]
    if len(x) < length:
        raise ValueError(
            f"A series must have at least as many time steps as a window, {length}. "
            f"Received: {len(x)} rows of {stream.name!r}"
        )
    if len(model.sample_shape) == 1 and x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    yield x.astype(model.input_dtype_name, copy=False), joined(kepts)


def _fitting(model: Any, x: np.ndarray, stream: Any) -> np.ndarray:
    try:
        return fit_to(model, x)
    except ValueError as error:
        raise ValueError(f"{stream.name!r} does not fit. {error}") from error


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
