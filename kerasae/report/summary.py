"""The head of the page: title, one sentence, key numbers."""

import math
from html import escape

from kerasae.report.markup import data_element, duration, plural, shown, typeset
from kerasae.report.run import Run, value_of


def title(run: Run) -> str:
    return f"{run.variant[:1].upper()}{run.variant[1:]} autoencoder on {run.data_name}"


def header(run: Run) -> str:
    return (
        f'<p class="eyebrow">kerasae report, run {escape(run.path.resolve().name)}</p>'
        f"<h1>{escape(title(run))}</h1>"
        f'<p class="lead">{escape(_summary(run))}</p>{_key_numbers(run)}'
    )


def notice(run: Run) -> str:
    """What to know first about a run that has no metrics."""
    if run.metrics:
        return ""
    return (
        '<section class="notice" role="note"><h2>Not finished</h2><p>This run has no '
        "<code>metrics.json</code>: training was interrupted or is still going on. "
        "The commands below continue it from its last checkpoint.</p></section>"
    )


def _summary(run: Run) -> str:
    """What was trained on what and how well it did, in one sentence; another where it is bad."""
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
    return f"{text}.{_verdict(run, mse)}"


def _verdict(run: Run, mse: float) -> str:
    """What to say of a model that is worse than no model, empty for all others."""
    mean = value_of(run.baselines.get("mean"), "mse")
    if mean is None or not mse > 1.005 * mean:
        return ""
    fitted_on = "training"
    if run.metrics.get("baselines_fitted_on") == "the measured samples":
        fitted_on = "measured"
    return f" Worse than the mean of the {fitted_on} data: train longer, or look at the scaling."


def _key_numbers(run: Run) -> str:
    tiles = []
    mse, psnr = value_of(run.test, "mse"), value_of(run.test, "psnr")
    if mse is not None:
        tiles.append(("Mean squared error", data_element(mse), f"{run.split} split, scaled units"))
    if errors := _beside_pca(run):
        own, pca = errors
        change = f"{_times(own, pca)} times" if own > 2 * pca else ""
        change = change or typeset(f"{100 * (own / pca - 1):+.0f}%")
        tiles.append(("Error beside PCA", change, f"PCA at the same code size: {shown(pca)}"))
    if psnr is not None:
        tiles.append(("PSNR", f"{data_element(psnr, '{:.1f}')} dB", "higher is better"))
    if psnrs := _psnr_gain(run):
        before, after = psnrs
        gain = typeset(f"{after - before:+.1f} dB")
        tiles.append(("PSNR gain", gain, f"noisy input: {before:.1f} dB"))
    if run.epochs:
        notes = [f"best {best}"] if (best := run.training.get("best_epoch")) is not None else []
        if (seconds := value_of(run.training, "seconds")) is not None:
            notes.append(duration(seconds))
        tiles.append(("Trained for", plural(run.epochs, "epoch"), ", ".join(notes)))
    cells = "".join(
        f'<div><dt>{name}</dt><dd class="value">{value}</dd>'
        f'<dd class="note">{escape(note)}</dd></div>'
        for name, value, note in tiles
    )
    return f'<dl class="key">{cells}</dl>' if tiles else ""


def _beside_pca(run: Run) -> tuple[float, float] | None:
    """Error of the model and of PCA, where both are known and can be compared."""
    own, pca = value_of(run.test, "mse"), value_of(run.baselines.get("pca"), "mse")
    if own is None or not pca or not math.isfinite(own / pca):
        return None
    return own, pca


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
    """PSNR of the noisy input and of the reconstruction, where both are known."""
    before, after = value_of(run.baselines.get("noisy"), "psnr"), value_of(run.test, "psnr")
    if before is None or after is None or not math.isfinite(before + after):
        return None
    return before, after
