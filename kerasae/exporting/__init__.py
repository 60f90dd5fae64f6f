"""From an autoencoder to a SavedModel that TensorFlow alone serves, and to other formats."""

from kerasae.exporting.comparison import VerificationError
from kerasae.exporting.savedmodel import export

__all__ = ["VerificationError", "export"]
