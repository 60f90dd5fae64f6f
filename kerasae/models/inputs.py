"""Specification and validation of the inputs of an autoencoder."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import check_whole, is_real, is_whole, nearest

_LARGEST = float(np.finfo("float32").max)


@dataclasses.dataclass(frozen=True)
class Field:
    """One input of a model.

    Attributes:
        shape: Shape of one sample.
        dtype: `"float32"`, `"uint8"` or `"int32"`, in raw units.
        classes: Number of classes of a categorical input, or None.
        unknown: The value that represents an unknown input, or None if the input is required.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    classes: int | None = None
    unknown: float | None = None


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The inputs of a model: one tensor, or a dictionary with `"x"` and others.

    Attributes:
        fields: The inputs by name; the model reconstructs `"x"`.
    """

    fields: dict[str, Field]

    @property
    def single(self) -> bool:
        """Whether the model takes one tensor rather than a dictionary."""
        return len(self.fields) == 1

    def symbolic(self) -> Any:
        """Return the symbolic inputs of a Keras model."""
        inputs = {
            name: keras.Input(field.shape, dtype=field.dtype, name=name)
            for name, field in self.fields.items()
        }
        return inputs["x"] if self.single else inputs

    def cast(self, inputs: Any) -> dict[str, Any]:
        """Return the given tensors by name, cast to the dtypes of the fields."""
        values = inputs if isinstance(inputs, dict) else {"x": inputs}
        return {
            name: ops.cast(values[name], field.dtype)
            for name, field in self.fields.items()
            if values.get(name) is not None
        }

    def main(self, data: Any, name: str = "x") -> Any:
        """Return the input to reconstruct: the data themselves, or their entry `"x"`.

        Args:
            data: An array, an element of a dataset, its spec, or a dictionary of these.
            name: Name of the data in error messages.

        Raises:
            ValueError: If the keys of a dictionary are not the inputs of the model.
        """
        if not isinstance(data, dict):
            return data
        if self.single:
            raise ValueError(
                f"{name} must be one array or dataset, not a dictionary, for this model. "
                f"Received: {name} with keys {list(data)}"
            )
        if "x" not in data or set(data) - set(self.fields):
            raise ValueError(
                f"{name} must have the keys {', '.join(map(repr, self.fields))}. "
                f"Received: {name} with keys {list(data)}"
            )
        return data["x"]

    def complete(self, data: Any) -> Any:
        """Return the data with each missing input filled with its unknown value.

        Args:
            data: An array, a `tf.data.Dataset`, or a dictionary of arrays.
        """
        if self.single:
            return data
        if hasattr(data, "element_spec"):

            def completed(x: Any, *rest: Any) -> Any:
                values = self.cast(x)
                samples = ops.shape(values["x"])[0]
                for name, field in self.fields.items():
                    if name not in values:
                        shape = (samples, *field.shape)
                        values[name] = ops.full(shape, field.unknown, dtype=field.dtype)
                return (values, *rest) if rest else values

            return data.map(completed)
        if not is_array(data):
            return data
        values = data if isinstance(data, dict) else {"x": data}
        rows = len(values["x"])
        return {
            name: self.column(name, values.get(name), rows) for name in self.fields if name != "x"
        } | {"x": values["x"]}

    def column(self, name: str, value: Any, rows: int) -> np.ndarray:
        """Return the values of one further input as an array with `rows` entries.

        Args:
            name: Name of the input.
            value: One value per sample, one for all samples, or None for unknown.
            rows: Number of samples.

        Raises:
            ValueError: If the shape, dtype or range does not fit.
        """
        field = self.fields.get(name)
        if field is None:
            raise ValueError(f"This model takes no {name}. Received: {name}={value!r}")
        if value is None:
            return np.full((rows, *field.shape), field.unknown, field.dtype)
        array = np.asarray(ops.convert_to_numpy(value))
        if array.shape == field.shape:
            array = np.broadcast_to(array, (rows, *field.shape))
        if array.dtype.kind not in "biuf" or array.shape != (rows, *field.shape):
            raise ValueError(
                f"{name} must have shape {(rows, *field.shape)}, or {field.shape} for all samples. "
                f"Received: {name} of shape {array.shape} and dtype {array.dtype}"
            )
        if field.classes is not None:
            wrong = (array != np.floor(array)) | (array < -1) | (array >= field.classes)
            if wrong.any():
                raise ValueError(
                    f"{name} must contain whole numbers from 0 to {field.classes - 1}, or -1 for "
                    f"unknown. Received: {array[wrong].flat[0]}"
                )
        elif np.isinf(array).any():
            raise ValueError(f"{name} must be finite. Received: infinite values")
        return np.ascontiguousarray(array.astype(field.dtype))


def is_array(data: Any) -> bool:
    """Return whether `data` is an array or a dictionary of arrays."""
    parts = data.values() if isinstance(data, dict) else (data,)
    return all(hasattr(part, "shape") and not hasattr(part, "element_spec") for part in parts)


def _elements(data: Any) -> tuple[Any, Any]:
    """Return x and y, or None, from an element of a dataset."""
    if isinstance(data, (tuple, list)):
        return data[0], data[1] if len(data) > 1 else None
    return data, None


def check_data(model: Any, x: Any, y: Any = None, *, name: str = "x") -> None:
    """Validate arrays and `tf.data.Dataset`s before they are used.

    Generators and `PyDataset`s cannot be inspected here; `check_tensor` validates their batches
    when the model is called. Only the values of arrays are checked: a NaN in a dataset results
    in a NaN loss (at which `kerasae.train` stops).

    Args:
        model: The autoencoder.
        x: As passed to `fit`.
        y: Target as passed to `fit`.
        name: Name of `x` in error messages.

    Raises:
        ValueError: If the data do not fit the model.
    """
    if x is None:
        raise ValueError(f"{name} must be an array or a tf.data.Dataset. Received: {name}=None")
    spec = getattr(x, "element_spec", None)
    if spec is not None:
        if int(x.cardinality()) == 0:
            raise ValueError(f"{name} must hold at least one batch. Received: an empty dataset")
        x_spec, y_spec = _elements(spec)
        main = model.input_spec_.main(x_spec, name)
        check_tensor(model, main, name)
        for key, field in model.input_spec_.fields.items():
            given = x_spec.get(key) if isinstance(x_spec, dict) and key != "x" else None
            if given is not None and len(given.shape) != 1 + len(field.shape):
                raise ValueError(
                    f"{key} must have shape (samples, *{field.shape}). "
                    f"Received: {key} of shape {tuple(given.shape)}"
                )
        check_target(main, y_spec)
        return
    if isinstance(x, (list, tuple)):
        raise ValueError(
            f"{name} must be an array or a tf.data.Dataset; convert it with numpy.asarray. "
            f"Received: {name} of type {type(x).__name__}"
        )
    given, x = x, model.input_spec_.main(x, name)
    if hasattr(x, "to_numpy") and not hasattr(x, "dtype"):
        x = x.to_numpy()  # a DataFrame
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        # Generators and similar. Keras's message about what it cannot iterate over is less clear.
        if isinstance(x, (str, bytes)) or not (hasattr(x, "__iter__") or hasattr(x, "__len__")):
            raise ValueError(
                f"{name} must be an array or a tf.data.Dataset. "
                f"Received: {name}={x!r} of type {type(x).__name__}"
            )
        return
    check_tensor(model, x, name)
    if x.shape[0] == 0:
        raise ValueError(f"{name} must hold at least one sample. Received: {name} of length 0")
    if keras.backend.is_float_dtype(_dtype(x, name)):
        _check_finite(x, name)
    if isinstance(given, dict):
        for key in given:
            if key != "x":
                model.input_spec_.column(key, given[key], x.shape[0])
    check_target(x, y)
    if y is not None and (rows := y.shape[0] if hasattr(y, "shape") else len(y)) != x.shape[0]:
        raise ValueError(
            f"y must have as many samples as x. Received: {x.shape[0]} samples in x, {rows} in y"
        )
    if model.input_dtype_name == "uint8" and y is not None and _dtype(y, "y") != "uint8":
        raise ValueError(
            "y must be uint8, in raw units like x; targets pass through the same scaler. "
            f"Received: y of dtype {_dtype(y, 'y')}"
        )
    if y is not None and hasattr(y, "dtype") and keras.backend.is_float_dtype(_dtype(y, "y")):
        _check_finite(y, "y")


def check_adapted(model: Any) -> None:
    """Raise ValueError if the scaler is not adapted, since it would not scale its input."""
    if not getattr(model.scaler, "adapted", True):
        raise ValueError(
            "The scaler is not adapted yet; call fit, or ae.scaler.adapt(batches), first. "
            "Received: an unadapted scaler"
        )


def check_batch_size(batch_size: Any) -> None:
    """Validate the number of samples per batch."""
    check_whole("batch_size", batch_size)


def check_options(
    model: Any, x: Any, args: tuple, kwargs: dict[str, Any], training: bool = False
) -> None:
    """Validate the arguments of `fit`, `evaluate` and `predict` other than the data.

    Args:
        model: The autoencoder.
        x: As passed to `fit`.
        args: The other positional arguments, after x and y.
        kwargs: The other keyword arguments.
        training: Whether they are the arguments of `fit`, which requires a compiled model.

    Raises:
        ValueError: If an argument is out of range, or the weights do not match the samples.
    """
    names = ("batch_size", "epochs") if training else ("batch_size",)
    options = {**dict(zip(names, args, strict=False)), **kwargs}
    if training and not model.compiled:
        raise ValueError("Call ae.compile() before training. Received: an uncompiled model")
    if options.get("batch_size") is not None:
        check_batch_size(options["batch_size"])
    if not is_whole(options.get("epochs", 1), 0):
        raise ValueError(f"epochs must be a whole number. Received: epochs={options['epochs']!r}")
    for name in ("steps_per_epoch", "validation_steps"):
        value = options.get(name)
        if value is not None and not is_whole(value, 1):
            raise ValueError(
                f"{name} must be a whole number above 0, or None. Received: {name}={value!r}"
            )
    split = options.get("validation_split") or 0.0
    if not is_real(split) or not 0 <= split < 1:
        raise ValueError(
            f"validation_split must lie in [0, 1). Received: validation_split={split!r}"
        )
    if options.get("class_weight") is not None:
        raise ValueError(
            "class_weight requires labels, which an autoencoder does not have; use sample_weight. "
            f"Received: class_weight={options['class_weight']!r}"
        )
    weight = options.get("sample_weight")
    if weight is None or not is_array(x):
        return
    batch_terms = model.terms_of_batches()
    if batch_terms:
        raise ValueError(
            f"sample_weight cannot apply to {', '.join(batch_terms)}, a function of whole batches; "
            "remove samples instead, or set the weight of the term to 0. Received: sample_weight"
        )
    x = model.input_spec_.main(x)
    weight = np.asarray(ops.convert_to_numpy(weight))
    if weight.dtype.kind not in "biuf" or weight.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"sample_weight must have one number for each of the {x.shape[0]} samples. "
            f"Received: sample_weight of shape {weight.shape} and dtype {weight.dtype}"
        )
    _check_finite(weight.reshape(len(weight), -1), "sample_weight")


def optimizer(identifier: Any) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer, or raise ValueError with the nearest known name."""
    try:
        return keras.optimizers.get(identifier)
    except (TypeError, ValueError) as error:
        if not isinstance(identifier, str):
            raise
        known = (
            "adam",
            "adamw",
            "adamax",
            "nadam",
            "adagrad",
            "adadelta",
            "rmsprop",
            "sgd",
            "ftrl",
            "lion",
            "lamb",
            "adafactor",
            "muon",
        )
        raise ValueError(
            "optimizer must be a Keras optimizer or the name of one."
            f"{nearest(identifier, known)} Received: optimizer={identifier!r}"
        ) from error


