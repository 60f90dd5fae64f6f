"""What `fit` of an `Autoencoder` hands to Keras in place of arrays."""

import inspect
import math
from typing import Any

import keras
import numpy as np

from kerasae.data.pipelines import Epoch, Resident


def by_name(fit: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` after x and y by their names."""
    bound = inspect.signature(fit).bind(None, None, *args, **options).arguments
    return {name: value for name, value in bound.items() if name not in ("x", "y")}


def as_pipeline(ae: Any, x: Any, y: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return arrays as one pipeline, and take what becomes part of it from `options`.

    Their order in an epoch follows from `keras.utils.set_random_seed`, whether the training
    goes step by step or in chunks. Keras makes the same of arrays, but draws the order within
    its pipeline.

    Args:
        ae: The compiled model.
        x, y: As given to `fit`.
        options: The other arguments of `fit`, by name; changed in place.

    Returns:
        A pipeline and None; or x and y as they are where Keras must see the arrays: on another
        backend, under a distribution strategy, and where they are of other kinds than NumPy's and
        TensorFlow's.
    """
    if keras.backend.backend() != "tensorflow":
        return x, y
    import tensorflow as tf

    def is_array(value: Any) -> bool:
        return isinstance(value, (np.ndarray, tf.Tensor))

    weight, shuffle = options.get("sample_weight"), options.get("shuffle", True)
    given = [part for part in (x, y, weight) if part is not None]
    if tf.distribute.has_strategy() or ae._distribute_strategy is not None:
        return x, y
    if not all(map(is_array, given)) or shuffle not in (True, False):
        return x, y
    n = int(x.shape[0])
    if any(int(part.shape[0]) != n for part in given):
        return x, y  # Keras says what is wrong.
    share = options.pop("validation_split", None) or 0.0
    train = n
    if share and options.get("validation_data") is None:
        train = math.floor(n * (1 - share))
        if train in (0, n):
            options["validation_split"] = share
            return x, y  # Keras says what is wrong.
        options["validation_data"] = tuple(part[train:] for part in given)
    batch_size = options.pop("batch_size", None) or 32
    if options.get("validation_batch_size") is None:
        options["validation_batch_size"] = batch_size
    options.pop("sample_weight", None)
    options["shuffle"] = False
    tensors = {id(part): _tensor(part) for part in given}
    parts = tuple(tensors[id(part)] for part in given)
    # TensorFlow's own draw: what a model drew while it was built does not change it, so models
    # that are trained after the same seed see the same order.
    seed = int(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32)) if shuffle else 0
    epoch = Epoch() if shuffle else None
    return Resident(parts, np.arange(train), batch_size, seed, epoch).dataset(), None


def bound_validation(options: dict[str, Any]) -> None:
    """Cut the validation data to the steps stated, which a chunk of steps would run over.

    Args:
        options: The arguments of `fit`, by name; changed in place where the data are arrays or a
            `tf.data.Dataset`.
    """
    stated = (options.get("validation_steps"), keras.config.max_steps_per_epoch())
    steps, data = min(filter(None, stated), default=None), options.get("validation_data")
    if steps is None or data is None:
        return
    if hasattr(data, "element_spec"):
        options["validation_data"] = data.take(steps)
    elif all(part is None or hasattr(part, "shape") for part in keras.tree.flatten(data)):
        size = options.get("validation_batch_size") or options.get("batch_size") or 32
        parts = data if isinstance(data, (tuple, list)) else (data,)
        options["validation_data"] = tuple(
            part if part is None else part[: steps * size] for part in parts
        )
    else:
        return
    options.pop("validation_steps", None)


def _tensor(part: Any) -> Any:
    import tensorflow as tf

    floatx = keras.config.floatx()
    with tf.device("CPU:0"):
        tensor = tf.convert_to_tensor(part)
        return tf.cast(tensor, floatx) if tensor.dtype.is_floating else tensor
