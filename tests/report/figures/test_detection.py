"""Histograms of anomaly scores say the shares that can be counted by hand."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

NORMAL, ANOMALIES = [1.0, 2.0, 3.0, 4.0], [3.0, 9.0]


class TestScoreHistogram:
    def test_every_score_is_counted_once_as_a_share_of_its_group(self):
        ax = figures.score_histogram(NORMAL, 3.5, ANOMALIES).figure.axes[0]
        outlines = [patch for patch in ax.patches if not patch.get_fill()]
        assert [patch.get_data().values.sum() for patch in outlines] == pytest.approx([1, 1])
        assert outlines[0].get_linestyle() != outlines[1].get_linestyle()

    def test_an_outlier_does_not_press_the_others_into_one_bin(self):
        scores = np.append(np.linspace(1, 2, 1000), 1e6)
        (filled, _) = figures.score_histogram(scores).figure.axes[0].patches
        heights = filled.get_data().values
        assert np.count_nonzero(heights) > 5
        assert heights.sum() == pytest.approx(1)

    def test_legend_and_words_give_the_shares_above_the_threshold(self):
        ax = figures.score_histogram(NORMAL, 3.5, ANOMALIES, 0.25).figure.axes[0]
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend == [
            "4 normal samples: 25% above the threshold",
            "2 known anomalies: 50% above the threshold",
        ]
        assert [text.get_text() for text in ax.texts] == [
            "threshold 3.50\nset for 25% false alarms"
        ]
        text = figures.score_histogram(NORMAL, 3.5, ANOMALIES, 0.25).alt
        assert "The threshold is 3.50, set for 25% false alarms." in text
        assert "4 normal samples: median 2.50" in text
        assert "2 known anomalies: median 6.00" in text
        assert text.endswith("50% above the threshold.")

    def test_without_a_threshold_nothing_is_said_about_it(self):
        assert "threshold" not in figures.score_histogram(NORMAL).alt
        assert not figures.score_histogram(NORMAL).figure.axes[0].texts

    def test_positive_scores_far_apart_have_a_logarithmic_axis(self):
        assert figures.score_histogram(NORMAL).figure.axes[0].get_xscale() == "linear"
        assert (
            figures.score_histogram(np.geomspace(1, 1000, 50)).figure.axes[0].get_xscale() == "log"
        )
        assert (
            figures.score_histogram(np.linspace(-1, 1000, 50)).figure.axes[0].get_xscale()
            == "linear"
        )

    def test_given_axes_are_used_and_equal_scores_are_drawn(self):
        ax = Figure().add_subplot()
        assert figures.score_histogram([2.0, 2.0], np.inf, ax=ax).figure is ax.figure

    @pytest.mark.parametrize("say", [figures.score_histogram])
    def test_scores_must_be_finite_numbers(self, say):
        with pytest.raises(ValueError, match=r"normal_scores must be .*shape=\(0,\)"):
            say([])
        with pytest.raises(ValueError, match=r"anomaly_scores must be .*shape=\(1,\)"):
            say([1.0], 0.5, [np.inf])

    @pytest.mark.parametrize(
        ("scores", "threshold"),
        [
            ([0.2, 0.3, 0.31, 0.5, 0.52, 0.6], 0.61),
            ([0.2, 0.3, 0.31, 0.5, 0.52, 0.6], 0.5),
            ([0.0, 0.0, 0.0, 1.0], 0.0),
            ([0.0, 0.3, 0.9], 1e-9),
            ([-3.0, -1.0, 4.0], -1.5),
            (np.geomspace(1e-3, 1e3, 9), 1.0),
            (np.geomspace(1e-3, 1e3, 9), 1e5),
            ([2.0, 2.0], 2.0),
        ],
    )
    def test_no_bar_lies_on_both_sides_of_the_threshold(self, scores, threshold):
        (filled, _) = figures.score_histogram(scores, threshold).figure.axes[0].patches
        heights, edges, _ = filled.get_data()
        assert np.isclose(edges, threshold, rtol=1e-12, atol=0).any() or threshold == 0
        above = heights[edges[:-1] > threshold].sum()
        assert above == pytest.approx(np.mean(np.asarray(scores) > threshold))
        assert heights.sum() == pytest.approx(1)
        assert (np.diff(edges) > 0).all()
        assert len(heights) < 70

    def test_samples_that_may_not_be_normal_are_called_otherwise(self):
        ax = figures.score_histogram(NORMAL, 3.5, name="test").figure.axes[0]
        (legend,) = (text.get_text() for text in ax.get_legend().get_texts())
        assert legend == "4 test samples: 25% above the threshold"
        text = figures.score_histogram(NORMAL, 3.5, name="test").alt
        assert "4 test samples: median 2.50" in text
        assert "normal" not in text + legend