def _dtype(x: Any, name: str) -> str:
    try:
        dtype = keras.backend.standardize_dtype(x.dtype)
    except ValueError:
        raise ValueError(f"{name} must hold numbers. Received: {name} of dtype {x.dtype}") from None
    if dtype.startswith("complex") or dtype == "string":
        raise ValueError(f"{name} must hold real numbers. Received: {name} of dtype {dtype}")
    return dtype


def _check_finite(x: Any, name: str) -> None:
    values = np.asarray(ops.convert_to_numpy(x))
    # Unless it overflows, the sum is finite if and only if all values are: one pass, no copy.
    with np.errstate(over="ignore", invalid="ignore"):
        small = values.dtype.itemsize < 8 or not values.size or np.abs(values).max() <= _LARGEST
        if small and np.isfinite(values.sum(dtype="float64")):
            return
    bad = np.argwhere(~(np.abs(values) <= _LARGEST))
    if len(bad):
        first = values[tuple(bad[0])]
        what = "float32 numbers" if np.isfinite(first) else "finite"
        raise ValueError(
            f"{name} must be {what}; {len(np.unique(bad[:, 0]))} samples are not, the first at "
            f"index {tuple(int(i) for i in bad[0])}. Received: {first}"
        )


def check_tensor(model: Any, x: Any, name: str = "x") -> None:
    """Validate the static shape and dtype of `x`, a tensor, an array or a tensor spec."""
    shape, dtype = tuple(x.shape), _dtype(x, name)
    want = model.sample_shape
    if len(shape) != len(want) + 1 or any(
        have is not None and have != size for have, size in zip(shape[1:], want, strict=True)
    ):
        raise ValueError(
            f"{name} must have shape (samples, {', '.join(map(str, want))}) for this model. "
            f"Received: {name} of shape {shape}"
        )
    if model.input_dtype_name == "uint8" and dtype != "uint8":
        raise ValueError(
            f"{name} must be uint8, the raw units this model was built for; convert it, or "
            "build the model with input_dtype='float32'. "
            f"Received: {name} of dtype {dtype}"
        )
    if model.input_dtype_name != "uint8" and dtype == "uint8":
        raise ValueError(
            f"{name} must be float for this model; convert it, or build the model with "
            f"input_dtype='uint8', which scales it to [0, 1]. Received: {name} of dtype uint8"
        )


