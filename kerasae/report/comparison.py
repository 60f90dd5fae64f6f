"""Several runs beside each other: rows for a table, and one page with table and figure."""

import tempfile
import warnings
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from kerasae.files import replacing
from kerasae.report.markup import data_element, duration, percent, plural, table, typeset, under
from kerasae.report.page import fill
from kerasae.report.run import Run, mapping, value_of
from kerasae.report.sections import picture

# Part of the metrics and number in it -> heading and small print of its column.
_MEASURED = {
    "mse": ("test", "MSE", "lower is better"),
    "psnr": ("test", "PSNR, dB", "higher is better"),
    "ssim": ("test", "SSIM", "higher is better"),
    "probe_accuracy": ("codes", "Linear probe", "classes read off the code"),
    "knn_accuracy": ("codes", "Nearest neighbours", "classes of the codes nearby"),
    "elbo_nats": ("variational", "ELBO, nats", "higher is better"),
    "frechet_distance": ("generation", "Fréchet distance", "lower is better"),
}
# What the page says of a run besides: heading, small print.
_DESCRIBED = {
    "variant": ("Variant", ""),
    "data": ("Data", ""),
    "network": ("Network", ""),
    "latent_dim": ("Code", "numbers"),
    "parameters": ("Parameters", ""),
    "epochs": ("Epochs", ""),
    "seconds": ("Training", ""),
    "beside_pca": ("Error beside PCA", "negative is better"),
}


def compare_rows(runs: Iterable[Any]) -> list[dict[str, Any]]:
    """Return one row of plain numbers for each run, lowest error first, runs on one data together.

    Args:
        runs: Run directories, or what `Run.read` returned.

    Returns:
        Rows with the same keys in the same order: `name`, `variant`, `data`, `network`,
        `latent_dim`, `parameters`, `epochs`, `seconds`, `mse` (scaled units), `psnr` (dB), ...,
        and `beside_pca`, the error divided by that of PCA at the same code size, minus 1. What
        a run does not have is None, what no run has is left out.

    Warns:
        UserWarning: The runs were not measured on the same; `differences` has the sentences.

    Raises:
        ValueError: There is no run, or a file of one cannot be read.
    """
    found = _read(runs)
    for sentence in differences(found):
        warnings.warn(sentence, stacklevel=2)
    return _rows(found)


def differences(runs: Iterable[Any]) -> list[str]:
    """Return a sentence for each reason why the numbers of runs cannot be compared as they are.

    Args:
        runs: Run directories, or what `Run.read` returned.

    Returns:
        Sentences; none where all were measured on the same samples in the same units.
    """
    named = _named(_read(runs))
    sentences = []
    for of, sentence in _REASONS:
        kinds: dict[str, list[str]] = {}
        for name, run in named.items():
            kinds.setdefault(of(run), []).append(name)
        if len(kinds) > 1:
            told = "; ".join(f"{', '.join(names)}: {kind}" for kind, names in kinds.items())
            sentences.append(f"{sentence} ({told}).")
    return sentences


def write_comparison(runs: Iterable[Any], out: Any = "comparison.html") -> Path:
    """Write one page with the table of runs and a figure of their errors.

    Args:
        runs: Run directories, or what `Run.read` returned.
        out: The file to write, or a folder, which gets a `comparison.html`.

    Returns:
        The path of the page, a single file that loads nothing.

    Raises:
        ValueError: There is no run, or a file of one cannot be read.
    """
    found = _read(runs)
    target = Path(out)
    if target.is_dir():
        target = target / "comparison.html"
    title = f"Comparison of {plural(len(found), 'run')}"
    rows = _rows(found)
    reasons = "".join(f"<p>{escape(sentence)}</p>" for sentence in differences(found))
    notice, lead = "", _lead(rows)
    if reasons:
        lead = f"{plural(len(rows), 'run')} side by side, with differences that are named below."
        notice = (
            f'<section class="notice" role="note"><h2>Compare with care</h2>{reasons}</section>'
        )
    body = (
        f'<header><p class="eyebrow">kerasae comparison</p><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p></header>\n<main>\n{notice}'
        f'<section aria-labelledby="runs"><h2 id="runs">Runs</h2>{_table(rows)}</section>\n'
        f"{_figure(rows)}</main>\n<footer><p>Made with kerasae. This page is one file: "
        "it loads nothing and runs no script.</p></footer>"
    )
    page = fill(f"{title} - kerasae", body).encode("utf-8", "xmlcharrefreplace")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(page)
    return target


def _read(runs: Iterable[Any]) -> list[Run]:
    found = [run if isinstance(run, Run) else Run.read(run) for run in runs]
    if not found:
        raise ValueError("runs must name at least one run directory. Received: runs=[]")
    return found


