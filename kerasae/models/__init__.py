"""Autoencoders by name; importing this package registers all classes of kerasae."""

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.linear import LinearAutoencoder
from kerasae.models.registry import build, describe, options_of, register, variants

__all__ = [
    "Autoencoder",
    "LinearAutoencoder",
    "build",
    "describe",
    "options_of",
    "register",
    "variants",
]
