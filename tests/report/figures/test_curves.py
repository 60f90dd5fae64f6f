"""Curves and baselines show the values they were given, and the words give the same numbers."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kerasae.report import figures


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def lines(ax: Axes) -> list[Line2D]:
    """The lines that have a name; the others mark the best epoch."""
    return [line for line in ax.lines if not line.get_label().startswith("_")]


class TestLearningCurves:
    history = {  # noqa: RUF012
        "epoch": [0, 1, 2],
        "loss": [0.5, 0.3, 0.2],
        "val_loss": [0.6, 0.25, 0.4],
        "kl_loss": [1.0, 2.0, 3.0],
        "val_kl_loss": [1.5, 2.5, 3.5],
        "learning_rate": [0.1, 0.1, 0.1],
    }

    def test_one_panel_per_term_holds_the_values(self):
        figure = figures.learning_curves(self.history).figure
        assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss", "KL loss"]
        training, validation = lines(figure.axes[1])
        assert training.get_ydata().tolist() == [1.0, 2.0, 3.0]
        assert validation.get_ydata().tolist() == [1.5, 2.5, 3.5]
        assert training.get_xdata().tolist() == [1, 2, 3]

    def test_training_and_validation_differ_by_more_than_colour(self):
        ax = figures.learning_curves(self.history).figure.axes[0]
        training, validation = lines(ax)
        assert training.get_linestyle() == "-"
        assert validation.get_linestyle() == "--"
        assert training.get_marker() != validation.get_marker()
        assert {"training", "validation"} <= set(texts(ax))

    def test_best_epoch_has_the_lowest_validation_loss(self):
        figure = figures.learning_curves(self.history).figure
        assert "validation 0.250 at epoch 2 (best)" in texts(figure.axes[0])
        assert "validation 2.50 at epoch 2 (best)" in texts(figure.axes[1])

    @pytest.mark.parametrize(
        ("history", "best"),
        [
            ({"loss": [1, 2], "val_loss": [np.nan, 5.0]}, 2),
            ({"loss": [3, 1, 2]}, 2),
            ({"epoch": [0, 1, 2], "loss": [3, 2, 1]}, 3),
        ],
    )
    def test_best_epoch_skips_nan_and_falls_back_on_the_training_loss(self, history, best):
        assert f"the best is {best}." in figures.learning_curves(history).alt

    def test_a_loss_of_reconstruction_only_has_one_panel(self):
        values = [0.5, 0.25]
        history = {"loss": values, "reconstruction_loss": values}
        assert len(figures.learning_curves(history).figure.axes) == 1
        assert len(figures.learning_curves({**history, "loss": [0.6, 0.3]}).figure.axes) == 2

    @pytest.mark.parametrize(("last", "scale"), [(0.051, "linear"), (0.049, "log"), (0, "linear")])
    def test_axis_is_logarithmic_beyond_a_factor_of_twenty(self, last, scale):
        assert figures.learning_curves({"loss": [1.0, last]}).figure.axes[0].get_yscale() == scale

    def test_words_give_first_last_and_best(self):
        text = figures.learning_curves(self.history).alt
        assert "over 3 epochs" in text
        assert "the best is 2" in text
        assert "training 0.500 to 0.200 (0.300 at the best)" in text
        assert "validation 1.50 to 3.50 (2.50 at the best)" in text

    @pytest.mark.parametrize("history", [{}, {"val_loss": [1.0]}, {"loss": []}])
    def test_a_history_without_a_term_is_refused(self, history):
        with pytest.raises(ValueError, match=r"history must hold a term.* Received: history=\["):
            figures.learning_curves(history)


class TestBaselines:
    values = {"denoising": 0.02, "mean": 0.08, "PCA": 0.03, "lucky": 0.01}  # noqa: RUF012

    def test_errors_are_ordered_and_labelled(self):
        ax = figures.baselines(self.values).figure.axes[0]
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert names == ["lucky", "denoising", "PCA", "mean"]
        assert texts(ax) == [
            "0.0100 (0.500 times the model)",
            "0.0200",
            "0.0300 (1.50 times the model)",
            "0.0800 (4.00 times the model)",
        ]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top

    def test_model_differs_by_more_than_colour(self):
        markers = [
            line.get_marker() for line in figures.baselines(self.values).figure.axes[0].lines[:4]
        ]
        assert markers == ["o", "D", "o", "o"]

    def test_words_say_the_same(self):
        text = figures.baselines(self.values, quantity="error").alt
        assert text.startswith("Error, lowest first: lucky 0.0100 (0.500 times the model), ")
        assert "denoising 0.0200, PCA" in text

    @pytest.mark.parametrize("draw", [figures.baselines])
    def test_nothing_to_compare_is_refused(self, draw):
        with pytest.raises(ValueError, match=r"Received: values=\{\}"):
            draw({})

    def test_not_a_number_comes_last(self):
        values = {"model": float("nan"), "PCA": 0.5}
        drawing = figures.baselines(values)
        names = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
        assert names == ["PCA", "model"]
        assert "model not a number" in drawing.alt
