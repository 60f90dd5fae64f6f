"""Training into a run directory: `kerasae.train` and what it leaves."""

from kerasae.training.loop import TrainingDiverged, train
from kerasae.training.run import Run

__all__ = ["Run", "TrainingDiverged", "train"]
