"""A lesson made for the tests, and a stand-in for the shell of a notebook."""

import pytest

from kerasae_lessons import cells, figures, notebooks, profiles

CELL = 'PROFILE = "full"  # which\nDATA = "mnist"  # what\nEPOCHS = 8\nSEED = 0  # of\n'


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """A lesson 07 with two profiles, begun in the full one; the figure style is not touched."""
    (tmp_path / "lesson_07.toml").write_text(
        '[full]\nlimit_s = 9\nparameters = { DATA = "mnist", EPOCHS = 8, SEED = 0 }\n'
        'bounds = { "C7.1" = 2.0 }\n'
        '[smoke]\nlimit_s = 9\nparameters = { DATA = "digits", EPOCHS = 30, SEED = 0 }\n'
        'bounds = { "C7.1" = 3.0 }\n'
    )
    monkeypatch.setattr(profiles, "_FOLDER", tmp_path)
    monkeypatch.setattr(profiles, "session", profiles.Session("07", "full"))
    monkeypatch.setattr(figures, "style", lambda: None)
    monkeypatch.setattr(notebooks, "_FOLDERS", (tmp_path / "none", tmp_path / "tutorials"))
    profiles.read.cache_clear()
    yield tmp_path
    profiles.read.cache_clear()


@pytest.fixture
def published(monkeypatch):
    """What is published while IPython seems to run, as pairs of data and metadata."""
    display = pytest.importorskip("IPython.display")
    found = []
    monkeypatch.setattr(cells, "shell", lambda: True)
    monkeypatch.setattr(
        display, "publish_display_data", lambda data, metadata: found.append((data, metadata))
    )
    return found


@pytest.fixture
def write_lesson(lesson):
    """`write_lesson("1", ...)` writes a notebook of lesson 07 with the cells of that code."""

    def write(*sources):
        nbformat = pytest.importorskip("nbformat")
        new = [nbformat.v4.new_code_cell(source) for source in (CELL, *sources)]
        new[0].metadata["tags"] = ["parameters"]
        new[1].outputs = [nbformat.v4.new_output("stream", text="as executed")]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=new, metadata={"kernelspec": kernel})
        (lesson / "tutorials").mkdir(exist_ok=True)
        nbformat.write(notebook, lesson / "tutorials" / "07_toy.ipynb")
        return notebook

    return write
