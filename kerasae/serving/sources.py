"""Exported models at the paths that a server is given."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kerasae.serving.served import is_version, versions

# What follows the name of a model in the names of its signatures.
SUFFIXES = {
    "reconstruct": "",
    "encode": "-encode",
    "decode": "-decode",
    "score": "-score",
    "detect": "-detect",
    "detect_at_rate": "-detect-at-rate",
    "generate": "-generate",
}
_URL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Source:
    """A model on disk: its name, and the folder of its versions or the one that is served."""

    name: str
    path: Path

    def versions(self) -> list[Path]:
        """Return the version folders, the highest number first."""
        if is_version(self.path):
            return [self.path]
        return [folder for _, folder in sorted(versions(self.path).items(), reverse=True)]

    def names(self) -> set[str]:
        """Return the names that its signatures may be served under."""
        return {self.name + suffix for suffix in SUFFIXES.values()}


def find(paths: Iterable[Path], name: str | None = None) -> list[Source]:
    """Return the models at some paths, each of them once.

    Args:
        paths: Folders of versions, version folders, run directories, or folders that hold
            several of these.
        name: Name of the model, where there is only one.

    Raises:
        FileNotFoundError: There is nothing at a path.
        ValueError: There is no model at a path, a name does not fit into a URL, or two models
            would have the same name.
    """
    sources = list(dict.fromkeys(source for path in paths for source in _at(Path(path))))
    if name is not None:
        if len(sources) != 1:
            found = ", ".join(source.name for source in sources)
            raise ValueError(f"name is for one model. Received: name={name!r} with {found}")
        sources = [Source(name, sources[0].path)]
    taken: dict[str, Path] = {}
    for source in sources:
        if not _URL_NAME.fullmatch(source.name):
            raise ValueError(
                "The name of a model must consist of letters, digits, dots, dashes and "
                f"underscores; give another one with --name. Received: name={source.name!r}"
            )
        for served in sorted(source.names()):
            other = taken.setdefault(served, source.path)
            if other != source.path:
                raise ValueError(
                    "Two models would have the same name; rename a folder, or serve them "
                    f"separately with --name. Received: {served!r} for {str(other)!r} and "
                    f"{str(source.path)!r}"
                )
    return sources


def _at(path: Path) -> list[Source]:
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file or folder to serve. Received: path={str(path)!r}"
        )
    path = path.resolve()
    own = _own(path)
    if own is not None:
        return [own]
    children = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    found = [source for source in map(_own, children) if source is not None]
    if found:
        return found
    for other in (path, *children):
        if other.suffix == ".keras" or (other / "model.keras").is_file():
            raise ValueError(
                f"This {'run' if other.is_dir() else 'model'} has not been exported; try: "
                f"kerasae export {shlex.quote(str(other))}. Received: path={str(path)!r}"
            )
    raise ValueError(
        "path must be a folder of versions as kerasae.export writes it, one of the versions, "
        "a run directory with a saved_model, or a folder that holds some of these. "
        f"Received: path={str(path)!r}"
    )


def _own(path: Path) -> Source | None:
    """Return the model whose folder of versions, version or run a path is."""
    if not is_version(path) and not _has_versions(path):
        exported = path / "saved_model"
        return Source(path.name, exported) if _has_versions(exported) else None
    folder = path.parent if is_version(path) and path.name.isdecimal() else path
    # A run names its model.
    return Source((folder.parent if folder.name == "saved_model" else folder).name, path)


def _has_versions(path: Path) -> bool:
    return any(map(is_version, versions(path).values()))
