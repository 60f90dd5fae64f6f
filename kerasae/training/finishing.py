"""What follows a training: measured, drawn, exported, reported."""

import os
import shlex
from pathlib import Path
from typing import Any

from kerasae.training import figures, files


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
    path: Path, ae: Any, splits: Any, config: dict[str, Any], history: dict[str, list[float]],
    metrics: dict[str, Any],
) -> None:  # fmt: skip
    """Draw the figures of a run, write its export, its metrics and its report.

    Without splits the figures stay as they are.
    """
    from kerasae import reporting

    samples = None
    if splits is not None:
        figures.draw(ae, splits, config["measured_on"], history, metrics, path)
        samples = splits.array(config["measured_on"], 257)
    if config["export"]:
        from kerasae.exporting import export

        export(
            ae, path / files.EXPORT, samples=samples, metrics=metrics, training=provenance(config)
        )
    files.write_json(path / files.METRICS, metrics)
    reporting.write_report(path)


_TOLD = ("data", "data_options", "samples", "batch_size", "learning_rate", "precision")


def provenance(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the card of an export says of the training, without the folders it was in."""
    told = {name: config[name] for name in _TOLD if config.get(name) not in (None, {})}
    command = [Path(word).name if os.sep in word else word for word in config.get("command") or ()]
    if "--out" in command:
        del command[(at := command.index("--out")) : at + 2]
    if "data" in told:
        told["data"] = Path(told["data"]).name
    return {**told, **({"command": shlex.join(command)} if command else {})}
