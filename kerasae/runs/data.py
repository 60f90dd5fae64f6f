"""The data of a run, and other data next to them, as the operations on a run need them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.data import Splits
from kerasae.data.rows import SPLITS
from kerasae.files import read_json
from kerasae.runs import columns as run_columns
from kerasae.runs import directory


def config_of(path: Path) -> dict[str, Any]:
    """Return `config.json` of a run; empty for a `.keras` file."""
    file = path / directory.CONFIG
    return read_json(file) if file.is_file() else {}


def check_split(split: Any) -> None:
    """Raise ValueError unless `split` is the name of a split, or None."""
    if split is not None and split not in SPLITS:
        raise ValueError(
            f"split must be 'train', 'validation' or 'test'. Received: split={split!r}"
        )


def check_not_empty(splits: Any, split: str) -> None:
    """Raise ValueError if a split has no samples."""
    if not splits.sizes[split]:
        raise ValueError(f"There are no samples in this split. Received: split={split!r}")


def name_of(source: Any) -> str:
    """Return a name for a source of data, for messages and metrics."""
    return f"an array of {len(source):,} samples" if hasattr(source, "shape") else str(source)


def own(config: dict[str, Any], path: Path, must: bool = True) -> Any:
    """Return the splits a run was trained on.

    Args:
        config: `config.json` of the run.
        path: The run, for messages.
        must: Whether to raise where they cannot be had; else warn and return None.
    """
    from kerasae import data

    # None is recorded for data that no command can name, such as an array.
    if not config or config.get("command") is None:
        if not must:
            return None
        raise ValueError(
            "The data this model was trained on cannot be had by name; name data with a file. "
            f"Received: run={str(path)!r}"
        )
    # Older runs know no path but the one that was typed.
    source = config.get("data_path") or config["data"]
    options = dict(config["data_options"])
    if config.get("data_dir"):
        options["data_dir"] = config["data_dir"]
    try:
        splits = data.load(source, batch_size=config["batch_size"], seed=config["seed"], **options)
        shape = tuple(config.get("input_shape", splits.shape))
        if splits.shape != shape:
            raise ValueError(
                "The run's own data have changed since its training: they had samples of shape "
                f"{shape}. Received: {source!r} with samples of shape {splits.shape}"
            )
    except (OSError, ValueError) as error:
        if must:
            raise
        warnings.warn(f"The run's own data cannot be used. {error}", stacklevel=3)
        return None
    return splits


def other(
    source: Any, config: dict[str, Any], options: dict[str, Any], split: str | None, usual: str
) -> tuple[Any, str | None]:
    """Return splits of other data, and which of them to take.

    What is not said is read as the run's own data were. A file or an array is taken whole.

    Args:
        source: Source for `kerasae.data.load`.
        config: `config.json` of the run, or an empty dictionary.
        options: Arguments of `kerasae.data.load`; those that are None do not count.
        split: The split asked for, which a file must have; None takes all of a file.
        usual: The split of named data where none is asked for.

    Returns:
        The splits, and the split of named data; None for a file or an array, whose samples that
        are asked for are then all in "train".
    """
    from kerasae import data
    from kerasae.data import files, loading

    loading.check_options(options)
    options = {key: value for key, value in options.items() if value is not None}
    options = {"batch_size": config.get("batch_size", 128), "seed": config.get("seed", 0)} | options
    is_path = run_columns.is_path(source)
    if isinstance(source, str) and not is_path:
        return data.load(source, **options), split or usual
    options = _as_trained(source, config, options)
    parts = []
    if is_path and Path(source).suffix.lower() == ".npz":
        opened = files.open_path(source, label=options.get("label"), series="window" in options)
        parts = list(opened.parts)
    if split is not None and split not in parts:
        has = f"it has {' and '.join(map(repr, parts))}" if parts else "it has no splits of its own"
        raise ValueError(
            f"A file is taken whole where no split of its own is named, and {has}. "
            f"Received: split={split!r} with data={name_of(source)!r}"
        )
    options |= {name: 0 for name in ("validation", "test") if name not in parts}
    splits = data.load(source, **options)
    if parts:
        splits = _joined(splits, [split] if split else [n for n in SPLITS if splits.sizes[n]])
    return splits, None


def _as_trained(source: Any, config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Add the columns, the label and the windows of the run where nothing is said of them."""
    trained = config.get("data_options") or {}
    added: dict[str, Any] = {}
    if run_columns.is_path(source):
        if "columns" not in options and (columns := run_columns.to_read(source, config)):
            added["columns"] = columns
        label = run_columns.label_to_read(source, config)
        if label is not None and label not in (added | options).get("columns", ()):
            added["label"] = label
    options = added | options
    # What holds samples already is not cut into windows.
    if "window" in trained and "window" not in options and _is_series(source, options):
        options = {
            name: trained[name] for name in ("window", "stride") if name in trained
        } | options
    return options


