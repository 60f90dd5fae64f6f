"""Exercises: answers are graded, never raise, and hints say more with each try."""

import numpy as np
import pytest

import kerasae_lessons as learn
from kerasae_lessons import exercises


def double():
    """A new exercise: f(x) = 2 x."""
    return exercises.Exercise(
        "7.1",
        [
            exercises.Check("gives 0 for 0", lambda f: f(0) == 0, ["zero"]),
            exercises.Check("gives 6 for 3", lambda f: f(3) == 6, ["twice", "x + x"]),
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
        (lambda x: 2 * x, exercises.Grade("right")),
        (lambda x: x * x, exercises.Grade("wrong", 1)),
        (lambda x: x + 1, exercises.Grade("wrong", 0)),
        (fails, exercises.Grade("wrong", 0, "RuntimeError: oh no")),
        (lambda: 3, exercises.Grade("wrong", 0, None)),
        (lambda x: None, exercises.Grade("not attempted")),
        (lambda x: ..., exercises.Grade("not attempted")),
        (lambda x: (1, None), exercises.Grade("not attempted")),
        (unfinished, exercises.Grade("not attempted")),
        (None, exercises.Grade("not attempted")),
        (3, exercises.Grade("wrong", 0, None)),
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
    assert exercises.close(np.ones(2), np.ones(2) + 1e-7)
    assert not exercises.close(np.ones(2), np.ones((2, 1)))
    assert not exercises.close(1.0, float("nan"))


def test_an_unknown_exercise_is_refused():
    for id in ("1.9", "x", "99.1"):
        with pytest.raises(ValueError, match=f"Received: id={id!r}"):
            learn.exercise(id)