def _named(runs: list[Run]) -> dict[str, Run]:
    """Runs by the name of their directory, or by their path where two share the name."""
    names = [run.path.resolve().name for run in runs]
    named: dict[str, Run] = {}
    for name, run in zip(names, runs, strict=True):
        shown = name if names.count(name) == 1 else str(run.path)
        while shown in named:
            shown += " (again)"
        named[shown] = run
    return named


def _samples(run: Run) -> str:
    samples = value_of(run.config.get("samples"), run.split)
    if samples is None:
        samples = value_of(run.test, "samples")
    options = {k: v for k, v in mapping(run.config.get("data_options")).items() if k != "data_dir"}
    text = f"{run.split} split" + ("" if samples is None else f" of {samples:,.0f} samples")
    return text + "".join(f", {key}={value!r}" for key, value in sorted(options.items()))


_REASONS: tuple[tuple[Callable[[Run], str], str], ...] = (
    (lambda run: run.source, "Runs on different data cannot be compared by their errors"),
    (_samples, "The runs were not measured on the same samples"),
    (
        lambda run: f"seed {run.config.get('seed', 'unknown')}",
        "The splits were drawn with different seeds, and differ unless the data bring their own",
    ),
    (
        lambda run: str(run.config.get("scaler") or "no scaler"),
        "Errors are in the units of each run's scaler, and these differ",
    ),
    (
        lambda run: "corrupted input" if run.part("noisy") else "clean input",
        "Not all runs were given the same input to reconstruct from",
    ),
)


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    rows = [_row(name, run) for name, run in _named(runs).items()]
    rows.sort(key=lambda row: (row["data"], row["mse"] is None, row["mse"] or 0.0))
    some = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    return [{key: row[key] for key in some} for row in rows]


def _row(name: str, run: Run) -> dict[str, Any]:
    pca, mse = value_of(run.baselines.get("pca"), "mse"), value_of(run.test, "mse")
    described = {key: run.config.get(key) for key in ("network", "latent_dim", "parameters")}
    return {
        "name": name,
        "variant": run.variant,
        "data": run.data,
        **described,
        "epochs": run.epochs or None,
        "seconds": value_of(run.training, "seconds"),
        "mse": mse,
        "pca_mse": pca,
        "beside_pca": mse / pca - 1 if mse is not None and pca else None,
        **{
            key: value_of(run.part(part), key)
            for key, (part, *_) in _MEASURED.items()
            if key != "mse"
        },
    }


def _lead(rows: list[dict[str, Any]]) -> str:
    if rows[0].get("mse") is None or len(rows) < 2:
        return f"{plural(len(rows), 'run')} side by side, lowest error first."
    best = rows[0]
    data = Path(best["data"]).name or best["data"]
    return (
        f"{best['name']} has the lowest error on {data}: a mean squared error of {best['mse']:.4g}."
    )


def _table(rows: list[dict[str, Any]]) -> str:
    # What is compared comes first: the rest may be out of sight on a phone.
    # The error of PCA is in the figure.
    keys = [key for key in (*_MEASURED, *_DESCRIBED) if key in rows[0] and key != "pca_mse"]
    if len({row["data"] for row in rows}) == 1:
        keys.remove("data")
    keys.sort(key=lambda key: key not in ("mse", "beside_pca"))
    head = ["run"]
    for key in keys:
        heading, small = _DESCRIBED[key] if key in _DESCRIBED else _MEASURED[key][1:]
        head.append(heading + (under(small) if small else ""))
    body = [[escape(row["name"]), *(_cell(key, row[key]) for key in keys)] for row in rows]
    return table(head, body, label="Runs")


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "data":
        return escape(Path(str(value)).name or str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(str(value))
    if key == "seconds":
        return f'<data value="{value!r}">{duration(value)}</data>'
    if key == "beside_pca":
        return f'<data value="{value!r}">{typeset(f"{100 * value:+.0f}%")}</data>'
    if key.endswith("accuracy"):
        return percent(value)
    return data_element(value, "{:,.0f}" if isinstance(value, int) else None)


def _figure(rows: list[dict[str, Any]]) -> str:
    """A section with the figure, where there is an error to draw."""
    from kerasae.report import figures

    runs = {row["name"]: row for row in rows}
    try:
        alt = figures.alt_comparison(runs, beside="pca_mse")
    except ValueError:  # no run is finished
        return ""
    with tempfile.TemporaryDirectory() as folder:
        file = figures.save(
            figures.comparison(runs, beside="pca_mse"), Path(folder) / "comparison.png"
        )
        framed = picture(file.read_bytes(), "Errors", alt)
    return (
        '<section aria-labelledby="figure"><h2 id="figure">Errors</h2><figure>'
        f'<figcaption><p aria-hidden="true">{escape(alt)}</p></figcaption>'
        f"{framed}</figure></section>\n"
    )
