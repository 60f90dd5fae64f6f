"""What an autoencoder accepts: one sentence for each kind of wrong input."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops


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
        return
    check_tensor(model, x, name)
    if x.shape[0] == 0:
        raise ValueError(f"{name} must hold at least one sample. Received: {name} of length 0")
    if keras.backend.is_float_dtype(_dtype(x, name)):
        _check_finite(x, name)
    check_target(x, y)
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


def _dtype(x: Any, name: str) -> str:
    try:
        return keras.backend.standardize_dtype(x.dtype)
    except ValueError:
        raise ValueError(f"{name} must hold numbers. Received: {name} of dtype {x.dtype}") from None


def _check_finite(x: Any, name: str) -> None:
    values = np.asarray(ops.convert_to_numpy(x))
    # The sum is finite unless some value is not (or it overflows): one pass, no copy.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype="float64")):
            return
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{name} must be finite; {len(np.unique(bad[:, 0]))} samples are not, the first at "
            f"index {tuple(int(i) for i in bad[0])}. Received: {values[tuple(bad[0])]}"
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
    code = np.asarray(ops.convert_to_numpy(code), dtype="float32")
    if code.ndim != 2 or code.shape[1] != model.latent_dim:
        raise ValueError(
            f"code must have shape (samples, {model.latent_dim}). "
            f"Received: code of shape {code.shape}"
        )
    _check_finite(code, "code")
    return code


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
