"""Several runs next to each other: rows for a table, and one page with table and figure."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerasae.report.numbers import number, plural
from kerasae.report.page import Block, fill, picture, table, write
from kerasae.report.run import Run, is_number, mapping, value_of

# Column -> heading, small print, form of its numbers. What is compared comes first: the rest may be
# out of sight on a phone.
_COLUMNS = {
    "mse": ("MSE", "lower is better", ""),
    "beside_pca": ("Error next to PCA", "negative is better", "+.0%"),
    "psnr": ("PSNR, dB", "higher is better", ""),
    "ssim": ("SSIM", "higher is better", ""),
    "probe_accuracy": ("Linear probe", "classes read off the code", "percent"),
    "knn_accuracy": ("Nearest neighbours", "classes of the codes nearby", "percent"),
    "elbo_nats": ("ELBO, nats", "higher is better", ""),
    "frechet_distance": ("Fréchet distance", "lower is better", ""),
    "variant": ("Variant", "", ""),
    "data": ("Data", "", ""),
    "network": ("Network", "", ""),
    "latent_dim": ("Code", "values", ",.0f"),
    "parameters": ("Parameters", "", ",.0f"),
    "epochs": ("Epochs", "", ",.0f"),
    "seconds": ("Training, s", "", ",.0f"),
}


def compare_rows(runs: Iterable[Any]) -> list[dict[str, Any]]:
    """Return one row of plain numbers for each run, lowest error first, runs on one data together.

    Args:
        runs: Run directories, or results of `Run.read`.

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
        runs: Run directories, or results of `Run.read`.

    Returns:
        Sentences; none where all were measured on the same samples in the same units.
    """
    kinds: dict[str, dict[str, list[str]]] = {}
    for name, run in _named(_read(runs)).items():
        for sentence, kind in _conditions(run).items():
            kinds.setdefault(sentence, {}).setdefault(kind, []).append(name)
    sentences = []
    for sentence, found in kinds.items():
        if len(found) > 1:
            told = "; ".join(f"{', '.join(names)}: {kind}" for kind, names in found.items())
            sentences.append(f"{sentence} ({told}).")
    return sentences


def write_comparison(runs: Iterable[Any], out: Any = "comparison.html") -> Path:
    """Write one page with the table of runs and a figure of their errors.

    Args:
        runs: Run directories, or results of `Run.read`.
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
    rows, reasons = _rows(found), differences(found)
    lead = f"{plural(len(rows), 'run')} side by side, lowest error first."
    if reasons:
        lead = f"{plural(len(rows), 'run')} side by side, with differences that are named below."
    elif rows[0].get("mse") is not None and len(rows) > 1:
        best, data = rows[0], _short(rows[0]["data"])
        lead = f"{best['name']} has the lowest error on {data}: "
        lead += f"a mean squared error of {best['mse']:.4g}."
    sections = {"Runs": _table(rows), "Errors": _figure(rows)}
    notice = {"Compare with care": reasons} if reasons else {}
    page = fill(sections, title=title, eyebrow="kerasae comparison", lead=lead, notice=notice)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write(page, target)


def _read(runs: Iterable[Any]) -> list[Run]:
    found = [run if isinstance(run, Run) else Run.read(run) for run in runs]
    if not found:
        raise ValueError("runs must name at least one run directory. Received: runs=[]")
    return found


def _named(runs: list[Run]) -> dict[str, Run]:
    """Return runs by the name of their directory, or by their path where two share the name."""
    names = [run.path.resolve().name for run in runs]
    named: dict[str, Run] = {}
    for name, run in zip(names, runs, strict=True):
        shown = name if names.count(name) == 1 else str(run.path)
        while shown in named:
            shown += " (again)"
        named[shown] = run
    return named


def _conditions(run: Run) -> dict[str, str]:
    """Return what must be the same in runs that are compared, by what is wrong if it is not."""
    config = run.config
    samples = value_of(config.get("samples"), run.split) or value_of(run.test, "samples")
    measured_on = f"{run.split} split" + (f" of {samples:,.0f} samples" if samples else "")
    for key, value in sorted(mapping(config.get("data_options")).items()):
        measured_on += "" if key == "data_dir" else f", {key}={value!r}"
    return {
        # A path that is the same from every folder, or the name of the data.
        "Runs on different data cannot be compared by their errors": str(
            config.get("data_path") or run.data
        ),
        "The runs were not measured on the same samples": measured_on,
        "The splits were drawn with different seeds, and differ unless the data bring their own": (
            f"seed {config.get('seed', 'unknown')}"
        ),
        "Errors are in the units of each run's scaler, and these differ": str(
            config.get("scaler") or "no scaler"
        ),
        "Not all runs were given the same input to reconstruct from": (
            "corrupted input" if run.part("noisy") else "clean input"
        ),
    }


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    rows = [_row(name, run) for name, run in _named(runs).items()]
    rows.sort(key=lambda row: (row["data"], row["mse"] is None, row["mse"] or 0.0))
    some = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    return [{key: row[key] for key in some} for row in rows]


def _row(name: str, run: Run) -> dict[str, Any]:
    pca, mse = value_of(run.baselines.get("pca"), "mse"), value_of(run.test, "mse")
    described = {key: run.config.get(key) for key in ("network", "latent_dim", "parameters")}
    # From whatever part of the metrics has it.
    found: dict[str, float | None] = {}
    for key in list(_COLUMNS)[2:8]:
        values = (value_of(part, key) for part in (run.test, *run.measured.values()))
        found[key] = next((value for value in values if value is not None), None)
    return {
        "name": name,
        "variant": run.variant,
        "data": run.data,
        **described,
        "epochs": run.epochs or None,
        "seconds": value_of(run.part("training"), "seconds"),
        "mse": mse,
        "pca_mse": pca,
        "beside_pca": mse / pca - 1 if mse is not None and pca else None,
        **found,
    }


def _short(data: str) -> str:
    return Path(data).name or data


def _table(rows: list[dict[str, Any]]) -> list[Block]:
    columns = {key: column for key, column in _COLUMNS.items() if key in rows[0]}
    if len({row["data"] for row in rows}) == 1:
        del columns["data"]
    head = ["run", *((heading, small) for heading, small, _ in columns.values())]
    cells = [
        [row["name"], *(_cell(key, row[key], form) for key, (*_, form) in columns.items())]
        for row in rows
    ]
    return [table("Runs", head, cells)]


def _cell(key: str, value: Any, form: str) -> Any:
    if is_number(value):
        return number(value, form)
    return "" if value is None else _short(str(value)) if key == "data" else str(value)


def _figure(rows: list[dict[str, Any]]) -> list[Block]:
    """Return the figure, where there is an error to draw."""
    from kerasae.report import figures

    try:
        errors, references = (
            {row["name"]: row.get(key) for row in rows} for key in ("mse", "pca_mse")
        )
        drawing = figures.comparison(errors, references)
    except ValueError:  # no run is finished
        return []
    return [picture(drawing.png(), "Error of each run", drawing.alt)]
