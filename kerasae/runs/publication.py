"""The artifacts of a trained model: metrics, figures, export and report, all or none of them."""

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.files import scratch
from kerasae.runs import columns as run_columns
from kerasae.runs import directory

# Figures that say where the threshold is.
_OF_THE_THRESHOLD = ("scores.png", "feature_scores.png")
# Entries of config.json that the card of an export has, too.
_TOLD = ("data", "columns", "data_options", "samples", "batch_size", "learning_rate", "precision")


def measure(ae: Any, splits: Any, split: str, seed: int) -> dict[str, Any]:
    """Return the metrics of a model on a split, those of its loss terms among them."""
    from kerasae import evaluation

    measured = evaluation.measure(ae, splits, seed=seed, split=split)
    if not ae.compiled:
        ae.compile()
    terms = ae.evaluate(getattr(splits, split), return_dict=True, verbose=0)
    measured["test"] = {**terms, **measured["test"], "samples": splits.sizes[split]}
    return measured


def publish(
    path: Path,
    ae: Any,
    splits: Any,
    config: dict[str, Any],
    history: dict[str, list[float]],
    metrics: dict[str, Any],
    save: bool = False,
) -> None:
    """Draw the figures of a run, write its export, its metrics and its report: all or nothing.

    Everything is made in a separate folder and put in place at the end; after a failure the run
    is as it was. Without splits the figures stay, except those of an earlier threshold.

    Args:
        path: The run directory.
        ae: Its model.
        splits: Its data, or None.
        config: Its `config.json`.
        history: Term to one value per epoch.
        metrics: The content of `metrics.json`.
        save: Whether to save the model, too.
    """
    from kerasae import report
    from kerasae.runs import figures  # loads matplotlib

    version, samples = None, None
    with scratch(path, "publishing") as folder:
        new, aside = folder / "new", folder / "aside"
        new.mkdir()
        aside.mkdir()
        try:
            if splits is not None:
                measured_on, columns = config["measured_on"], run_columns.of_run(config)
                figures.draw(ae, splits, measured_on, history, metrics, new, columns=columns)
                samples = _answerable(ae, splits.array(measured_on, 257))
            stale = _stale(path / directory.FIGURES, new / directory.FIGURES, splits is not None)
            directory.write_json(new / directory.METRICS, metrics)
            if save:
                directory.save_model(ae, new / directory.MODEL)
            if config["export"]:
                from kerasae.exporting import export

                told = provenance(config)
                version = export(
                    ae, path / directory.EXPORT, samples=samples, metrics=metrics, training=told
                )
            with _all_or_nothing(aside) as put:
                for name in stale:
                    put(path / directory.FIGURES / name, None)
                for file in sorted(p for p in new.rglob("*") if p.is_file()):
                    put(path / file.relative_to(new), file)
                report.write_report(path)
        except BaseException:
            if version is not None:
                shutil.rmtree(version)
                with contextlib.suppress(OSError):
                    version.parent.rmdir()
            raise


def _answerable(ae: Any, samples: Any) -> Any:
    """Return the samples that the model has a finite score for; None without any."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(ae.score(samples)) if len(samples) else np.zeros(0, bool)
    return samples[finite] if finite.any() else None


@contextlib.contextmanager
def _all_or_nothing(aside: Path) -> Iterator[Callable[[Path, Path | None], None]]:
    """Yield a function that replaces a file, or removes it; after a failure all are put back."""
    done: list[tuple[Path, Path | None]] = []

    def put(target: Path, new: Path | None) -> None:
        kept = aside / str(len(done)) if target.exists() else None
        done.append((target, kept))
        if kept is not None:
            shutil.copy2(target, kept)
        if new is None:
            target.unlink(missing_ok=True)
        else:
            target.parent.mkdir(exist_ok=True)
            os.replace(new, target)

    try:
        yield put
    except BaseException:
        for target, kept in reversed(done):
            with contextlib.suppress(OSError):  # the others are put back though one is not
                if kept is None:
                    target.unlink(missing_ok=True)
                elif kept.exists():
                    os.replace(kept, target)
        raise


def _stale(before: Path, after: Path, drawn: bool) -> list[str]:
    """Return the pictures of a folder that are no longer true.

    Args:
        before: The folder.
        after: The folder with new pictures; without any, it gets an index that leaves out the
            figures of a threshold, if there are any.
        drawn: Whether there are new pictures.
    """
    index = before / "figures.json"
    entries = json.loads(index.read_text("utf-8")) if index.is_file() else []
    names = [str(entry.get("file", "")) for entry in entries]
    names = [n for n in names if (before / n).is_file() and Path(n).name == n]
    if drawn:
        return [n for n in names if not (after / n).exists()] if after.exists() else []
    stale = [name for name in names if name in _OF_THE_THRESHOLD]
    if stale:
        after.mkdir()
        kept = [entry for entry in entries if entry.get("file") not in stale]
        directory.write_json(after / "figures.json", kept)
    return stale


def provenance(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the card of an export says of the training, without the folders it was in."""
    told = {name: config[name] for name in _TOLD if config.get(name) not in (None, {})}
    options = {k: v for k, v in told.pop("data_options", {}).items() if k != "data_dir"}
    command = [Path(word).name if os.sep in word else word for word in config.get("command") or ()]
    if "--out" in command:
        del command[(at := command.index("--out")) : at + 2]
    if "data" in told:
        told["data"] = Path(told["data"]).name
    told |= {"data_options": options} if options else {}
    return {**told, **({"command": shlex.join(command)} if command else {})}