def check_target(x: Any, y: Any) -> None:
    """Raise ValueError if the target is not shaped like the input, as labels are not."""
    if y is None:
        return
    have, want = (tuple(v.shape if hasattr(v, "shape") else np.shape(v)) for v in (y, x))
    if len(have) != len(want) or any(
        a is not None and b is not None and a != b for a, b in zip(have[1:], want[1:], strict=True)
    ):
        raise ValueError(
            "y must be a target shaped like x; an autoencoder needs no labels, so omit y. "
            f"Received: x of shape {want}, y of shape {have}"
        )


def check_code(model: Any, code: Any) -> Any:
    """Return `code` as a valid array of shape `(samples, *code_shape)`, or raise ValueError."""
    code = np.asarray(ops.convert_to_numpy(code))
    if code.dtype.kind not in "biuf":
        raise ValueError(f"code must hold numbers. Received: code of dtype {code.dtype}")
    if code.shape[1:] != model.code_shape or not len(code):
        wanted = ", ".join(["samples", *map(str, model.code_shape)])
        raise ValueError(f"code must have shape ({wanted}). Received: code of shape {code.shape}")
    _check_finite(code, "code")
    if model.code_size is not None:
        wrong = (code != np.floor(code)) | (code < 0) | (code >= model.code_size)
        if wrong.any():
            raise ValueError(
                f"code must contain whole numbers from 0 to {model.code_size - 1}. "
                f"Received: {code[wrong].flat[0]}"
            )
    return code.astype(model.code_dtype, copy=False)


