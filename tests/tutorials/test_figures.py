"""Figures: each carries a text alternative."""

from types import SimpleNamespace

import pytest

import kerasae_lessons as learn


@pytest.mark.parametrize("alt", ["A curve of 3", "A curve that falls and falls" * 3])
def test_a_figure_needs_words_and_a_number(alt):
    with pytest.raises(ValueError, match=f"alt.* Received: alt='{alt}'"):
        learn.figure(None, alt=alt)


def test_a_figure_carries_its_words_and_shows_them(published):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    alt = "A straight line from the origin\n up to the height of 3."
    learn.figure(ax, alt=alt)
    (data, metadata), (caption, _) = published
    alt = " ".join(alt.split())
    assert metadata["image/png"]["alt"] == metadata["alt"] == alt
    assert caption["text/markdown"] == f"*{alt}*"
    assert data["image/png"].startswith("iVBORw0KGgo")


def test_a_drawing_brings_its_own_words(published):
    from matplotlib.figure import Figure

    alt = "A straight line from the origin up to the height of 3."
    learn.figure(SimpleNamespace(figure=Figure(), alt=alt))
    assert published[0][1]["alt"] == alt
    with pytest.raises(ValueError, match="Received: alt=''"):
        learn.figure(Figure())
