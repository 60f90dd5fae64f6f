"""Reconstructions are drawn as they are, and the words give the same numbers."""

import numpy as np
import pytest

from kerasae.report import figures


class TestReconstructionGrid:
    def test_images_are_shown_with_their_psnr(self):
        original = np.zeros((3, 8, 8, 1), np.uint8)
        # An error of a tenth of the range everywhere is 20 dB, of a half 6.02 dB.
        figure = figures.reconstruction_grid(
            original, original + 25.5, original + 127.5, labels=["a", "b", "c"]
        ).figure
        axes = np.reshape(figure.axes, (4, 3))
        assert [ax.get_ylabel() for ax in axes[:, 0]] == [
            "clean",
            "corrupted\ninput",
            "reconstruction",
            "absolute error\n(black: 25.5)",
        ]
        assert [ax.get_title() for ax in axes[0]] == ["a", "b", "c"]
        assert [ax.get_xlabel() for ax in axes[:, 1]] == ["", "6.0 dB", "20.0 dB", ""]
        shown = [ax.images[0].get_array().mean() for ax in axes[:3, 0]]
        assert shown == pytest.approx([0, 0.5, 0.1])

    def test_scores_replace_the_psnr(self):
        x = np.zeros((2, 8, 8))
        figure = figures.reconstruction_grid(x, x + 0.1, scores=[0.5, 1234.0]).figure
        notes = [ax.get_xlabel() for ax in np.reshape(figure.axes, (3, 2))[1]]
        assert notes == ["score 0.500", "score 1,234"]

    def test_colour_images_keep_their_colours_and_errors_are_grey(self):
        x = np.full((1, 8, 8, 3), [0.2, 0.4, 0.6])
        figure = figures.reconstruction_grid(x, x + np.array([0.3, 0, 0])).figure
        top, middle, error = (ax.images[0].get_array() for ax in figure.axes)
        np.testing.assert_allclose(top[0, 0], [0.2, 0.4, 0.6])
        np.testing.assert_allclose(middle[0, 0], [0.5, 0.4, 0.6])
        np.testing.assert_allclose(error, np.full((8, 8), 0.1))

    def test_series_are_overlaid_one_panel_per_channel(self):
        x = np.random.default_rng(0).normal(size=(3, 50, 2))
        figure = figures.reconstruction_grid(x, 2 * x, x + 1, names=["left", "right"]).figure
        assert len(figure.axes) == 6
        assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["left", "right"]
        lines = {line.get_label(): line for line in figure.axes[4].lines}
        np.testing.assert_array_equal(lines["clean"].get_ydata(), x[1, :, 1])
        np.testing.assert_array_equal(lines["reconstruction"].get_ydata(), 2 * x[1, :, 1])
        assert len({line.get_linestyle() for line in lines.values()}) == 3

    def test_many_series_wrap(self):
        x = np.zeros((4, 50))
        figure = figures.reconstruction_grid(x, x + 2).figure
        assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
        assert sum(ax.get_visible() for ax in figure.axes) == 4
        assert figure.axes[0].get_title(loc="left") == "sample 1\nMSE 4.00"

    def test_table_pairs_keep_their_values_when_units_are_alike(self):
        x = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0]])
        ax = figures.reconstruction_grid(x, x + 0.5, names=["a", "b", "c"]).figure.axes[1]
        lines = {line.get_label(): line for line in ax.lines}
        assert lines["input"].get_xdata().tolist() == [2.0, 4.0, 5.0]
        assert lines["reconstruction"].get_xdata().tolist() == [2.5, 4.5, 5.5]
        assert lines["input"].get_marker() != lines["reconstruction"].get_marker()

    def test_table_in_unlike_units_is_scaled_by_feature(self):
        x = np.array([[0.0, 1000.0], [1.0, 3000.0]])
        figure = figures.reconstruction_grid(x, x + np.array([0.5, 1000.0])).figure
        lines = {line.get_label(): line for line in figure.axes[0].lines}
        assert lines["reconstruction"].get_xdata().tolist() == [0.5, 0.5]
        assert "lowest (0) to its highest (1)" in figure.get_supxlabel()

    def test_words_give_the_spread_and_the_worst_sample(self):
        x = np.zeros((2, 8, 8))
        reconstruction = x + np.array([0.1, 0.5])[:, None, None]
        text = figures.reconstruction_grid(x, reconstruction, labels=["seven", "nine"]).alt
        assert "2 images (8 by 8)" in text
        assert "PSNR of the reconstruction: 6.02 dB to 20.0 dB, median 13.0 dB." in text
        assert "sample 2 (nine)" in text

    def test_words_for_tables_give_mean_squared_errors(self):
        x = np.zeros((3, 4))
        text = figures.reconstruction_grid(x, x + np.array([[1.0], [2.0], [3.0]])).alt
        assert "Mean squared error of the reconstruction: 1.00 to 9.00, median 4.00." in text

    def test_a_perfect_reconstruction_is_said_to_be_one(self):
        x = np.zeros((2, 8, 8))
        assert "infinite dB" in figures.reconstruction_grid(x, x).alt

    @pytest.mark.parametrize(
        ("original", "reconstruction", "options", "message"),
        [
            ((2, 8, 8), (2, 8, 9), {}, r"shape of original, \(2, 8, 8\)\. Received: shape="),
            ((0, 8), (0, 8), {}, r"batch of samples\. Received: shape=\(0, 8\)"),
            ((8,), (8,), {}, r"batch of samples\. Received: shape=\(8,\)"),
            ((2, 8, 8), (2, 8, 8), {"kind": "picture"}, r"Received: kind='picture'"),
            ((2, 8, 8, 2), (2, 8, 8, 2), {}, r"images must have the shape"),
        ],
    )
    def test_wrong_input_is_refused(self, original, reconstruction, options, message):
        with pytest.raises(ValueError, match=message):
            figures.reconstruction_grid(np.zeros(original), np.zeros(reconstruction), **options)


