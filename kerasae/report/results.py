"""The model beside its baselines, in every quantity that was measured."""

from html import escape

from kerasae.report.markup import data_element, table, under
from kerasae.report.run import Run, value_of

# Quantity of metrics.json -> heading, whether a higher value is better, what it is.
_QUANTITIES = {
    "mse": ("MSE", False, "MSE is the mean squared error"),
    "mae": ("MAE", False, "MAE the mean absolute error"),
    "bce": (
        "BCE, nats", False,
        "BCE the binary cross-entropy per feature, which for grey values cannot reach 0",
    ),
    "psnr": ("PSNR, dB", True, "PSNR the squared range of the data over the MSE, in decibels"),
    "ssim": (
        "SSIM", True,
        "SSIM the structural similarity of two images, 1 where they are the same",
    ),
}  # fmt: skip
_BASELINES = {
    "pca": "PCA, same code size",
    "mean": "mean of the training data",
    "linear_denoiser": "best linear denoiser",
    "clipped": "noisy input, clipped to the range",
    "noisy": "noisy input, as it is",
}
_OWN, _CLEAN, _FLOOR = "this model", "this model on clean input", "lowest possible"


def results(run: Run) -> str:
    """The model beside its baselines."""
    if not run.test:
        return ""
    rows = {_OWN: run.test}
    if run.part("clean"):
        rows[_CLEAN] = run.part("clean")
    rows |= {_BASELINES.get(name, name): values for name, values in run.baselines.items()}
    floor = value_of(run.test, "bce_floor")
    if floor is not None:
        rows[_FLOOR] = {"bce": floor}
    head, columns, told = [f"on the {escape(run.split)} split"], [], []
    for key, (heading, higher, meaning) in _QUANTITIES.items():
        values = {name: value_of(row, key) for name, row in rows.items()}
        # Clean input is another task, and the floor is no model.
        rivals = {name: value for name, value in values.items() if name not in (_CLEAN, _FLOOR)}
        numbers = [value for value in rivals.values() if value is not None and value == value]
        if not numbers:
            continue
        best = (max if higher else min)(numbers) if len(rivals) > 1 else None
        head.append(heading + under(f"{'higher' if higher else 'lower'} is better"))
        columns.append(
            {name: _cell(value, best if name in rivals else None) for name, value in values.items()}
        )
        told.append(meaning)
    own = value_of(run.test, "mse")
    errors = {name: value_of(row, "mse") for name, row in rows.items() if row is not run.test}
    if own and any(value is not None for value in errors.values()):
        head.append("MSE ratio" + under("to this model"))
        ratios = {n: "" if value is None else f"{value / own:.2f}" for n, value in errors.items()}
        columns.append({_OWN: "1", **ratios})
    body = [[escape(name), *(column.get(name, "") for column in columns)] for name in rows]
    note = f"Means over the {escape(run.split)} split, in scaled units, those of the loss."
    note += f" {'; '.join(told)}." if told else ""
    if _CLEAN in rows:
        note += " The model on clean input has an easier task, and is not ranked."
    if not run.baselines:
        note += " This run recorded no baselines."
    return table(head, body, own=0, label="Results") + f'<p class="soft">{note}</p>'


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return ""
    return ('<span class="best">best</span>' if value == best else "") + data_element(value)
