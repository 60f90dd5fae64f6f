"""How good a model is: numbers beside baselines that need no training; plain dictionaries out."""

from kerasae.evaluation.reconstruction import (
    corrupt,
    measure,
    reconstruct,
    reconstruction_model,
    scale,
)

__all__ = ["corrupt", "measure", "reconstruct", "reconstruction_model", "scale"]
