"""The report of a run: its head, and its sections in order."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kerasae.report import instructions
from kerasae.report.measures import measured
from kerasae.report.numbers import Number, duration, number, plural, shown, typeset, words
from kerasae.report.page import Block, fill, picture, table, write
from kerasae.report.run import Run, mapping, value_of

# Quantity of metrics.json -> heading, whether a higher value is better, what it is.
_QUANTITIES = {
    "mse": ("MSE", False, "MSE is the mean squared error"),
    "mae": ("MAE", False, "MAE the mean absolute error"),
    "bce": ("BCE, nats", False, "BCE the binary cross-entropy per feature"),
    "psnr": ("PSNR, dB", True, "PSNR the squared range of the data over the MSE, in decibels"),
    "ssim": ("SSIM", True, "SSIM the structural similarity of two images, 1 for the same"),
}
_BASELINES = {
    "pca": "PCA, same code size",
    "mean": "mean of the training data",
    "linear_denoiser": "best linear denoiser",
    "clipped": "noisy input, clipped to the range",
    "noisy": "noisy input, as it is",
}
_OWN, _CLEAN, _FLOOR = "this model", "this model on clean input", "lowest possible"


def write_report(run: str | Path) -> Path:
    """Write `report.html` into a run directory, replacing the old one at once.

    Args:
        run: Directory that `kerasae.train` wrote. Only `config.json` must be there: the page says
            what is missing. `metrics.json`, `history.csv`, `figures/figures.json`, `model.keras`
            and `saved_model/` each add their part.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: There is no `config.json` in `run`.
        ValueError: A file of the run cannot be read; the sentence names it.

    Example:
        >>> write_report("runs/denoising-digits")  # doctest: +SKIP
        PosixPath('runs/denoising-digits/report.html')
    """
    content = Run.read(run)
    return write(render(content), content.path / "report.html")


def render(run: Run) -> str:
    """Return the page of a run as HTML.

    Args:
        run: The result of `Run.read`.
    """
    line = "This run has no metrics.json: training was interrupted or is still going on. "
    line += "The commands below continue it from its last checkpoint."
    versions = mapping(run.config.get("versions"))
    return fill(
        _sections(run),
        title=f"{run.variant[:1].upper()}{run.variant[1:]} autoencoder on {run.data_name}",
        eyebrow=f"kerasae report, run {run.path.resolve().name}",
        lead=_lead(run),
        tiles=_tiles(run),
        notice={} if run.metrics else {"Not finished": [line]},
        made_with=", ".join(f"{name} {version}" for name, version in versions.items()) or "kerasae",
    )


def _sections(run: Run) -> dict[str, list[Block]]:
    pictures: dict[str, list[Block]] = {}
    for entry in run.figures:
        pictures.setdefault(str(entry.get("part", "")), []).append(_picture(run, entry))
    losses, further = pictures.pop("losses", []), pictures.pop("", [])
    sections = {"Results": _results(run), "Figures": further}
    for part in dict.fromkeys([*run.measured, *pictures]):
        blocks = measured(run.measured.get(part, {}))
        sections[words(part).capitalize()] = [*blocks, *pictures.get(part, [])]
    return sections | {
        "Loss terms": [*losses, *_losses(run)],
        "Use the model": instructions.use(run),
        "Commands": instructions.commands(run),
        "Configuration": [
            ("folded", {"summary": "All of config.json", "rows": list(_flat(run.config))})
        ],
    }


def _lead(run: Run) -> str:
    """Say what was trained on what and how well it did; another sentence where it is bad."""
    size = run.config.get("latent_dim")
    text = f"{'An' if run.variant[:1].lower() in set('aeiou') else 'A'} {run.variant} autoencoder"
    if size is not None:
        text += f" with a code of {plural(size, 'value')}"
    text += f", trained on {run.data_name}"
    if run.epochs:
        text += f" for {plural(run.epochs, 'epoch')}"
    mse = value_of(run.test, "mse")
    if mse is None:
        return f"{text}."
    text += f", reconstructs the {run.split} split with a mean squared error of {shown(mse)}"
    if errors := _beside_pca(run):
        text += f", {_comparison(*errors)} at the same code size ({shown(errors[1])})"
    if psnrs := _psnr_gain(run):
        before, after = psnrs
        verb = "raises" if after >= before else "lowers"
        gain = f"{after - before:+.1f} dB"
        text += f", and {verb} noisy input from {before:.1f} to {after:.1f} dB ({gain})"
    mean = value_of(run.baselines.get("mean"), "mse")
    if mean is None or not mse > 1.005 * mean:
        return f"{text}."
    halves = run.metrics.get("baselines_fitted_on") == "the measured samples"
    return (
        f"{text}. Worse than the mean of the {'measured' if halves else 'training'} data: train "
        "longer, or look at the scaling."
    )


def _tiles(run: Run) -> list[tuple[str, Any, str]]:
    tiles: list[tuple[str, Any, str]] = []
    mse, psnr = value_of(run.test, "mse"), value_of(run.test, "psnr")
    if mse is not None:
        tiles.append(("Mean squared error", number(mse), f"{run.split} split, scaled units"))
    if errors := _beside_pca(run):
        own, pca = errors
        change = typeset(f"{100 * (own / pca - 1):+.0f}%")
        change = f"{_times(own, pca)} times" if own > 2 * pca else change
        tiles.append(("Error next to PCA", change, f"PCA at the same code size: {shown(pca)}"))
    if psnr is not None:
        tiles.append(("PSNR", number(psnr, ".1f", "dB"), "higher is better"))
    if psnrs := _psnr_gain(run):
        before, after = psnrs
        gain = typeset(f"{after - before:+.1f} dB")
        tiles.append(("PSNR gain", gain, f"noisy input: {before:.1f} dB"))
    if run.epochs:
        best, seconds = run.part("training").get("best_epoch"), run.part("training").get("seconds")
        notes = [] if best is None else [f"best {best}"]
        notes += [duration(seconds)] if isinstance(seconds, int | float) else []
        tiles.append(("Trained for", plural(run.epochs, "epoch"), ", ".join(notes)))
    return tiles


def _beside_pca(run: Run) -> tuple[float, float] | None:
    """Return the error of the model and of PCA, where both are known and can be compared."""
    own, pca = value_of(run.test, "mse"), value_of(run.baselines.get("pca"), "mse")
    return (own, pca) if own is not None and pca and math.isfinite(own / pca) else None


def _comparison(value: float, other: float) -> str:
    change = value / other - 1
    if abs(change) < 0.005:
        return "equal within half a percent to PCA"
    if change > 1:
        return f"{_times(value, other)} times PCA's"
    return f"{abs(change):.0%} {'below' if change < 0 else 'above'} PCA"


def _times(value: float, other: float) -> str:
    ratio = value / other
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.2g}"


def _psnr_gain(run: Run) -> tuple[float, float] | None:
    """Return the PSNR of the noisy input and of the reconstruction, where both are known."""
    before, after = value_of(run.baselines.get("noisy"), "psnr"), value_of(run.test, "psnr")
    if before is None or after is None or not math.isfinite(before + after):
        return None
    return before, after


def _results(run: Run) -> list[Block]:
    """Return the table of the model and its baselines, in every quantity that was measured."""
    if not run.test:
        return []
    rows = {_OWN: run.test, _CLEAN: run.part("clean")}
    rows |= {_BASELINES.get(name, name): values for name, values in run.baselines.items()}
    rows[_FLOOR] = {"bce": value_of(run.test, "bce_floor")}
    rows = {name: row for name, row in rows.items() if any(v is not None for v in row.values())}
    head, told = [(f"on the {run.split} split", "")], []
    cells: dict[str, list[Number | str]] = {name: [] for name in rows}
    for key, (heading, higher, meaning) in _QUANTITIES.items():
        values = {name: value_of(row, key) for name, row in rows.items()}
        # Clean input is another task, and the floor is no model.
        rivals = {name: value for name, value in values.items() if name not in (_CLEAN, _FLOOR)}
        known = [value for value in rivals.values() if value is not None and value == value]
        if not known:
            continue
        best = (max if higher else min)(known) if len(rivals) > 1 else None
        head.append((heading, f"{'higher' if higher else 'lower'} is better"))
        told.append(meaning)
        for name, value in values.items():
            leads = name in rivals and value == best
            cells[name].append("" if value is None else number(value)._replace(best=leads))
    own = value_of(run.test, "mse")
    errors = {name: value_of(row, "mse") for name, row in rows.items()}
    if own and sum(error is not None for error in errors.values()) > 1:
        head.append(("MSE ratio", "to this model"))
        for name, error in errors.items():
            cells[name].append("" if error is None else f"{error / own:.2f}")
    note = f"Means over the {run.split} split, in scaled units, those of the loss. "
    note += f"{'; '.join(told)}." if told else ""
    if _CLEAN in rows:
        note += " The model on clean input has an easier task, and is not ranked."
    if not run.baselines:
        note += " This run recorded no baselines."
    body = [[name, *row] for name, row in cells.items()]
    return [table("Results", head, body, own=True), ("text", note.strip())]


def _losses(run: Run) -> list[Block]:
    """Return each loss term: first, last and lowest value, and the value measured at the end."""
    rows = []
    for term, split, values in run.terms():
        known = [(value, epoch) for epoch, value in enumerate(values, 1) if value == value]
        lowest, epoch = min(known, default=(math.nan, 0))
        under = f"epoch {epoch}" if epoch else ""
        ends = number(values[0]), number(values[-1])
        rows.append([f"{term}, {split}", *ends, number(lowest)._replace(under=under)])
    if not rows:
        return []
    note = f"{plural(run.epochs, 'epoch')}, counted from 1."
    if (best := run.part("training").get("best_epoch")) is not None:
        note += f" The weights kept are those of epoch {best}."
    measured = {name: value_of(run.test, name) for name in run.test if name.endswith("loss")}
    facts = [(words(n), number(v), "") for n, v in measured.items() if v is not None]
    if facts:
        note += f" On the {run.split} split:"
    head = ["term", "first", "last", "lowest"]
    return [table("Loss terms", head, rows), ("text", note), ("facts", facts)]


def _picture(run: Run, entry: Mapping[str, Any]) -> Block:
    name = str(entry.get("file", ""))
    title = str(entry.get("title") or Path(name).stem)
    # Only a file directly in the folder: the page must not carry off any other.
    file = run.path / "figures" / name
    data = file.read_bytes() if name == file.name and file.is_file() else b""
    return picture(data, title, str(entry.get("alt") or title), name)


def _flat(value: Mapping[str, Any], prefix: str = "", depth: int = 8) -> Iterable[tuple[str, str]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item and depth:
            yield from _flat(item, f"{name}.", depth - 1)
        else:
            yield name, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
