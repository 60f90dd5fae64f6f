"""Figures of a training: arrays in, matplotlib figures or axes out.

Everything is drawn with matplotlib's object interface: no display, no `pyplot`, no global setting.
A marker, a line style or a label always says the same as a colour. Each `alt_name(...)` takes the
arguments of `name(...)` but for axes and figure, and says in words and numbers what is seen.

    figure = plotting.reconstruction_grid(x, reconstruction, value_range=(0, 255))
    plotting.save(figure, "figures/reconstructions.png")
    text = plotting.alt_reconstruction_grid(x, reconstruction, value_range=(0, 255))
"""

from kerasae.report.figures.activations import activation_histograms, alt_activation_histograms
from kerasae.report.figures.codes import alt_code_map, code_map
from kerasae.report.figures.comparison import alt_comparison, comparison
from kerasae.report.figures.curves import (
    alt_baselines,
    alt_learning_curves,
    baselines,
    learning_curve,
    learning_curves,
)
from kerasae.report.figures.detection import (
    alt_roc_curve,
    alt_score_histogram,
    roc_curve,
    score_histogram,
)
from kerasae.report.figures.directions import (
    alt_code_spectrum,
    alt_kl_per_dimension,
    alt_singular_values,
    code_spectrum,
    kl_per_dimension,
    singular_values,
)
from kerasae.report.figures.errors import alt_class_errors, class_errors
from kerasae.report.figures.features import alt_feature_scores, feature_scores
from kerasae.report.figures.grids import alt_image_grid, alt_sample_grid, image_grid, sample_grid
from kerasae.report.figures.latent import (
    alt_interpolations,
    alt_manifold,
    alt_traversals,
    interpolations,
    manifold,
    traversals,
)
from kerasae.report.figures.reconstructions import (
    alt_reconstruction_grid,
    best_to_worst,
    reconstruction_grid,
)
from kerasae.report.figures.style import save

__all__ = [
    "activation_histograms",
    "alt_activation_histograms",
    "alt_baselines",
    "alt_class_errors",
    "alt_code_map",
    "alt_code_spectrum",
    "alt_comparison",
    "alt_feature_scores",
    "alt_image_grid",
    "alt_interpolations",
    "alt_kl_per_dimension",
    "alt_learning_curves",
    "alt_manifold",
    "alt_reconstruction_grid",
    "alt_roc_curve",
    "alt_sample_grid",
    "alt_score_histogram",
    "alt_singular_values",
    "alt_traversals",
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
    "learning_curve",
    "learning_curves",
    "manifold",
    "reconstruction_grid",
    "roc_curve",
    "sample_grid",
    "save",
    "score_histogram",
    "singular_values",
    "traversals",
]
