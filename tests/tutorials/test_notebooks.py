"""Notebooks: their parameters, copies of them, and the command that lists, copies and runs them."""

import json

import pytest

from kerasae_lessons import notebooks

CELL = 'PROFILE = "full"  # which\nDATA = "mnist"  # what\nEPOCHS = 8\nSEED = 0  # of\n'


def test_parameters_are_injected_with_their_comments():
    values = {"PROFILE": "smoke", "DATA": "digits", "EPOCHS": 1e-3, "SEED": 3}
    assert notebooks.inject(CELL, values) == (
        'PROFILE = "smoke"  # which\nDATA = "digits"  # what\nEPOCHS = 0.001\nSEED = 3  # of'
    )


@pytest.mark.parametrize(
    ("cell", "said"),
    [(CELL + "x = 3", "Received: 'x = 3'"), (CELL + "MORE = 1", "sets DATA, EPOCHS, MORE")],
)
def test_other_parameters_cells_are_refused(cell, said):
    values = {"PROFILE": "full", "DATA": "mnist", "EPOCHS": 8, "SEED": 0}
    with pytest.raises(ValueError, match=said):
        notebooks.inject(cell, values)


def test_notebooks_are_copied_and_a_learners_work_is_kept(lesson, write_lesson):
    with pytest.raises(OSError, match="none"):
        notebooks.copy(lesson / "mine")
    write_lesson("1")
    (target,) = notebooks.copy(lesson / "mine" / "deep")
    assert "as executed" in target.read_text()
    target.write_text("my work")
    assert notebooks.copy(target.parent) == []
    assert target.read_text() == "my work"
    notebooks.copy(target.parent, replace=True, profile="smoke")
    text = target.read_text()
    assert "as executed" not in text
    assert "EPOCHS = 30" in text
    with pytest.raises(NotADirectoryError, match="Received: "):
        notebooks.copy(target)


@pytest.fixture
def kerasae_(write_lesson, monkeypatch, capsys):
    """Run the command with one lesson; return exit status, standard output and error."""
    from kerasae import cli

    write_lesson("1")
    monkeypatch.delenv("KERASAE_DEBUG", raising=False)

    def run(*words):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["tutorials", *map(str, words)])
        return exit_.value.code, *capsys.readouterr()

    return run


def test_the_command_copies_and_keeps(kerasae_, lesson):
    code, out, _ = kerasae_("--to", lesson / "mine", "--no-open")
    assert (code, out.splitlines()[0]) == (0, f"1 notebooks written to {lesson / 'mine'}")
    _, out, _ = kerasae_("--to", lesson / "mine", "--no-open")
    assert "0 notebooks written" in out
    assert "1 exist already" in out
    (target,) = (lesson / "mine").iterdir()
    before = target.read_text()
    code, _, err = kerasae_("--to", lesson / "mine", "--no-open", "--profile", "smok", "--replace")
    assert code == 2
    assert "Received: profile='smok'" in err
    assert target.read_text() == before


def test_the_command_lists_the_lessons(kerasae_, lesson):
    file = lesson / "tutorials" / "07_toy.ipynb"
    notebook = json.loads(file.read_text())
    notebook["cells"].insert(0, {"cell_type": "markdown", "source": ["# 07 · Toy\n", "\n"]})
    notebook["metadata"]["kerasae"] = {"run": {"seconds": 12.3}, "claims": [{}, {}]}
    file.write_text(json.dumps(notebook))
    code, out, _ = kerasae_("--list")
    assert code == 0
    assert out.split() == ["07", "Toy", "(2", "claims,", "ran", "in", "12", "s)"]
