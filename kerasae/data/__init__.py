"""Data for autoencoders: named sources, files and arrays as train, validation and test splits.

`load` gives `Splits`, ready for `fit`. `batches` and `write` stream files for the command line.
Importing this package imports NumPy and nothing heavier.
"""

from kerasae.data.files import batches
from kerasae.data.loading import load, sources
from kerasae.data.splits import Splits
from kerasae.data.writing import write

__all__ = ["Splits", "batches", "load", "sources", "write"]
