"""What an autoencoder accepts: one sentence for each kind of wrong input."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.errors import is_real, is_whole, nearest

_LARGEST = float(np.finfo("float32").max)


def _elements(data: Any) -> tuple[Any, Any]:
    """Return what stands for x and y in a dataset's element."""
    if isinstance(data, (tuple, list)):
        return data[0], data[1] if len(data) > 1 else None
    return data, None


def check_data(model: Any, x: Any, y: Any = None, *, name: str = "x") -> None:
    """Check arrays and tf.data datasets before anything is done with them.

    Generators and `PyDataset`s cannot be looked at here; their batches are checked by
    `check_tensor` when the model is called. Values are looked at in arrays only: a NaN inside
    a dataset shows as a NaN loss (`kerasae.train` stops at one).

    Args:
        model: The autoencoder.
        x, y: As given to `fit`.
        name: What to call `x` in messages.

    Raises:
        ValueError: The data do not fit the model.
    """
    if x is None:
        raise ValueError(f"{name} must be an array or a tf.data.Dataset. Received: {name}=None")
    if isinstance(x, dict):
        raise ValueError(
            f"{name} must be one array or dataset; this model takes no dictionary. "
            f"Received: {name} with keys {list(x)}"
        )
    spec = getattr(x, "element_spec", None)
    if spec is not None:
        if int(x.cardinality()) == 0:
            raise ValueError(f"{name} must hold at least one batch. Received: an empty dataset")
        x_spec, y_spec = _elements(spec)
        if isinstance(x_spec, dict):
            raise ValueError(
                f"{name} must yield one array; this model takes no dictionary. "
                f"Received: elements with keys {list(x_spec)}"
            )
        check_tensor(model, x_spec, name)
        check_target(x_spec, y_spec)
        return
    if isinstance(x, (list, tuple)):
        raise ValueError(
            f"{name} must be an array or a tf.data.Dataset; convert it with numpy.asarray. "
            f"Received: {name} of type {type(x).__name__}"
        )
    if hasattr(x, "to_numpy") and not hasattr(x, "dtype"):
        x = x.to_numpy()  # a DataFrame
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        # Generators and such; Keras says what it cannot iterate over less clearly.
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
    check_target(x, y)
    if y is not None and (rows := y.shape[0] if hasattr(y, "shape") else len(y)) != x.shape[0]:
        raise ValueError(
            f"y must have as many samples as x. Received: {x.shape[0]} samples in x, {rows} in y"
        )
    if model.input_dtype_name == "uint8" and y is not None and _dtype(y, "y") != "uint8":
        raise ValueError(
            "y must be uint8, in raw units as x is; targets go through the same scaler. "
            f"Received: y of dtype {_dtype(y, 'y')}"
        )
    if y is not None and hasattr(y, "dtype") and keras.backend.is_float_dtype(_dtype(y, "y")):
        _check_finite(y, "y")


def check_adapted(model: Any) -> None:
    """Refuse to use a scaler that has no statistics yet; it would pass raw values through."""
    if not getattr(model.scaler, "adapted", True):
        raise ValueError(
            "The scaler has seen no data yet; call fit, or ae.scaler.adapt(batches), first. "
            "Received: an unadapted scaler"
        )


def check_batch_size(batch_size: Any) -> None:
    """Refuse what is no number of samples."""
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
        raise ValueError(
            f"batch_size must be a whole number >= 1. Received: batch_size={batch_size!r}"
        )


