"""Pages of the documentation: they name every variant, and their code runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import kerasae

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("index", "learn", "build", "serve", "adding")


def test_the_gallery_has_a_figure_of_every_variant():
    text = (DOCS / "gallery.md").read_text("utf-8")
    for name in kerasae.variants():
        assert f"\n## {name}\n" in text, f"run docs/make_gallery.py {name}"
        figure = DOCS / "images" / "gallery" / f"{name}.png"
        assert figure.stat().st_size < 150_000
    alts = re.findall(r":alt: (.+)", text)
    assert len(alts) == text.count("```{figure}")
    assert min(map(len, alts)) >= 40


def test_the_decision_table_names_every_variant():
    text = (DOCS / "choosing.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    assert set(kerasae.variants()) <= named


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    text = (DOCS / f"{page}.md").read_text("utf-8")
    try:
        for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
            code = re.sub(r"epochs=\d+", "epochs=1", code)
            exec(code.replace('out="run"', 'out="run", export=False'), names)
    finally:
        from kerasae.models.variants import registry

        registry._BUILDERS.pop("sparse_log", None)
    if page == "adding":
        history = names["history"]
        weighted = np.add(
            history["reconstruction_loss"], np.multiply(1e-3, history["sparsity_loss"])
        )
        np.testing.assert_allclose(history["loss"], weighted, rtol=1e-5)
    if page == "learn":
        assert (tmp_path / "explorer.html").stat().st_size > 50_000
