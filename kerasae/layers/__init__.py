"""Layers of the autoencoders; importing this package registers them as `kerasae>Name`."""

from kerasae.acceleration.convolution import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose
from kerasae.layers.activity_penalty import ActivityPenalty
from kerasae.layers.corruption import (
    Corruption,
    GaussianCorruption,
    LowResolutionCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from kerasae.layers.gaussian_sampling import GaussianSampling
from kerasae.layers.jacobian_penalty import JacobianPenalty
from kerasae.layers.scaling import InverseScale, Standardize, UnitScale

__all__ = [
    "ActivityPenalty",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Corruption",
    "GaussianCorruption",
    "GaussianSampling",
    "InverseScale",
    "JacobianPenalty",
    "LowResolutionCorruption",
    "MaskingCorruption",
    "SaltAndPepperCorruption",
    "Standardize",
    "UnitScale",
]
