"""Errors by class: ordered, with the medians of the data."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

ERRORS = [3.0, 4.0, 5.0, 1.0, 2.0, 9.0]
LABELS = [0, 0, 0, 1, 1, 1]  # medians 4 and 2


def test_classes_are_ordered_by_their_medians_which_are_written_next_to_them():
    ax = figures.class_errors(ERRORS, LABELS, ["cat", "dog"]).figure.axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["dog", "cat"]
    assert [text.get_text() for text in ax.texts] == ["2.00", "4.00"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top


def test_words_say_medians_and_their_ratio():
    assert figures.class_errors(ERRORS, LABELS, ["cat", "dog"]).alt == (
        "Reconstruction error of 6 samples in 2 classes, lowest median first: dog (2.00), "
        "cat (4.00). The highest median is 2.00 times the lowest."
    )


def test_given_axes_are_used_and_far_spread_makes_them_logarithmic():
    ax = Figure().add_subplot()
    assert figures.class_errors(ERRORS, LABELS, ax=ax).figure.axes[0] is ax
    assert ax.get_xscale() == "linear"
    assert figures.class_errors([1.0, 1.0, 100.0], [0, 0, 1]).figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize("say", [figures.class_errors])
def test_what_does_not_fit_is_refused(say):
    with pytest.raises(ValueError, match=r"errors must be .*finite.* Received: shape=\(0,\)"):
        say([], [])
    with pytest.raises(ValueError, match=r"errors must be .*finite"):
        say([np.nan], [0])
    with pytest.raises(ValueError, match=r"labels must .*Received: shape=\(3,\)"):
        say([1.0, 2.0], [0, 1, 2])


def test_the_median_stands_at_its_mark_and_not_at_the_end_of_the_whisker():
    ax = figures.class_errors([1.0, 2.0, 3.0, 4.0, 1000.0], [0] * 5).figure.axes[0]
    (text,) = ax.texts
    assert text.get_text() == "3.00"
    assert text.xy[0] == 3.0
    assert text.get_ha() == "center"