class TestBestToWorst:
    def test_ranks_are_spread_evenly_from_the_best_to_the_worst(self):
        indices, ranks = figures.best_to_worst([5.0, 1.0, 9.0, 3.0, 7.0], count=3)
        assert indices.tolist() == [1, 0, 2]
        assert ranks.tolist() == [0, 0.5, 1]

    def test_fewer_samples_than_asked_for_are_all_taken_once(self):
        indices, ranks = figures.best_to_worst([2.0, 1.0], count=8)
        assert indices.tolist() == [1, 0]
        assert ranks.tolist() == [0, 1]
        assert figures.best_to_worst([2.0])[1].tolist() == [0]

    def test_no_error_is_refused(self):
        with pytest.raises(ValueError, match=r"errors must be .*shape=\(0,\)"):
            figures.best_to_worst([])
        with pytest.raises(ValueError, match=r"count must .*Received: count=0"):
            figures.best_to_worst([1.0], 0)

    @pytest.mark.parametrize("shape", [(3, 8, 8), (3, 50), (3, 4)])
    def test_ranks_are_written_above_the_samples_and_explained(self, shape):
        x = np.random.default_rng(0).random(shape)
        ranks = [0, 0.25, 1]
        figure = figures.reconstruction_grid(x, x, labels=["a", "b", "c"], ranks=ranks).figure
        titles = [ax.get_title("center") or ax.get_title("left") for ax in figure.axes[:3]]
        assert [
            title.replace("\n", ", ").startswith(start)
            for title, start in zip(titles, ["best, a", "rank 25%, b", "worst, c"], strict=True)
        ] == [True] * 3
        assert "rank: share of samples with a lower error" in figure.get_supxlabel()
        text = figures.reconstruction_grid(x, x, ranks=ranks).alt
        assert "Ordered by error among all samples: best, rank 25%, worst." in text

    def test_ranks_must_be_shares(self):
        x = np.zeros((2, 8, 8))
        with pytest.raises(ValueError, match=r"ranks must be .* 2 samples\. Received: ranks="):
            figures.reconstruction_grid(x, x, ranks=[0, 2])


