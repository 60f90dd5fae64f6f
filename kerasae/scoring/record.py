"""The record of a folder of outputs: by which command on which model they were made.

A file holds model and command: `RECORD`, which is made once and never changed. Every call writes
what it makes into a journal of its own next to it. So several calls, on several hosts too, can
fill one folder: none overwrites what another has recorded.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasae import files
from kerasae.errors import shorten

# Hidden, so that readers of the folder as one table pass over it.
RECORD = ".kerasae-batch.json"
_JOURNAL = ".kerasae-batch.{}.jsonl"
_WAY_OUT = "another folder, or replace (--replace) to make all anew"


class Record:
    """The record of a folder, as one call sees it.

    Args:
        folder: The folder of outputs.
        model: What identifies the model, its `path` and `sha256`.
        command: The options that the outputs depend on.
    """

    def __init__(self, folder: Path, model: dict[str, Any], command: dict[str, Any]):
        self.path = folder / RECORD
        self._own = {"model": model, "command": command}
        self._begun = self._replace = False
        self._made: dict[str, list[dict[str, Any]]] = {}
        self._journal = folder / _JOURNAL.format(files.writer())
        self._last: dict[str, int] = {}

    def open(self, targets: Sequence[Path], resume: bool, replace: bool) -> None:
        """Compare with what is there, and refuse what would be lost or mixed.

        Args:
            targets: The outputs of the command.
            resume: Whether those that are there are kept.
            replace: Whether they are made again.

        Raises:
            ValueError: Outputs exist and neither option is given, or they were made otherwise.
        """
        there = [target for target in targets if target.exists()]
        if there and not (resume or replace):
            raise ValueError(
                f"{len(there)} of {len(targets)} outputs exist, such as {there[0].name!r}; pass "
                "resume (--resume) to make the others only, or replace (--replace) to make all "
                f"anew. Received: output={str(self.path.parent)!r}"
            )
        self._replace = replace
        if replace:
            return
        before = self._read()
        if before is None and there:
            raise ValueError(
                f"There is no record of how {there[0].name!r} was made, so that nothing can "
                "be resumed; pass replace (--replace) to make all anew. "
                f"Received: output={str(self.path.parent)!r}"
            )
        if before is not None and not self._has_ended(before):
            self._compare(before)
            self._made = _entries(self.path.parent, _id(before))
            self._begun = True

    def done(self, source: Path, target: Path) -> dict[str, Any] | None:
        """Return what was found in an input whose output need not be made again, or None."""
        known = self._made.get(target.name)
        if not known or not target.exists():
            return None
        states = describe(source), state(target)
        for entry in known:
            if (entry["input"], entry["output"]) == states:
                return entry["found"]
        return None

    def add(
        self,
        temporary: Path,
        target: Path,
        source: dict[str, Any],
        found: dict[str, Any],
        old: Sequence[Path],
    ) -> None:
        """Record an output that is whole, just before it gets its name.

        The entry holds size and time of the output: it does not count when another call replaces
        the output, or when this one is killed before the output has its name.

        Args:
            temporary: The output, under its temporary name.
            target: Its name.
            source: What describes the input as it was read.
            found: What is known of the output.
            old: With `replace`, the outputs to remove before the first of ours.
        """
        if not self._begun:
            self._begin(old)
        self._check()
        self._last = state(temporary)
        entry = {
            "record": _id(self._own),
            "name": target.name,
            "input": source,
            "output": self._last,
            "found": found,
        }
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def check(self, target: Path) -> None:
        """Remove our last output if it came to stand among those of another command, and raise."""
        try:
            self._check()
        except ValueError:
            with contextlib.suppress(FileNotFoundError):
                if state(target) == self._last:
                    target.unlink()
            raise

    def _check(self) -> None:
        now = self._read()
        if now is None or _id(now) != _id(self._own):
            raise ValueError(
                "Another command has replaced what this one made in the folder, and this one has "
                f"stopped. Received: output={str(self.path.parent)!r}"
            )

    def _begin(self, old: Sequence[Path]) -> None:
        """Make the record, or join the one that another call has made meanwhile."""
        before = self._read()
        if self._replace:
            self._clear(old)
        elif before is None and self.path.exists() and self._read() is None:
            files.remove(self.path)  # damaged
        elif before is not None and self._has_ended(before) and self._read() == before:
            self._clear(())
        temporary = files.temporary_name(self.path)
        try:
            temporary.write_text(json.dumps(self._own, indent=1) + "\n", "utf-8")
            files.sync(temporary)
            _place(temporary, self.path)
        except FileExistsError:
            if (before := self._read()) is not None:
                self._compare(before)
        finally:
            files.remove(temporary)
        self._begun = True

    def _read(self) -> dict[str, Any] | None:
        """Return the record; None if there is none, or a damaged one."""
        try:
            found = files.read_json(self.path)
        except (OSError, ValueError):
            return None
        parts = (found.get("model"), found.get("command"))
        return found if all(isinstance(part, dict) for part in parts) else None

    def _has_ended(self, before: dict[str, Any]) -> bool:
        """Say whether a record is of another command, all of whose outputs were removed."""
        if _id(before) == _id(self._own):
            return False
        names = _entries(self.path.parent, _id(before))
        return not any((self.path.parent / name).exists() for name in names)

    def _compare(self, before: dict[str, Any]) -> None:
        """Raise ValueError if a record is not of our model and command."""
        if before["model"].get("sha256") != self._own["model"]["sha256"]:
            raise ValueError(
                f"The outputs were made by another model, or by this one before it changed; "
                f"pass {_WAY_OUT}. Received: model={self._own['model']['path']!r}"
            )
        for name, value in self._own["command"].items():
            if before["command"].get(name) != value:
                old, new = shorten(repr(before["command"].get(name))), shorten(repr(value))
                raise ValueError(
                    f"The outputs were made with {name}={old}; pass the same options, {_WAY_OUT}. "
                    f"Received: {name}={new}"
                )

    def _clear(self, targets: Sequence[Path]) -> None:
        """Remove the outputs of an earlier command, and first of all its record."""
        journals = self.path.parent.glob(_JOURNAL.format("*"))
        for path in (self.path, *targets, *journals):
            files.remove(path)


def _id(record: dict[str, Any]) -> str:
    """Return a digest of model and command."""
    parts = [record["model"].get("sha256"), record["command"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _place(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is one of that name, which raises FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("x", encoding="utf-8") as file:
            file.write(temporary.read_text("utf-8"))


def _entries(folder: Path, id_: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return what all calls recorded, under one record or any, by the name of the output."""
    found: dict[str, list[dict[str, Any]]] = {}
    for journal in folder.glob(_JOURNAL.format("*")):
        with contextlib.suppress(OSError):
            for line in journal.read_text("utf-8", errors="replace").splitlines():
                # A line cut short by a full disk, or one of something else.
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                    entry = json.loads(line)
                    if id_ in (None, entry["record"]) and _is_whole(entry):
                        found.setdefault(entry["name"], []).append(entry)
    return found


def _is_whole(entry: dict[str, Any]) -> bool:
    """Say whether an entry is as `Record.add` writes it; one that lacks a part raises."""
    rows, anomalies = entry["found"]["rows"], entry["found"]["anomalies"]
    parts = isinstance(entry["input"], dict) and isinstance(entry["output"], dict)
    numbers = isinstance(rows, int) and isinstance(anomalies, (int, type(None)))
    return parts and numbers and isinstance(entry["name"], str)


def made_in(folder: Path) -> set[str]:
    """Return the names of what commands made in a folder."""
    return set(_entries(folder))


def describe(source: Path) -> dict[str, Any]:
    """Return what tells whether an input has changed."""
    return {"path": str(source.resolve()), **state(source)}


def state(path: Path) -> dict[str, int]:
    """Return the size of a file or folder, and when it last changed."""
    found = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [file.stat() for file in found]
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max((state.st_mtime_ns for state in states), default=0),
    }
