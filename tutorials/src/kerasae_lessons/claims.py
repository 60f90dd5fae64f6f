"""Claims: the numbered sentences of a lesson, each checked where it stands."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from kerasae_lessons import cells, profiles, tables

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


class BrokenClaim(AssertionError):
    """A claim that does not hold; the message gives claim, value and bound."""


def claim(
    id: str, sentence: str, value: Any, op: str, bound: Any = None, *, profile: str | None = None
) -> None:
    """Check a numbered sentence, and show that it holds and with which value.

    Args:
        id: "C", the lesson, a point and a number: "C2.3".
        sentence: What is claimed, in words.
        value: What was measured: one number, or True or False.
        op: How it relates to the bound: "<", "<=", ">", ">=" or "==".
        bound: A number that holds by theorem. None takes the measured bound of the profile.
        profile: The only profile in which the claim is tested; the other one shows the value.

    Raises:
        BrokenClaim: If the claim does not hold. NaN never does.
        ValueError: If an argument is invalid.
    """
    session = profiles.session
    lesson = int(session.lesson or 0)
    if not re.fullmatch(rf"C{lesson}\.\d+", id):
        raise ValueError(f"Claims of lesson {lesson} are C{lesson}.1, ... Received: id={id!r}")
    if op not in OPERATORS:
        raise ValueError(f"op must be one of {', '.join(OPERATORS)}. Received: op={op!r}")
    if profile is not None:
        profiles.check_profile(profile)
    tested = profile in (None, session.profile)
    measured = bound is None
    if measured and tested:
        bound = profiles.bound(id)
    value = _plain(value, id)
    holds = tested and bool(OPERATORS[op](value, _plain(bound, id)))
    entry: dict[str, Any] = {
        "id": id,
        "sentence": sentence,
        "value": value if not isinstance(value, float) or math.isfinite(value) else str(value),
        "op": op,
        "bound": _plain(bound, id) if tested else None,
        "kind": "measured" if measured else "exact",
        "profile": session.profile,
        "status": "holds" if holds else "broken" if tested else "not tested",
    }
    session.claims[id] = entry
    if entry["status"] == "broken" and not session.collecting:
        raise BrokenClaim(_broken(entry))
    word = entry["status"].upper()
    result = relation(entry)
    cells.show(
        f"{id} {word}: {sentence}. {result}",
        f"**{id} {word}**: {sentence}. `{result}`",
        claim=entry,
    )


def claims_table() -> None:
    """Show the claims of the lesson so far as a table."""
    rows = [[c["id"], c["sentence"], relation(c)] for c in profiles.session.claims.values()]
    tables.table(rows, ["claim", "what was checked", "value and bound"])


def relation(entry: dict[str, Any]) -> str:
    """Return value, operator and bound of a claim as text."""
    value = tables.number(entry["value"])
    if entry["status"] == "not tested":
        return f"{value} (tested in the other profile only)"
    if entry["value"] is True and entry["bound"] is True:
        return "true"
    return f"{value} {entry['op']} {tables.number(entry['bound'])}"


def _plain(value: Any, id: str) -> Any:
    """Return a number or truth value of Python."""
    value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    if not isinstance(value, (bool, int, float)):
        raise ValueError(
            f"The value and the bound of {id} must be one number each. "
            f"Received: {type(value).__name__}"
        )
    return value


def _broken(entry: dict[str, Any]) -> str:
    session = profiles.session
    text = (
        f"{entry['id']} is broken: {entry['sentence']}: "
        f"{relation(entry)} does not hold in the {entry['profile']} profile."
    )
    if session.edited:
        text += f" Not the values of that profile: {', '.join(session.edited)}."
    return text
