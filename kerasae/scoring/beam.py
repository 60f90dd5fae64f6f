"""Exported models in Apache Beam pipelines: a model handler for `RunInference`.

Needs the extra `beam`: `pip install "kerasae[beam]"`. TensorFlow is imported where a model is
loaded, which is on the workers.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.scoring import beam_rows
from kerasae.serving import Served, versions
from kerasae.serving.runtimes import read_card

try:
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.ml.inference.base import ModelHandler, PredictionResult
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'kerasae.scoring.beam needs Apache Beam; try: pip install "kerasae[beam]". '
        f"Received: no module {error.name!r}"
    ) from error

__all__ = ["SavedModelHandler"]

# Signatures that answer row by row, and what one takes.
_SIGNATURES = {"encode": "x", "decode": "code", "reconstruct": "x", "score": "x", "detect": "x"}
_GRAPH = "saved_model.pb"


class SavedModelHandler(ModelHandler):
    """Applies one signature of an exported model to the elements of a PCollection.

    An element is one sample: an array of shape `input_shape` (`(latent_dim,)` for `decode`) in
    raw units, of the dtype that the model takes. Or it is a row of a table: a dictionary, or a
    `beam.Row` or other object with attributes; its values are found by their names, put in the
    order of the training, reshaped to the model's `input_shape`, and whole numbers from 0 to 255
    count as uint8 where the model takes uint8.

    The result is one `PredictionResult` per element. `example` is the element, `inference` a
    dictionary of NumPy values of that element alone, `model_id` the version folder.

    | signature | `inference` |
    |---|---|
    | `score` | `score`; with `per_feature` also `feature_scores`, shaped like a sample |
    | `detect`, of calibrated models | `anomaly_score`, `p_value`, `is_anomaly` |
    | `encode` | `code`, `(latent_dim,)` |
    | `decode`, `reconstruct` | `reconstruction`, shaped like a sample |

    Wrap it in Beam's `KeyedModelHandler` to carry keys along. A model is loaded once per worker
    process. Only paths and settings are pickled.

    Args:
        path: A version folder that `kerasae.export` wrote, or the folder above, of which the
            highest number is taken. A local folder is looked at when the handler is made, and
            must be there on every worker too. Anything with a scheme, such as
            `"gs://bucket/model"` or `"s3://bucket/model"`, is read by Beam's own file systems
            when a worker starts; name the version folder there, so that all workers take the
            same one.
        signature: One of the table.
        columns: Names of the values of a row. Where the model's card has the names of the
            columns that it was trained on, these must be the same ones, in any order; where it
            has none, and for `decode`, they are taken in the order given. None takes
            rows by the names of the card, and other elements as arrays.
        per_feature: Give the error of every feature too; only for `score`.
        false_alarm_rate: Another rate than the one calibrated for, between 0 and 1; only for
            `detect`.
        invalid: What becomes of an element that does not fit (shape, dtype, a column, NaN).
            `"raise"` raises a ValueError that names it, and with it fails its batch.
            `"report"` gives it the inference `{"error": sentence}`, and answers the rest.
        min_batch_size: Least number of elements that Beam puts into a batch where it can.
        max_batch_size: Largest number of elements in a batch.
        max_batch_duration_secs: Longest time in seconds that a streaming pipeline waits for a
            batch to fill. None does not wait.
        large_model: Keep one model for all worker processes of a machine, instead of one in
            each. It saves memory and costs a copy of every batch.

    Raises:
        FileNotFoundError: There is nothing at a local `path`.
        ValueError: What is at a local `path` is no exported model, lacks the signature or was
            trained on other columns, or another argument does not fit. For other paths this is
            seen where the model is loaded.

    Example:
        ```python
        from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

        handler = SavedModelHandler("saved_models/table", "detect", columns=["a", "b", "c"])
        keyed_rows | RunInference(KeyedModelHandler(handler))  # (key, PredictionResult)
        ```
    """

    def __init__(
        self,
        path: Any,
        signature: str = "score",
        *,
        columns: Sequence[str] | None = None,
        per_feature: bool = False,
        false_alarm_rate: float | None = None,
        invalid: str = "raise",
        min_batch_size: int = 512,
        max_batch_size: int = 2048,
        max_batch_duration_secs: int | None = None,
        large_model: bool = False,
    ):
        super().__init__()
        _check_arguments(signature, columns, per_feature, false_alarm_rate, invalid)
        self.signature = signature
        self.per_feature = per_feature
        self.false_alarm_rate = false_alarm_rate
        self.invalid = invalid
        self.large_model = large_model
        self.path = _located(path, signature)
        known = None if "://" in self.path else _known(Path(self.path), signature)
        self.columns = beam_rows.ordered(columns, known, self.path)
        self._batching = {"min_batch_size": min_batch_size, "max_batch_size": max_batch_size}
        if max_batch_duration_secs is not None:
            self._batching["max_batch_duration_secs"] = max_batch_duration_secs

    def __repr__(self) -> str:
        return f"SavedModelHandler({self.path!r}, {self.signature!r})"

    def load_model(self) -> "_Model":
        """Load the model; Beam calls it on the workers."""
        return _Model(self.path, self.signature, self.columns)

    def run_inference(
        self, batch: Sequence[Any], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        """Return a `PredictionResult` for every element of a batch, in its order.

        Args:
            batch: Elements.
            model: What `load_model` returned.
            inference_args: Nothing.

        Raises:
            ValueError: An element does not fit and `invalid` is `"raise"`, or the false-alarm
                rate is below what the calibration allows.
        """
        options = {"per_feature": self.per_feature, "false_alarm_rate": self.false_alarm_rate}
        answers, model_id = model.answers(batch, self.invalid, **options)
        return (
            PredictionResult(element, answer, model_id)
            for element, answer in zip(batch, answers, strict=True)
        )

    def update_model_path(self, model_path: str | None = None) -> None:
        """Take another version from now on; Beam calls it when a side input names one.

        Args:
            model_path: A version folder, the folder above, or the `saved_model.pb` in one, as
                `RunInference(watch_model_pattern="MODEL/*/saved_model.pb")` finds it. Nothing
                keeps the version there is.
        """
        if model_path:
            self.path = str(model_path).removesuffix(_GRAPH).rstrip("/")

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return the sizes of batches, for `beam.BatchElements`."""
        return self._batching

    def share_model_across_processes(self) -> bool:
        """Say whether all worker processes of a machine share one model."""
        return self.large_model

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        """Raise a ValueError if `RunInference` was given arguments; the handler has settings."""
        if inference_args:
            raise ValueError(
                "SavedModelHandler takes its settings itself, such as "
                "SavedModelHandler(path, 'detect', false_alarm_rate=0.01). "
                f"Received: inference_args={inference_args!r}"
            )

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Return the bytes of the values in a batch, 8 for each of a row's."""
        if self.columns is not None:
            return 8 * len(self.columns) * len(batch)
        return sum(
            8 * len(beam_rows.names_of(element))
            if beam_rows.is_row(element)
            else np.asarray(element).nbytes
            for element in batch
        )

    def get_metrics_namespace(self) -> str:
        """Return the name under which Beam counts batches, bytes and latencies."""
        return "BeamML_kerasae"


