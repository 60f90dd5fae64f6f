"""Claims, figures, exercises, profiles and notebooks of the lessons."""

import io
import json

import numpy as np
import pytest
from kerasae.learn import _cells, claiming, exercising, notebooks, pictures, profiles, showing

from kerasae import learn


@pytest.fixture(autouse=True)
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
    monkeypatch.setattr(pictures, "style", lambda: None)
    profiles.read.cache_clear()
    yield tmp_path
    profiles.read.cache_clear()


def full():
    return {"PROFILE": "full", "DATA": "mnist", "EPOCHS": 8, "SEED": 0}


def test_a_claim_says_that_it_holds(capsys):
    learn.claim("C7.1", "small", np.float32(1.25), "<")
    assert capsys.readouterr().out == "C7.1 HOLDS: small. 1.25 < 2\n"
    entry = profiles.session.claims["C7.1"]
    assert (entry["value"], entry["bound"], entry["kind"]) == (1.25, 2.0, "measured")


@pytest.mark.parametrize("value", [2.0, 2.5, float("nan"), float("inf")])
def test_a_broken_claim_raises_with_its_value(value):
    with pytest.raises(claiming.BrokenClaim, match=rf"C7\.1 is broken: small: {value:g}"):
        learn.claim("C7.1", "small", value, "<")


@pytest.mark.parametrize(
    ("op", "holding", "broken"),
    [("<", 0, 1), ("<=", 1, 2), (">", 2, 1), (">=", 1, 0), ("==", 1, 2)],
)
def test_every_operator(op, holding, broken):
    learn.claim("C7.2", "x", holding, op, 1)
    with pytest.raises(claiming.BrokenClaim):
        learn.claim("C7.2", "x", broken, op, 1)


def test_a_broken_claim_names_what_was_edited():
    space = full() | {"DATA": "digits", "EPOCHS": 1}
    learn.begin("07", space)
    with pytest.raises(claiming.BrokenClaim, match="Not the values of that profile: DATA, EPOCHS"):
        learn.claim("C7.1", "small", 9, "<")


def test_a_claim_of_the_other_profile_is_shown_and_not_tested(capsys):
    learn.claim("C7.3", "only there", 5, "<", 1, profile="smoke")
    assert "NOT TESTED" in capsys.readouterr().out
    with pytest.raises(claiming.BrokenClaim):
        learn.claim("C7.3", "here", 5, "<", 1, profile="full")


def test_collecting_records_a_broken_claim():
    profiles.session.collecting = True
    learn.claim("C7.1", "small", 9.0, "<")
    assert profiles.session.claims["C7.1"]["status"] == "broken"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("C8.1", "x", 1, "<", 2), "Claims of lesson 7"),
        (("C7.1", "x", 1, "!=", 2), "op must be one of"),
        (("C7.1", "x", [1, 2], "<", 2), "one number each"),
        (("C7.5", "x", 1, "<"), "has bounds for C7.1"),
    ],
)
def test_claims_that_make_no_sense_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        learn.claim(*arguments)


def test_claims_come_as_a_table(capsys):
    learn.claim("C7.1", "small", 1, "<")
    learn.claim("C7.2", "yes", True, "==", True)
    capsys.readouterr()
    learn.claims_table()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["claim", "C7.1", "C7.2"]


def test_begin_takes_the_smoke_profile_where_the_data_cannot_be_had(monkeypatch, capsys):
    monkeypatch.setattr(profiles, "_available", lambda data: data != "mnist")
    space = full() | {"EPOCHS": 3}
    learn.begin("07", space)
    # EPOCHS was edited by hand and stays.
    assert space == {"PROFILE": "smoke", "DATA": "digits", "EPOCHS": 3, "SEED": 0}
    assert profiles.session.edited == ["EPOCHS"]
    assert learn.bound("C7.1") == 3.0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("mnist is not on this machine and could not be downloaded")


def test_begin_follows_a_profile_chosen_by_hand():
    space = full() | {"PROFILE": "smoke"}
    learn.begin("07", space)
    assert (space["DATA"], space["EPOCHS"]) == ("digits", 30)


