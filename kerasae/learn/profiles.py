"""Profiles: the parameters of a lesson, and the bounds of its claims, for full and smoke runs.

`kerasae/learn/lessons/lesson_NN.toml` holds both; it ships with the package.
"""

import dataclasses
import logging
import os
import re
import socket
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from kerasae.errors import nearest
from kerasae.learn import pictures

PROFILES = ("full", "smoke")
_FOLDER = Path(__file__).parent / "lessons"
_SERVER = ("storage.googleapis.com", 443)  # that TFDS downloads MNIST from


@dataclasses.dataclass(frozen=True)
class Profile:
    """One way to run a lesson.

    Attributes:
        parameters: Name to value of each line of the parameters cell, but for `PROFILE`.
        bounds: Claim to bound, for the claims whose bound is measured and not a theorem.
        limit_s: Seconds that the whole notebook may take.
    """

    parameters: dict[str, Any]
    bounds: dict[str, float]
    limit_s: float


@dataclasses.dataclass
class Session:
    """The lesson that runs in this process.

    Attributes:
        lesson: Its number, such as "02".
        profile: Name of its profile.
        edited: Parameters that are not the profile's own.
        claims: What was claimed so far, in order; a claim made again takes its own place.
        collecting: Whether a broken claim is recorded and not raised, to find bounds.
    """

    lesson: str = ""
    profile: str = "full"
    edited: list[str] = dataclasses.field(default_factory=list)
    claims: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    collecting: bool = False


session = Session()


@cache
def read(lesson: str) -> dict[str, Profile]:
    """Return the profiles of a lesson by name.

    Args:
        lesson: Number with two digits.

    Raises:
        ValueError: There is no such lesson, or its file says something unknown.
    """
    path = _FOLDER / f"lesson_{lesson}.toml"
    if not re.fullmatch(r"\d\d", lesson) or not path.exists():
        known = ", ".join(sorted(file.stem[-2:] for file in _FOLDER.glob("lesson_*.toml")))
        raise ValueError(f"There are lessons {known}. Received: lesson={lesson!r}")
    found = tomllib.loads(path.read_text("utf-8"))
    fields = {field.name for field in dataclasses.fields(Profile)}
    for name, entry in found.items():
        if name not in PROFILES or set(entry) != fields:
            raise ValueError(
                f"{path.name} holds the tables full and smoke, each with "
                f"{', '.join(sorted(fields))}. Received: {name}={sorted(entry)}"
            )
    if set(found) != set(PROFILES) or found["full"]["parameters"].keys() != (
        found["smoke"]["parameters"].keys()
    ):
        raise ValueError(
            f"{path.name} must give both profiles the same parameters. Received: {sorted(found)}"
        )
    return {name: Profile(**entry) for name, entry in found.items()}


def begin(lesson: str, namespace: dict[str, Any]) -> None:
    """Start a lesson: say which profile it runs in, and set its parameters.

    The full profile reads MNIST. Where that is neither prepared nor to be had from the network,
    the lesson goes on in the smoke profile, with embedded data, and a line says so. A parameter
    that still has the value of the full profile then takes that of the smoke profile; one that
    was edited stays. The same happens after `PROFILE = "smoke"` by hand.

    Args:
        lesson: Number with two digits.
        namespace: `globals()` of the notebook, with `PROFILE` and the parameters.

    Raises:
        ValueError: A parameter is missing, or lesson or profile are unknown.
    """
    profiles = read(lesson)
    full = profiles["full"].parameters
    missing = [name for name in ("PROFILE", *full) if name not in namespace]
    if missing:
        raise ValueError(
            f"The parameters cell of lesson {lesson} must set {', '.join(missing)}. "
            f"Received: lesson={lesson!r}"
        )
    name = namespace["PROFILE"]
    if name not in PROFILES:
        raise ValueError(
            f"PROFILE must be 'full' or 'smoke'.{nearest(name, PROFILES)} "
            f"Received: PROFILE={name!r}"
        )
    if name == "full" and not _available(namespace.get("DATA")):
        print(
            f"{namespace['DATA']} is not on this machine and could not be downloaded: "
            "this lesson goes on with embedded data, in the smoke profile."
        )
        namespace["PROFILE"] = name = "smoke"
    parameters = profiles[name].parameters
    for key, value in parameters.items():
        if namespace[key] == full[key]:
            namespace[key] = value
    edited = [key for key, value in parameters.items() if namespace[key] != value]
    session.lesson, session.profile, session.edited = lesson, name, edited
    session.claims.clear()
    pictures.style()
    settings = ", ".join(f"{key}={namespace[key]!r}" for key in parameters)
    print(f"Lesson {lesson}, {name} profile: {settings}")


def bound(claim: str) -> float:
    """Return the measured bound of a claim in the profile that runs.

    Args:
        claim: Such as "C2.3".

    Raises:
        ValueError: No lesson has begun, or the profile has no bound for this claim.
    """
    if not session.lesson:
        raise ValueError(f"learn.begin(lesson, globals()) comes first. Received: claim={claim!r}")
    bounds = read(session.lesson)[session.profile].bounds
    if claim not in bounds:
        raise ValueError(
            f"The {session.profile} profile of lesson {session.lesson} has bounds for "
            f"{', '.join(bounds) or 'no claim'}. Received: claim={claim!r}"
        )
    return bounds[claim]


def _available(data: Any) -> bool:
    """Whether a source can be loaded: embedded, none at all, prepared, or to be downloaded."""
    from kerasae.data import load, sources

    if data is None or data in sources() or _prepared(data):
        return True
    try:
        # TFDS would try again for minutes where there is no network.
        socket.create_connection(_SERVER, timeout=5).close()
        load(data, limit=10)
    except OSError:
        return False
    return True


def _prepared(data: str) -> bool:
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR") or None
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of the very thing that is asked
    try:
        return bool(tfds.builder(data, data_dir=folder).is_prepared())
    except Exception:  # whatever is wrong with it, `load` says so in one sentence
        return False
    finally:
        logger.setLevel(level)
