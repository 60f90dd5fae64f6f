"""The figures of a run, each with its title and its text alternative."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import evaluation
from kerasae.evaluation.passes import at_most, rows_of
from kerasae.report import figures
from kerasae.runs import directory

# More points hide each other.
_POINTS = 5000
_CLASSES = 30
# Samples to choose the best and the worst from.
_RANKED = 1000
_SEED = 1
_ROWS = "Rows are counted from 0."

# File name, part of the metrics that it belongs to, title, drawing, and sentences to add to its
# text alternative.
Entry = tuple[str, str, str, figures.Drawing, str]


def draw(
    ae: Any,
    splits: Any,
    split: str,
    history: dict[str, list[float]],
    metrics: dict[str, Any],
    path: Path,
    *,
    columns: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Draw what suits model and data into `path/figures`; return the entries of its index.

    Args:
        ae: A trained `Autoencoder`.
        splits: Its data.
        split: Which split was measured.
        history: Term to one value per epoch.
        metrics: The result of `measure`.
        path: Folder that gets a folder of figures.
        columns: Names of the columns of a table, in the order of the features.
    """
    folder = path / directory.FIGURES
    folder.mkdir(exist_ok=True)
    entries = []

    def keep(found: Iterator[Entry]) -> None:
        for name, part, title, drawing, note in found:
            drawing = replace(drawing, alt=f"{drawing.alt} {note}".strip())
            drawing.save(folder / f"{name}.png")
            entry = {"file": f"{name}.png", "part": part, "title": title, "alt": drawing.alt}
            entries.append(entry)

    keep(_learning_curves(history, metrics))
    if splits.sizes[split]:
        keep(_baselines(ae, metrics))
        shown = _select(ae, splits, split, columns)
        if len(shown.x):
            keep(_reconstructions(ae, shown))
            keep(_codes(shown, metrics))
            keep(_measured_lists(ae, metrics))
            keep(_detection(ae, shown))
            keep(_generation(ae, shown, metrics))
    directory.write_json(folder / "figures.json", entries)
    return entries


@dataclass
class _Shown:
    """The samples of a split that figures show: those with a finite score and code."""

    split: str
    x: np.ndarray  # raw
    scores: np.ndarray
    codes: np.ndarray
    labels: Any  # one class each, or None
    class_names: Any
    rows: np.ndarray  # in the split
    span: Any  # range of the data, or None
    columns: list[str] | None
    note: str  # how many samples are left out, or ""

    @property
    def is_image(self) -> bool:
        return self.x.ndim == 4 and self.x.shape[-1] in (1, 3)

    def called(self, at: np.ndarray) -> list[str]:
        """Return how samples are called; the full name would be wider than an image."""
        noun = self.split if self.is_image else f"{self.split} sample"
        return [f"{noun} {row}" for row in self.rows[at]]


def _select(ae: Any, splits: Any, split: str, columns: Sequence[str] | None) -> _Shown:
    x = splits.array(split, at_most(splits, _POINTS))
    scores = ae.score(x, rows_of(ae.sample_shape))
    codes = ae.encode(x, rows_of(ae.sample_shape))
    codes = codes.reshape(len(codes), -1)
    # A value far beyond what the model knows may have no finite score, and no place in a figure.
    finite = np.isfinite(scores) & np.isfinite(codes).all(axis=1)
    labels = splits.labels[split]
    if labels is not None:
        labels = None if len(np.unique(labels)) > _CLASSES else labels[: len(x)][finite]
    named = columns and len(ae.sample_shape) <= 2 and len(columns) == ae.sample_shape[-1]
    return _Shown(
        split,
        x[finite],
        scores[finite],
        codes[finite],
        labels,
        splits.class_names,
        np.flatnonzero(finite),
        splits.value_range,
        list(columns) if columns and named else None,
        _left_out(int((~finite).sum())),
    )


def _left_out(count: int, what: str = "score or code") -> str:
    """Return a sentence on samples that are not shown, empty where all are."""
    if not count:
        return ""
    samples = "1 sample" if count == 1 else f"{count:,} samples"
    return f"{samples} without a finite {what} {'is' if count == 1 else 'are'} not shown."


def _learning_curves(history: dict[str, list[float]], metrics: dict[str, Any]) -> Iterator[Entry]:
    if history:
        best = metrics.get("training", {}).get("best_epoch")
        drawing = figures.learning_curves(history, best_epoch=best)
        yield "learning_curves", "losses", "Learning curves", drawing, ""


