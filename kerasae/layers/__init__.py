"""Layers of autoencoders; importing this package registers them as `kerasae>Name`."""

from kerasae.acceleration.convolution import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose
from kerasae.layers.activity_penalty import ActivityPenalty
from kerasae.layers.condition import Condition
from kerasae.layers.corruption import (
    Corruption,
    GaussianCorruption,
    LowResolutionCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from kerasae.layers.gaussian_sampling import GaussianSampling
from kerasae.layers.jacobian_penalty import JacobianPenalty
from kerasae.layers.penalty import Penalty
from kerasae.layers.quantizer import FiniteScalarQuantizer
from kerasae.layers.scaling import InverseScale, Standardize, UnitScale
from kerasae.layers.topk import TopK

__all__ = [
    "ActivityPenalty",
    "Condition",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Corruption",
    "FiniteScalarQuantizer",
    "GaussianCorruption",
    "GaussianSampling",
    "InverseScale",
    "JacobianPenalty",
    "LowResolutionCorruption",
    "MaskingCorruption",
    "Penalty",
    "SaltAndPepperCorruption",
    "Standardize",
    "TopK",
    "UnitScale",
]
