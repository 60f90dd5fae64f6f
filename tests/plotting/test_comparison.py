"""Runs side by side are ordered by what is better, and those without the number are left out."""

import pytest
from matplotlib.figure import Figure

from kerasae.report import figures

TABLE = {
    "deep": {"mse": 0.02, "pca_mse": 0.03, "psnr": 17.0},
    "wide": {"mse": 0.01, "pca_mse": None, "psnr": 20.0},
    "unfinished": {"mse": None},
    "broken": {"mse": float("nan")},
}


def names(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_errors_are_lowest_first_and_psnr_highest_first():
    assert names(figures.comparison(TABLE)) == ["wide", "deep"]
    assert names(figures.comparison({"a": {"psnr": 9.0}, "b": {"psnr": 12.0}}, "psnr")) == [
        "b", "a",
    ]  # fmt: skip
    assert "higher is better" in figures.comparison(TABLE, "psnr").get_xlabel()


def test_the_number_beside_it_has_its_own_marker_and_name():
    ax = figures.comparison(TABLE, beside="pca_mse")
    assert [line.get_marker() for line in ax.lines] == ["D", "o", "D"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["run", "PCA, same code size"]
    assert [text.get_text() for text in ax.texts] == ["0.0100", "0.0200"]


def test_words_say_the_same():
    assert figures.alt_comparison(TABLE, beside="pca_mse") == (
        "Mean squared error of 2 runs, best first: wide 0.0100, deep 0.0200 (PCA 0.0300). "
        "2 runs without this number left out."
    )


def test_given_axes_are_used_and_nothing_to_draw_is_refused():
    ax = Figure().add_subplot()
    assert figures.comparison(TABLE, ax=ax) is ax
    for say in (figures.comparison, figures.alt_comparison):
        with pytest.raises(ValueError, match=r"finite number 'ssim' .*Received: table="):
            say(TABLE, "ssim")
