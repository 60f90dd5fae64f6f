"""Answers from an exported model. Its runtime is imported when a model is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.errors import check_whole, is_real
from kerasae.serving.runtimes import RUNTIMES, Runtime

# Inputs of the signatures that take others than `x`. The first has a batch, except for `n`.
_INPUTS = {
    "decode": ("code",),
    "detect_at_rate": ("x", "false_alarm_rate"),
    "generate": ("n", "seed"),
}


def versions(path: Path) -> dict[int, Path]:
    """Return the subfolders of `path` that are named by a whole number, by that number."""
    if not path.is_dir():
        return {}
    return {int(p.name): p for p in path.iterdir() if p.name.isdecimal() and p.is_dir()}


class Served:
    """An exported autoencoder: raw NumPy arrays in, NumPy arrays out, large ones in batches.

    Args:
        path: A version folder that `kerasae.export` wrote, or the folder above it, of which the
            version with the highest number is loaded.
        runtime: `"tensorflow"` reads the SavedModel, `"onnx"` the files in `onnx/` next to it.
            ONNX Runtime needs no TensorFlow, starts faster and takes less memory, but has no
            `generate`. None means TensorFlow, which has all signatures.

    Attributes:
        path: The version folder that is loaded.
        runtime: Name of the runtime.
        info: Description of the model: `variant`, `input_shape` (of one sample), `input_dtype`,
            `latent_dim`, `kerasae_version`, ...
        signatures: Names of the signatures that the model has.
        sample_shape: Shape of one sample.
        input_dtype_name: `"float32"` or `"uint8"`.
        latent_dim: Size of the code.
        code_shape: Shape of the code of one sample.
        code_dtype: `"float32"`, or `"int32"` for a code of indices.
        further_inputs: Names of the inputs next to `x`, such as `"condition"`.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ModuleNotFoundError: ONNX Runtime is asked for and not installed.
        ValueError: There is no exported model of kerasae at `path`, or it has no ONNX files, or
            `runtime` is not one of the two.

    Example:
    >>> import kerasae, numpy as np, tempfile
    >>> ae = kerasae.build("undercomplete", input_shape=(4,), latent_dim=2)
    >>> folder = tempfile.mkdtemp()
    >>> _ = kerasae.export(ae, folder, verify=False)
    >>> Served(folder).encode(np.zeros((3, 4), "float32")).shape
    (3, 2)
    """

    def __init__(self, path: Any, runtime: str | None = None):
        self.runtime = "tensorflow" if runtime is None else runtime
        if self.runtime not in RUNTIMES:
            raise ValueError(
                f"runtime must be {' or '.join(map(repr, RUNTIMES))}. Received: runtime={runtime!r}"
            )
        self.path = _version_folder(Path(path))
        self._model: Runtime = RUNTIMES[self.runtime](self.path)
        self.info: dict[str, Any] = self._model.info
        self.signatures: list[str] = sorted(self._model.outputs)
        self.sample_shape: tuple[int, ...] = tuple(self.info["input_shape"])
        self.input_dtype_name: str = self.info["input_dtype"]
        self.latent_dim: int = self.info["latent_dim"]
        self.code_shape: tuple[int, ...] = tuple(self.info.get("code_shape") or [self.latent_dim])
        self.code_dtype: str = self.info.get("code_dtype", "float32")
        self._further: dict[str, Any] = self.info.get("further_inputs", {})
        self.further_inputs: list[str] = list(self._further)

    def __repr__(self) -> str:
        described = f"variant={self.info['variant']!r}, input_shape={self.sample_shape}"
        return f"Served({str(self.path)!r}, {described})"

    def encode(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the code of each sample, `(samples, *code_shape)`.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a dictionary of `"x"` and further
                inputs; those that are left out are unknown.
            batch_size: Number of samples at a time.

        Raises:
            ValueError: Shape, dtype or values of `x` do not fit the model.
        """
        return self.call("encode", _named("x", x), batch_size)["code"]

    def decode(self, code: Any, batch_size: int = 1024, *, condition: Any = None) -> np.ndarray:
        """Return the raw reconstruction of each code, float32, `(samples, *input_shape)`.

        Args:
            code: Array `(samples, *code_shape)`.
            batch_size: Number of samples at a time.
            condition: For conditional models, one for each sample or one for all; None is
                unknown.

        Raises:
            ValueError: Shape, dtype or values of `code` do not fit the model.
        """
        inputs = {"code": code} if condition is None else {"code": code, "condition": condition}
        return self.call("decode", inputs, batch_size)["reconstruction"]

    def reconstruct(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the raw reconstruction of each sample, float32, shaped like `x`.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a dictionary of `"x"` and further
                inputs; those that are left out are unknown.
            batch_size: Number of samples at a time.

        Raises:
            ValueError: Shape, dtype or values of `x` do not fit the model.
        """
        return self.call("reconstruct", _named("x", x), batch_size)["reconstruction"]

    def score(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each sample, `(samples,)`; higher is worse.

        It is the model's reconstruction loss, in scaled units.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a dictionary of `"x"` and further
                inputs; those that are left out are unknown.
            batch_size: Number of samples at a time.

        Raises:
            ValueError: Shape, dtype or values of `x` do not fit the model.
        """
        return self.call("score", _named("x", x), batch_size)["score"]

    def feature_scores(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each feature, shaped like `x`.

        `score` is its mean over the features of a sample, or its sum for variational models.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a dictionary of `"x"` and further
                inputs; those that are left out are unknown.
            batch_size: Number of samples at a time.

        Raises:
            ValueError: `x` does not fit the model, or its loss has no value per feature.
        """
        if "feature_scores" not in self._outputs("score"):
            raise ValueError(
                "feature_scores needs a model whose loss has a value per feature. "
                f"Received: loss={self.info['loss']!r}"
            )
        return self.call("score", _named("x", x), batch_size)["feature_scores"]

    def detect(
        self, x: Any, *, false_alarm_rate: float | None = None, batch_size: int = 1024
    ) -> dict[str, np.ndarray]:
        """Detect anomalies by the calibration in the model.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a dictionary of `"x"` and further
                inputs; those that are left out are unknown.
            false_alarm_rate: A rate other than the calibrated one, between 0 and 1.
            batch_size: Number of samples at a time.

        Returns:
            `anomaly_score` (float32), `p_value` (float32: how often a normal sample scores as
            high) and `is_anomaly` (bool), each `(samples,)`.

        Raises:
            ValueError: The model is not calibrated, or an argument does not fit.
        """
        inputs = _named("x", x)
        if false_alarm_rate is None:
            return self.call("detect", inputs, batch_size)
        inputs["false_alarm_rate"] = false_alarm_rate
        return self.call("detect_at_rate", inputs, batch_size)

    def generate(self, n: int, seed: int = 0, *, condition: Any = None) -> np.ndarray:
        """Return `n` new samples, float32, in raw units.

        They are decoded from codes drawn from the sampler in the model, or from the prior.

        Args:
            n: Number of samples, >= 1; all are made in one call.
            seed: Seed of the draw, >= 0. The same seed gives the same samples as
                `Autoencoder.generate` on the TensorFlow backend.
            condition: For conditional models, one for all samples; None is unknown.

        Raises:
            ValueError: The model has no prior to draw from, or an argument is out of range.
        """
        inputs = {"n": n, "seed": seed}
        if condition is not None:
            inputs["condition"] = condition
        return self.call("generate", inputs)["samples"]

    def check(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Validate the inputs of a signature and return them with its dtypes.

        Args:
            signature: One of `signatures`, but not `info`.
            inputs: Its inputs by name, as the methods take them.

        Raises:
            ValueError: The model has no such signature, or the inputs do not fit it.
        """
        self._outputs(signature)
        wanted = _INPUTS.get(signature, ("x",))
        if set(inputs) - set(self._further) != set(wanted):
            raise ValueError(
                f"{signature} takes {' and '.join(map(repr, wanted))}. "
                f"Received: {', '.join(map(repr, inputs)) or 'no inputs'}"
            )
        checked = dict(inputs)
        if "x" in inputs:
            checked["x"] = self._samples(inputs["x"])
        if "code" in inputs:
            checked["code"] = self._code(inputs["code"])
        if "false_alarm_rate" in inputs:
            rate = inputs["false_alarm_rate"]
            # A file of arrays has a number as an array without axes.
            rate = rate[()] if isinstance(rate, np.ndarray) and rate.ndim == 0 else rate
            self._check_rate(rate)
            checked["false_alarm_rate"] = np.float32(rate)
        if "seed" in inputs:
            n = check_whole("n", inputs["n"], 1, 2**31 - 1)
            seed = check_whole("seed", inputs["seed"], 0, 2**63 - 1)
            # keras.random folds its 64-bit seeds into 32 bits in this way.
            checked = {"n": np.int32(n), "seed": np.array([seed % (2**31 - 2), 0], "int32")}
        # One for each sample, or one for all that are generated.
        rows = () if signature == "generate" else (len(checked[wanted[0]]),)
        for name in self._further:
            checked[name] = self._further_input(name, inputs.get(name), rows)
        return checked

    def call(
        self, signature: str, inputs: Mapping[str, Any], batch_size: int = 1024
    ) -> dict[str, np.ndarray]:
        """Return all outputs of a signature by name, as the SavedModel names them.

        This gives `score` and `feature_scores` in one pass.

        Args:
            signature: One of `signatures`, but not `info`.
            inputs: Its inputs by name, as the methods take them.
            batch_size: Number of samples at a time.

        Raises:
            ValueError: The model has no such signature, or the inputs do not fit it.
        """
        return self._answers(signature, self.check(signature, inputs), batch_size)

    def _check_rate(self, rate: Any) -> None:
        if not is_real(rate) or not 0 < rate < 1:
            raise ValueError(
                "false_alarm_rate must be a number between 0 and 1, such as 0.01. "
                f"Received: false_alarm_rate={rate!r}"
            )
        known = self.info.get("calibration")
        if known and (known["n"] + 1) * rate < 1 - 1e-9:
            raise ValueError(
                f"The lowest false-alarm rate that a calibration on {known['n']} samples allows "
                f"is {1 / (known['n'] + 1):.3g}. Received: false_alarm_rate={rate:g}"
            )

    def _outputs(self, signature: str) -> list[str]:
        if signature not in self._model.outputs:
            if signature == "generate" and self.runtime != "tensorflow" and self._can_generate:
                raise ValueError(
                    "Only TensorFlow generates; load the model with runtime='tensorflow'. "
                    f"Received: runtime={self.runtime!r}"
                )
            raise ValueError(
                f"This model has no signature {signature!r}; it has {', '.join(self.signatures)}. "
                f"Received: variant={self.info['variant']!r}"
            )
        return self._model.outputs[signature]

    @property
    def _can_generate(self) -> bool:
        return bool(self.info.get("can_generate"))

    def _answers(
        self, signature: str, inputs: Mapping[str, Any], batch_size: int
    ) -> dict[str, np.ndarray]:
        """Run a signature on checked inputs, in pieces where they have a batch."""
        batch_size = check_whole("batch_size", batch_size)
        first = _INPUTS.get(signature, ("x",))[0]
        if np.ndim(inputs[first]) == 0 or len(inputs[first]) <= batch_size:
            return self._model.call(signature, inputs)
        pieces: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(inputs[first]), batch_size):
            piece = dict(inputs)
            for name in (first, *self._further):
                piece[name] = inputs[name][start : start + batch_size]
            for name, value in self._model.call(signature, piece).items():
                pieces.setdefault(name, []).append(value)
        return {name: np.concatenate(parts) for name, parts in pieces.items()}

    def _samples(self, x: Any) -> np.ndarray:
        x = np.asarray(x)
        dtype = self.input_dtype_name
        _check_shape("x", x, self.sample_shape)
        if dtype == "uint8" and x.dtype != np.uint8:
            raise ValueError(
                "x must be uint8, the raw units this model was trained on. "
                f"Received: x of dtype {x.dtype}"
            )
        if dtype != "uint8" and x.dtype == np.uint8:
            raise ValueError(
                "x must be float, the raw units this model was trained on. "
                "Received: x of dtype uint8"
            )
        return x if dtype == "uint8" else _finite("x", x)

    def _code(self, code: Any) -> np.ndarray:
        code = np.asarray(code)
        _check_shape("code", code, self.code_shape)
        code = _finite("code", code)
        if self.code_dtype == "float32":
            return code
        _check_indices("code", code, 0, self.info["code_size"])
        return code.astype(self.code_dtype)

    def _further_input(self, name: str, value: Any, rows: tuple[int, ...]) -> np.ndarray:
        field = self._further[name]
        shape = tuple(field["shape"])
        if value is None:
            if field["unknown"] == "None":
                raise ValueError(f"{name} must be given. Received: {name}=None")
            return np.full((*rows, *shape), float(field["unknown"]), field["dtype"])
        array = np.asarray(value)
        if array.shape == shape:
            array = np.broadcast_to(array, (*rows, *shape))
        if array.dtype.kind not in "biuf" or array.shape != (*rows, *shape):
            raise ValueError(
                f"{name} must have shape {(*rows, *shape)}, or {shape} for all samples. "
                f"Received: {name} of shape {array.shape} and dtype {array.dtype}"
            )
        if field["classes"] is not None:
            _check_indices(name, array, -1, field["classes"])
        elif np.isinf(array).any():
            raise ValueError(f"{name} must be finite. Received: infinite values")
        return np.array(array, dtype=field["dtype"])


def _named(name: str, value: Any) -> dict[str, Any]:
    """Return inputs by name, of which a single one may be given by itself."""
    return dict(value) if isinstance(value, Mapping) else {name: value}


def _check_indices(name: str, array: np.ndarray, least: int, count: int) -> None:
    wrong = (array != np.floor(array)) | (array < least) | (array >= count)
    if wrong.any():
        raise ValueError(
            f"{name} must hold whole numbers from {least} to {count - 1}. "
            f"Received: {array[wrong].flat[0]}"
        )


def _version_folder(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder to load. Received: path={str(path)!r}")
    if is_version(path):
        return path
    written = {n: p for n, p in versions(path).items() if is_version(p)}
    if written:
        return written[max(written)]
    raise ValueError(
        "path must be a SavedModel folder, or hold numbered ones (1, 2, ...), as kerasae.export "
        f"writes them. Received: path={str(path)!r}"
    )


def is_version(path: Path) -> bool:
    """Return whether `path` is a readable version folder that `kerasae.export` wrote."""
    try:
        # A SavedModel may be taken away to serve the ONNX files alone.
        return (path / "saved_model.pb").is_file() or (path / "onnx").is_dir()
    except PermissionError:  # the other versions can still be used
        return False


def _check_shape(name: str, array: np.ndarray, sample_shape: tuple[int, ...]) -> None:
    if array.ndim != len(sample_shape) + 1 or array.shape[1:] != sample_shape:
        wanted = ", ".join(["samples", *map(str, sample_shape)])
        raise ValueError(
            f"{name} must have shape ({wanted}) for this model. "
            f"Received: {name} of shape {array.shape}"
        )
    if not len(array):
        raise ValueError(f"{name} must hold at least one sample. Received: {name} of length 0")


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers. Received: {name} of dtype {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.ascontiguousarray(array, dtype="float32")
        # The sum is finite unless some value is not (or it overflows): one pass, no copy.
        if np.isfinite(array.sum(dtype="float64")):
            return array
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        first = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} must be finite as float32; {len(np.unique(bad[:, 0]))} samples are not, the "
            f"first at index {first}. Received: {array[first]}"
        )
    return array
