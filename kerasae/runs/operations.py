"""Operations on a run after its training: evaluate, calibrate, fit a sampler, export.

Each leaves the run complete: model, metrics, figures, report, and a new version of the export.
"""

import warnings
from pathlib import Path
from typing import Any

from kerasae import report
from kerasae.errors import check_whole
from kerasae.loading import load
from kerasae.runs import data as run_data
from kerasae.runs import directory, publication


def evaluate(
    run: Any,
    data: Any = None,
    *,
    split: str | None = None,
    sample_quality: bool = True,
    seed: int = 0,
    **data_options: Any,
) -> dict[str, Any]:
    """Measure a trained model next to baselines.

    On the split that the run was measured on, its metrics, figures and report are made again. On
    another split or other data nothing is written; the baselines are still fitted to the run's
    training split, or to the file itself where the run's data cannot be had.

    Args:
        run: A run directory, or a `.keras` file, which needs `data`.
        data: Source for `kerasae.data.load`: a file is measured as a whole. Of a table, the
            columns that the run was trained on are read, by their names. None takes the run's
            own data.
        split: Split to measure on; by default the one the run was measured on, `"test"`. Of
            files, only an `.npz` with splits of its own has any.
        sample_quality: Whether to measure the samples of models that generate, too, which
            takes longest.
        seed: Seed of noise and draws.
        **data_options: Further arguments of `kerasae.data.load`.

    Returns:
        The result of `kerasae.evaluation.measure`, with the loss terms in `"test"` and the
        result of `kerasae.evaluation.sample_quality`, with the `sampler`, in `"generation"`.

    Raises:
        ValueError: The data do not fit, or the run's own data cannot be had by name.
    """
    from kerasae import evaluation

    run_data.check_split(split)
    seed = check_whole("seed", seed, 0)
    path, ae, config = _opened(run)
    splits, measured_on = _splits_to_measure(ae, config, data, split, data_options, path)
    run_data.check_not_empty(splits, measured_on)
    metrics = publication.measure(ae, splits, measured_on, seed)
    if sample_quality and ae.can_generate:
        try:
            quality = evaluation.sample_quality(ae, splits, split=measured_on, seed=seed)
        except ValueError as error:
            warnings.warn(f"The samples were not measured. {error}", stacklevel=2)
        else:
            kind = "prior" if ae.sampler is None else ae.sampler.kind
            metrics["generation"] = {"sampler": kind, **quality}
    if data is None and measured_on == config["measured_on"]:
        kept = report.Run.read(path)
        metrics = {**kept.metrics, **metrics}
        unexported = {**config, "export": False}
        publication.publish(path, ae, splits, unexported, kept.history, metrics)
    return metrics


def calibrate(
    run: Any,
    data: Any = None,
    *,
    false_alarm_rate: float = 0.01,
    split: str | None = None,
    stride: int | None = None,
    allow_training_rows: bool = False,
    **data_options: Any,
) -> dict[str, Any]:
    """Calibrate a trained model for detection, and save and export it so.

    After a failure the run is as it was.

    Args:
        run: A run directory, or a `.keras` file, which needs `data`.
        data: Held-out normal samples: a source for `kerasae.data.load`, of which a file is
            taken as a whole. Of a table, the columns that the run was trained on are read, by
            their names. None takes a split of the run's own data.
        false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1.
        split: Split of named data or of an `.npz` that has splits. By default `"validation"` of
            named data. That split chose the best epoch, which makes its scores lower by very
            little; `"test"` avoids that, and costs the test.
        stride: Take a file as one long series, a time step per row, and calibrate the scores
            of time steps, as in `Autoencoder.calibrate`. Neighbouring steps depend on each
            other: the rate then holds in the long run, for a stationary series.
        allow_training_rows: As in `Autoencoder.calibrate`.
        **data_options: Further arguments of `kerasae.data.load`.

    Returns:
        `false_alarm_rate`, `threshold`, `n`, `data` and, if the run has a test split that was
        not calibrated on, `flagged` (share of it above the threshold). Of independent samples
        also `rate_range`, which holds the rate of this very threshold in 90 % of calibrations;
        windows and time steps of a series have no such range. Of time steps also `stride`.

    Raises:
        ValueError: There are too few samples for the rate, or the model was trained on them.
    """
    run_data.check_split(split)
    path, ae, config = _opened(run)
    name = run_data.name_of(data)
    options = {"stride": stride, "allow_training_rows": allow_training_rows}
    if stride is not None:
        if split is not None:
            raise ValueError(f"A series has no splits. Received: split={split!r} with a stride")
        series = run_data.series(data, config, data_options)
        if len(ae.sample_shape) == 1 and series.ndim == 2 and series.shape[1] == 1:
            series = series[:, 0]
        held_out = series.astype(ae.input_dtype_name)
        calibration = ae.calibrate(held_out, false_alarm_rate, **options)
        found = {**_found(calibration, name), "stride": calibration.stride}
        _keep(path, ae, None, config, {"detection": found})
        return found
    own, used = None, split or "validation"
    if data is None:
        own = held = run_data.own(config, path)
        name = f"{used} split"
    else:
        held, taken = run_data.other(data, config, data_options, split, used)
        if split is not None or taken is not None:
            name = f"{used} split of {name}"
        used = taken or "train"
    run_data.check_not_empty(held, used)
    calibration = ae.calibrate(getattr(held, used), false_alarm_rate, **options)
    found = _found(calibration, name)
    if "window" not in (config.get("data_options") or {}):  # overlapping windows are dependent
        found["rate_range"] = list(calibration.rate_range())
    if own is None and config:
        own = run_data.own(config, path, must=False)
    if own is not None and own.sizes["test"] and (data is not None or used != "test"):
        found["flagged"] = float(ae.detect(own.test)["is_anomaly"].mean())
    _keep(path, ae, own, config, {"detection": found})
    return found