def _baselines(ae: Any, metrics: dict[str, Any]) -> Iterator[Entry]:
    halves = metrics.get("baselines_fitted_on") == "the measured samples"
    names = {
        "pca": "PCA",
        "mean": f"mean of the {'measured' if halves else 'training'} data",
        "noisy": "noisy input",
        "clipped": "noisy input, clipped",
        "linear_denoiser": "best linear denoiser",
    }
    model = ae.variant.replace("_", " ")
    errors = {model: metrics["test"]["mse"]}
    others = {**metrics["baselines"], **{key: metrics.get(key) for key in ("noisy", "clipped")}}
    errors |= {names[name]: value["mse"] for name, value in others.items() if value}
    finite = {name: value for name, value in errors.items() if math.isfinite(value)}
    lost = ", ".join(name for name in errors if name not in finite)
    if model in finite:  # without its error there is nothing to compare
        note = f"Without a finite error, and not shown: {lost}." if lost else ""
        yield "baselines", "", "Error next to baselines", figures.baselines(finite), note


class _Rerun:
    """Inputs and outputs of the model in scaled units, a few samples at a time.

    The noise of a batch is the same whenever it is asked for: nothing has to be kept for the few
    samples that are drawn.
    """

    def __init__(self, ae: Any, x: np.ndarray):
        self.ae, self.x, self.step = ae, x, rows_of(ae.sample_shape)
        self.model = evaluation.reconstruction_model(ae)

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the clean samples of a batch, what the model is given, and its output."""
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
        """Return what the model is given for some samples, and its output, in raw units."""
        pairs = []
        for row in rows.tolist():
            _, given, output = self.batch(row // self.step)
            pairs.append((given[row % self.step], output[row % self.step]))
        given, output = (np.stack(part) for part in zip(*pairs, strict=True))
        if self.ae.scaler is None:
            return given, output
        return np.asarray(self.ae.scaler.inverse(given)), np.asarray(self.ae.scaler.inverse(output))


def _reconstructions(ae: Any, shown: _Shown) -> Iterator[Entry]:
    """Yield samples from best to worst, and the errors by class."""
    rerun = _Rerun(ae, shown.x)
    classes = shown.labels is not None
    squares = rerun.errors(len(shown.x) if classes and ae.corruption is not None else _RANKED)
    known = np.flatnonzero(np.isfinite(squares[:_RANKED]))
    if len(known):
        note = _left_out(len(squares[:_RANKED]) - len(known), "error")
        yield _best_to_worst(ae, shown, rerun, squares, known, note)
    if classes and ae.corruption is None:
        summed = getattr(ae.reconstruction_loss, "features", "mean") == "sum"
        quantity = f"reconstruction error{', nats' if summed else ''}"
        of = (shown.scores, shown.labels, shown.class_names)
        drawing = figures.class_errors(*of, quantity=quantity)
        yield "class_errors", "", "Error of each class", drawing, shown.note
    elif classes and np.isfinite(squares).any():
        # As in the headline of the run, and in the figure of its baselines.
        finite = np.isfinite(squares)
        quantity = "scaled mean squared error with corrupted input"
        of = (squares[finite], shown.labels[finite], shown.class_names)
        drawing = figures.class_errors(*of, quantity=quantity)
        note = f"{shown.note} {_left_out(int((~finite).sum()), 'error')}".strip()
        yield "class_errors", "", "Error of each class, of corrupted inputs", drawing, note


def _best_to_worst(
    ae: Any, shown: _Shown, rerun: _Rerun, errors: np.ndarray, known: np.ndarray, note: str
) -> Entry:
    few, ranks = figures.best_to_worst(errors[known], 8 if math.prod(ae.sample_shape) > 40 else 4)
    few = known[few]
    x = shown.x[few]
    given, output = rerun.drawn(few)
    labels = shown.called(few)
    if shown.labels is not None:
        classes = [shown.class_names[y] if shown.class_names else y for y in shown.labels[few]]
        labels = [f"{of}\n{label}" for of, label in zip(classes, labels, strict=True)]
    # What is printed is what is ranked. Of images the PSNR says the same, if one scale is of all.
    scores = errors[few]
    if shown.is_image:
        squares = np.square(output - x.astype("float64")).reshape(len(few), -1).mean(axis=1)
        if (np.diff(squares) >= -1e-4 * squares[1:]).all():
            scores = None
    drawing = figures.reconstruction_grid(
        x,
        output,
        None if ae.corruption is None else given,
        scores,
        labels,
        value_range=shown.span,
        ranks=ranks.tolist(),
        names=shown.columns,
        score_name="MSE" if ae.scaler is None else "scaled MSE",
    )
    noun = "Inputs" if ae.corruption is None else "Corrupted inputs"
    title = f"{noun} and their reconstructions, from best to worst"
    note = " ".join(filter(None, [_ROWS, shown.note, note]))
    return "reconstructions", "", title, drawing, note


def _codes(shown: _Shown, metrics: dict[str, Any]) -> Iterator[Entry]:
    codes, note = shown.codes, shown.note
    if np.issubdtype(codes.dtype, np.integer):  # indices have no distances
        return
    drawing = figures.code_map(codes, shown.labels, shown.class_names)
    yield "code_map", "codes", "Map of the codes", drawing, note
    if codes.shape[1] > 2 and len(codes) >= 50:
        drawing = figures.code_map(codes, shown.labels, shown.class_names, method="tsne")
        yield "code_map_tsne", "codes", "Map of the codes by t-SNE", drawing, note
    target = metrics.get("codes", {}).get("target_activation")
    drawing = figures.activation_histograms(codes, target)
    yield "activations", "codes", "Activations of the code", drawing, note


def _measured_lists(ae: Any, metrics: dict[str, Any]) -> Iterator[Entry]:
    """Yield the figures of lists that were measured, whatever part of the metrics holds them."""
    for part, values in _lists(metrics, "covariance_spectrum"):
        if len(values) > 1 and max(values) > 0:
            title = "Variance of the codes by direction"
            yield "code_spectrum", part, title, figures.code_spectrum(values), ""
    for part, values in _lists(metrics, "kl_per_dimension"):
        title = "KL divergence of each dimension"
        yield "kl_per_dimension", part, title, figures.kl_per_dimension(values), ""
    for part, values in _lists(metrics, "singular_values"):
        title = "Singular values of the encoder's Jacobian"
        drawing = figures.singular_values({ae.variant: values})
        yield "singular_values", part, title, drawing, ""


def _lists(metrics: dict[str, Any], key: str) -> list[tuple[str, list[float]]]:
    """Return the parts of the metrics with a list of finite numbers under a key."""
    found = [(part, v.get(key)) for part, v in metrics.items() if isinstance(v, dict)]
    return [(part, values) for part, values in found if values and np.isfinite(values).all()]


def _detection(ae: Any, shown: _Shown) -> Iterator[Entry]:
    """Yield the figures of the threshold of a calibrated model."""
    known, scores = ae.calibration, shown.scores
    if known is None or known.stride is not None:
        return
    # Whether all of a split is normal is not known here.
    threshold = (known.threshold, None, known.false_alarm_rate)
    drawing = figures.score_histogram(scores, *threshold, name=shown.split)
    yield "scores", "detection", "Anomaly scores and the threshold", drawing, shown.note
    at = np.argsort(scores)[::-1][:6]
    worst = shown.x[at]
    try:
        features = ae.feature_scores(worst)
    except ValueError:  # a loss without a value per feature
        return
    of = (worst, ae.reconstruct(worst), features, shown.called(at))
    drawing = figures.feature_scores(*of, value_range=shown.span, names=shown.columns)
    title = "The highest scores, feature by feature"
    yield "feature_scores", "detection", title, drawing, f"{_ROWS} {shown.note}".strip()


def _generated(ae: Any, n: int) -> np.ndarray:
    """Return new samples; those of a conditional model take the classes in turn."""
    classes = {
        name: np.arange(n) % field.classes
        for name, field in ae.input_spec_.fields.items()
        if field.classes is not None
    }
    return ae.generate(n, seed=_SEED, **classes)


def _generation(ae: Any, shown: _Shown, metrics: dict[str, Any]) -> Iterator[Entry]:
    """Yield new samples, and ways through the space of codes."""
    x, part, span = shown.x, "generation", shown.span
    if ae.can_generate:
        title = "Samples drawn from the prior"
        if ae.sampler is not None:
            title = f"Samples drawn from the fitted sampler ({ae.sampler.kind})"
        samples = _generated(ae, 40 if shown.is_image else 8)
        yield "generated", part, title, figures.sample_grid(samples, value_range=span), ""
    if not shown.is_image or len(x) < 8 or ae.code_dtype != "float32":
        return
    drawing = figures.interpolations(ae.interpolate(x[:4], x[4:8], 9), value_range=span)
    yield "interpolations", part, "From one sample to another", drawing, ""
    if ae.prior is None:
        return
    if ae.latent_dim == 2:
        drawing = figures.manifold(ae.manifold(16), value_range=span)
        yield "manifold", part, "The map of all codes, decoded", drawing, ""
    chosen = np.arange(ae.latent_dim)[:8]
    for _, values in _lists(metrics, "kl_per_dimension"):
        chosen = np.argsort(values)[::-1][:8]
    images = ae.traverse(x[0], 9, dimensions=chosen)
    drawing = figures.traversals(images, dimensions=chosen.tolist(), value_range=span)
    yield "traversals", part, "What each number of the code changes", drawing, ""