def check_options(
    model: Any, x: Any, args: tuple, kwargs: dict[str, Any], training: bool = False
) -> None:
    """Check what `fit`, `evaluate` and `predict` take beside the data.

    Args:
        model: The autoencoder.
        x: As given to `fit`.
        args, kwargs: The other arguments, behind x and y.
        training: Whether they are those of `fit`, which needs a compiled model.

    Raises:
        ValueError: An argument is out of range, or weights do not go with the samples.
    """
    names = ("batch_size", "epochs") if training else ("batch_size",)
    options = {**dict(zip(names, args, strict=False)), **kwargs}
    if training and not model.compiled:
        raise ValueError("Call ae.compile() before training. Received: a model not compiled")
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
            "class_weight needs labels, and an autoencoder has none; use sample_weight. "
            f"Received: class_weight={options['class_weight']!r}"
        )
    weight = options.get("sample_weight")
    if weight is None or not hasattr(x, "shape"):
        return
    weight = np.asarray(ops.convert_to_numpy(weight))
    if weight.dtype.kind not in "biuf" or weight.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"sample_weight must have a number for each of the {x.shape[0]} samples. "
            f"Received: sample_weight of shape {weight.shape} and dtype {weight.dtype}"
        )
    _check_finite(weight.reshape(len(weight), -1), "sample_weight")


def optimizer(identifier: Any) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer that is meant, or raise with the nearest name."""
    try:
        return keras.optimizers.get(identifier)
    except (TypeError, ValueError) as error:
        if not isinstance(identifier, str):
            raise
        known = ("adam", "adamw", "adamax", "nadam", "adagrad", "adadelta", "rmsprop", "sgd",
                 "ftrl", "lion", "lamb", "adafactor", "muon")  # fmt: skip
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
    # The sum is finite unless some value is not (or it overflows): one pass, no copy.
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
    """Check the static shape and dtype of `x`, a tensor, an array or a tensor spec."""
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
    """Refuse a target that is not shaped like the input, such as labels."""
    if y is None:
        return
    have, want = (tuple(v.shape if hasattr(v, "shape") else np.shape(v)) for v in (y, x))
    if len(have) != len(want) or any(
        a is not None and b is not None and a != b for a, b in zip(have[1:], want[1:], strict=True)
    ):
        raise ValueError(
            "y must be a target shaped like x; an autoencoder takes no labels as y, leave it "
            f"out. Received: x of shape {want}, y of shape {have}"
        )


def check_code(model: Any, code: Any) -> Any:
    """Return `code` as an array of shape `(samples, latent_dim)`, or raise."""
    code = np.asarray(ops.convert_to_numpy(code))
    if code.dtype.kind not in "biuf":
        raise ValueError(f"code must hold numbers. Received: code of dtype {code.dtype}")
    if code.ndim != 2 or code.shape[1] != model.latent_dim or not len(code):
        raise ValueError(
            f"code must have shape (samples, {model.latent_dim}). "
            f"Received: code of shape {code.shape}"
        )
    _check_finite(code, "code")
    return code.astype("float32", copy=False)


def inputs_of(data: Any, validation_split: float = 0.0, steps: int | None = None) -> Iterator[Any]:
    """Yield batches of x from what was given to `fit`, to adapt a scaler on.

    Args:
        data: As given to `fit`.
        validation_split: Share of the last samples of an array to leave out.
        steps: Batches to take of a dataset without end.

    Raises:
        ValueError: The data can be read only once, or have no end.
    """
    if hasattr(data, "shape"):
        stop = math.floor(data.shape[0] * (1 - validation_split))
        for start in range(0, stop, 65536):
            yield data[start : min(start + 65536, stop)]
    elif hasattr(data, "element_spec"):
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            if steps is None:
                raise ValueError(
                    "x repeats without end; give steps_per_epoch too, or call "
                    "scaler.adapt(batches) first. Received: steps_per_epoch=None"
                )
            data = data.take(steps)
        for element in data:
            yield _elements(element)[0]
    elif isinstance(data, keras.utils.PyDataset):
        for i in range(len(data)):
            yield _elements(data[i])[0]
    else:
        raise ValueError(
            "x can be read only once, but the scaler must see it before training; give an "
            "array or a tf.data.Dataset, or call scaler.adapt(batches) first. "
            f"Received: x of type {type(data).__name__}"
        )
