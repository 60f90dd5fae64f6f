"""The answers of a model to one input: read ahead, computed and given piece by piece."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kerasae.data.rows import Reader

VERBS = ("encode", "reconstruct", "score", "feature_scores", "detect")
_DETECTED = [("anomaly_score", "f4"), ("p_value", "f8"), ("is_anomaly", "?")]
# Rows of small files and row groups are gathered up to this, since each call has a price.
_LEAST_BYTES = 1 << 22
_PIECES_AHEAD = 2


def answers(
    model: Any,
    verb: str,
    stream: Reader,
    rate: float | None,
    batch_size: int | None,
    columns: Sequence[str] | None,
    advance: Callable[[int, int | None], None],
) -> tuple[Iterator[Any], list[str] | None]:
    """Return the answers to one input, and the names of their columns.

    Args:
        model: The model.
        verb: What it is asked for.
        stream: The input, opened.
        rate: Of false alarms, for `detect`.
        batch_size: Samples in a call of the model, None for as many as pay.
        columns: As the caller gave them, for messages.
        advance: Called with the number of rows answered, and that of all rows if it is known.

    Returns:
        Arrays, or with columns to keep pairs of a record batch and an array.

    Raises:
        ValueError: The input does not have the shape that the model takes.
    """
    as_series = is_series(model, verb, stream)
    # The length of lists that are not there is unknown.
    lists_without_rows = stream.rows == 0 and len(stream.names or ()) == 1
    if not as_series and not lists_without_rows:
        _check_width(model, stream, columns)
    size = batch_size or rows_at_once(model)

    def pieces() -> Iterator[Any]:
        some = False
        with ThreadPoolExecutor(1, "kerasae-reader") as thread:
            read = ahead(stream.pairs(), thread)
            for x, kept in _whole(read, model, stream) if as_series else gathered(read):
                answer = _answer(
                    model,
                    verb,
                    x if as_series else _fitting(model, x, stream),
                    rate,
                    size,
                    as_series,
                )
                advance(len(x), stream.rows)
                some = True
                yield answer if kept is None else (kept, answer)
        if not some:
            answer = _no_answers(model, verb)
            yield answer if stream.others is None else (stream.others.empty_table(), answer)

    names = stream.names
    width = math.prod(model.sample_shape)
    if names and lists_without_rows and width > 1:
        names = [f"{names[0]}_{i}" for i in range(width)]
    named = {
        "score": ["reconstruction_error"],
        "encode": [f"code_{i}" for i in range(model.latent_dim)],
        "detect": None,
    }
    return pieces(), named.get(verb, names)


@contextlib.contextmanager
def quick(model: Any) -> Iterator[None]:
    """Let a Keras model answer arrays by one function per part for a while.

    Keras's `predict` traces a function again for nearly every length of an array: 30 files of
    about 1,000 rows take 9 seconds with it, and 0.7 without. Exported models, and Keras models on
    other backends, are left as they are.
    """
    backend = None
    if hasattr(model, "_run"):
        import keras

        backend = keras.backend.backend()
    if backend != "tensorflow":
        yield
        return
    import tensorflow as tf

    functions: dict[int, Any] = {}

    def run(part: Any, x: Any, batch_size: int, dtype: str = "float32") -> np.ndarray:
        if id(part) not in functions:
            functions[id(part)] = tf.function(
                lambda batch: part(batch, training=False),
                input_signature=[
                    tf.nest.map_structure(lambda v: tf.TensorSpec((None, *v.shape[1:]), v.dtype), x)
                ],
                autograph=False,
            )
        answers = []
        for start in range(0, len(tf.nest.flatten(x)[0]), batch_size):
            rows = slice(start, start + batch_size)
            batch = tf.nest.map_structure(lambda v, rows=rows: v[rows], x)
            answers.append(functions[id(part)](batch).numpy())
        return np.concatenate(answers).astype(dtype, copy=False)

    # Past Keras, which tracks what is assigned to a model.
    object.__setattr__(model, "_run", run)
    try:
        yield
    finally:
        object.__delattr__(model, "_run")


def ahead(pieces: Iterator[Any], thread: ThreadPoolExecutor) -> Iterator[Any]:
    """Yield pieces, none of them None, of which a thread reads the next ones meanwhile."""
    waiting = deque(thread.submit(next, pieces, None) for _ in range(_PIECES_AHEAD))
    while (piece := waiting.popleft().result()) is not None:
        waiting.append(thread.submit(next, pieces, None))
        yield piece


def gathered(pieces: Iterator[Any]) -> Iterator[Any]:
    """Join pieces that are too small to be worth a call."""
    held: list[Any] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += piece[0].nbytes
        if size >= _LEAST_BYTES:
            yield _joined(held)
            held, size = [], 0
    if held:
        yield _joined(held)


def _joined(pieces: list[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    xs, kepts = zip(*pieces, strict=True)
    if kepts[0] is None:
        return np.concatenate(xs), None
    import pyarrow as pa

    return np.concatenate(xs), pa.Table.from_batches(kepts)


def _answer(
    model: Any, verb: str, x: np.ndarray, rate: float | None, size: int, as_series: bool
) -> np.ndarray:
    if verb == "detect":
        found = model.detect(x, false_alarm_rate=rate, batch_size=size)
        answer = np.empty(len(x), _DETECTED)
        for name, _ in _DETECTED:
            answer[name] = found[name]
        return answer
    if as_series:
        return model.score_series(x, model.calibration.stride, size)
    return getattr(model, verb)(x, size)


def _no_answers(model: Any, verb: str) -> np.ndarray:
    """Return what a verb of a model gives for no samples: `(0, ...)`."""
    if verb == "detect":
        return np.empty(0, _DETECTED)
    shape = {"score": (), "encode": (model.latent_dim,)}.get(verb, model.sample_shape)
    return np.empty((0, *shape), "float32")


def is_series(model: Any, verb: str, stream: Reader) -> bool:
    """Say whether an input is one long series, which is judged by its time steps.

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


def _check_width(model: Any, stream: Reader, columns: Sequence[str] | None) -> None:
    shape = model.sample_shape
    if not stream.names or math.prod(stream.shape) == math.prod(shape):
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


def _whole(pieces: Iterator[Any], model: Any, stream: Reader) -> Iterator[Any]:
    """Yield a file as one long series, a time step per row."""
    held = [*pieces]
    if not held:
        return
    x, kept = _joined(held)
    length = model.sample_shape[0]
    if len(x) < length:
        raise ValueError(
            f"A series must have at least as many time steps as a window, {length}. "
            f"Received: {len(x)} rows of {stream.name!r}"
        )
    if len(model.sample_shape) == 1 and x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    yield x.astype(model.input_dtype_name, copy=False), kept


def _fitting(model: Any, x: np.ndarray, stream: Reader) -> np.ndarray:
    try:
        return fit_to(model, x)
    except ValueError as error:
        raise ValueError(f"{stream.name!r} does not fit. {error}") from error


def fit_to(model: Any, x: np.ndarray) -> np.ndarray:
    """Give rows of a table the shape of the model's samples, and whole numbers its dtype.

    Raises:
        ValueError: The model takes uint8, and a value is not a whole number from 0 to 255.
    """
    shape = model.sample_shape
    if x.shape[1:] != shape and math.prod(x.shape[1:]) == math.prod(shape):
        x = x.reshape(-1, *shape)
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
