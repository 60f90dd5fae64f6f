"""Runs side by side are ordered by what is better, and those without the number are left out."""

import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

ERRORS = {"deep": 0.02, "wide": 0.01, "unfinished": None, "broken": float("nan")}
PCA = {"deep": 0.03, "unfinished": 0.5}


def names(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_errors_are_lowest_first_and_those_of_nothing_are_left_out():
    drawing = figures.comparison(ERRORS, PCA)
    (ax,) = drawing.figure.axes
    assert names(ax) == ["wide", "deep"]
    assert [text.get_text() for text in ax.texts] == ["0.0100", "0.0200"]
    assert drawing.alt == (
        "Mean squared error of 2 runs, best first: wide 0.0100, deep 0.0200 (PCA, same code size: "
        "0.0300). 2 runs without a finite error left out."
    )


def test_the_reference_has_its_own_marker_and_name():
    (ax,) = figures.comparison(ERRORS, PCA).figure.axes
    run, pca = ax.lines
    assert sorted(zip(*run.get_data(), strict=True)) == [(0.01, 0), (0.02, 1)]
    assert list(zip(*pca.get_data(), strict=True)) == [(0.03, 1)]
    assert run.get_marker() != pca.get_marker()
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["run", "PCA, same code size"]


def test_given_axes_are_used_and_nothing_to_draw_is_refused():
    ax = Figure().add_subplot()
    assert figures.comparison(ERRORS, ax=ax).figure is ax.figure
    assert names(ax) == ["wide", "deep"]
    with pytest.raises(ValueError, match=r"errors must .*Received: errors="):
        figures.comparison({"unfinished": None})