class _Model:
    """A loaded model and one of its signatures; only methods, so that Beam can proxy it."""

    def __init__(self, path: str, signature: str, columns: list[str] | None):
        if "://" in path:
            with tempfile.TemporaryDirectory() as scratch:
                self._id = _fetch(path, Path(scratch))
                self._served = Served(scratch)
                known = _known(Path(scratch), signature)
        else:
            self._served = Served(path)
            self._id = str(self._served.path)
            known = _known(Path(self._id), signature)
        _check_signature(self._id, signature, self._served.signatures)
        self._signature, self._known = signature, known
        # Once more, for the version may be another than the handler saw.
        self._columns = beam_rows.ordered(columns, known, self._id)
        decodes = _SIGNATURES[signature] == "code"
        self._shape = (self._served.latent_dim,) if decodes else self._served.sample_shape
        self._uint8 = not decodes and self._served.input_dtype_name == "uint8"

    def answers(
        self, batch: Sequence[Any], invalid: str, **options: Any
    ) -> tuple[list[dict[str, Any]], str]:
        """Return a dictionary for every element, and the id of the model."""
        x = self._stacked(batch) if self._columns is None else None
        if x is not None:
            return [*self._rows(x, **options)], self._id
        arrays: dict[int, np.ndarray] = {}
        results: dict[int, dict[str, Any]] = {}
        for index, element in enumerate(batch):
            try:
                arrays[index] = self._array(element)
            except ValueError as error:
                if invalid == "raise":
                    raise ValueError(
                        f"Element {index} of a batch of {len(batch)} does not fit: {error}"
                    ) from error
                results[index] = {"error": str(error)}
        if arrays:
            rows = self._rows(np.stack([*arrays.values()]), **options)
            results.update(zip(arrays, rows, strict=True))
        return [results[index] for index in range(len(batch))], self._id

    def _stacked(self, batch: Sequence[Any]) -> np.ndarray | None:
        """Return arrays that fit as one, in a tenth of the time of one by one; else None."""
        if {getattr(element, "shape", None) for element in batch} != {self._shape}:
            return None
        if {element.dtype for element in batch} != {np.dtype("uint8" if self._uint8 else "f4")}:
            return None
        if any(isinstance(element, np.ma.MaskedArray) for element in batch):
            return None
        x = np.stack(batch)
        return x if np.isfinite(x).all() else None

    def _rows(
        self, x: np.ndarray, per_feature: bool, false_alarm_rate: float | None
    ) -> Iterable[dict[str, Any]]:
        signature, inputs = self._signature, dict[str, Any]({_SIGNATURES[self._signature]: x})
        if false_alarm_rate is not None:
            signature, inputs["false_alarm_rate"] = "detect_at_rate", np.float32(false_alarm_rate)
        columns = self._served.call(signature, inputs, len(x))
        if not per_feature:
            columns.pop("feature_scores", None)
        names = sorted(columns)
        rows = zip(*(columns[name] for name in names), strict=True)
        return (dict(zip(names, row, strict=True)) for row in rows)

    def _array(self, element: Any) -> np.ndarray:
        """Return one element as the model takes it, or raise a ValueError that says why not."""
        columns = self._columns
        if columns is None and self._known and beam_rows.is_row(element):
            columns = self._known
        x = beam_rows.numbers(element) if columns is None else beam_rows.row(element, columns)
        if columns is not None and x.size == np.prod(self._shape):
            x = x.reshape(self._shape)
        if x.shape != self._shape:
            raise ValueError(
                f"its shape must be {self._shape}. Received: an element of shape {x.shape}"
            )
        if columns is None and (x.dtype == np.uint8) != self._uint8:
            raise ValueError(
                f"it must be {'uint8' if self._uint8 else 'float'}, the raw units of this "
                f"model. Received: an element of dtype {x.dtype}"
            )
        if self._uint8:
            return beam_rows.as_bytes(x)
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(x))
        if len(bad):
            place = f"column {columns[bad[0]]!r}" if columns else f"value {bad[0]} of {x.size}"
            raise ValueError(
                f"its values must be finite as float32. Received: {x.flat[bad[0]]} at {place}"
            )
        return x


