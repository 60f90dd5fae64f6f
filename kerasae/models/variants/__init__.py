"""Variants of the autoencoder, one module each, and their registry."""