def inputs_of(data: Any, validation_split: float = 0.0, steps: int | None = None) -> Iterator[Any]:
    """Yield batches of x only from the data of `fit`, for example to adapt a scaler.

    Args:
        data: As passed to `fit`.
        validation_split: Share of samples at the end of an array to skip.
        steps: Number of batches to take from an endless dataset.

    Raises:
        ValueError: If the data can be read only once, or are endless.
    """
    if isinstance(data, dict):
        data = data["x"]
    if hasattr(data, "shape"):
        stop = math.floor(data.shape[0] * (1 - validation_split))
        for start in range(0, stop, 65536):
            yield data[start : min(start + 65536, stop)]
    elif hasattr(data, "element_spec"):
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            if steps is None:
                raise ValueError(
                    "x repeats endlessly; set steps_per_epoch, or call scaler.adapt(batches) "
                    "first. Received: steps_per_epoch=None"
                )
            data = data.take(steps)
        for element in data:
            yield _x_of(element)
    elif isinstance(data, keras.utils.PyDataset):
        for i in range(len(data)):
            yield _x_of(data[i])
    else:
        raise ValueError(
            "x can be read only once, but the scaler must be adapted to it before training; pass "
            "an array or a tf.data.Dataset, or call scaler.adapt(batches) first. "
            f"Received: x of type {type(data).__name__}"
        )


def _x_of(element: Any) -> Any:
    x = _elements(element)[0]
    return x["x"] if isinstance(x, dict) else x
