"""The arguments of `fit` of an `Autoencoder`, as Keras is to get them."""

import inspect
from typing import Any

import keras


def by_name(fit: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` after x and y by their names."""
    bound = inspect.signature(fit).bind(None, None, *args, **options).arguments
    return {name: value for name, value in bound.items() if name not in ("x", "y")}


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
