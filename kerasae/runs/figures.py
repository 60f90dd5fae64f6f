"""The figures of a run, each with its title and its text alternative."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import losses
from kerasae.evaluation.passes import at_most, rows_of
from kerasae.runs import directory

# More points hide each other.
_POINTS = 5000
_CLASSES = 30
# Samples to choose the best and the worst from.
_RANKED = 1000
_SEED = 1


def draw(
    ae: Any, splits: Any, split: str, history: dict[str, list[float]], metrics: dict[str, Any],
    path: Path, *, columns: Sequence[str] | None = None,
) -> list[dict[str, str]]:  # fmt: skip
    """Draw what suits model and data into `path/figures`; return the entries of its index.

    Args:
        ae: A trained `Autoencoder`.
        splits: Its data.
        split: Which split was measured.
        history: Term to one value per epoch.
        metrics: What `measure` gave.
        path: Folder that gets a folder of figures.
        columns: Names of the columns of a table, in the order of the features.
    """
    from kerasae.report import figures

    folder = path / directory.FIGURES
    folder.mkdir(exist_ok=True)
    entries = []
    for name, title, function, arguments, options, *notes in _plan(
        ae, splits, split, history, metrics, columns
    ):
        draw_it: Callable[..., Any] = getattr(figures, function)
        say_it: Callable[..., str] = getattr(figures, f"alt_{function}")
        figures.save(draw_it(*arguments, **options), folder / f"{name}.png")
        alt = " ".join([say_it(*arguments, **options), *filter(None, notes)])
        entries.append({"file": f"{name}.png", "title": title, "alt": alt})
    directory.write_json(folder / "figures.json", entries)
    return entries


Plan = tuple[Any, ...]


def _plan(
    ae: Any, splits: Any, split: str, history: dict[str, list[float]], metrics: dict[str, Any],
    columns: Sequence[str] | None,
) -> Iterator[Plan]:  # fmt: skip
    """Yield file name, title, function of `plotting`, its arguments, its options, and notes.

    Notes are sentences for the text alternative, beside what the function itself says.
    """
    if history:
        options = {"best_epoch": metrics.get("training", {}).get("best_epoch")}
        yield "learning_curves", "Learning curves", "learning_curves", (history,), options
    if not splits.sizes[split]:
        return
    yield from _baselines(ae, metrics)
    x = splits.array(split, at_most(splits, _POINTS))
    labels, names = _labels(splits, split, len(x))
    errors = ae.score(x, rows_of(ae.sample_shape))
    codes = ae.encode(x, rows_of(ae.sample_shape))
    # A value far beyond what the model knows may have no finite score, and no place in a figure.
    shown = np.isfinite(errors) & np.isfinite(codes).all(axis=1)
    note = _left_out(int((~shown).sum()))
    if not shown.any():
        return
    rows = np.flatnonzero(shown)
    if note:
        x, errors, codes = x[shown], errors[shown], codes[shown]
        labels = None if labels is None else labels[shown]
    columns = _fitting(ae, columns)
    rerun = _Rerun(ae, x)
    squares = rerun.errors(_RANKED if labels is None or ae.corruption is None else len(x))
    yield from _reconstructions(
        ae, splits.value_range, x, rerun, squares[:_RANKED], labels, names, columns, rows, split,
        note,
    )  # fmt: skip
    if labels is not None:
        yield from _class_errors(ae, errors, squares, labels, names, note)
    yield from _codes(ae, codes, labels, names, metrics, note)
    yield from _detection(ae, x, errors, splits.value_range, columns, rows, split, note)
    yield from _generation(ae, x, splits.value_range, metrics)


def _left_out(count: int, what: str = "score or code") -> str:
    """Return a sentence on samples that are not shown, empty where all are."""
    if not count:
        return ""
    samples = "1 sample" if count == 1 else f"{count:,} samples"
    return f"{samples} without a finite {what} {'is' if count == 1 else 'are'} not shown."


def _baselines(ae: Any, metrics: dict[str, Any]) -> Iterator[Plan]:
    errors = _errors(ae, metrics)
    finite = {name: value for name, value in errors.items() if math.isfinite(value)}
    lost = [name for name in errors if name not in finite]
    # The model comes first; without its error there is nothing to compare.
    if next(iter(errors)) in finite:
        note = f"Without a finite error, and not shown: {', '.join(lost)}." if lost else ""
        yield "baselines", "Error beside baselines", "baselines", (finite,), {}, note


def _errors(ae: Any, metrics: dict[str, Any]) -> dict[str, float]:
    errors = {ae.variant.replace("_", " "): metrics["test"]["mse"]}
    fitted_on = "training data"
    if metrics.get("baselines_fitted_on") == "the measured samples":
        fitted_on = "measured data"
    names = {"pca": "PCA", "mean": f"mean of the {fitted_on}", "noisy": "noisy input",
             "clipped": "noisy input, clipped",
             "linear_denoiser": "best linear denoiser"}  # fmt: skip
    others = {**metrics["baselines"], **{k: metrics.get(k) for k in ("noisy", "clipped")}}
    return errors | {names[name]: value["mse"] for name, value in others.items() if value}


def _fitting(ae: Any, columns: Sequence[str] | None) -> list[str] | None:
    """Return the names where there is one for each feature, or for each channel of a series."""
    shape = ae.sample_shape
    return list(columns) if columns and len(shape) <= 2 and len(columns) == shape[-1] else None


class _Rerun:
    """What the model is given and what it makes of it, in scaled units, a few samples at a time.

    The noise of a batch is the same whenever it is asked for: nothing has to be kept for the few
    samples that are drawn.
    """

    def __init__(self, ae: Any, x: np.ndarray):
        from kerasae import evaluation

        self.ae, self.x, self.step = ae, x, rows_of(ae.sample_shape)
        self.model = evaluation.reconstruction_model(ae)

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the clean samples of a batch, what the model is given, and its output."""
        from kerasae import evaluation

        rows = slice(number * self.step, (number + 1) * self.step)
        clean = given = evaluation.scale(self.ae, self.x[rows])
        if self.ae.corruption is not None:
            given = evaluation.corrupt(self.ae, clean, _SEED + number)
        return clean, given, evaluation.reconstruct(self.model, given)

    def errors(self, count: int) -> np.ndarray:
        """Return the mean squared error of each of the first samples, at least `count`."""
        parts = []
        for number in range(-(-min(count, len(self.x)) // self.step)):
            clean, _, output = self.batch(number)
            with np.errstate(over="ignore", invalid="ignore"):
                parts.append(np.square(output - clean).reshape(len(clean), -1).mean(axis=1))
        return np.concatenate(parts)

    def drawn(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the model is given for some samples, and its output."""
        pairs = []
        for row in rows.tolist():
            _, given, output = self.batch(row // self.step)
            pairs.append((given[row % self.step], output[row % self.step]))
        given, output = (np.stack(part) for part in zip(*pairs, strict=True))
        return given, output


def _reconstructions(
    ae: Any, span: Any, x: np.ndarray, rerun: _Rerun, errors: np.ndarray, labels: Any, names: Any,
    columns: Any, rows: np.ndarray, split: str, note: str,
) -> Iterator[Plan]:  # fmt: skip
    from kerasae.report import figures

    title = "Inputs and their reconstructions, from best to worst"
    if ae.corruption is not None:
        title = "Corrupted inputs and what the model makes of them, from best to worst"
    known = np.flatnonzero(np.isfinite(errors))
    if not len(known):
        return
    few, ranks = figures.best_to_worst(errors[known], 8 if math.prod(ae.sample_shape) > 40 else 4)
    few = known[few]
    inputs, outputs = rerun.drawn(few)
    corrupted = None if ae.corruption is None else _raw(ae, inputs)
    marks = None
    if labels is not None:
        marks = [names[label] if names else label for label in labels[few]]
    raw = _raw(ae, outputs)
    # What is printed is what is ranked. Of images the PSNR says the same, if one scale is of all.
    scores = errors[few]
    if _is_image(ae.sample_shape):
        squares = np.square(raw - x[few].astype("float64")).reshape(len(few), -1).mean(axis=1)
        if (np.diff(squares) >= -1e-4 * squares[1:]).all():
            scores = None
    arguments = (x[few], raw, corrupted, scores, marks)
    options = {
        "value_range": span, "ranks": ranks, "names": columns, "rows": rows[few].tolist(),
        "split": split, "score_name": "MSE" if ae.scaler is None else "scaled MSE",
    }  # fmt: skip
    lost = _left_out(len(errors) - len(known), "error")
    yield "reconstructions", title, "reconstruction_grid", arguments, options, note, lost


def _class_errors(
    ae: Any, errors: np.ndarray, squares: np.ndarray, labels: Any, names: Any, note: str
) -> Iterator[Plan]:
    title, options, lost = "Error of each class", {}, ""
    if ae.corruption is not None:
        # As in the headline of the run, and in the figure of its baselines.
        known = np.isfinite(squares)
        if not known.any():
            return
        lost = _left_out(int((~known).sum()), "error")
        errors, labels = squares[known], labels[known]
        title += ", of corrupted inputs"
        options = {"quantity": "scaled mean squared error with corrupted input"}
    elif getattr(ae.reconstruction_loss, "features", "mean") == "sum":
        options = {"quantity": "reconstruction error, nats"}
    yield "class_errors", title, "class_errors", (errors, labels, names), options, note, lost


def _codes(
    ae: Any, codes: np.ndarray, labels: Any, names: Any, metrics: dict[str, Any], note: str
) -> Any:
    """Yield what shows the codes."""
    maps = {"pca": "Map of the codes"}
    if codes.shape[1] > 2 and len(codes) >= 50:
        maps["tsne"] = "Map of the codes by t-SNE"
    for method, title in maps.items():
        name = "code_map" if method == "pca" else f"code_map_{method}"
        yield name, title, "code_map", (codes, labels, names), {"method": method}, note
    target = metrics.get("codes", {}).get("target_activation")
    title = "Activations of the code"
    yield "activations", title, "activation_histograms", (codes, target), {}, note
    spectrum = _finite(metrics, "codes", "covariance_spectrum")
    if spectrum and len(spectrum) > 1 and max(spectrum) > 0:
        yield (
            "code_spectrum",
            "Variance of the codes by direction",
            "code_spectrum",
            (spectrum,),
            {},
        )
    if values := _finite(metrics, "variational", "kl_per_dimension"):
        title = "KL divergence of each dimension"
        yield "kl_per_dimension", title, "kl_per_dimension", (values,), {}
    if values := _finite(metrics, "contractive", "singular_values"):
        title = "Singular values of the encoder's Jacobian"
        lines = {ae.variant: values}
        yield "singular_values", title, "singular_values", (lines,), {}


def _detection(
    ae: Any, x: np.ndarray, errors: np.ndarray, span: Any, columns: Any, rows: np.ndarray,
    split: str, note: str,
) -> Any:  # fmt: skip
    """Yield what shows where a calibrated model draws the line."""
    known = ae.calibration
    if known is None or known.stride is not None:
        return
    shown = (errors, known.threshold, None, known.false_alarm_rate)
    # Whether all of a split is normal is not known here.
    options = {"name": split}
    yield "scores", "Anomaly scores and the threshold", "score_histogram", shown, options, note
    if isinstance(ae.reconstruction_loss, losses.ReconstructionLoss):
        at = np.argsort(errors)[::-1][:6]
        worst, who = x[at], [f"{split} sample {row}" for row in rows[at]]
        arguments = (worst, ae.reconstruct(worst), ae.feature_scores(worst), who)
        title = "The highest scores, feature by feature"
        options = {"value_range": span, "names": columns}
        counted = "Rows are counted from 0."
        yield "feature_scores", title, "feature_scores", arguments, options, counted, note


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
    values = _finite(metrics, "variational", "kl_per_dimension")
    chosen = np.argsort(values)[::-1][:8] if values else np.arange(min(8, ae.latent_dim))
    images = (ae.traverse(x[0], 9, dimensions=chosen),)
    title = "What each number of the code changes"
    yield "traversals", title, "traversals", images, {**options, "dimensions": chosen.tolist()}


def _finite(metrics: dict[str, Any], part: str, key: str) -> list[float]:
    """Return a list of the metrics, empty where it is missing or a number is not finite."""
    values = metrics.get(part, {}).get(key) or []
    return values if all(map(math.isfinite, values)) else []


def _raw(ae: Any, scaled: np.ndarray) -> np.ndarray:
    return scaled if ae.scaler is None else np.asarray(ae.scaler.inverse(scaled))


def _labels(splits: Any, split: str, count: int) -> tuple[Any, Any]:
    labels = splits.labels[split]
    if labels is None or len(np.unique(labels)) > _CLASSES:
        return None, None
    return labels[:count], splits.class_names


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)
