"""Figures of a training: arrays in, a matplotlib figure and its text alternative out.

Everything is drawn with matplotlib's object interface: no display, no `pyplot`, no global setting.
A marker, a line style or a label always says the same as a colour. Each function returns a
`Drawing`, whose `alt` says in words and numbers what is seen.

    drawing = figures.reconstruction_grid(x, reconstruction, value_range=(0, 255))
    drawing.save("figures/reconstructions.png")  # the words go into its metadata
    print(drawing.alt)
"""

from kerasae.report.figures.activations import activation_histograms
from kerasae.report.figures.codes import code_map
from kerasae.report.figures.comparison import comparison
from kerasae.report.figures.curves import baselines, learning_curves
from kerasae.report.figures.detection import score_histogram
from kerasae.report.figures.directions import code_spectrum, kl_per_dimension, singular_values
from kerasae.report.figures.drawing import Drawing
from kerasae.report.figures.errors import class_errors
from kerasae.report.figures.features import feature_scores
from kerasae.report.figures.grids import image_grid, sample_grid
from kerasae.report.figures.latent import interpolations, manifold, traversals
from kerasae.report.figures.reconstructions import best_to_worst, reconstruction_grid

__all__ = [
    "Drawing",
    "activation_histograms",
    "baselines",
    "best_to_worst",
    "class_errors",
    "code_map",
    "code_spectrum",
    "comparison",
    "feature_scores",
    "image_grid",
    "interpolations",
    "kl_per_dimension",
    "learning_curves",
    "manifold",
    "reconstruction_grid",
    "sample_grid",
    "score_histogram",
    "singular_values",
    "traversals",
]
