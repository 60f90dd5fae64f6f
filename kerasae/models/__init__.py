"""Autoencoders by name; importing this package registers all classes of kerasae."""

# Registered too: a model compiled with one of them is loaded with it.
from kerasae import metrics  # noqa: F401
from kerasae.models.autoencoder import Autoencoder, Pass, forward
from kerasae.models.classifier import classifier
from kerasae.models.variants.recipe import Recipe
from kerasae.models.variants.registry import build, describe, options_of, register, variants

__all__ = [
    "Autoencoder",
    "Pass",
    "Recipe",
    "build",
    "classifier",
    "describe",
    "forward",
    "options_of",
    "register",
    "variants",
]
