"""The figures of a run, each with its title and its text alternative."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import losses
from kerasae.training import files

# More points hide each other.
_POINTS = 5000
_CLASSES = 30
# Samples to choose the best and the worst from.
_RANKED = 1000
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
        options = {"best_epoch": metrics.get("training", {}).get("best_epoch")}
        yield "learning_curves", "Learning curves", "learning_curves", (history,), options
    if splits.sizes[split]:
        x = splits.array(split, _POINTS)
        labels, names = _labels(splits, split, len(x))
        yield _reconstructions(ae, splits, x, labels, names)
        yield "baselines", "Error beside baselines", "baselines", (_errors(ae, metrics),), {}
        errors = ae.score(x)
        if labels is not None:
            summed = getattr(ae.reconstruction_loss, "features", "mean") == "sum"
            options = {"quantity": "reconstruction error, nats"} if summed else {}
            arguments = (errors, labels, names)
            yield "class_errors", "Error of each class", "class_errors", arguments, options
        yield from _codes(ae, x, labels, names, metrics)
        yield from _detection(ae, x, errors, splits.value_range)
        yield from _generation(ae, x, splits.value_range, metrics)


def _errors(ae: Any, metrics: dict[str, Any]) -> dict[str, float]:
    errors = {ae.variant.replace("_", " "): metrics["test"]["mse"]}
    names = {"pca": "PCA", "mean": "mean of the training data", "noisy": "noisy input",
             "clipped": "noisy input, clipped",
             "linear_denoiser": "best linear denoiser"}  # fmt: skip
    others = {**metrics["baselines"], **{k: metrics.get(k) for k in ("noisy", "clipped")}}
    return errors | {names[name]: value["mse"] for name, value in others.items() if value}


def _reconstructions(ae: Any, splits: Any, x: np.ndarray, labels: Any, names: Any) -> Plan:
    from kerasae import evaluation, plotting

    x = x[:_RANKED]
    clean = given = evaluation.scale(ae, x)
    title = "Inputs and their reconstructions, from best to worst"
    if ae.corruption is not None:
        given = evaluation.corrupt(ae, clean, _SEED)
        title = "Corrupted inputs and what the model makes of them, from best to worst"
    output = evaluation.reconstruct(evaluation.reconstruction_model(ae), given)
    errors = np.square(output - clean).reshape(len(x), -1).mean(axis=1)
    few, ranks = plotting.best_to_worst(errors, 8 if math.prod(ae.sample_shape) > 40 else 4)
    corrupted = None if given is clean else _raw(ae, given[few])
    reconstruction = _raw(ae, output[few])
    marks = None
    if labels is not None:
        marks = [names[label] if names else label for label in labels[few]]
    arguments = (x[few], reconstruction, corrupted, None, marks)
    options = {"value_range": splits.value_range, "ranks": ranks}
    return "reconstructions", title, "reconstruction_grid", arguments, options


def _codes(ae: Any, x: np.ndarray, labels: Any, names: Any, metrics: dict[str, Any]) -> Any:
    """Yield what shows the codes."""
    codes = ae.encode(x)
    maps = {"pca": "Map of the codes"}
    if codes.shape[1] > 2 and len(codes) >= 50:
        maps["tsne"] = "Map of the codes by t-SNE"
    for method, title in maps.items():
        name = "code_map" if method == "pca" else f"code_map_{method}"
        yield name, title, "code_map", (codes, labels, names), {"method": method}
    target = metrics.get("codes", {}).get("target_activation")
    title = "Activations of the code"
    yield "activations", title, "activation_histograms", (codes, target), {}
    spectrum = metrics.get("codes", {}).get("covariance_spectrum")
    if spectrum and len(spectrum) > 1 and max(spectrum) > 0:
        yield (
            "code_spectrum",
            "Variance of the codes by direction",
            "code_spectrum",
            (spectrum,),
            {},
        )
    if values := metrics.get("variational", {}).get("kl_per_dimension"):
        title = "KL divergence of each dimension"
        yield "kl_per_dimension", title, "kl_per_dimension", (values,), {}
    if values := metrics.get("contractive", {}).get("singular_values"):
        title = "Singular values of the encoder's Jacobian"
        lines = {ae.variant: values}
        yield "singular_values", title, "singular_values", (lines,), {}


def _detection(ae: Any, x: np.ndarray, errors: np.ndarray, span: Any) -> Any:
    """Yield what shows where a calibrated model draws the line."""
    known = ae.calibration
    if known is None or known.stride is not None:
        return
    shown = (errors, known.threshold, None, known.false_alarm_rate)
    yield "scores", "Anomaly scores and the threshold", "score_histogram", shown, {}
    if isinstance(ae.reconstruction_loss, losses.ReconstructionLoss):
        worst = x[np.argsort(errors)[::-1][:6]]
        arguments = (worst, ae.reconstruct(worst), ae.feature_scores(worst))
        title = "The highest scores, feature by feature"
        yield "feature_scores", title, "feature_scores", arguments, {"value_range": span}


def _generation(ae: Any, x: np.ndarray, span: Any, metrics: dict[str, Any]) -> Any:
    """Yield new samples, and ways through the space of codes."""
    options = {"value_range": span}
    if ae.can_generate:
        image = _is_image(ae.sample_shape)
        title = "Samples drawn from the prior"
        if ae.sampler is not None:
            title = f"Samples drawn from the fitted sampler ({ae.sampler.kind})"
        generated = (ae.generate(40 if image else 8, seed=_SEED),)
        yield "generated", title, "sample_grid", generated, options
    if not _is_image(ae.sample_shape) or len(x) < 8:
        return
    ways = (ae.interpolate(x[:4], x[4:8], 9),)
    yield "interpolations", "From one sample to another", "interpolations", ways, options
    if ae.prior is None:
        return
    if ae.latent_dim == 2:
        grid = (ae.manifold(16),)
        yield "manifold", "The map of all codes, decoded", "manifold", grid, options
    values = metrics.get("variational", {}).get("kl_per_dimension")
    chosen = np.argsort(values)[::-1][:8] if values else np.arange(min(8, ae.latent_dim))
    images = (ae.traverse(x[0], 9, dimensions=chosen),)
    title = "What each number of the code changes"
    yield "traversals", title, "traversals", images, {**options, "dimensions": chosen.tolist()}


def _raw(ae: Any, scaled: np.ndarray) -> np.ndarray:
    return scaled if ae.scaler is None else np.asarray(ae.scaler.inverse(scaled))


def _labels(splits: Any, split: str, count: int) -> tuple[Any, Any]:
    labels = splits.labels[split]
    if labels is None or len(np.unique(labels)) > _CLASSES:
        return None, None
    return labels[:count], splits.class_names


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)
