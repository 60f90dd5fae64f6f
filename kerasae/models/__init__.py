"""Autoencoders by name; importing this package registers all classes of kerasae."""

# Registered too: a model compiled with one of them is loaded with it.
from kerasae import metrics  # noqa: F401
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.classifier import classifier
from kerasae.models.variants.linear import LinearAutoencoder
from kerasae.models.variants.registry import build, describe, options_of, register, variants

__all__ = [
    "Autoencoder",
    "LinearAutoencoder",
    "build",
    "classifier",
    "describe",
    "options_of",
    "register",
    "variants",
]
