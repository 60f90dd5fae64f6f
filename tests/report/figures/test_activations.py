"""Activations are counted, dead units are found, targets are drawn."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

# Means 1, 2 and 5; the last unit never changes.
CODES = np.array([[0.0, 4.0, 5.0], [2.0, 0.0, 5.0]])


def test_panels_hold_all_activations_and_the_mean_of_each_unit():
    figure = figures.activation_histograms(CODES, 0.5).figure
    left, right = figure.axes
    assert isinstance(figure, Figure)
    assert left.patches[0].get_data().values.sum() == pytest.approx(1)
    alive, dead, target = right.lines
    assert alive.get_ydata().tolist() == [2, 1]
    assert dead.get_ydata().tolist() == [5]
    assert alive.get_marker() != dead.get_marker()
    assert set(target.get_ydata()) == {0.5}
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["2 live units", "1 dead unit, the same for every sample", "target 0.5"]


def test_words_count_and_name_the_range():
    text = figures.activation_histograms(CODES, 0.5).alt
    assert text.startswith("Activations of 3 code units for 2 samples: from 0 to 5.00")
    assert "over these 2 samples lies between 1.00 and 5.00, 2.67 on average. The target" in text
    assert text.endswith("1 unit is dead, the same for every sample.")
    assert figures.activation_histograms(CODES[:, :2]).alt.endswith("No unit is dead.")


def test_which_units_are_dead_can_be_said():
    text = figures.activation_histograms(CODES, dead=[True, True, False]).alt
    assert "2 units are dead" in text
    with pytest.raises(ValueError, match=r"dead must hold .* 3 code units\. .*shape=\(1,\)"):
        figures.activation_histograms(CODES, dead=[True])


def test_one_bin_with_most_of_all_makes_the_axis_logarithmic():
    sparse = np.zeros((20, 512))
    sparse[:, 0] = np.linspace(0, 1, 20)
    figure = figures.activation_histograms(sparse).figure
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]
    assert figure.axes[1].lines[0].get_xdata().tolist() == [1]


@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (3, 512)])
def test_codes_that_never_change_and_any_size_are_drawn(shape, tmp_path):
    figures.activation_histograms(np.ones(shape)).save(tmp_path / "a.png", dpi=20)


@pytest.mark.parametrize("codes", [np.zeros(3), np.zeros((0, 2)), [[np.nan]]])
def test_codes_must_be_a_finite_table(codes):
    with pytest.raises(ValueError, match=r"codes must be a finite array .*Received: shape="):
        figures.activation_histograms(codes)


def test_the_panel_of_means_says_of_how_many_samples_they_are():
    right = figures.activation_histograms(CODES).figure.axes[1]
    assert right.get_title("left") == "mean of each unit over 2 samples"
    assert "over this sample lies" in figures.activation_histograms(CODES[:1]).alt
