"""Histograms and curves of anomaly scores say the shares that can be counted by hand."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

NORMAL, ANOMALIES = [1.0, 2.0, 3.0, 4.0], [3.0, 9.0]


class TestScoreHistogram:
    def test_every_score_is_counted_once_as_a_share_of_its_group(self):
        ax = figures.score_histogram(NORMAL, 3.5, ANOMALIES)
        outlines = [patch for patch in ax.patches if not patch.get_fill()]
        assert [patch.get_data().values.sum() for patch in outlines] == pytest.approx([1, 1])
        assert outlines[0].get_linestyle() != outlines[1].get_linestyle()

    def test_an_outlier_does_not_press_the_others_into_one_bin(self):
        scores = np.append(np.linspace(1, 2, 1000), 1e6)
        (filled, _) = figures.score_histogram(scores).patches
        heights = filled.get_data().values
        assert np.count_nonzero(heights) > 5
        assert heights.sum() == pytest.approx(1)

    def test_legend_and_words_give_the_shares_above_the_threshold(self):
        ax = figures.score_histogram(NORMAL, 3.5, ANOMALIES, 0.25)
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend == [
            "4 normal samples: 25% above the threshold",
            "2 known anomalies: 50% above the threshold",
        ]
        assert [text.get_text() for text in ax.texts] == [
            "threshold 3.50\nset for 25% false alarms"
        ]
        text = figures.alt_score_histogram(NORMAL, 3.5, ANOMALIES, 0.25)
        assert "The threshold is 3.50, set for 25% false alarms." in text
        assert "4 normal samples: median 2.50" in text
        assert "2 known anomalies: median 6.00" in text
        assert text.endswith("50% above the threshold.")

    def test_without_a_threshold_nothing_is_said_about_it(self):
        assert "threshold" not in figures.alt_score_histogram(NORMAL)
        assert not figures.score_histogram(NORMAL).texts

    def test_positive_scores_far_apart_have_a_logarithmic_axis(self):
        assert figures.score_histogram(NORMAL).get_xscale() == "linear"
        assert figures.score_histogram(np.geomspace(1, 1000, 50)).get_xscale() == "log"
        assert figures.score_histogram(np.linspace(-1, 1000, 50)).get_xscale() == "linear"

    def test_given_axes_are_used_and_equal_scores_are_drawn(self):
        ax = Figure().add_subplot()
        assert figures.score_histogram([2.0, 2.0], np.inf, ax=ax) is ax

    @pytest.mark.parametrize("say", [figures.score_histogram, figures.alt_score_histogram])
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
        (filled, _) = figures.score_histogram(scores, threshold).patches
        heights, edges, _ = filled.get_data()
        assert np.isclose(edges, threshold, rtol=1e-12, atol=0).any() or threshold == 0
        above = heights[edges[:-1] > threshold].sum()
        assert above == pytest.approx(np.mean(np.asarray(scores) > threshold))
        assert heights.sum() == pytest.approx(1)
        assert (np.diff(edges) > 0).all()
        assert len(heights) < 70

    def test_samples_that_may_not_be_normal_are_called_otherwise(self):
        ax = figures.score_histogram(NORMAL, 3.5, name="test")
        (legend,) = (text.get_text() for text in ax.get_legend().get_texts())
        assert legend == "4 test samples: 25% above the threshold"
        text = figures.alt_score_histogram(NORMAL, 3.5, name="test")
        assert "4 test samples: median 2.50" in text
        assert "normal" not in text + legend


class TestRocCurve:
    # Of the pairs (anomaly, normal) of these scores, 3 of 4 are in order.
    scores, labels = [1.0, 3.0, 2.0, 4.0], [0, 0, 1, 1]

    def test_area_is_the_share_of_pairs_in_order(self):
        assert figures.roc_curve(self.scores, self.labels).get_title("left").endswith("0.750")
        assert "area under the curve 0.750" in figures.alt_roc_curve(self.scores, self.labels)

    def test_it_is_the_curve_of_scikit_learn_ties_included(self):
        from sklearn.metrics import roc_auc_score

        rng = np.random.default_rng(0)
        labels = rng.random(300) < 0.3
        scores = np.round(rng.normal(size=300) + labels, 1)
        area = float(figures.roc_curve(scores, labels).get_title("left").split()[-1])
        assert area == pytest.approx(roc_auc_score(labels, scores), abs=5e-4)

    def test_what_is_found_at_a_rate_never_takes_more_false_alarms(self):
        # Two normal samples: the first false alarm is already a rate of 50%.
        text = figures.alt_roc_curve(self.scores, self.labels)
        assert "50% of the anomalies are found at 1% false alarms, 50% at 5%." in text

    def test_both_kinds_are_needed(self):
        with pytest.raises(ValueError, match=r"both normal .*Received: 2 anomalies of 2"):
            figures.roc_curve([1.0, 2.0], [1, 1])
