"""What was measured beyond the error: each number with its unit and how to read it.

A section takes the part of the metrics that it is about and the pictures that belong to it, and
says nothing where there is neither.
"""

import math
from html import escape
from typing import Any

from kerasae.report.markup import data_element, facts, percent, quantity, shown, table, under, words
from kerasae.report.run import Run, mapping, numbers_of, value_of
from kerasae.report.sections import pictures


def codes(run: Run) -> str:
    """What is in the code."""
    part = run.part("codes")
    of = "" if run.code_size is None else f"of {run.code_size:,}"
    target = value_of(part, "target_activation")
    aim = "" if target is None else f" The model was trained for {target:g}."
    spectrum = numbers_of(part, "covariance_spectrum")
    split = run.split
    told, fitted = f"the {split} split", ""
    if run.metrics.get("baselines_fitted_on") == "the measured samples":
        told, fitted = f"one half of {told}", ", fitted on the other half,"
    left_out = value_of(part, "left_out")
    rows = [
        ("Samples left out", quantity(left_out, "{:,.0f}"),
         f"Samples of the {split} split without a finite code; no number here takes them in."),
        ("Linear probe", percent(value_of(part, "probe_accuracy")),
         f"Share of {told} whose class a linear classifier{fitted} reads off the code."
         f"{_references(part, 'probe_accuracy')}"),
        ("Nearest neighbours", percent(value_of(part, "knn_accuracy")),
         "Share whose class is the one that prevails among their nearest codes."
         f"{_references(part, 'knn_accuracy')}"),
        ("Clusters named as classes", percent(value_of(part, "clustering_accuracy")),
         "Share in the right place when k-means groups the codes without labels and each group "
         "is then given one class."),
        ("Clusters and classes, NMI", quantity(value_of(part, "nmi"), "{:.3f}"),
         "How much a cluster says about the class: 0 nothing, 1 everything."),
        ("Clusters and classes, ARI", quantity(value_of(part, "ari"), "{:.3f}"),
         "How often two samples are together in both: 0 as by chance, 1 always."),
        ("Active units", quantity(value_of(part, "active_units"), "{:,.0f}", of),
         "Numbers of the code that change with the input."),
        ("Dead units", quantity(value_of(part, "dead_units"), "{:,.0f}", of),
         "Numbers of the code that are the same for every input: they carry nothing."),
        ("Effective dimension", quantity(_effective(spectrum), "{:.3g}", of),
         "How many directions the codes spread over: as many as numbers if evenly, 1 if along "
         "a line."),
        ("Trustworthiness", quantity(value_of(part, "trustworthiness"), "{:.3f}"),
         "Whether samples with nearby codes are alike: 1 always, 0.5 about as by chance."),
        ("Hoyer sparsity", quantity(value_of(part, "hoyer_sparsity"), "{:.3f}"),
         "How few units speak for a sample: 0 all of them equally, 1 a single one."),
        ("Mean activation", _mean_activation(part.get("mean_activation")),
         f"Mean of a unit over {_how_many(run)}the {split} split, and then over the "
         f"units.{aim}"),
    ]  # fmt: skip
    return facts(rows) + pictures(run, "codes")


def _how_many(run: Run) -> str:
    """How many samples the codes were measured on, where that is known: "300 samples of "."""
    total = value_of(run.test, "samples")
    if total is None:
        return ""
    left_out = value_of(run.part("codes"), "left_out") or 0
    count = total - left_out
    return f"{count:,.0f} sample{'' if count == 1 else 's'} of "


def _references(part: dict[str, Any], key: str) -> str:
    """What the same classifier makes of PCA codes of the same size and of the input itself."""
    known = mapping(part.get("reference"))
    names = {"pca": "of PCA codes of this size", "input": "of the input itself"}
    found = {name: value_of(known.get(of), key) for of, name in names.items()}
    told = [f"{name} {value:.1%}" for name, value in found.items() if value is not None]
    return f" The same {', '.join(told)}." if told else ""


