"""The lessons: notebooks and sources agree, and exercises accept and reject what they should."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("jupytext")

from kerasae_lessons import exercises, notebooks, profiles

FOLDER = Path(__file__).parents[2] / "tutorials"
sys.path.insert(0, str(FOLDER))
import build  # noqa: E402
import lint  # noqa: E402

sys.path.remove(str(FOLDER))

SOURCES = sorted((FOLDER / "src").glob("[0-9][0-9]_*.py"))
EXERCISES = [(source, id) for source in SOURCES for id in exercises.exercises(source.name[:2])]


def answers(source, id):
    """Return what the stub and what the solution of an exercise hand to `check`."""
    found = []
    recorder = SimpleNamespace(exercise=lambda id: SimpleNamespace(check=found.append))
    for cell in lint.read(source).cells:
        if cell.cell_type == "code" and f'learn.exercise("{id}").check(' in cell.source:
            exec(compile(cell.source, f"{source.name} {id}", "exec"), {"np": np, "learn": recorder})
    return found


def test_notebooks_are_what_the_sources_say():
    assert build.check() == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_lesson_has_three_exercises(source):
    number = source.name[:2]
    own = exercises.exercises(number)
    assert list(own) == [f"{int(number)}.{place}" for place in (1, 2, 3)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_source_shows_the_values_of_the_full_profile(source):
    # Run as plain Python, or read, it says what the committed notebook ran with.
    (cell,) = (c for c in lint.read(source).cells if "parameters" in c.metadata.get("tags", ()))
    number = source.name[:2]
    full = profiles.read(number)["full"].parameters
    assert notebooks.inject(cell.source, {"PROFILE": "full", **full}) == cell.source


@pytest.mark.parametrize(
    ("source", "id"), EXERCISES, ids=lambda value: getattr(value, "stem", value)
)
def test_a_solution_passes_and_a_stub_is_not_attempted(source, id):
    exercise = exercises.exercise(id)
    stub, solution = answers(source, id)
    assert exercise.grade(stub).status == "not attempted"
    assert exercise.grade(solution) == exercises.Grade("right")


@pytest.mark.parametrize(
    ("source", "id"), EXERCISES, ids=lambda value: getattr(value, "stem", value)
)
def test_every_wrong_answer_is_rejected(source, id):
    exercise = exercises.exercise(id)
    assert len(exercise.wrong) >= 2
    passed = [
        name for name, answer in exercise.wrong.items() if exercise.grade(answer).status != "wrong"
    ]
    assert passed == []
