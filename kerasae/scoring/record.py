"""What was made in a folder of outputs, by which command on which model; for resumption.

A file names model and command: `RECORD`, which is made once and never changed. Every call writes
what it makes into a journal of its own beside it. So several calls, on several hosts too, can
fill one folder: none overwrites what another has written down.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasae import files
from kerasae.errors import shorten
from kerasae.files import read_json

if TYPE_CHECKING:
    from kerasae.scoring.jobs import Job

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
        self._id: str | None = None  # of the record that we write to, once there is one
        self._replace = False
        self._made: dict[str, list[dict[str, Any]]] = {}
        self._journal = folder / _JOURNAL.format(files.writer())
        self._last: dict[str, int] = {}

    def open(self, jobs: "list[Job]", resume: bool, replace: bool) -> None:
        """Compare with what is there, and refuse what would be lost or mixed.

        Raises:
            ValueError: Outputs exist and neither option is given, or they were made otherwise.
        """
        folder = str(self.path.parent)
        there = [job.target for job in jobs if job.target.exists()]
        if there and not (resume or replace):
            raise ValueError(
                f"{len(there)} of {len(jobs)} outputs exist, such as {there[0].name!r}; pass "
                "resume (--resume) to make the others only, or replace (--replace) to make all "
                f"anew. Received: output={folder!r}"
            )
        self._replace = replace
        if replace:
            return
        before = self._read()
        if before is None and there:
            raise ValueError(
                f"There is no record of how {there[0].name!r} was made, so that nothing can "
                "be resumed; pass replace (--replace) to make all anew. "
                f"Received: output={folder!r}"
            )
        if before is not None and self._agrees(before):
            self._id = before["id"]
            self._made = _entries(self.path.parent, before["id"])

    def _agrees(self, before: dict[str, Any]) -> bool:
        """Say whether a record is of our model and command, or raise a sentence; see `_ended`."""
        if self._ended(before):
            return False
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
        return True

    def _ended(self, before: dict[str, Any]) -> bool:
        """Say whether a record is of other things and all its outputs were removed."""
        same = before["model"].get("sha256") == self._own["model"]["sha256"]
        if same and before["command"] == self._own["command"]:
            return False
        entries = _entries(self.path.parent, before["id"])
        return not any((self.path.parent / name).exists() for name in entries)

    def _read(self) -> dict[str, Any] | None:
        try:
            found = read_json(self.path)
        except (OSError, ValueError):
            return None
        parts = (found.get("model"), found.get("command"))
        return found if "id" in found and all(isinstance(p, dict) for p in parts) else None

    def done(self, job: "Job") -> dict[str, Any] | None:
        """Return what was found in a job that need not be done again, or None."""
        known = self._made.get(job.target.name)
        if not known or not job.target.exists():
            return None
        output, source = state(job.target), describe(job.source)
        for entry in known:
            if entry["output"] == output and entry["input"] == source:
                return entry["found"]
        return None

    def adding(
        self, job: "Job", source: dict[str, Any], found: dict[str, Any], old: Sequence[Path]
    ) -> Callable[[Path], None]:
        """Return what is to be done when an output is whole, before it gets its name.

        It writes down what the output is, by size and time: where another call replaces it or
        ours does not get there, the entry counts for nothing.

        Args:
            job: Which output.
            source: What describes the input as it was read.
            found: What is known of the output then.
            old: With `replace`, the outputs that are to be removed before the first of ours.
        """

        def add(temporary: Path) -> None:
            if self._id is None:
                self._begin(old)
            self._check()
            self._last = state(temporary)
            entry = {
                "record": self._id, "name": job.target.name, "input": source,
                "output": self._last, "found": found,
            }  # fmt: skip
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())

        return add

    def _check(self) -> None:
        if (self._read() or {}).get("id") != self._id:
            raise ValueError(
                "Another command has replaced what this one made in the folder, and this one has "
                f"stopped. Received: output={str(self.path.parent)!r}"
            )

    def check(self, job: "Job") -> None:
        """See that an output of ours did not come to stand among those of another command."""
        try:
            self._check()
        except ValueError:
            with contextlib.suppress(FileNotFoundError):
                if state(job.target) == self._last:
                    job.target.unlink()
            raise

    def _begin(self, old: Sequence[Path]) -> None:
        """Make the record, or join the one that another call has made meanwhile."""
        before = self._read()
        if self._replace:
            self._clear(old)
        elif before is None and self.path.exists() and self._read() is None:
            files.remove(self.path)  # damaged
        elif before is not None and self._ended(before) and self._read() == before:
            self._clear(())
        self._id = uuid.uuid4().hex
        temporary = files.temporary_name(self.path)
        try:
            made = {"id": self._id, **self._own}
            temporary.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
            files.sync(temporary)
            _place(temporary, self.path)
        except FileExistsError:
            before = self._read()
            if before is not None and self._agrees(before):
                self._id = before["id"]
        finally:
            files.remove(temporary)

    def _clear(self, targets: Sequence[Path]) -> None:
        """Remove the outputs of an earlier command, and first of all its record."""
        journals = self.path.parent.glob(_JOURNAL.format("*"))
        for path in (self.path, *targets, *journals):
            files.remove(path)


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
    """Return what all calls wrote down, under one record or any, by the name of the output."""
    found: dict[str, list[dict[str, Any]]] = {}
    for journal in folder.glob(_JOURNAL.format("*")):
        with contextlib.suppress(OSError):
            for line in journal.read_text("utf-8", errors="replace").splitlines():
                # A line cut short by a full disk, or of something else.
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                    entry = json.loads(line)
                    if id_ in (None, entry["record"]) and _is_whole(entry):
                        found.setdefault(entry["name"], []).append(entry)
    return found


def _is_whole(entry: dict[str, Any]) -> bool:
    """Say whether an entry is as `Record.adding` writes it; one that lacks a part raises."""
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
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [file.stat() for file in files]
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max((state.st_mtime_ns for state in states), default=0),
    }
