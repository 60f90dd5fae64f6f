"""The arguments of `fit` of an `Autoencoder`, as Keras is to get them."""

import inspect
from typing import Any


def by_name(fit: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` after x and y by their names."""
    bound = inspect.signature(fit).bind(None, None, *args, **options).arguments
    return {name: value for name, value in bound.items() if name not in ("x", "y")}