def _is_series(source: Any, options: dict[str, Any]) -> bool:
    """Say whether a file or an array has a time step per row."""
    from kerasae.data.files import open_path

    if not run_columns.is_path(source):
        return len(getattr(source, "shape", ())) in (1, 2)
    x = open_path(source, columns=options.get("columns"), series=True).x
    return len(x.shape) == (2 if isinstance(x, np.ndarray) else 1)


def _joined(splits: Any, names: list[str]) -> Any:
    """Return some splits of data in memory as one, all in "train"."""
    from kerasae import data

    x = np.concatenate([splits.array(name) for name in names])
    whole = data.load(x, batch_size=splits.batch_size, seed=splits.seed, validation=0, test=0)
    whole.name, whole.class_names = splits.name, splits.class_names
    labels = [splits.labels[name] for name in names]
    if all(part is not None for part in labels):
        whole.labels["train"] = np.concatenate(labels)
    return whole


class Beside(Splits):
    """The training split of one data set, with all of another set as the test split."""

    def __init__(self, own: Splits, other: Splits):
        self._sources = {"train": own, "test": other}
        self._epoch = own._epoch
        self.name, self.shape, self.dtype = other.name, own.shape, own.dtype
        self.value_range, self.streamed = own.value_range, own.streamed or other.streamed
        self.batch_size, self.seed, self.extras = own.batch_size, own.seed, {}
        self.class_names = own.class_names
        counts = {name: source.sizes["train"] for name, source in self._sources.items()}
        self.sizes = {**counts, "validation": 0}
        # Numbers of other classes mean something else.
        same = own.class_names == other.class_names
        self.labels = dict.fromkeys(self.sizes)
        if same:
            self.labels |= {name: s.labels["train"] for name, s in self._sources.items()}

    def _dataset(self, split: str) -> Any:
        if split == "test":
            self._sources[split].set_epoch(0)  # the same order at every pass
        return self._sources[split].train

    def array(self, split: str, limit: int | None = None) -> Any:
        return self._sources[split].array("train", limit)


def series(source: Any, config: dict[str, Any], options: dict[str, Any]) -> Any:
    """Return a file, or an array, as one long series, a time step per row, in memory.

    Args:
        source: A file for `kerasae.data.batches`, or an array `(time steps, ...)`.
        config: `config.json` of the run, or an empty dictionary.
        options: `columns` and `label` of a table, if they are given.
    """
    from kerasae import data

    if source is None:
        raise ValueError("A stride needs data, a file with a time step per row. Received: None")
    if hasattr(source, "shape"):
        return np.asarray(source)
    columns = options.get("columns") or run_columns.to_read(source, config)
    label = options.get("label") or run_columns.label_to_read(source, config)
    if columns is None and label is not None:
        columns = run_columns.of_file(source, None, label)
    return np.concatenate(list(data.batches(source, columns=columns)))
