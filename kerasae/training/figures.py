"""The figures of a run, each with its title and its text alternative."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.training import files

# More points hide each other.
_POINTS = 5000
_CLASSES = 30
_SEED = 1


def draw(
    ae: Any, splits: Any, split: str, history: dict[str, list[float]], metrics: dict[str, Any],
    path: Path,
) -> list[dict[str, str]]:  # fmt: skip
    """Draw what suits model and data into `path/figures`; return the entries of its index."""
    from kerasae import plotting

    folder = path / files.FIGURES
    folder.mkdir(exist_ok=True)
    entries = []
    for name, title, function, arguments, options in _plan(ae, splits, split, history, metrics):
        draw_it: Callable[..., Any] = getattr(plotting, function)
        say_it: Callable[..., str] = getattr(plotting, f"alt_{function}")
        plotting.save(draw_it(*arguments, **options), folder / f"{name}.png")
        entry = {"file": f"{name}.png", "title": title, "alt": say_it(*arguments, **options)}
        entries.append(entry)
    files.write_json(folder / "figures.json", entries)
    return entries


Plan = tuple[str, str, str, tuple, dict[str, Any]]


def _plan(
    ae: Any, splits: Any, split: str, history: dict[str, list[float]], metrics: dict[str, Any]
) -> Iterator[Plan]:
    """Yield file name, title, function of `plotting`, its arguments and its options."""
    if history:
        options = {"best_epoch": metrics["training"]["best_epoch"]}
        yield "learning_curves", "Learning curves", "learning_curves", (history,), options
    if splits.sizes[split]:
        yield _reconstructions(ae, splits, split)
        x = splits.array(split, _POINTS)
        arguments = (ae.encode(x), *_labels(splits, split, len(x)))
        yield "code_map", "Map of the codes", "code_map", arguments, {}
    if ae.can_generate and _is_image(ae.sample_shape):
        generated = (ae.generate(40, seed=_SEED),)
        options = {"value_range": splits.value_range}
        yield "generated", "Samples drawn from the prior", "image_grid", generated, options
    errors = {ae.variant.replace("_", " "): metrics["test"]["mse"]}
    names = {"pca": "PCA", "mean": "mean of the training data", "noisy": "noisy input",
             "linear_denoiser": "best linear denoiser"}  # fmt: skip
    others = {**metrics["baselines"], "noisy": metrics.get("noisy")}
    errors |= {names[name]: value["mse"] for name, value in others.items() if value}
    yield "baselines", "Error beside baselines", "baselines", (errors,), {}


def _reconstructions(ae: Any, splits: Any, split: str) -> Plan:
    from kerasae import evaluation

    x = splits.array(split, 8 if math.prod(ae.sample_shape) > 40 else 4)
    corrupted = None
    reconstruction = ae.reconstruct(x)
    title = "Inputs and their reconstructions"
    if ae.corruption is not None:
        noisy = evaluation.corrupt(ae, evaluation.scale(ae, x), _SEED)
        output = evaluation.reconstruct(evaluation.reconstruction_model(ae), noisy)
        corrupted, reconstruction = _raw(ae, noisy), _raw(ae, output)
        title = "Corrupted inputs and what the model makes of them"
    labels, names = _labels(splits, split, len(x))
    if labels is not None:
        labels = [names[value] if names else value for value in labels]
    arguments = (x, reconstruction, corrupted, None, labels)
    options = {"value_range": splits.value_range}
    return "reconstructions", title, "reconstruction_grid", arguments, options


def _raw(ae: Any, scaled: np.ndarray) -> np.ndarray:
    return scaled if ae.scaler is None else np.asarray(ae.scaler.inverse(scaled))


def _labels(splits: Any, split: str, count: int) -> tuple[Any, Any]:
    labels = splits.labels[split]
    if labels is None or len(np.unique(labels)) > _CLASSES:
        return None, None
    return labels[:count], splits.class_names


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)
