"""Measures of a run: each number by its name, with its unit and how to read it.

A section shows one part of `metrics.json`. A measure without a row in the table is shown by its
name; to explain one, add a row.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kerasae.report.numbers import Number, number, words
from kerasae.report.page import Block, table
from kerasae.report.run import is_number, numbers_of, value_of


class Measure(NamedTuple):
    """How a measure is shown: its name, how to read it, the form of its number, its unit."""

    label: str
    reading: str = ""
    form: str = ""
    unit: str = ""


COUNT, SHARE, NATS = ",.0f", "percent", "nats per sample"
# In the order in which they are shown.
MEASURES = {
    "threshold": Measure("Threshold", "A sample with a higher anomaly score is called an anomaly."),
    "false_alarm_rate": Measure(
        "False-alarm rate", "At most this share of new normal samples is expected above it.", SHARE
    ),
    "rate_range": Measure(
        "Its range", "The rate of this threshold itself lies in it, nine times out of ten."
    ),
    "flagged": Measure(
        "Above the threshold",
        "Share of the test split; close to the false-alarm rate if all its samples are normal.",
        SHARE,
    ),
    "n": Measure("Samples", "How many it was measured on.", COUNT),
    "data": Measure("Data", "Normal samples that the model was not trained on."),
    "left_out": Measure(
        "Samples left out", "Without a finite code; no number here takes them in.", COUNT
    ),
    "probe_accuracy": Measure(
        "Linear probe", "Share whose class a linear classifier reads off the code.", SHARE
    ),
    "knn_accuracy": Measure(
        "Nearest neighbours", "Share whose class prevails among their nearest codes.", SHARE
    ),
    "clustering_accuracy": Measure(
        "Clusters as classes", "Share in the right k-means cluster, each named a class.", SHARE
    ),
    "nmi": Measure("Clusters and classes, NMI", "0: they are unrelated; 1: the same.", ".3f"),
    "ari": Measure("Clusters and classes, ARI", "0: together as by chance; 1: the same.", ".3f"),
    "elbo_nats": Measure(
        "Evidence lower bound (ELBO)",
        "The log-likelihood of a sample is at least this; higher is better.",
        ".2f",
        NATS,
    ),
    "elbo_standard_error": Measure("Its standard error", form=".2g", unit="nats"),
    "reconstruction_nats": Measure(
        "Reconstruction part",
        "Negative log-likelihood of a sample given its code; lower is better, and of a density it "
        "may be below 0.",
        ".2f",
        NATS,
    ),
    "kl_nats": Measure("KL part", "Cost of telling the code; near 0 it says nothing.", ".2f", NATS),
    "kl_per_dimension": Measure("KL per dimension", form=".3g", unit="nats"),
    "bits_per_dimension": Measure(
        "Bits per dimension", "The bound per feature; lower is better.", ".3f", "bits"
    ),
    "active_units": Measure(
        "Active units", "Values of the code that change with the input.", COUNT
    ),
    "dead_units": Measure("Dead units", "Values of the code that never change.", COUNT),
    "collapsed_units": Measure(
        "Collapsed units", "Values of the code that follow the prior.", COUNT
    ),
    "covariance_spectrum": Measure(
        "Effective dimension", "How many directions the codes spread over.", ".3g"
    ),
    "trustworthiness": Measure(
        "Trustworthiness", "Whether nearby codes are of samples alike: 1 always.", ".3f"
    ),
    "hoyer_sparsity": Measure(
        "Hoyer sparsity", "0: all units are equally active in a sample; 1: a single one.", ".3f"
    ),
    "mean_activation": Measure("Mean activation", "Mean of a unit over the samples."),
    "target_activation": Measure("Its target", "The mean activation that training aimed at."),
    "explained_variance": Measure(
        "Explained variance", "Share of the variance that reconstructions keep.", SHARE
    ),
    "pca_explained_variance": Measure(
        "Explained by PCA", "The same for as many principal components.", SHARE
    ),
    "largest_principal_angle": Measure(
        "Largest principal angle",
        "Between the span of the decoder and that of PCA: 0 where they are the same.",
        ".2f",
        "degrees",
    ),
    "frobenius": Measure("Frobenius norm", "Size of the encoder's Jacobian."),
    "singular_values": Measure(
        "Singular values", "How far the code moves when the input moves by 1 in one direction."
    ),
    "frechet_distance": Measure(
        "Fréchet distance",
        "Between generated and test samples; lower is better. Compare it with its floor and with "
        "runs on the same data, not with published values.",
    ),
    "frechet_spread": Measure("Spread of that distance", "Standard deviation over the seeds."),
    "reference_distance": Measure(
        "Floor of that distance", "The same between training and test samples."
    ),
    "precision": Measure(
        "Precision", "Share of generated samples that look like real ones.", SHARE
    ),
    "recall": Measure("Recall", "Share of real samples that some generated one looks like.", SHARE),
    "importance_weighted": Measure(
        "Importance-weighted bound, by samples of the code",
        "Each row is a lower bound of the log-likelihood of a sample; the more samples of the code "
        "it takes, the closer it comes.",
    ),
    "nats": Measure("Nats, higher is better", form=".2f"),
    "standard_error": Measure("Standard error", form=".2g"),
    "reference": Measure("The same classifiers on other codes"),
    "beside": Measure("The model it was compared with"),
    "pixels": Measure("Pixels", "Compare bounds of equally binarized pixels only."),
}
_NAMES = {"pca": "PCA codes of this size", "input": "the input itself"}
_ORDER = {name: place for place, name in enumerate(MEASURES)}


def measured(values: Mapping[str, Any], depth: int = 2) -> list[Block]:
    """Return the blocks of one part of the metrics.

    Args:
        values: Name of a measure to its value: a number, a list of numbers, a text, or a
            mapping of such.
        depth: How deep mappings are looked into.
    """
    rows: list[Any] = []
    blocks: list[Block] = []
    after: list[Block] = []
    for name in sorted(values, key=lambda name: _ORDER.get(name, len(_ORDER))):
        value, measure = values[name], _measure(name)
        if name == "warning":
            blocks.append(("warning", str(value)))
        elif name == "note":
            after.append(("text", str(value)))
        elif isinstance(value, dict):
            inner = _table(measure, value) or (measured(value, depth - 1) if depth else [])
            after += [("heading", measure.label), *inner] if inner else []
        elif cell := _cell(name, value):
            rows.append((measure.label, cell, measure.reading))
    blocks += [("facts", rows)] if rows else []
    explained = _p_values(values)
    return [*blocks, *([("text", explained)] if explained else []), *after]


def _measure(name: str) -> Measure:
    text = words(name)
    return MEASURES.get(name) or Measure(text[:1].upper() + text[1:])


def _cell(name: str, value: Any) -> Number | str:
    """Return what is shown of a value, "" where that is nothing."""
    _, _, form, unit = _measure(name)
    if name in _READ:
        value = _READ[name](value)
    if isinstance(value, str):
        return value
    if is_number(value):
        return number(value, form, unit)
    if found := numbers_of(value):
        low, high = (number(end, form).text for end in (min(found), max(found)))
        return number(sum(found) / len(found), form, f"{low} to {high}")
    return ""


def _table(measure: Measure, groups: Mapping[str, Any]) -> list[Block]:
    """Return a table with a row for each of several mappings of numbers, [] if they are none."""
    if not all(isinstance(values, dict) for values in groups.values()):
        return []
    columns = list(dict.fromkeys(name for values in groups.values() for name in values))
    keys = sorted(groups, key=lambda key: (len(key), key))
    rows = [[_NAMES.get(k, k), *(_cell(n, groups[k].get(n)) for n in columns)] for k in keys]
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return []
    blocks = [table(measure.label, ["", *(_measure(name).label for name in columns)], rows)]
    return [*blocks, ("text", measure.reading)] if measure.reading else blocks


def _p_values(part: Mapping[str, Any]) -> str:
    """Explain the p-value of a calibrated model with the numbers at hand."""
    rate, count = value_of(part, "false_alarm_rate"), value_of(part, "n")
    if rate is None or not count:
        return ""
    allowed = math.floor((count + 1) * rate + 1e-9) / (count + 1)
    return (
        "The p-value of a sample is the share of normal samples that score at least as high, "
        "itself counted among them. A sample is called an anomaly where its p-value is at most "
        f"{rate:g}. The smallest possible is 1 / {count + 1:,.0f} = {1 / (count + 1):.2g}. Over "
        f"many calibrations like this one, {100 * allowed:.2g}% of normal samples are flagged on "
        "average. How many anomalies are found takes known anomalies to tell."
    )


def _effective(value: Any) -> float | None:
    """Return the participation ratio of the eigenvalues of a covariance."""
    spectrum = numbers_of(value)
    # Relative to the largest: squares of huge values stay finite.
    values = [item / max(spectrum) for item in spectrum if max(spectrum) > 0]
    return sum(values) ** 2 / sum(item * item for item in values) if values else None


def _range(value: Any) -> str:
    ends = numbers_of(value)
    return f"{100 * ends[0]:.2g}% to {100 * ends[1]:.2g}%" if len(ends) == 2 else ""


_READ: dict[str, Callable[[Any], Any]] = {
    "covariance_spectrum": _effective,
    "collapsed_units": lambda value: len(value) if isinstance(value, list) else value,
    "rate_range": _range,
}
