"""NumPy's files: `.npy`, mapped and streamed, and `.npz` archives, read whole."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerasae.data.rows import (
    BLOCK_BYTES,
    SPLITS,
    Loaded,
    Reader,
    as_column,
    as_labels,
    as_rows,
    as_table,
    bad,
)
from kerasae.errors import nearest, shorten

# Bytes that an .npz may expand to.
_MOST = 2**34


def open_npy(path: Path, series: bool, empty: bool) -> Reader:
    """Open an array file as a reader of blocks of rows.

    Args:
        path: The file.
        series: Take an array `(n,)` for rows of one value.
        empty: Take an array without rows, too.
    """
    x = _mapped(path)
    if series:
        x = as_column(x)
    taken = x.size or (empty and x.ndim and not len(x))
    if x.ndim < 2 or not taken or x.dtype.kind not in "biuf":
        as_table(x, path.name)
    dtype = "uint8" if x.dtype == np.uint8 else "float32"
    rows = max(1, BLOCK_BYTES * len(x) // max(1, x.nbytes))

    def read(block: int) -> Iterator[tuple[np.ndarray, Any]]:
        start = block * rows
        # A new map each time: pages of a long-lived one would count as our memory.
        part = np.array(np.lib.format.open_memmap(path, mode="r")[start : start + rows])
        yield as_rows(as_column(part), path.name, first_row=start), None

    return Reader(path.name, x.shape[1:], dtype, -(-len(x) // rows), read, rows=len(x))


def _mapped(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            shape, dtype = _check_claim(file, path.stat().st_size)
        if 0 in shape:  # which cannot be mapped
            return np.empty(shape, "O" if dtype.hasobject else dtype)
        # Maps the file and, unlike `np.load`, never unpickles.
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def open_npz(path: Path, label: str | None, series: bool) -> Loaded:
    """Read an array archive: `x`, or `x_train` and `x_test`, with labels if there are any.

    Args:
        path: The file.
        label: Key of the labels; None for "y" or "labels".
        series: Take an array `(n,)` for rows of one value, and leave out the labels.
    """
    try:
        # Opened here because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = list(archive.files)
            x_key, y_key = _choose_keys(path, keys, label)
            xs = _keys_by_split(keys, x_key)
            ys = {} if y_key is None or series else _keys_by_split(keys, y_key)
            _check_sizes(path, archive.zip, {*xs.values(), *ys.values()})
            arrays = {split: archive[key] for split, key in xs.items()}
            labels = {split: np.ravel(archive[key]) for split, key in ys.items()}
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        # NumPy takes any file that it does not know for a pickle.
        raise bad(
            f"{path.name!r} is not an .npz file, or holds Python objects (or rows of unequal "
            f"length).",
            source=str(path),
        ) from error
    parts = {
        split: as_table(as_column(x) if series else x, f"{path.name}:{xs[split]}")
        for split, x in arrays.items()
    }
    shapes = {xs[split]: x.shape[1:] for split, x in parts.items()}
    if len(set(shapes.values())) > 1 or len({x.dtype for x in parts.values()}) > 1:
        raise bad(
            f"All splits must have samples of one shape and type, but {path.name!r} has {shapes}.",
            source=str(path),
        )
    if label is None and not all(_are_classes(values) for values in labels.values()):
        labels = {}
    for split, x in parts.items() if labels else ():
        count = len(labels.get(split, ()))
        if count != len(x):
            raise bad(
                f"Labels must be one per sample, but {path.name!r} has {len(x)} samples in "
                f"{xs[split]!r} and {count} labels for them.",
                source=str(path),
            )
    samples = list(parts.values())
    loaded = Loaded(str(path), samples[0] if len(samples) == 1 else np.concatenate(samples))
    if labels:
        joined = np.concatenate([labels[split] for split in parts])
        loaded.labels, loaded.class_names = as_labels(joined, path.name, len(joined))
    if x_key not in keys:
        ends = np.cumsum([0, *map(len, samples)])
        loaded.parts = {
            split: np.arange(start, end)
            for split, start, end in zip(parts, ends[:-1], ends[1:], strict=True)
        }
    return loaded


def _are_classes(values: np.ndarray) -> bool:
    """Say whether values could be labels: an array `y` of other numbers is a target."""
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def _check_claim(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an array; refuse one that claims to be larger than its bytes."""
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size:
        raise OSError(f"its shape would be {shape}, and it has {size:,} bytes")
    return shape, dtype


def _check_sizes(path: Path, archive: zipfile.ZipFile, keys: set[str]) -> None:
    """Refuse arrays that claim to be larger than they are, or than may be read whole."""
    total = 0
    for key in keys:
        name = key if key in archive.namelist() else f"{key}.npy"
        size = archive.getinfo(name).file_size
        total += size
        with archive.open(name) as member:
            _check_claim(member, size)
    if total > _MOST:
        raise bad(
            f"An .npz file is read whole, at most {_MOST:,} bytes, and {path.name!r} has "
            f"{total:,}; save the samples as .npy, which is streamed.",
            source=str(path),
        )


def _keys_by_split(keys: list[str], base: str) -> dict[str, str]:
    """Return the keys `base_train`, `base_test`, ... by split, or `base` itself as "train"."""
    if base in keys:
        return {"train": base}
    found = {split: f"{base}_{split}" for split in SPLITS}
    for name in ("valid", "val"):
        if f"{base}_{name}" in keys:
            found["validation"] = f"{base}_{name}"
    found = {split: key for split, key in found.items() if key in keys}
    return found if "train" in found else {}


def _choose_keys(path: Path, keys: list[str], label: str | None) -> tuple[str, str | None]:
    """Return the keys (or their stems, as in `x_train`) of the samples and of the labels."""
    listed = ", ".join(map(repr, keys)) or "nothing"

    def there(*names: str) -> str | None:
        return next((name for name in names if _keys_by_split(keys, name)), None)

    if label is not None and there(label) is None:
        raise bad(f"{path.name!r} holds {listed}.{nearest(label, keys)}", label=label)
    y_key = label or there("y", "labels")
    x_key = there("x", "X")
    if x_key is None:
        others = [key for key in keys if key != y_key]
        if len(others) != 1:
            raise bad(
                f"An .npz file must hold its samples under 'x' (or 'x_train' and 'x_test'), or "
                f"hold one array only, but {path.name!r} holds {listed}.",
                source=str(path),
            )
        x_key = others[0]
    return x_key, y_key


def _unreadable(path: Path, error: BaseException) -> ValueError:
    return bad(f"{path.name!r} cannot be read: {shorten(error)}.", source=str(path))
