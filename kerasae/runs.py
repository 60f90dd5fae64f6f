"""What is done with a run directory after the training: measure, calibrate, fit a sampler.

Each leaves the run complete: model, metrics, figures, report, and a new version of the export.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from kerasae import reporting
from kerasae.data import Splits
from kerasae.loading import load
from kerasae.training import files, finishing


def evaluate(
    run: Any,
    data: Any = None,
    *,
    split: str | None = None,
    sample_quality: bool = True,
    seed: int = 0,
    **data_options: Any,
) -> dict[str, Any]:
    """Measure a trained model beside baselines.

    On the split the run was measured on, its metrics, figures and report are made anew. On
    another split or other data nothing is written; the baselines are still fitted on the run's
    training split, or on the file itself where that cannot be had.

    Args:
        run: A run directory, or a `.keras` file, which needs `data`.
        data: Source for `kerasae.data.load`: a file is measured as a whole. None takes the
            run's own data.
        split: Split to measure on; by default the one the run was measured on, `"test"`.
        sample_quality: Whether to measure the samples of models that generate, too, which
            takes longest.
        seed: Seed of noise and draws.
        **data_options: Further arguments of `kerasae.data.load`.

    Returns:
        What `kerasae.evaluation.measure` gives, with the loss terms in `"test"` and
        `kerasae.evaluation.sample_quality` in `"generation"`.

    Raises:
        ValueError: The data do not fit, or an own data set of the run cannot be had by name.
    """
    from kerasae import evaluation

    path = Path(run)
    ae = load(path)
    _check_is_model(ae, path)
    config = _config(path)
    own = data is None
    if split is not None:
        _check_split(split)
    splits, measured_on = _splits_to_measure(config, data, split, data_options, path)
    if not splits.sizes[measured_on]:
        raise ValueError(f"There are no samples to measure on. Received: split={measured_on!r}")
    metrics = finishing.measure(ae, splits, measured_on, seed)
    if sample_quality and ae.can_generate:
        try:
            quality = evaluation.sample_quality(ae, splits, split=measured_on, seed=seed)
        except ValueError as error:
            warnings.warn(f"The samples were not measured. {error}", stacklevel=2)
        else:
            metrics["generation"] = quality
    if own and measured_on == config["measured_on"]:
        kept = reporting.Run.read(path)
        metrics = {**kept.metrics, **metrics}
        finishing.publish(path, ae, splits, {**config, "export": False}, kept.history, metrics)
    return metrics


def calibrate(
    run: Any,
    data: Any = None,
    *,
    false_alarm_rate: float = 0.01,
    split: str = "validation",
    stride: int | None = None,
    allow_training_rows: bool = False,
    **data_options: Any,
) -> dict[str, Any]:
    """Calibrate a trained model for detection, and save and export it so.

    Args:
        run: A run directory, or a `.keras` file, which needs `data`.
        data: Held-out normal samples: a source for `kerasae.data.load`, of which a file is
            taken as a whole. None takes a split of the run's own data.
        false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1.
        split: Split of named data. The validation split chose the best epoch, which makes its
            scores lower by very little; `"test"` avoids that, and costs the test.
        stride: Take a file as one long series, a time step per row, and calibrate the scores
            of time steps, as in `Autoencoder.calibrate`.
        allow_training_rows: As in `Autoencoder.calibrate`.
        **data_options: Further arguments of `kerasae.data.load`.

    Returns:
        `false_alarm_rate`, `rate_range` (which the rate of this very threshold lies in, in 90 %
        of calibrations), `threshold`, `n`, `data` and, if the run has a test split that was not
        calibrated on, `flagged` (share of it above the threshold).

    Raises:
        ValueError: There are too few samples for the rate, or the model was trained on them.
    """
    path = Path(run)
    ae = load(path)
    _check_is_model(ae, path)
    config = _config(path)
    _check_split(split)
    if stride is not None:
        held_out, name = read_series(ae, data, data_options.get("columns")), str(data)
        calibration = ae.calibrate(
            held_out, false_alarm_rate, stride=stride, allow_training_rows=allow_training_rows
        )
        found = _found(calibration, name)
        _keep(path, ae, None, config, {"detection": found})
        return found
    own = None
    if data is None:
        own = held = _own_data(config, path)
        used, name = split, f"{split} split"
    else:
        whole = _is_file(data)
        held = _read(data, config, {**data_options, **(_WHOLE if whole else {})})
        used, name = ("train", str(data)) if whole else (split, f"{split} split of {data}")
    if used not in held.sizes or not held.sizes[used]:
        raise ValueError(f"There are no samples to calibrate on. Received: split={split!r}")
    calibration = ae.calibrate(
        getattr(held, used), false_alarm_rate, allow_training_rows=allow_training_rows
    )
    found = _found(calibration, name)
    if own is None and config:
        own = _own_data(config, path, must=False)
    if own is not None and own.sizes["test"] and (data is not None or split != "test"):
        found["flagged"] = float(ae.detect(own.test)["is_anomaly"].mean())
    _keep(path, ae, own, config, {"detection": found})
    return found


def _found(calibration: Any, name: str) -> dict[str, Any]:
    return {
        "false_alarm_rate": calibration.false_alarm_rate,
        "rate_range": list(calibration.rate_range()),
        "threshold": calibration.threshold,
        "n": calibration.n,
        "data": name,
    }


def read_series(ae: Any, path: Any, columns: Any = None) -> Any:
    """Return a file as one long series of a model, a time step per row, in memory.

    Args:
        ae: A model of series.
        path: A file for `kerasae.data.batches`.
        columns: Columns of a table to read.
    """
    import numpy as np

    from kerasae import data

    if path is None:
        raise ValueError("A stride needs data, a file with a time step per row. Received: None")
    series = np.concatenate(list(data.batches(path, columns=columns)))
    if len(ae.sample_shape) == 1 and series.ndim == 2 and series.shape[1] == 1:
        series = series[:, 0]
    return series.astype(ae.input_dtype_name)


def fit_sampler(run: Any, kind: str = "gaussian", *, seed: int = 0) -> None:
    """Fit a sampler to the codes of a run's training split, and save and export the model so.

    Args:
        run: A run directory.
        kind: `"gaussian"`, `"mixture"` or `"neighbour"`, see `Autoencoder.fit_sampler`.
        seed: Seed of what is random in the fit.
    """
    path = Path(run)
    ae = load(path)
    _check_is_model(ae, path)
    config = _config(path)
    own = _own_data(config, path)
    ae.fit_sampler(own.train, kind, seed)
    _keep(path, ae, own, config, {})


def export(
    run: Any, path: Any = None, *, also: Any = (), samples: Any = None, verify: bool = True
) -> Path:
    """Export a trained model, on the TensorFlow backend.

    Args:
        run: A run directory or a `.keras` file.
        path: Folder of the versions; by default `saved_model` in the run directory.
        also: Other formats to write beside the SavedModel, see `kerasae.export`.
        samples: A file of samples in raw units to verify on, such as may be published: eight of
            them go into `golden.npz`. By default the run's own data, where they can be had.
        verify: Whether to compare the result with the model.

    Returns:
        The version folder.
    """
    from kerasae import data
    from kerasae.exporting import export as write

    source = Path(run)
    rows = None if samples is None else next(data.batches(samples, 257))
    ae = load(source)
    _check_is_model(ae, source)
    config = _config(source)
    if path is None:
        if not config:
            raise ValueError(
                f"A .keras file needs a folder to export to. Received: run={str(source)!r}"
            )
        path = source / files.EXPORT
    own = _own_data(config, source, must=False) if config and verify and rows is None else None
    if own is not None:
        rows = own.array(config["measured_on"], 257)
    return write(
        ae, path, also=also, samples=rows, verify=verify,
        metrics=reporting.Run.read(source).metrics if config else None,
        training=finishing.provenance(config),
    )  # fmt: skip


# Of a file, all rows.
_WHOLE = {"validation": 0, "test": 0}


class _Beside(Splits):
    """The training split of one data set, and another set, whole, to test on."""

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


def _splits_to_measure(
    config: dict[str, Any], data: Any, split: str | None, options: dict[str, Any], path: Path
) -> tuple[Any, str]:
    """Return splits, and the one to measure on."""
    if data is None:
        return _own_data(config, path), split or config["measured_on"]
    if not _is_file(data):
        return _read(data, config, options), split or "test"
    own = _own_data(config, path, must=False) if config else None
    other = _read(data, config, {**options, **_WHOLE})
    if own is None:
        return other, "train"
    if other.shape != own.shape:
        raise ValueError(
            f"data must have samples of shape {own.shape}, as the run's own. "
            f"Received: data={str(data)!r} with samples of shape {other.shape}"
        )
    return _Beside(own, other), "test"


def _config(path: Path) -> dict[str, Any]:
    file = path / files.CONFIG
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _own_data(config: dict[str, Any], path: Path, must: bool = True) -> Any:
    """Return the splits a run was trained on."""
    from kerasae import data

    # None is recorded for data that no command can name, such as an array.
    if not config or config.get("command") is None:
        if not must:
            return None
        raise ValueError(
            "The data this model was trained on cannot be had by name; name data with a file. "
            f"Received: run={str(path)!r}"
        )
    try:
        return data.load(
            config["data"], batch_size=config["batch_size"], seed=config["seed"],
            **config["data_options"],
        )  # fmt: skip
    except OSError:
        if must:
            raise
        return None


def _read(source: Any, config: dict[str, Any], options: dict[str, Any]) -> Any:
    """Return splits of other data, read as the run's own were where nothing else is said."""
    from kerasae import data

    options = {key: value for key, value in options.items() if value is not None}
    if _is_file(source):
        known = config.get("data_options", {})
        options = {**{k: known[k] for k in ("columns",) if k in known}, **options}
    batch_size = config.get("batch_size", 128)
    return data.load(source, batch_size=batch_size, seed=config.get("seed", 0), **options)


def _is_file(source: Any) -> bool:
    from kerasae import data

    return not isinstance(source, str) or (source not in data.sources() and Path(source).exists())


def _keep(path: Path, ae: Any, own: Any, config: dict[str, Any], found: dict[str, Any]) -> None:
    """Save a model that knows more than before, and what of its run shows that."""
    if not config:
        files.save_model(ae, path)
        return
    files.save_model(ae, path / files.MODEL)
    run = reporting.Run.read(path)
    metrics = {**run.metrics, **found}
    finishing.publish(path, ae, own, config, run.history, metrics)


def _check_split(split: str) -> None:
    if split not in ("train", "validation", "test"):
        raise ValueError(
            f"split must be 'train', 'validation' or 'test'. Received: split={split!r}"
        )


def _check_is_model(ae: Any, path: Path) -> None:
    if not hasattr(ae, "fit"):
        raise ValueError(
            "run must be a run directory or a .keras file; an exported model cannot be changed. "
            f"Received: run={str(path)!r}"
        )
