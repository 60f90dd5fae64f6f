"""Export of autoencoders to SavedModels, which need only TensorFlow, and to other formats."""

from kerasae.exporting.comparison import VerificationError
from kerasae.exporting.savedmodel import export

__all__ = ["VerificationError", "export"]
