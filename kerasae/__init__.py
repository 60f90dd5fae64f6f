"""Autoencoders as plain Keras models: build, train, look at, save, export.

    ae = kerasae.build("denoising", input_shape=(28, 28, 1), latent_dim=32)
    ae.compile()
    ae.fit(x)

    run = kerasae.train("denoising", data="digits")

Importing this package loads neither Keras nor TensorFlow: names are imported at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from kerasae import _quiet

if TYPE_CHECKING:
    from kerasae import (
        anomaly,
        batch,
        beam,
        callbacks,
        data,
        estimators,
        evaluation,
        exporting,
        layers,
        learn,
        loading,
        losses,
        metrics,
        models,
        plotting,
        regularizers,
        reporting,
        runs,
        samplers,
        schedules,
        serving,
        training,
    )
    from kerasae.exporting import export
    from kerasae.loading import load
    from kerasae.models.registry import build, register, variants
    from kerasae.training import train

__version__ = "0.1.0"

_FUNCTIONS = {
    "build": "kerasae.models.registry",
    "export": "kerasae.exporting",
    "load": "kerasae.loading",
    "register": "kerasae.models.registry",
    "train": "kerasae.training",
    "variants": "kerasae.models.registry",
}
_SUBMODULES = (
    "anomaly",
    "batch",
    "beam",
    "callbacks",
    "data",
    "estimators",
    "evaluation",
    "exporting",
    "layers",
    "learn",
    "loading",
    "losses",
    "metrics",
    "models",
    "plotting",
    "regularizers",
    "reporting",
    "runs",
    "samplers",
    "schedules",
    "serving",
    "training",
)

__all__ = [
    "__version__",
    "anomaly",
    "batch",
    "beam",
    "build",
    "callbacks",
    "data",
    "estimators",
    "evaluation",
    "export",
    "exporting",
    "layers",
    "learn",
    "load",
    "loading",
    "losses",
    "metrics",
    "models",
    "plotting",
    "register",
    "regularizers",
    "reporting",
    "runs",
    "samplers",
    "schedules",
    "serving",
    "train",
    "training",
    "variants",
]

_quiet.silence_tensorflow()


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
