"""Exercises: checks that never raise, and hints that go further each time."""

import contextlib
import dataclasses
import importlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasae.learn import _cells


class NotAttemptedError(Exception):
    """The learner's function returned nothing."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing an answer must do.

    Attributes:
        what: What is checked, as it completes "It ...": "gives 0 for equal rates".
        passes: Takes the answer, says whether it does. An error counts as not passing.
        hints: From a nudge to nearly the solution; each further try of the same check shows
            one more.
    """

    what: str
    passes: Callable[[Any], Any]
    hints: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Grade:
    """What came of an answer.

    Attributes:
        status: "right", "wrong" or "not attempted".
        failed: Number of the check that failed, or -1.
        error: What the answer raised, in words, or "".
    """

    status: str
    failed: int = -1
    error: str = ""


class Exercise:
    """A task with checks, which are themselves checked by wrong answers they must reject.

    Args:
        id: Lesson, a point and a number: "3.1".
        checks: What a right answer does, the basic thing first.
        wrong: Plausible wrong answers by name; the tests see that each is rejected.

    Example:
        ```python
        Exercise(
            "1.3",
            [Check("gives 2 for 1, 2, 9", lambda f: equal(f([1, 2, 9]), 2), ["Sort first."])],
            wrong={"the mean": np.mean},
        )
        ```
    """

    def __init__(self, id: str, checks: Sequence[Check], wrong: Mapping[str, Any]) -> None:
        if not checks or not wrong or any(not check.hints for check in checks):
            raise ValueError(
                f"An exercise needs checks with hints, and wrong answers. Received: id={id!r}"
            )
        self.id = id
        self.checks = list(checks)
        self.wrong = dict(wrong)
        self._tries = [0] * len(self.checks)

    def grade(self, answer: Any) -> Grade:
        """Return what an answer is worth; whatever it raises, prints or warns is kept here.

        Args:
            answer: A function, or a value. None, `...` and a function that returns either or
                raises `NotImplementedError` are not attempted.
        """
        if answer is None or answer is ...:
            return Grade("not attempted")
        watched = _watched(answer) if callable(answer) else answer
        for index, check in enumerate(self.checks):
            try:
                with (
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(io.StringIO()),
                    warnings.catch_warnings(),
                    np.errstate(all="ignore"),
                ):
                    warnings.simplefilter("ignore")
                    passed = bool(np.all(check.passes(watched)))
            except (NotAttemptedError, NotImplementedError):
                return Grade("not attempted")
            except Exception as error:
                words = " ".join(str(error).split())[:200]
                return Grade("wrong", index, f"{type(error).__name__}: {words}")
            if not passed:
                return Grade("wrong", index)
        return Grade("right")

    def check(self, answer: Any) -> None:
        """Show whether an answer is right, and otherwise a hint. Never raises.

        Args:
            answer: The learner's function or value.
        """
        grade = self.grade(answer)
        if grade.status == "not attempted":
            text = f"Exercise {self.id}: not attempted yet."
        elif grade.status == "right":
            count = len(self.checks)
            text = f"Exercise {self.id}: right ({count} check{'' if count == 1 else 's'})."
        else:
            failed = self.checks[grade.failed]
            shown = min(self._tries[grade.failed], len(failed.hints) - 1)
            self._tries[grade.failed] += 1
            text = f"Exercise {self.id}: not yet. It should be that it {failed.what}."
            text += f" It raised {grade.error}." if grade.error else ""
            text += f" Hint {shown + 1} of {len(failed.hints)}: {failed.hints[shown]}"
        _cells.show(text)


def exercise(id: str) -> Exercise:
    """Return an exercise; the same object each time, so that hints go on.

    Args:
        id: Lesson, a point and a number: "3.1".

    Raises:
        ValueError: There is none of that number.
    """
    lesson, _, _ = id.partition(".")
    known = exercises(f"{int(lesson):02d}") if lesson.isdigit() else {}
    if id not in known:
        raise ValueError(f"Exercises are numbered like '3.1', by lesson. Received: id={id!r}")
    return known[id]


def exercises(lesson: str) -> dict[str, Exercise]:
    """Return the exercises of a lesson by number; none where the lesson has none.

    Args:
        lesson: Number with two digits.
    """
    name = f"kerasae.learn.lessons.lesson_{lesson}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return {}
    return {exercise.id: exercise for exercise in module.EXERCISES}


def close(value: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Whether numbers agree, in shape too, within a tolerance absolute and relative.

    Args:
        value: What the answer gave.
        expected: What is right.
        tolerance: Both absolute and relative.
    """
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    return value.shape == expected.shape and bool(
        np.allclose(value, expected, rtol=tolerance, atol=tolerance)
    )


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that tells "returned nothing" from "returned something wrong"."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        empty = result is None or result is ...
        if empty or (isinstance(result, tuple) and any(part is None for part in result)):
            raise NotAttemptedError
        return result

    return call
