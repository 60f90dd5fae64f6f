"""What is at a path: a file of data, images, the tables of a folder, or a name that is near."""

import difflib
import itertools
from pathlib import Path

from kerasae.data import images, tables
from kerasae.data.rows import bad
from kerasae.errors import nearest

SUFFIXES = (".npy", ".npz", *tables.SUFFIXES)
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# What a folder of data may hold beside what we read.
_OTHERS = (".tsv", ".jsonl", ".feather", ".arrow", ".orc", ".avro", ".pq", ".xlsx", ".h5")


def kind_of(path: Path) -> tuple[str, list[Path]]:
    """Return a suffix of `SUFFIXES` or "images", and the files.

    Args:
        path: A file, or a folder of images or of tables.

    Raises:
        ValueError: It is no data file, a folder without any, or one of several kinds.
    """
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in images.SUFFIXES:
            return "images", [path]
        if suffix in SUFFIXES:
            return suffix, [path]
        known = ", ".join(SUFFIXES)
        near = nearest(suffix, SUFFIXES)
        raise bad(
            f"A data file must end in {known} or be a folder of images.{near}", source=str(path)
        )
    check_one_kind(path)
    if found := images.find(path):
        return "images", found
    for suffix in tables.SUFFIXES:
        found = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() == suffix and not entry.name.startswith(".")
        )
        if found:
            return suffix, found
    raise bad(
        f"A folder must hold images ({', '.join(images.SUFFIXES)}), .parquet or .csv files, "
        f"but {path.name!r} holds none.",
        source=str(path),
    )


def check_one_kind(folder: Path, patterns: bool = False) -> None:
    """Refuse a folder of which some files would be left out without a word.

    Args:
        folder: A folder of images or of tables.
        patterns: Whether the caller takes shell patterns, too.

    Raises:
        ValueError: It holds files of several kinds.
    """
    kinds: dict[str, str] = {}
    for entry in sorted(folder.iterdir()):
        suffix = entry.suffix.lower()
        if not entry.name.startswith(".") and suffix in (
            *SUFFIXES, *images.SUFFIXES, *_OTHERS, *PACKED
        ):  # fmt: skip
            kinds.setdefault("images" if suffix in images.SUFFIXES else suffix, entry.name)
    if len(kinds) > 1:
        read = [suffix for suffix in SUFFIXES if suffix in kinds]
        pattern = str(folder / f"*{read[0]}") if read else ""
        way_out = f"pass a pattern such as {pattern!r}" if read and patterns else ""
        way_out = way_out or "give each kind a folder of its own"
        raise bad(
            f"{folder.name!r} holds files of several kinds, such as "
            f"{' and '.join(map(repr, kinds.values()))}, and one kind is read at a time; "
            f"{way_out}.",
            source=str(folder),
        )


def beside(path: Path) -> str:
    """Return a hint at a file beside a missing one, among those that can be read."""
    readable = {*SUFFIXES, *images.SUFFIXES}
    stems: dict[str, str] = {}
    # A long folder is not worth the time.
    entries = itertools.islice(path.parent.iterdir(), 10_000) if path.parent.is_dir() else ()
    for entry in sorted(entries):
        if not entry.name.startswith(".") and (
            entry.is_dir() if not path.suffix else entry.suffix.lower() in readable
        ):
            stems.setdefault(entry.stem.lower(), entry.name)
    # Equal suffixes would make any two short names alike.
    close = difflib.get_close_matches(path.stem.lower(), stems, n=1, cutoff=0.6)
    return f" Did you mean {stems[close[0]]!r}?" if close else ""
