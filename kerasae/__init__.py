"""Autoencoders as plain Keras models: build, train, look at, save, export.

    ae = kerasae.build("denoising", input_shape=(28, 28, 1), latent_dim=32)
    ae.compile()
    ae.fit(x)

    run = kerasae.train("denoising", data="digits")

Importing this package loads neither Keras nor TensorFlow: names are imported at first use. Where
Keras is loaded already, the classes of kerasae are registered with it, so that
`keras.models.load_model` finds them after `import keras, kerasae`.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasae import (
        acceleration,
        anomaly,
        data,
        errors,
        estimators,
        evaluation,
        exporting,
        files,
        layers,
        loading,
        losses,
        metrics,
        models,
        networks,
        regularizers,
        report,
        runs,
        samplers,
        schedules,
        scoring,
        serving,
    )
    from kerasae.exporting import export
    from kerasae.loading import load
    from kerasae.models.variants.registry import build, register, variants
    from kerasae.runs import train

__version__ = "0.1.0"

_FUNCTIONS = {
    "build": "kerasae.models.variants.registry",
    "export": "kerasae.exporting",
    "load": "kerasae.loading",
    "register": "kerasae.models.variants.registry",
    "train": "kerasae.runs",
    "variants": "kerasae.models.variants.registry",
}
_SUBMODULES = (
    "acceleration",
    "anomaly",
    "data",
    "errors",
    "estimators",
    "evaluation",
    "exporting",
    "files",
    "layers",
    "loading",
    "losses",
    "metrics",
    "models",
    "networks",
    "regularizers",
    "report",
    "runs",
    "samplers",
    "schedules",
    "scoring",
    "serving",
)

__all__ = [
    "__version__",
    "acceleration",
    "anomaly",
    "build",
    "data",
    "errors",
    "estimators",
    "evaluation",
    "export",
    "exporting",
    "files",
    "layers",
    "load",
    "loading",
    "losses",
    "metrics",
    "models",
    "networks",
    "register",
    "regularizers",
    "report",
    "runs",
    "samplers",
    "schedules",
    "scoring",
    "serving",
    "train",
    "variants",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(_FUNCTIONS[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"kerasae.{name}")
    else:
        raise AttributeError(f"module 'kerasae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if sys.modules.get("keras") is not None:
    importlib.import_module("kerasae.models")