def test_data_are_looked_for_without_a_long_wait(monkeypatch):
    def fails(*_, **__):
        raise OSError("no network")

    def never(*_, **__):
        raise AssertionError("TFDS tries for minutes")

    assert profiles._available("digits")
    assert profiles._available(None)
    monkeypatch.setattr(profiles, "_prepared", lambda data: data == "here")
    monkeypatch.setattr(profiles.socket, "create_connection", fails)
    monkeypatch.setattr("kerasae.data.load", never)
    assert profiles._available("here")
    assert not profiles._available("mnist")
    monkeypatch.setattr(profiles.socket, "create_connection", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr("kerasae.data.load", fails)
    assert not profiles._available("mnist")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"PROFILE": "full"}, "must set DATA, EPOCHS, SEED"),
        (full() | {"PROFILE": "smok"}, "Did you mean 'smoke'"),
    ],
)
def test_begin_refuses_other_parameters(space, said):
    with pytest.raises(ValueError, match=said):
        learn.begin("07", space)


def test_profiles_are_refused_if_they_differ_in_names(lesson):
    with pytest.raises(ValueError, match="There are lessons 07"):
        profiles.read("08")
    file = lesson / "lesson_07.toml"
    file.write_text(file.read_text().replace("EPOCHS = 30", "EPOCH = 30"))
    with pytest.raises(ValueError, match="the same parameters"):
        profiles.read("07")
    file.write_text(file.read_text().replace("limit_s = 9\n", "", 1))
    with pytest.raises(ValueError, match="limit_s"):
        profiles.read("07")


@pytest.mark.parametrize(
    ("alt", "said"),
    [("A curve of 3", "40 characters"), ("A curve that falls and falls" * 3, "number")],
)
def test_a_figure_needs_words(alt, said):
    with pytest.raises(ValueError, match=said):
        learn.figure(None, alt=alt)


class Shell:
    """Stands for IPython in a notebook, and keeps what is published."""

    def __init__(self, monkeypatch):
        self.published = []
        monkeypatch.setattr(_cells, "shell", lambda: self)
        display = pytest.importorskip("IPython.display")
        monkeypatch.setattr(
            display,
            "publish_display_data",
            lambda data, metadata: self.published.append((data, metadata)),
        )


def test_a_figure_carries_its_words_and_shows_them(monkeypatch):
    from matplotlib.figure import Figure

    shell = Shell(monkeypatch)
    ax = Figure().add_subplot()
    alt = "A straight line from the origin\n up to the height of 3."
    learn.figure(ax, alt=alt)
    (data, metadata), (caption, _) = shell.published
    alt = " ".join(alt.split())
    assert metadata["image/png"]["alt"] == metadata["alt"] == alt
    assert caption["text/markdown"] == f"*{alt}*"
    assert data["image/png"].startswith("iVBORw0KGgo")


