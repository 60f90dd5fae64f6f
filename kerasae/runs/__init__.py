"""Training into a run directory with `kerasae.train`, and operations on the runs.

Names are imported at first use: what reads a run needs neither Keras nor TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasae.runs.configuration import TrainConfig
    from kerasae.runs.operations import calibrate, evaluate, export, fit_sampler
    from kerasae.runs.result import Run
    from kerasae.runs.training import TrainingDiverged, train

_HOMES = {
    "Run": "result",
    "TrainConfig": "configuration",
    "TrainingDiverged": "training",
    "calibrate": "operations",
    "evaluate": "operations",
    "export": "operations",
    "fit_sampler": "operations",
    "train": "training",
}

__all__ = [
    "Run",
    "TrainConfig",
    "TrainingDiverged",
    "calibrate",
    "evaluate",
    "export",
    "fit_sampler",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasae.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kerasae.runs.{_HOMES[name]}"), name)