def _found(calibration: Any, name: str) -> dict[str, Any]:
    return {
        "false_alarm_rate": calibration.false_alarm_rate,
        "threshold": calibration.threshold,
        "n": calibration.n,
        "data": name,
    }


def fit_sampler(run: Any, kind: str = "gaussian", *, seed: int = 0) -> None:
    """Fit a sampler to the codes of a run's training split, and save and export the model so.

    Measurements of samples from another sampler are dropped; `evaluate` measures these. After a
    failure the run is as it was.

    Args:
        run: A run directory.
        kind: `"gaussian"`, `"mixture"` or `"neighbour"`, see `Autoencoder.fit_sampler`.
        seed: Seed of what is random in the fit.
    """
    path, ae, config = _opened(run)
    own = run_data.own(config, path)
    ae.fit_sampler(own.train, kind, seed)
    _keep(path, ae, own, config, {"generation": None})


def export(
    run: Any, path: Any = None, *, also: Any = (), samples: Any = None, verify: bool = True
) -> Path:
    """Export a trained model, on the TensorFlow backend.

    Args:
        run: A run directory or a `.keras` file.
        path: Folder of the versions; by default `saved_model` in the run directory.
        also: Other formats to write next to the SavedModel, see `kerasae.export`.
        samples: A file of samples in raw units to verify on, such as may be published: eight of
            them go into `golden.npz`. By default the run's own data, where they can be had.
        verify: Whether to compare the result with the model.

    Returns:
        The version folder.
    """
    from kerasae import data
    from kerasae.exporting import export as write

    rows = None if samples is None else next(data.batches(samples, 257))
    source, ae, config = _opened(run)
    if path is None and not config:
        raise ValueError(
            f"A .keras file needs a folder to export to. Received: run={str(source)!r}"
        )
    if config and verify and rows is None:
        own = run_data.own(config, source, must=False)
        rows = None if own is None else own.array(config["measured_on"], 257)
    return write(
        ae,
        source / directory.EXPORT if path is None else path,
        also=also,
        samples=rows,
        verify=verify,
        metrics=report.Run.read(source).metrics if config else None,
        training=publication.provenance(config),
    )


def _opened(run: Any) -> tuple[Path, Any, dict[str, Any]]:
    """Return path, model and `config.json` of a run; the last is empty for a `.keras` file."""
    path = Path(run)
    ae = load(path)
    if not hasattr(ae, "fit"):
        raise ValueError(
            "run must be a run directory or a .keras file; an exported model cannot be changed. "
            f"Received: run={str(path)!r}"
        )
    return path, ae, run_data.config_of(path)


def _splits_to_measure(
    ae: Any,
    config: dict[str, Any],
    data: Any,
    split: str | None,
    options: dict[str, Any],
    path: Path,
) -> tuple[Any, str]:
    """Return splits, and the one to measure on."""
    if data is None:
        own = run_data.own(config, path)
        return own, split or config["measured_on"]
    other, used = run_data.other(data, config, options, split, "test")
    if other.shape != ae.sample_shape:
        raise ValueError(
            f"data must have samples of shape {ae.sample_shape}, as the model's own. "
            f"Received: data={run_data.name_of(data)!r} with samples of shape {other.shape}"
        )
    if used is not None:
        return other, used
    own = run_data.own(config, path, must=False) if config else None
    return (other, "train") if own is None else (run_data.Beside(own, other), "test")


def _keep(path: Path, ae: Any, own: Any, config: dict[str, Any], found: dict[str, Any]) -> None:
    """Save a model that knows more than before, and what of its run shows that.

    What is None in `found` is dropped from the metrics.
    """
    if not config:
        directory.save_model(ae, path)
        return
    run = report.Run.read(path)
    metrics = {k: v for k, v in {**run.metrics, **found}.items() if v is not None}
    publication.publish(path, ae, own, config, run.history, metrics, save=True)