def test_a_claim_is_in_the_metadata_of_its_output(monkeypatch):
    shell = Shell(monkeypatch)
    learn.claim("C7.1", "small", 1, "<")
    ((data, metadata),) = shell.published
    notebook = {"cells": [{"outputs": [{"data": data, "metadata": metadata}]}, {}]}
    (entry,) = notebooks.claims(notebook)
    assert (entry["id"], entry["value"], entry["status"]) == ("C7.1", 1, "holds")
    assert json.loads(json.dumps(entry)) == entry


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (12345, "12,345"),
        (0.5, "0.5"),
        (1 / 3, "0.3333"),
        (0.0, "0"),
        (1.5e-5, "1.50e-05"),
        (np.float32(2.25), "2.25"),
        (123456.7, "123,457"),
        ("a", "a"),
        (True, "True"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_in_words(value, text):
    assert showing.number(value) == text


def test_a_table_in_text_and_markdown(monkeypatch, capsys):
    learn.table([["a|b", 1.5], ["c", 20]], ["name", "value"], "Two.")
    assert capsys.readouterr().out == "Two.\nname  value\na|b   1.5\nc     20\n"
    shell = Shell(monkeypatch)
    learn.table([["a|b", 1.5]], ["name", "value"])
    assert shell.published[0][0]["text/markdown"] == "| name | value |\n|---|---:|\n| a\\|b | 1.5 |"
    with pytest.raises(ValueError, match="must have 2 entries"):
        learn.table([[1]], ["a", "b"])


def test_a_guess_beside_the_answer(capsys):
    learn.reveal(None, 0.5, "share")
    learn.reveal(0.75, 0.5, "share")
    learn.reveal("many", 0.5, "share")
    assert capsys.readouterr().out.splitlines() == [
        "share: 0.5 (no guess)",
        "share: 0.5 (your guess: 0.75, off by 0.25)",
        "share: 0.5 (your guess: many)",
    ]


def double():
    """A new exercise: f(x) = 2 x."""
    return exercising.Exercise(
        "7.1",
        [
            exercising.Check("gives 0 for 0", lambda f: f(0) == 0, ["zero"]),
            exercising.Check("gives 6 for 3", lambda f: f(3) == 6, ["twice", "x + x"]),
        ],
        wrong={"the square": lambda x: x * x},
    )


def fails(x):
    raise RuntimeError("oh\nno")


def unfinished(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        (lambda x: 2 * x, exercising.Grade("right")),
        (lambda x: x * x, exercising.Grade("wrong", 1)),
        (lambda x: x + 1, exercising.Grade("wrong", 0)),
        (fails, exercising.Grade("wrong", 0, "RuntimeError: oh no")),
        (lambda: 3, exercising.Grade("wrong", 0, None)),
        (lambda x: None, exercising.Grade("not attempted")),
        (lambda x: ..., exercising.Grade("not attempted")),
        (lambda x: (1, None), exercising.Grade("not attempted")),
        (unfinished, exercising.Grade("not attempted")),
        (None, exercising.Grade("not attempted")),
        (3, exercising.Grade("wrong", 0, None)),
    ],
)
def test_an_answer_is_graded_and_never_raises(answer, grade, capsys):
    given = double().grade(answer)
    assert (given.status, given.failed) == (grade.status, grade.failed)
    assert given.error == grade.error if grade.error is not None else "TypeError" in given.error
    double().check(answer)
    assert "Exercise 7.1: " + {"right": "right", "wrong": "not yet"}.get(
        grade.status, "not attempted"
    ) in (capsys.readouterr().out)


def test_hints_go_further_with_each_try(capsys):
    exercise = double()
    for _ in range(3):
        exercise.check(lambda x: x * x)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("Hint ")[2] for line in lines] == [
        "1 of 2: twice",
        "2 of 2: x + x",
        "2 of 2: x + x",
    ]


def test_a_checked_answer_neither_prints_nor_warns(capsys):
    def noisy(x):
        print("here")
        np.exp(np.float64(1e6))
        return 2 * x

    assert double().grade(noisy).status == "right"
    assert capsys.readouterr().out == ""


def test_close_compares_shapes():
    assert exercising.close(np.ones(2), np.ones(2) + 1e-7)
    assert not exercising.close(np.ones(2), np.ones((2, 1)))
    assert not exercising.close(1.0, float("nan"))


def test_an_unknown_exercise_is_refused():
    for id in ("1.9", "x", "99.1"):
        with pytest.raises(ValueError, match="numbered like"):
            learn.exercise(id)


CELL = 'PROFILE = "full"  # which\nDATA = "mnist"  # what\nEPOCHS = 8\nSEED = 0  # of\n'


def test_parameters_are_injected_with_their_comments():
    values = {"PROFILE": "smoke", "DATA": "digits", "EPOCHS": 1e-3, "SEED": 3}
    assert notebooks.inject(CELL, values) == (
        'PROFILE = "smoke"  # which\nDATA = "digits"  # what\nEPOCHS = 0.001\nSEED = 3  # of'
    )


@pytest.mark.parametrize(
    ("cell", "said"),
    [(CELL + "x = 3", "holds lines NAME"), (CELL + "MORE = 1", "sets DATA, EPOCHS, MORE")],
)
def test_other_parameters_cells_are_refused(cell, said):
    with pytest.raises(ValueError, match=said):
        notebooks.inject(cell, full())


