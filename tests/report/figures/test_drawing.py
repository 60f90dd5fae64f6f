"""A drawing is saved whole, with its words, and notebooks show both."""

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image

from kerasae.report import figures


def test_save_replaces_the_file_whole_and_gives_the_same_bytes_twice(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    assert figures.baselines({"model": 1.0, "mean": 2.0}).save(path) == path
    first = path.read_bytes()
    figures.baselines({"model": 1.0, "mean": 2.0}).save(path)
    assert first.startswith(b"\x89PNG")
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    drawing = figures.baselines({"model": 1.0})

    def full(temporary, **_):
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(drawing.figure, "savefig", full)
    with pytest.raises(OSError, match="disk full"):
        drawing.save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_the_words_are_in_the_metadata(tmp_path):
    drawing = figures.baselines({"model": 1.0, "\u03b2-model": 2.0})
    path = replace(drawing, alt=f"{drawing.alt} Noted.").save(tmp_path / "a.png", dpi=20)
    with Image.open(path) as image:
        assert image.info["Description"] == f"{drawing.alt} Noted."
    assert drawing.alt.split(",")[0] in drawing.save(tmp_path / "a.svg").read_text("utf-8")
    for name in ("a.pdf", "a.jpg"):
        assert drawing.save(tmp_path / name, dpi=20).stat().st_size > 0


def test_a_format_that_is_unknown_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"path .*Received: path="):
        figures.baselines({"model": 1.0}).save(tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []


def test_notebooks_show_picture_and_words():
    drawing = figures.baselines({"model": 1.0})
    data, metadata = drawing._repr_mimebundle_()
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
        assert image.width > 300
    assert data["text/plain"] == f"Figure: {drawing.alt}"
    assert metadata["image/png"]["alt"] == drawing.alt