def _check_arguments(
    signature: Any, columns: Any, per_feature: Any, false_alarm_rate: Any, invalid: Any
) -> None:
    if signature not in _SIGNATURES:
        raise ValueError(
            f"signature must be one of {', '.join(map(repr, _SIGNATURES))}, which answer "
            "element by element; kerasae.load(path) has the others, such as generate. "
            f"Received: signature={signature!r}"
        )
    if columns is not None and (isinstance(columns, str) or not len(columns)):
        raise ValueError(f"columns must be a list of names. Received: columns={columns!r}")
    for name, value, only in (
        ("per_feature", per_feature or None, "score"),
        ("false_alarm_rate", false_alarm_rate, "detect"),
    ):
        if value is not None and signature != only:
            raise ValueError(
                f"{name} goes with the signature {only!r}. Received: signature={signature!r}"
            )
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise ValueError(
            "false_alarm_rate must be a number between 0 and 1, such as 0.01. "
            f"Received: false_alarm_rate={false_alarm_rate!r}"
        )
    if invalid not in ("raise", "report"):
        raise ValueError(f"invalid must be 'raise' or 'report'. Received: invalid={invalid!r}")


def _check_signature(path: str, signature: str, known: Iterable[str]) -> None:
    if signature not in known:
        hint = " Calibrate it before exporting, without a stride." if signature == "detect" else ""
        raise ValueError(
            f"The model has no signature {signature!r}; it has {', '.join(sorted(known))}.{hint} "
            f"Received: path={path!r}"
        )


def _known(version: Path, signature: str) -> list[str] | None:
    """Return the names of the values of a row, None where they are not known: codes have none."""
    codes = _SIGNATURES[signature] == "code"
    return None if codes else beam_rows.trained_columns(version)


def _located(path: Any, signature: str) -> str:
    """Return the version folder of a local path, and any other path as it is."""
    if "://" in str(path):
        return str(path).rstrip("/")
    folder = Path(path).absolute()
    if not folder.exists():
        raise FileNotFoundError(f"There is no file or folder to load. Received: path={str(path)!r}")
    if not (folder / _GRAPH).is_file():
        written = {n: p for n, p in versions(folder).items() if (p / _GRAPH).is_file()}
        if not written:
            raise ValueError(
                "path must be a SavedModel folder, or hold numbered ones (1, 2, ...), as "
                f"kerasae.export writes them. Received: path={str(path)!r}"
            )
        folder = written[max(written)]
    if (folder / "card.json").is_file():
        known = read_card(folder).get("signatures")
        if not isinstance(known, dict):
            raise ValueError(
                "card.json must be as kerasae.export wrote it; it lacks signatures. "
                f"Received: path={str(folder / 'card.json')!r}"
            )
        _check_signature(str(folder), signature, known)
    return str(folder)


def _fetch(path: str, scratch: Path) -> str:
    """Copy a model from where Beam can read, and TensorFlow may not; return its version folder."""
    found = FileSystems.match([f"{path}/{_GRAPH}", f"{path}/*/{_GRAPH}"])
    files = [entry.path for result in found for entry in result.metadata_list]
    folders = [file.removesuffix(f"/{_GRAPH}") for file in files]
    numbered = [f for f in folders if f.rpartition("/")[2].isdecimal() and f != path]
    if path not in folders and not numbered:
        raise FileNotFoundError(f"There is no exported model to load. Received: path={path!r}")
    newest = max(numbered, key=lambda f: int(f.rpartition("/")[2]), default=path)
    folder = path if path in folders else newest
    inner = (_GRAPH, "card.json", "variables/*", "assets/*")
    patterns = [f"{folder}/{name}" for name in inner]
    for result in FileSystems.match(patterns):
        for entry in result.metadata_list:
            target = scratch / entry.path.removeprefix(f"{folder}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileSystems.open(entry.path, "application/octet-stream") as file:
                target.write_bytes(file.read())
    return folder
