"""Evaluation of models against untrained baselines; results are plain dictionaries."""

from kerasae.evaluation.code_quality import assignment_accuracy, clustering, codes
from kerasae.evaluation.jacobians import jacobian
from kerasae.evaluation.likelihood import variational
from kerasae.evaluation.linear import linear_check
from kerasae.evaluation.measuring import measure
from kerasae.evaluation.passes import corrupt, reconstruct, reconstruction_model, scale
from kerasae.evaluation.reconstruction import reconstruction_errors
from kerasae.evaluation.samples import frechet_distance, precision_recall, sample_quality

__all__ = [
    "assignment_accuracy",
    "clustering",
    "codes",
    "corrupt",
    "frechet_distance",
    "jacobian",
    "linear_check",
    "measure",
    "precision_recall",
    "reconstruct",
    "reconstruction_errors",
    "reconstruction_model",
    "sample_quality",
    "scale",
    "variational",
]
