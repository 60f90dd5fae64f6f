"""Profiles: the parameters of a lesson and the bounds of its claims, for full and smoke runs.

Both are read from `lessons/lesson_NN.toml`.
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
from kerasae_lessons import figures

PROFILES = ("full", "smoke")
_FOLDER = Path(__file__).parent / "lessons"
_SERVER = ("storage.googleapis.com", 443)  # that TFDS downloads MNIST from


@dataclasses.dataclass(frozen=True)
class Profile:
    """One way to run a lesson.

    Attributes:
        parameters: Name to value of each line of the parameters cell, except `PROFILE`.
        bounds: Claim to bound, for the claims whose bound is measured rather than a theorem.
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
        edited: Parameters whose values are not those of the profile.
        claims: What was claimed so far, in order. A claim made again replaces the first one.
        collecting: Whether broken claims are recorded instead of raised, to find bounds.
    """

    lesson: str = ""
    profile: str = "full"
    edited: list[str] = dataclasses.field(default_factory=list)
    claims: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    collecting: bool = False


session = Session()


def check_profile(name: Any) -> None:
    """Raise ValueError unless `name` is a profile."""
    if name not in PROFILES:
        raise ValueError(
            f"profile must be 'full' or 'smoke'.{nearest(name, PROFILES)} "
            f"Received: profile={name!r}"
        )


@cache
def read(lesson: str) -> dict[str, Profile]:
    """Return the profiles of a lesson by name.

    Args:
        lesson: Number with two digits.

    Raises:
        ValueError: If there is no such lesson, or its file is not as described above.
    """
    path = _FOLDER / f"lesson_{lesson}.toml"
    if not re.fullmatch(r"\d\d", lesson) or not path.exists():
        known = ", ".join(sorted(file.stem[-2:] for file in _FOLDER.glob("lesson_*.toml")))
        raise ValueError(f"There are lessons {known}. Received: lesson={lesson!r}")
    tables = tomllib.loads(path.read_text("utf-8"))
    try:
        found = {name: Profile(**tables[name]) for name in PROFILES}
    except (KeyError, TypeError) as error:
        fields = ", ".join(field.name for field in dataclasses.fields(Profile))
        raise ValueError(
            f"{path.name} must hold the tables full and smoke, each with {fields}. "
            f"Received: {error}"
        ) from None
    full, smoke = (set(found[name].parameters) for name in PROFILES)
    if full != smoke:
        raise ValueError(
            f"{path.name} must give both profiles the same parameters. "
            f"Received: {', '.join(sorted(full ^ smoke))} in one of them"
        )
    return found


def begin(lesson: str, namespace: dict[str, Any]) -> None:
    """Start a lesson: print the profile it runs in, and set its parameters.

    The full profile reads MNIST. Where that is neither prepared nor available from the network,
    the lesson continues in the smoke profile, with embedded data, and a line says so. Parameters
    that still have their values of the full profile then take those of the smoke profile; edited
    ones stay. The same happens after `PROFILE = "smoke"` by hand.

    Args:
        lesson: Number with two digits.
        namespace: `globals()` of the notebook, with `PROFILE` and the parameters.

    Raises:
        ValueError: If a parameter is missing, or the lesson or the profile is unknown.
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
    check_profile(name)
    if name == "full" and not _available(namespace.get("DATA")):
        print(
            f"{namespace['DATA']} is not on this machine and could not be downloaded: "
            "this lesson continues with embedded data, in the smoke profile."
        )
        namespace["PROFILE"] = name = "smoke"
    parameters = profiles[name].parameters
    for key, value in parameters.items():
        if namespace[key] == full[key]:
            namespace[key] = value
    edited = [key for key, value in parameters.items() if namespace[key] != value]
    session.lesson, session.profile, session.edited = lesson, name, edited
    session.claims.clear()
    figures.style()
    settings = ", ".join(f"{key}={namespace[key]!r}" for key in parameters)
    print(f"Lesson {lesson}, {name} profile: {settings}")


def bound(claim: str) -> float:
    """Return the measured bound of a claim in the current profile.

    Args:
        claim: Such as "C2.3".

    Raises:
        ValueError: If no lesson has begun, or the profile has no bound for this claim.
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
    """Return whether data can be loaded: none, embedded, prepared, or downloadable."""
    from kerasae.data import load, sources

    if data is None or data in sources() or _prepared(data):
        return True
    try:
        # Without a network TFDS would retry for minutes.
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
    logger.setLevel(logging.ERROR)  # it warns where the data are not prepared
    try:
        return bool(tfds.builder(data, data_dir=folder).is_prepared())
    except Exception:  # `load` says in one sentence what is wrong
        return False
    finally:
        logger.setLevel(level)
