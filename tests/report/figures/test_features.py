"""Errors of single features lie where they are, and the words name the largest."""

import numpy as np
import pytest

from kerasae.report import figures


def test_images_have_error_maps_on_one_scale():
    x, scores = np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 1))
    scores[0, 2, 5], scores[1, 0, 0] = 4.0, 1.0
    figure = figures.feature_scores(x, x, scores, value_range=(0, 1)).figure
    maps = [figure.axes[place].images[0] for place in (4, 5)]
    assert [float(image.get_array().max()) for image in maps] == [4.0, 1.0]
    assert {image.get_clim() for image in maps} == {(0.0, 4.0)}
    text = figures.feature_scores(x, x, scores, ["a", "b"]).alt
    assert "a: 4.00 at row 3, column 6, 0.0625 on average" in text
    assert "b: 1.00 at row 1, column 1" in text


def test_series_mark_the_worst_time_step():
    x = np.random.default_rng(0).normal(size=(4, 50, 2))
    scores = np.zeros_like(x)
    scores[:, 7] = [[2.0, 4.0]]
    figure = figures.feature_scores(x, x + 1, scores).figure
    marks = [ax.lines[0] for ax in figure.axes if ax.get_ylabel() == "error"]
    assert all(mark.get_xdata().tolist() == [7] for mark in marks)
    assert "sample 4: 3.00 at time step 7" in figures.feature_scores(x, x, scores).alt


def test_tables_have_a_bar_per_column_and_name_the_worst():
    x = np.array([[1.0, 20.0]])
    figure = figures.feature_scores(x, x, [[0.5, 1.5]], names=["age", "weight"]).figure
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["age = 1.00", "weight = 20.0"]
    assert [text.get_text() for text in ax.texts] == ["1.50"]
    text = figures.feature_scores(x, x, [[0.5, 1.5]], names=["age", "weight"]).alt
    assert text.endswith("sample 1: 1.50 at weight, 1.00 on average.")


@pytest.mark.parametrize("say", [figures.feature_scores])
def test_shapes_must_agree(say):
    x = np.zeros((2, 5))
    with pytest.raises(ValueError, match=r"scores must have the shape of x, \(2, 5\)\. Received"):
        say(x, x, x[:1])
    with pytest.raises(ValueError, match=r"reconstruction must have the shape of x"):
        say(x, x[:, :2], x)


def test_columns_without_names_are_numbered():
    x = np.array([[1.0, 20.0]])
    (ax,) = figures.feature_scores(x, x, [[0.5, 1.5]]).figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()][1] == "feature 2 = 20.0"
    assert "at feature 2" in figures.feature_scores(x, x, [[0.5, 1.5]]).alt