def write_lesson(folder, *sources):
    """Write a notebook of lesson 07 whose first cell holds its parameters."""
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in (CELL, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    cells[1].outputs = [nbformat.v4.new_output("stream", text="as executed")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    (folder / "tutorials").mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "tutorials" / "07_toy.ipynb")


def test_notebooks_are_copied_and_a_learners_work_is_kept(lesson, monkeypatch):
    monkeypatch.setattr(notebooks, "_FOLDERS", (lesson / "none", lesson / "tutorials"))
    with pytest.raises(OSError, match="are not here"):
        notebooks.copy(lesson / "mine")
    write_lesson(lesson, "1")
    (target,) = notebooks.copy(lesson / "mine" / "deep")
    assert "as executed" in target.read_text()
    target.write_text("my work")
    assert notebooks.copy(target.parent) == []
    assert target.read_text() == "my work"
    notebooks.copy(target.parent, replace=True, profile="smoke")
    text = target.read_text()
    assert "as executed" not in text
    assert "EPOCHS = 30" in text
    with pytest.raises(NotADirectoryError, match="go into a folder"):
        notebooks.copy(target)


def test_a_lesson_runs_in_a_kernel_and_its_claims_come_back(lesson, monkeypatch):
    pytest.importorskip("nbclient")
    monkeypatch.setattr(notebooks, "_FOLDERS", (lesson / "tutorials",))
    start = (
        "from kerasae.learn import claim, profiles\nprofiles.session.lesson = '07'\n"
        "claim('C7.1', 'smoke injected', EPOCHS, '==', 30)"
    )
    write_lesson(lesson, start)
    (entry,) = notebooks.run("7", "smoke")
    assert (entry["id"], entry["value"], entry["status"]) == ("C7.1", 30, "holds")
    with pytest.raises(
        notebooks.LessonError,
        match=r"Cell 2 raised BrokenClaim: C7.1 is broken: "
        r"smoke injected: 8 == 30 does not hold",
    ):
        notebooks.run("7")
    with pytest.raises(ValueError, match="There are lessons 07"):
        notebooks.run("8")


def test_a_lesson_that_takes_too_long_is_stopped(lesson):
    pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    write_lesson(lesson, "import time\ntime.sleep(60)")
    notebook = nbformat.read(lesson / "tutorials" / "07_toy.ipynb", as_version=4)
    with pytest.raises(notebooks.LessonError, match="Cell 2 was not done when the 3 seconds"):
        notebooks.execute(notebook, lesson, 3)


@pytest.fixture
def kerasae_(lesson, monkeypatch, capsys):
    """Run the command with one lesson; return exit status, standard output and error."""
    from kerasae import cli

    write_lesson(lesson, "1")
    monkeypatch.setattr(notebooks, "_FOLDERS", (lesson / "tutorials",))
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
    assert "1 were there already" in out
    code, _, err = kerasae_("--to", lesson / "mine", "--no-open", "--profile", "smok", "--replace")
    assert (code, err) == (2, "profile must be 'full' or 'smoke'. Received: profile='smok'\n")


def test_the_command_runs_a_lesson_and_prints_its_claims(kerasae_, monkeypatch):
    entry = {
        "id": "C7.1",
        "sentence": "small",
        "value": 1.5,
        "op": "<",
        "bound": 2.0,
        "status": "holds",
        "profile": "full",
    }
    monkeypatch.setattr(notebooks, "run", lambda number, profile: [entry])
    code, out, _ = kerasae_("--run", "7")
    assert code == 0
    assert out.startswith("C7.1  holds   small: 1.5 < 2\n1 claims, full profile, ")

    def fails(number, profile):
        raise notebooks.LessonError("Cell 3 raised BrokenClaim: C7.1 is broken")

    monkeypatch.setattr(notebooks, "run", fails)
    code, _, err = kerasae_("--run", "7")
    assert (code, err) == (1, "Cell 3 raised BrokenClaim: C7.1 is broken\n")