def variational(run: Run) -> str:
    """How good the model is as a distribution."""
    part = run.part("variational")
    size = run.code_size
    of = "" if size is None else f"of {size:,}"
    collapsed = part.get("collapsed_units")
    collapsed = len(collapsed) if isinstance(collapsed, list) else value_of(part, "collapsed_units")
    rows = [
        ("Evidence lower bound (ELBO)", _nats(part, "elbo_nats"),
         "The log-likelihood of a sample is at least this; higher is better."),
        ("Reconstruction part", _nats(part, "reconstruction_nats"),
         "Negative log-likelihood of a sample given its code, what telling the sample costs once "
         "its code is known; lower is better, and of a density it may be below 0."),
        ("KL part", _nats(part, "kl_nats"),
         "What telling its code costs; near 0 the code says nothing."),
        ("Bits per dimension", quantity(value_of(part, "bits_per_dimension"), "{:.3f}", "bits"),
         _noted(part, "The bound per feature; lower is better.")),
        ("Active units", quantity(value_of(part, "active_units"), "{:,.0f}", of),
         "Numbers of the code whose mean moves with the input (variance above 0.01)."),
        ("Collapsed units", quantity(collapsed, "{:,.0f}", of),
         "Numbers of the code that follow the prior whatever the input is."),
    ]  # fmt: skip
    text = facts(rows)
    if warning := part.get("warning"):
        text = (
            '<p class="warning" role="note"><strong>Warning.</strong> '
            f"{escape(str(warning))}</p>{text}"
        )
    text += _bounds(mapping(part.get("importance_weighted")))
    if pixels := part.get("pixels"):
        text += (
            f'<p class="soft">Pixels: {escape(words(str(pixels)))}. Bounds on grey, statically '
            "and dynamically binarized pixels are different quantities and cannot be compared.</p>"
        )
    return text + pictures(run, "variational")


def _bounds(bounds: dict[str, Any]) -> str:
    """Importance-weighted bounds by their number of samples."""
    rows = []
    for key in sorted(bounds, key=lambda key: (len(key), key)):
        nats, error = value_of(bounds[key], "nats"), value_of(bounds[key], "standard_error")
        if nats is not None:
            spread = "" if error is None else data_element(error, "{:.2g}")
            rows.append([escape(key), data_element(nats, "{:.2f}"), spread])
    if not rows:
        return ""
    head = ["samples of the code", "bound, nats" + under("higher is better"), "standard error"]
    return (
        "<h3>Importance-weighted bound</h3>"
        + table(head, rows, label="Importance-weighted bound")
        + '<p class="soft">Each row is a lower bound of the log-likelihood of a sample, on '
        "average, and the more samples of the code it takes the closer it comes. The standard "
        "error says how far chance may have moved it.</p>"
    )


def linear_check(run: Run) -> str:
    """Whether a linear autoencoder found the subspace of PCA."""
    part = run.part("linear")
    angle = value_of(part, "largest_principal_angle")
    return facts([
        ("Explained variance", percent(value_of(part, "explained_variance")),
         f"Share of the variance of the {run.split} split that the reconstructions keep."),
        ("Explained by PCA", percent(value_of(part, "pca_explained_variance")),
         "The same for as many principal components; no linear model of this size keeps more of "
         "the data that PCA was fitted on."),
        ("Largest principal angle", quantity(angle, "{:.2f}", "degrees"),
         "Between what the decoder spans and the PCA subspace: 0 where they are the same, "
         "90 where a direction is missed altogether."),
    ])  # fmt: skip


