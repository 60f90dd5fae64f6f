"""Exercises: checks that never raise, and hints that say more with each try."""

import contextlib
import dataclasses
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasae_lessons import cells


class NotAttemptedError(Exception):
    """The learner's function returned nothing."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing an answer must do.

    Attributes:
        what: What is checked, as it completes "It ...": "gives 0 for equal rates".
        passes: Takes the answer and returns whether it passes. An error counts as not passing.
        hints: From a nudge to nearly the solution. Each further try shows the next one.
    """

    what: str
    passes: Callable[[Any], Any]
    hints: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Grade:
    """The result of checking an answer.

    Attributes:
        status: "right", "wrong" or "not attempted".
        failed: Index of the check that failed, or -1.
        error: Type and message of what the answer raised, or "".
    """

    status: str
    failed: int = -1
    error: str = ""


class Exercise:
    """A task with checks, and wrong answers that the checks must reject.

    Args:
        id: Lesson, a point and a number: "3.1".
        checks: What a right answer does, the basic thing first.
        wrong: Plausible wrong answers by name. The tests see that each is rejected.

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
        """Check an answer. Whatever it raises, prints or warns about is caught.

        Args:
            answer: A function, or a value. None, `...`, and a function that returns either or
                raises `NotImplementedError` count as not attempted.
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
        """Show whether an answer is right, or else a hint. Never raises.

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
        cells.show(text)


def exercise(id: str) -> Exercise:
    """Return an exercise, the same object each time, so that the hints continue.

    Args:
        id: Lesson, a point and a number: "3.1".

    Raises:
        ValueError: If there is no such exercise.
    """
    known = exercises(id.partition(".")[0].zfill(2))
    if id not in known:
        raise ValueError(f"Exercises are numbered like '3.1', by lesson. Received: id={id!r}")
    return known[id]


def exercises(lesson: str) -> dict[str, Exercise]:
    """Return the exercises of a lesson by number, or none where there is no such lesson.

    Args:
        lesson: Number with two digits.
    """
    name = f"kerasae_lessons.lessons.lesson_{lesson}"
    if importlib.util.find_spec(name) is None:
        return {}
    return {exercise.id: exercise for exercise in importlib.import_module(name).EXERCISES}


def close(value: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Return whether numbers agree in shape and, within a tolerance, in value.

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
    """Return a function that raises `NotAttemptedError` where the answer returns nothing."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        empty = result is None or result is ...
        if empty or (isinstance(result, tuple) and any(part is None for part in result)):
            raise NotAttemptedError
        return result

    return call