class TestWhatIsPrinted:
    # Ranked by scaled errors, in which the second column counts little.
    x = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    y = np.array([[0.0, 300.0], [1.0, 0.0], [2.0, 0.0]])

    def test_panels_and_words_give_the_number_that_is_ranked(self):
        options = {"scores": [0.01, 0.5, 2.0], "ranks": [0, 0.5, 1], "score_name": "scaled MSE"}
        figure = figures.reconstruction_grid(self.x, self.y, **options).figure
        titles = [ax.get_title("left") for ax in figure.axes]
        assert [title.split("\n")[-1] for title in titles] == [
            "scaled MSE 0.0100",
            "scaled MSE 0.500",
            "scaled MSE 2.00",
        ]
        text = figures.reconstruction_grid(self.x, self.y, self.x + 1, **options).alt
        assert "Scaled MSE of the reconstruction: 0.0100 to 2.00, median 0.500." in text
        assert "The largest error is in sample 3." in text
        assert "Mean squared error" not in text

    @pytest.mark.parametrize("shape", [(3, 8, 8), (3, 50), (3, 4)])
    def test_labels_of_several_lines_stand_above_and_are_told(self, shape):
        x = np.zeros(shape)
        y = x + np.array([0.1, 0.9, 0.2]).reshape(-1, *[1] * (len(shape) - 1))
        labels = ["a\ntest 417", "b\ntest 3", "c\ntest 20"]
        drawing = figures.reconstruction_grid(x, y, labels=labels)
        axes = drawing.figure.axes[:3]
        titles = [ax.get_title("center") or ax.get_title("left") for ax in axes]
        assert titles[0].split("\n")[:2] == ["a", "test 417"]
        assert drawing.alt.endswith("The largest error is in sample 2 (b, test 3).")

    def test_titles_of_series_side_by_side_do_not_touch(self):
        x = np.random.default_rng(0).normal(size=(3, 60))
        labels = [f"a\nvalidation sample {row}" for row in (12345, 7, 8)]
        figure = figures.reconstruction_grid(
            x, x, None, [0.1234, 0.2, 0.3], labels, ranks=[0, 0.5, 1], score_name="scaled MSE"
        ).figure
        figure.canvas.draw()
        boxes = [ax._left_title.get_window_extent() for ax in figure.axes]
        assert boxes[0].x1 < boxes[1].x0
        assert boxes[1].x1 < boxes[2].x0

    def test_columns_are_named_in_the_figure_and_in_the_words(self):
        figure = figures.reconstruction_grid(self.x, self.y, names=["age", "pay"]).figure
        assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["age", "pay"]
        text = figures.reconstruction_grid(self.x, self.y, names=["age", "pay"]).alt
        assert "Columns: age, pay." in text
        figure = figures.reconstruction_grid(self.x, self.y).figure
        assert figure.axes[0].get_yticklabels()[1].get_text() == "feature 2"

    def test_next_to_a_corrupted_input_the_samples_are_called_clean(self):
        figure = figures.reconstruction_grid(self.x, self.y, self.x + 1).figure
        labels = [line.get_label() for line in figure.axes[0].lines]
        assert labels == ["corrupted input", "clean", "reconstruction"]
        text = figures.reconstruction_grid(self.x, self.y, self.x + 1).alt
        assert text.startswith("3 table rows from the data, clean and corrupted, and their")

    def test_labels_and_scores_must_be_one_per_sample(self):
        with pytest.raises(ValueError, match=r"labels must .* 3 .*Received: shape=\(2,\)"):
            figures.reconstruction_grid(self.x, self.y, labels=[1, 2])
        with pytest.raises(ValueError, match=r"scores must .* 3 .*Received: shape=\(2,\)"):
            figures.reconstruction_grid(self.x, self.y, scores=[1.0, 2.0])