def contraction(run: Run) -> str:
    """How far the code moves when the input does."""
    part = run.part("contractive")
    models = {"this model": part}
    beside = mapping(part.get("beside"))
    if beside and all(isinstance(value, dict) for value in beside.values()):
        models |= {str(name): value for name, value in beside.items()}
    elif beside:
        models["the model beside it"] = beside
    rows = []
    for name, values in models.items():
        spread = sorted(numbers_of(values, "singular_values"), reverse=True)
        middle = spread[len(spread) // 2] if spread else None
        cells = [value_of(values, "frobenius"), spread[0] if spread else None, middle]
        if any(cell is not None for cell in cells):
            rows.append([escape(name), *(quantity(cell) for cell in cells)])
    if not rows:
        return pictures(run, "contraction")
    head = [
        "encoder's Jacobian", "Frobenius norm", "largest singular value", "median singular value",
    ]  # fmt: skip
    return (
        table(head, rows, own=0 if len(rows) > 1 else None, label="Contraction")
        + '<p class="soft">A singular value says how far the code moves when the input moves by 1 '
        "in one direction, and the norm is the root of the sum of their squares. Small ones mean "
        "that noise of the input hardly reaches the code; a few large ones are the directions the "
        "code follows.</p>" + pictures(run, "contraction")
    )


def _noted(part: dict[str, Any], sentence: str) -> str:
    note = part.get("note")
    return f"{sentence} {note}" if isinstance(note, str) else sentence


def detection(run: Run) -> str:
    """Where the line to anomalies is drawn."""
    part = run.part("detection")
    rate, count = value_of(part, "false_alarm_rate"), value_of(part, "n")
    flagged = value_of(part, "flagged")
    flagged = value_of(part, "anomaly_rate_test") if flagged is None else flagged
    source = f", {part['data']}" if isinstance(part.get("data"), str) else ""
    rows = [
        ("Threshold", quantity(value_of(part, "threshold")),
         "A sample with an anomaly score above this is called an anomaly. The score is the "
         "reconstruction error, as in ae.score."),
        ("False-alarm rate", percent(rate),
         "At most this share of new normal samples is expected above the threshold."
         f"{_own_rate(part)}"),
        ("Calibrated on", quantity(count, "{:,.0f}", "samples"),
         f"Normal samples that the model was not trained on{source}."),
        ("Above the threshold", percent(flagged),
         "Share of the test split. It is close to the false-alarm rate if that holds normal "
         "samples only."),
    ]  # fmt: skip
    text = facts(rows)
    if text:
        text += _p_values(rate, count)
    return text + pictures(run, "detection")


def _own_rate(part: dict[str, Any]) -> str:
    ends = numbers_of(part, "rate_range")
    if len(ends) != 2:
        return ""
    low, high = (f"{100 * end:.2g}%" for end in ends)
    return f" That of this threshold itself is {low} to {high}, nine times out of ten."


def _p_values(rate: float | None, count: float | None) -> str:
    example = smallest = limit = ""
    if count:
        smallest = f" The smallest possible is 1 / {count + 1:,.0f} = {1 / (count + 1):.2g}."
        if rate is not None:
            allowed = math.floor((count + 1) * rate + 1e-9) / (count + 1)
            limit = (
                f" Over many calibrations like this one, {100 * allowed:.2g}% of normal samples "
                "are flagged on average; a single one may lie somewhat above or below."
            )
    if rate is not None:
        example = f" A sample is called an anomaly where its p-value is at most {rate:g}."
    return (
        '<p class="soft">The p-value of a sample is the share of normal samples that score at '
        f"least as high, itself counted among them.{example}{smallest}{limit} It says nothing "
        "about how many anomalies are found: that takes known anomalies.</p>"
    )


def generation(run: Run) -> str:
    """How good generated samples are."""
    part = run.part("generation")
    spread = value_of(part, "frechet_spread")
    seeds = part.get("seeds")
    seeds = len(seeds) if isinstance(seeds, list) else value_of(part, "seeds")
    plus = "" if spread is None else f"\N{PLUS-MINUS SIGN} {shown(spread)}"
    over = "" if seeds is None else f" Mean and spread over {seeds:.0f} seeds."
    space = part.get("feature_space")
    space = f" ({space})" if isinstance(space, str) else ""
    rows = [
        ("Fréchet distance", quantity(value_of(part, "frechet_distance"), unit=plus),
         f"Between generated and test samples, as a small network sees them{space}; lower is "
         f"better.{over}"),
        ("Floor of that distance", quantity(value_of(part, "reference_distance")),
         "The same between training and test samples: what perfect samples would reach."),
        ("Precision", percent(value_of(part, "precision")),
         "Share of generated samples that look like real ones."),
        ("Recall", percent(value_of(part, "recall")),
         "Share of real samples that some generated one looks like: low where kinds are missing."),
    ]  # fmt: skip
    note = ""
    text = facts(rows)
    if text:
        note = (
            '<p class="soft">The distance depends on that classifier: compare it with the floor '
            "and with runs on the same data, not with published values.</p>"
        )
    return text + note + pictures(run, "generation")


def _nats(part: dict[str, Any], key: str) -> str:
    return quantity(value_of(part, key), "{:.2f}", "nats per sample")


def _effective(spectrum: list[float]) -> float | None:
    """Participation ratio of the eigenvalues of the covariance."""
    # By a power of two, which costs no digit: squares of huge values stay finite.
    power = math.frexp(max(spectrum, default=0.0))[1]
    values = [math.ldexp(value, -power) for value in spectrum]
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / squares if squares else None


def _mean_activation(value: Any) -> str:
    """Of one number, a list of one per unit, or a summary with its mean and extremes."""
    if isinstance(value, dict):
        middle, ends = value_of(value, "mean"), (value_of(value, "min"), value_of(value, "max"))
    elif isinstance(value, list):
        values = numbers_of({"of": value}, "of")
        middle = sum(values) / len(values) if values else None
        ends = (min(values, default=None), max(values, default=None))
    else:
        middle, ends = value_of({"of": value}, "of"), (None, None)
    low, high = ends
    return quantity(
        middle, unit="" if low is None or high is None else f"{shown(low)} to {shown(high)}"
    )
