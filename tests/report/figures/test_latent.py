"""Maps and ways through code space show each image in its place."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

# Two rows of three images of 2 by 4 pixels, each of one grey.
GRID = np.arange(6).reshape(2, 3, 1, 1, 1) / 5 * np.ones((2, 3, 2, 4, 1))


class TestManifold:
    def test_images_are_tiled_without_gaps_row_by_row(self):
        ax = figures.manifold(GRID).figure.axes[0]
        sheet = ax.images[0].get_array()
        assert sheet.shape == (4, 12)
        np.testing.assert_allclose(sheet[:2, 8:], 0.4)
        np.testing.assert_allclose(sheet[2:, :4], 0.6)

    def test_axes_are_in_quantiles_at_the_middle_of_the_images(self):
        ax = figures.manifold(GRID, coverage=0.9).figure.axes[0]
        names = ["5%", "27.5%", "50%", "72.5%", "95%"]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == names
        assert [tick.get_text() for tick in ax.get_yticklabels()] == names
        # The middle of the first image is at 1.5, of the last at 9.5; dimension 1 grows upwards.
        assert ax.get_xticks()[[0, -1]].tolist() == [1.5, 9.5]
        assert ax.get_yticks()[[0, -1]].tolist() == [2.5, 0.5]

    def test_words_give_size_quantiles_and_change(self):
        text = figures.manifold(GRID).alt
        assert text.startswith("Map of the two code dimensions: 2 by 3 decoded images")
        assert "from the 2.5% to the 97.5% quantile" in text
        # One fifth from column to column, three fifths from row to row.
        assert "by 20% of its range to the right and 60% upwards" in text

    def test_coverage_must_be_a_share(self):
        with pytest.raises(ValueError, match=r"coverage must be .* Received: coverage=1"):
            figures.manifold(GRID, coverage=1)


class TestTraversals:
    def test_rows_are_dimensions_and_columns_standard_deviations(self):
        ax = figures.traversals(GRID, span=2, dimensions=[4, 0]).figure.axes[0]
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["4", "0"]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["\N{MINUS SIGN}2", "0", "+2"]

    def test_words_name_the_dimensions_that_change_most_and_least(self):
        grid = GRID.copy()
        grid[1, 1:] = grid[1, 0]
        text = figures.traversals(grid).alt
        assert "as 2 code dimensions change one at a time, in 3 steps from -3 to +3" in text
        assert "dimension 0 changes 40% of the range of a pixel on average, the most" in text
        assert "dimension 1 0%, the least" in text

    def test_names_must_fit(self):
        with pytest.raises(ValueError, match=r"each of the 2 rows\. Received: dimensions="):
            figures.traversals(GRID, dimensions=[1])


class TestInterpolations:
    def test_ends_are_named(self):
        ax = figures.interpolations(GRID).figure.axes[0]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["start", "50%", "end"]

    def test_words_compare_ends_and_neighbours(self):
        text = figures.interpolations(GRID).alt
        assert text.startswith("2 ways from one image to another through code space, 3 images")
        assert "The ends differ by 40%" in text
        assert "neighbours by 20% to 20%" in text

    def test_one_step_is_no_way(self):
        with pytest.raises(ValueError, match=r"at least 2 columns\. Received: shape=\(2, 1, "):
            figures.interpolations(GRID[:, :1])


@pytest.mark.parametrize("name", ["manifold", "traversals", "interpolations"])
def test_given_axes_are_used_colours_stay_and_other_shapes_are_refused(name):
    draw = getattr(figures, name)
    ax = Figure().add_subplot()
    assert draw(np.repeat(GRID, 3, axis=-1), ax).figure is ax.figure
    assert ax.images[0].get_array().shape[-1] == 3
    with pytest.raises(ValueError, match=r"images must .* Received: shape=\(2, 3, 8\)"):
        draw(np.zeros((2, 3, 8)))
