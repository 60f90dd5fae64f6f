"""From the tensors of a request to arrays that fit a signature, or to a sentence."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kerasae.serving._sources import Tensor

DTYPES = {"FP32": "float32", "UINT8": "uint8", "BOOL": "bool", "INT32": "int32", "INT64": "int64"}
# Characters of what a client has sent that are repeated in a sentence; gRPC has 8 KiB for it.
_LONGEST = 64
_MOST_SIZES = 32


def read(received: Iterable[Any], wanted: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Return the inputs of a request as arrays, by name.

    Args:
        received: Inputs with `name`, `datatype`, `shape` and `data`, flat or nested.
        wanted: The inputs of the signature.

    Raises:
        ValueError: An input is missing, unknown or given twice, has another datatype, or has
            other data than its shape says. Sizes are left to the model.
    """
    specs = {tensor.name: tensor for tensor in wanted}
    arrays: dict[str, np.ndarray] = {}
    for tensor in received:
        if tensor.name not in specs or tensor.name in arrays:
            twice = " twice" if tensor.name in arrays else ""
            raise ValueError(
                f"The inputs must be {_names(specs)}, once each. "
                f"Received: input {shown(tensor.name)}{twice}"
            )
        arrays[tensor.name] = _array(tensor, specs[tensor.name].datatype)
    missing = [name for name in specs if name not in arrays]
    if missing:
        raise ValueError(
            f"The inputs must be {_names(specs)}. Received: inputs without {_names(missing)}"
        )
    return arrays


def selected(requested: Iterable[Any] | None, outputs: Sequence[Tensor]) -> list[str]:
    """Return the names of the outputs that a request asks for; all if it names none.

    Raises:
        ValueError: There is no output of a name.
    """
    known = [tensor.name for tensor in outputs]
    names = [output.name for output in requested or ()]
    for name in names:
        if name not in known:
            raise ValueError(f"The outputs are {_names(known)}. Received: output {shown(name)}")
    return list(dict.fromkeys(names)) or known


def number(name: str, array: np.ndarray) -> Any:
    """Return the one number in an array.

    Raises:
        ValueError: There are others.
    """
    if array.size != 1:
        raise ValueError(
            f"{name} must be one number, of shape [1]. "
            f"Received: {name} of shape {list(array.shape)}"
        )
    return array.reshape(-1)[0].item()


def shown(text: str) -> str:
    """Return what a client has sent as it may stand in a sentence: in ASCII, and not long."""
    return ascii(text) if len(text) <= _LONGEST else f"{text[:_LONGEST]!a} and more"


def misshapen(name: str, shape: Sequence[int]) -> str | None:
    """Say what is wrong with a shape that no tensor can have."""
    if len(shape) <= _MOST_SIZES and all(size >= 0 for size in shape):
        return None
    given = f"{list(shape)}" if len(shape) <= _MOST_SIZES else f"{len(shape)} sizes"
    return (
        f"A shape has at most {_MOST_SIZES} sizes, each 0 or more. "
        f"Received: {shown(name)} of shape {given}"
    )


def _array(tensor: Any, datatype: str) -> np.ndarray:
    name, shape = tensor.name, list(tensor.shape)
    if tensor.datatype != datatype:
        raise ValueError(
            f"{name} must have datatype {datatype}. Received: {name} of datatype {tensor.datatype}"
        )
    wrong = misshapen(name, shape)
    if wrong:
        raise ValueError(wrong)
    data = getattr(tensor.data, "root", tensor.data)
    try:
        array = np.asarray(data if isinstance(data, list) else [data])
    except (ValueError, OverflowError):  # ragged lists
        array = np.asarray([None])
    if array.dtype.kind not in "iufb":
        raise ValueError(
            f"The data of {name} must be numbers, in one list or nested as the shape says. "
            f"Received: {name} with other data"
        )
    if array.size != math.prod(shape):
        raise ValueError(
            f"{name} must hold as many numbers as its shape says, {math.prod(shape)}. "
            f"Received: {name} of shape {shape} with {array.size} numbers"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(DTYPES[datatype]).reshape(shape)
        if cast.dtype.kind in "iu" and not np.array_equal(cast.ravel(), array.ravel()):
            bounds = np.iinfo(cast.dtype)
            raise ValueError(
                f"{name} must hold whole numbers from {bounds.min} to {bounds.max}. "
                f"Received: {name} with values from {array.min()} to {array.max()}"
            )
    return cast


def _names(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
