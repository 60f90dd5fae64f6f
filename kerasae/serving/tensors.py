"""Tensors of requests and responses: arrays that fit a signature, or a sentence why not."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from mlserver.types import MetadataTensor, RequestInput, ResponseOutput

from kerasae.serving.endpoints import DATATYPES

_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
# Characters that a sentence repeats of what a client has sent, and sizes of its shapes.
_LONGEST = 64
_MOST_SIZES = 32


def read(
    received: Sequence[RequestInput], wanted: Sequence[MetadataTensor], optional: Collection[str]
) -> dict[str, Any]:
    """Return the inputs of a request by name: arrays, and numbers where there is no batch.

    Args:
        received: The inputs, with data flat or nested.
        wanted: The inputs of the signature.
        optional: Names of those that may be left out.

    Raises:
        ValueError: An input is missing, unknown or given twice, has another datatype, or has
            other data than its shape says. Sizes are left to the model.
    """
    specs = {tensor.name: tensor for tensor in wanted}
    names = [tensor.name for tensor in received]
    left_out = [name for name in optional if name not in names]
    if sorted(names) != sorted(specs.keys() - left_out):
        raise ValueError(
            f"The inputs must be {_listed(map(repr, specs))}, once each. "
            f"Received: {_listed(map(shown, names[:_MOST_SIZES])) or 'no inputs'}"
        )
    arrays = {t.name: _array(t, specs[t.name].datatype) for t in received}
    return {
        name: _number(name, array) if specs[name].shape == [1] else array
        for name, array in arrays.items()
    }


def selected(requested: Iterable[Any] | None, outputs: Sequence[MetadataTensor]) -> list[str]:
    """Return the names of the outputs that a request asks for; all if it names none.

    Raises:
        ValueError: There is no output of that name.
    """
    known = [tensor.name for tensor in outputs]
    names = [output.name for output in requested or ()]
    for name in names:
        if name not in known:
            raise ValueError(
                f"The outputs are {_listed(map(repr, known))}. Received: output {shown(name)}"
            )
    return list(dict.fromkeys(names)) or known


def packed(name: str, array: np.ndarray) -> RequestInput:
    """Return an input that holds an array as bytes, which MLServer joins quickly to a batch."""
    shape, datatype = list(array.shape), DATATYPES[array.dtype.name]
    return RequestInput(name=name, datatype=datatype, shape=shape, data=array.tobytes())


def unpacked(tensor: RequestInput) -> np.ndarray:
    """Return the array that `packed` was given, or several joined."""
    return np.frombuffer(tensor.data.root, _DTYPES[tensor.datatype]).reshape(tensor.shape)


def answer(tensor: MetadataTensor, array: np.ndarray) -> ResponseOutput:
    """Return an output of a response."""
    shape, data = list(array.shape), array.ravel().tolist()
    return ResponseOutput(name=tensor.name, datatype=tensor.datatype, shape=shape, data=data)


def shown(text: str) -> str:
    """Return text of a client as it may stand in a sentence: in ASCII, and not long."""
    return ascii(text) if len(text) <= _LONGEST else f"{text[:_LONGEST]!a} and more"


def _number(name: str, array: np.ndarray) -> Any:
    if array.size != 1:
        raise ValueError(
            f"{name} must be one number, of shape [1]. "
            f"Received: {name} of shape {list(array.shape)}"
        )
    return array.reshape(-1)[0].item()


def _array(tensor: RequestInput, datatype: str) -> np.ndarray:
    name, shape = tensor.name, list(tensor.shape)
    if tensor.datatype != datatype:
        raise ValueError(
            f"{name} must have datatype {datatype}. Received: {name} of datatype {tensor.datatype}"
        )
    if len(shape) > _MOST_SIZES or any(size < 0 for size in shape):
        raise ValueError(
            f"{name} must have a shape of at most {_MOST_SIZES} sizes, each 0 or more. "
            f"Received: {name} with {len(shape)} sizes, {shape[:8]}"
        )
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
        cast = array.astype(_DTYPES[datatype]).reshape(shape)
    if cast.dtype.kind in "iu" and not np.array_equal(cast.ravel(), array.ravel()):
        bounds = np.iinfo(cast.dtype)
        raise ValueError(
            f"{name} must hold whole numbers from {bounds.min} to {bounds.max}. "
            f"Received: {name} with values from {array.min()} to {array.max()}"
        )
    return cast


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
