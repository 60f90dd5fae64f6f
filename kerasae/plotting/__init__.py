"""Figures of a training: arrays in, matplotlib figures or axes out.

Everything is drawn with matplotlib's object interface: no display, no `pyplot`, no global setting.
A marker, a line style or a label always says the same as a colour. Each `alt_name(...)` takes the
arguments of `name(...)` but for axes and figure, and says in words and numbers what is seen.

    figure = plotting.reconstruction_grid(x, reconstruction, value_range=(0, 255))
    plotting.save(figure, "figures/reconstructions.png")
    text = plotting.alt_reconstruction_grid(x, reconstruction, value_range=(0, 255))
"""

from kerasae.plotting._style import save
from kerasae.plotting.codes import alt_code_map, code_map
from kerasae.plotting.curves import (
    alt_baselines,
    alt_learning_curves,
    baselines,
    learning_curve,
    learning_curves,
)
from kerasae.plotting.grids import alt_image_grid, alt_sample_grid, image_grid, sample_grid
from kerasae.plotting.reconstructions import alt_reconstruction_grid, reconstruction_grid

__all__ = [
    "alt_baselines",
    "alt_code_map",
    "alt_image_grid",
    "alt_learning_curves",
    "alt_reconstruction_grid",
    "alt_sample_grid",
    "baselines",
    "code_map",
    "image_grid",
    "learning_curve",
    "learning_curves",
    "reconstruction_grid",
    "sample_grid",
    "save",
]
