"""Sheets hold the samples they were given, row by row."""

import numpy as np
import pytest

from kerasae.report import figures


class TestImageGrid:
    def test_images_lie_row_by_row_with_white_between(self):
        images = np.arange(3)[:, None, None] / 4 * np.ones((3, 4, 6))
        sheet = figures.image_grid(images, columns=2).figure.axes[0].images[0].get_array()
        assert sheet.shape == (2 * 4 + 1, 2 * 6 + 1)
        np.testing.assert_array_equal(sheet[:4, :6], 0)
        np.testing.assert_array_equal(sheet[:4, 7:], 0.25)
        np.testing.assert_array_equal(sheet[5:, :6], 0.5)
        np.testing.assert_array_equal(sheet[4], 1)
        np.testing.assert_array_equal(sheet[5:, 7:], 1)

    def test_colour_images_stay_coloured(self):
        sheet = (
            figures.image_grid(np.zeros((2, 4, 4, 3), np.uint8))
            .figure.axes[0]
            .images[0]
            .get_array()
        )
        assert sheet.shape[-1] == 3

    def test_words_give_count_size_and_brightness(self):
        images = np.array([np.zeros((4, 6)), np.ones((4, 6))])
        text = figures.image_grid(images).alt
        assert text.startswith("2 images of 4 by 6 pixels, mean brightness 50%")
        assert "varies between them by 50%" in text

    def test_other_shapes_are_refused(self):
        with pytest.raises(ValueError, match=r"Received: shape=\(4, 6\)"):
            figures.image_grid(np.zeros((4, 6)))


class TestSampleGrid:
    def test_images_are_those_of_image_grid(self):
        images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
        (ax,) = figures.sample_grid(images, 2).figure.axes
        expected = figures.image_grid(images, 2).figure.axes[0].images[0].get_array()
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
        assert figures.sample_grid(images, 2).alt == figures.image_grid(images, 2).alt

    def test_series_have_a_panel_each_and_a_row_per_channel(self):
        x = np.random.default_rng(0).normal(size=(5, 50, 2))
        figure = figures.sample_grid(x).figure
        assert figure.axes[0].get_gridspec().get_geometry() == (2, 5)
        (line,) = figure.axes[9].lines
        np.testing.assert_array_equal(line.get_ydata(), x[4, :, 1])
        assert [figure.axes[i].get_ylabel() for i in (0, 5)] == ["channel 1", "channel 2"]
        assert figure.legends == []

    def test_series_of_one_channel_wrap(self):
        figure = figures.sample_grid(np.zeros((5, 50)), columns=2).figure
        assert figure.axes[0].get_gridspec().get_geometry() == (3, 2)
        assert sum(ax.get_visible() for ax in figure.axes) == 5

    def test_rows_of_a_table_are_dots_next_to_their_features(self):
        x = np.array([[0.0, 1000.0, 5.0], [1.0, 3000.0, 5.0]])
        figure = figures.sample_grid(x).figure
        (line,) = figure.axes[1].lines
        assert line.get_linestyle() == "None"
        assert line.get_ydata().tolist() == [0, 1, 2]
        assert line.get_xdata().tolist() == [1, 1, 0]
        assert figure.get_supxlabel().startswith("each feature from its lowest (0)")

    def test_words_give_count_size_range_and_variety(self):
        x = np.stack([np.zeros((50, 2)), np.ones((50, 2))])
        assert figures.sample_grid(x).alt == (
            "2 series of 50 time steps and 2 channels, values from 0 to 1.00; "
            "the standard deviation between them is 0.500 on average."
        )
        assert figures.sample_grid(np.ones((1, 3))).alt == (
            "1 table row of 3 features, values from 1.00 to 1.00."
        )

    @pytest.mark.parametrize("draw", [figures.sample_grid])
    def test_nothing_to_draw_is_refused(self, draw):
        with pytest.raises(ValueError, match=r"samples must be a batch.*shape=\(0, 50\)"):
            draw(np.zeros((0, 50)))
