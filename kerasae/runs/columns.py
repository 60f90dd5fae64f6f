"""Which columns of a table belong to a run: recorded at its training, found again in other files.

A matrix does not know its columns, so a table whose columns stand in another order would be read
without a word and measured wrong.
"""

import os
from pathlib import Path
from typing import Any

from kerasae.errors import nearest


def is_path(source: Any) -> bool:
    """Say whether `kerasae.data.load` takes a source for a file or folder."""
    from kerasae.data import loading

    return isinstance(source, os.PathLike) or (
        isinstance(source, str) and source != "" and loading._is_path(source)
    )


def of_file(path: Any, columns: Any = None, label: str | None = None) -> list[str] | None:
    """Return the names of the columns that are read of a table, in their order.

    Args:
        path: Any source of data.
        columns: As in `kerasae.data.load`.
        label: Likewise.

    Returns:
        The names; None for what is no table. Columns without names are called x0, x1, ...
    """
    from kerasae.data import tables

    table = _table(path)
    return None if table is None else tables._choose(Path(path), table, columns, label)


def of_run(config: dict[str, Any]) -> list[str] | None:
    """Return the names of the columns that a run was trained on, None where they are not known.

    Args:
        config: `config.json` of the run. Older runs recorded only what was asked for.
    """
    options = config.get("data_options") or {}
    return config.get("columns") or options.get("columns") or None


def check_training(path: Path, training: Any) -> dict[str, Any]:
    """Return what is recorded of the data of a training, `{}` where nothing is.

    Args:
        path: The `config.json` of a run, or the `card.json` of an export, for messages.
        training: Its content, or the part of that.

    Raises:
        ValueError: The names of columns are no list of names, or the options no object.
    """
    right = training is None or isinstance(training, dict)
    if right:
        training = training or {}
        options = training.get("data_options") or {}
        right = isinstance(options, dict)
        for part in (training, options) if right else ():
            names = part.get("columns") or []
            right = right and isinstance(names, list) and all(isinstance(n, str) for n in names)
    if not right:
        raise ValueError(
            f"{path.name} must name the columns of its training in a list. Received: {str(path)!r}"
        )
    return training


def to_read(path: Any, config: dict[str, Any]) -> list[str] | None:
    """Return the columns to read of another file for a run: those that it was trained on.

    Args:
        path: Any source of data.
        config: `config.json` of the run, or an empty dictionary.

    Returns:
        The names in the order of the training; None to read all by their position: the file is
        no table, or one of the two has no names but x0, x1, ... or 0, 1, ...

    Raises:
        ValueError: The file has names, and lacks one.
    """
    known, table = of_run(config), _table(path)
    if known is None or table is None:
        return None
    missing = [name for name in known if name not in table.names]
    if not missing:
        return list(known)
    if _counted(known) or _counted([n for n in table.names if n != label_of_run(config)]):
        return None
    raise ValueError(
        f"{Path(path).name!r} has no column {missing[0]!r}, which the run was trained on; name the "
        f"columns to read with columns=[...] (--column).{nearest(missing[0], table.names)} "
        f"Received: data={str(path)!r} without {len(missing)} of {len(known)} columns"
    )


def label_of_run(config: dict[str, Any]) -> str | None:
    """Return the name of the label that a run's data have, None where they have none."""
    return (config.get("data_options") or {}).get("label")


def label_to_read(path: Any, config: dict[str, Any]) -> str | None:
    """Return the label of a run where another file has it, too."""
    import zipfile

    label, table = label_of_run(config), _table(path)
    if label is None:
        return None
    if table is not None:
        return label if label in table.names else None
    if not is_path(path) or not zipfile.is_zipfile(path) or Path(path).suffix.lower() != ".npz":
        return None
    with zipfile.ZipFile(path) as archive:
        keys = {name.removesuffix(".npy") for name in archive.namelist()}
    return label if keys & {label, f"{label}_train"} else None


def _table(path: Any) -> Any:
    """Open a table, or the first of a folder of tables; None for anything else."""
    from kerasae.data import files, tables

    if not is_path(path) or not (found := files.table_files(path)):
        return None
    return tables._open(found[:1])[0]


def _counted(names: list[str]) -> bool:
    """Say whether names tell positions only, as those do that stand for missing ones."""
    return any(names == [f"{start}{i}" for i in range(len(names))] for start in ("", "x"))
