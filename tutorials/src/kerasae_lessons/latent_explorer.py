"""The latent explorer: a page in which a point of a 2-D code is dragged and decoded at once."""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from kerasae.errors import check_whole
from kerasae.files import replacing
from kerasae_lessons.decoder import check_same, steps_of
from kerasae_lessons.figures import png

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>Latent explorer</title>
<style>
body { margin: 0; padding: 1rem; background: #fff; color: #1c2024; }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e8eaec; } }
h1 { font: 600 1.25rem/1.3 system-ui, sans-serif; margin: 0 0 .75rem; }
</style>
</head>
<body>
<h1>Latent explorer</h1>
%s
</body>
</html>
"""


class Explorer:
    """A self-contained latent explorer, shown by Jupyter and saved as one HTML file.

    It is made by `explorer(ae, x)`. Scripts, weights (float16) and picture are inside, so it
    makes no requests and works from a file, in a notebook and on a site. Where scripts are
    removed, the picture remains.

    Attributes:
        spec: The input of the page's script: weights, codes, ranges, words.
        alt: The text alternative of the picture.
        picture: A static picture of the map, PNG.
    """

    def __init__(self, spec: dict[str, Any], picture: bytes, alt: str):
        text = json.dumps(spec, sort_keys=True)
        self.spec = {"id": hashlib.sha256(text.encode()).hexdigest()[:12], **spec}
        self.picture = picture
        self.alt = alt

    def __repr__(self) -> str:
        codes = len(base64.b64decode(self.spec["codes"])) // 4
        return f"<latent explorer of {codes:,} codes; .save('explorer.html') writes its page>"

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.picture).decode()
        # "</" would end the script.
        spec = json.dumps(self.spec, sort_keys=True).replace("</", "<\\/")
        return (
            f'<div class="kerasae-explorer" data-kerasae-explorer="{self.spec["id"]}" '
            'data-lm-suppress-shortcuts="true">\n'
            f'<img src="data:image/png;base64,{image}" alt="{escape(self.alt)}" '
            'style="max-width: 100%; background: #fff">\n'
            "<p>A picture of what can be dragged where scripts run.</p>\n</div>\n"
            f"<style>\n{_read('explorer.css')}</style>\n"
            f"<script>\n(() => {{\n{_read('explorer.js')}\nstart({spec});\n}})();\n</script>"
        )

    def save(self, path: str | Path) -> Path:
        """Write the explorer as one HTML file that needs nothing else.

        Args:
            path: File to write or replace.

        Returns:
            The path.
        """
        path = Path(path)
        with replacing(path) as temporary:
            temporary.write_text(_PAGE % self._repr_html_(), "utf-8")
        return path


def explorer(
    ae: Any,
    x: Any,
    labels: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    noun: str = "sample",
    points: int = 1500,
    image_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Explorer:
    """Make a page in which a point of a 2-D code can be dragged, and show what it decodes to.

    The map shows the codes of `x`, coloured and marked by label, with the name of each class at
    its median. For models with a prior N(0, I), its density is shaded and its quantiles are drawn
    as lines. The point moves by mouse, touch, arrow keys and two sliders. A line of text gives
    its coordinates, the nearest training sample, and the prior's density.

    The decoder runs in the page, in plain JavaScript on float16 weights. On images in [0, 1] its
    pixels differ from those of Keras by about 0.001.

    Args:
        ae: An `Autoencoder` with `latent_dim=2` and a decoder of dense layers; image samples.
        x: Training samples `(n, *input_shape)`, raw.
        labels: One class per sample, `(n,)`, or None.
        class_names: Names indexed by integer labels.
        noun: What one sample is, such as `"digit"`, in the singular.
        points: Largest number of codes to draw, taken evenly from `x`.
        image_shape: `(height, width)` or `(height, width, 3)` of samples that are flat vectors.
        value_range: Raw values shown as black and white. None takes 0 and 255 for uint8, 0 and 1
            for data within, and otherwise the range of `x`.

    Returns:
        An `Explorer`: displayed as the last value of a notebook's cell, or `.save(path)`.

    Raises:
        ValueError: If the code does not have two dimensions, the decoder is not a chain of dense
            layers with common activations, samples are not images, labels are not one per
            sample, or `points` is below 2.

    Example:
        >>> explorer(ae, x_train, labels, noun="digit").save("explorer.html")  # doctest: +SKIP
        PosixPath('explorer.html')
    """
    from kerasae.report.figures.samples import one_each, span_of

    if ae.latent_dim != 2:
        raise ValueError(
            f"explorer needs latent_dim=2, the two axes of its map. "
            f"Received: latent_dim={ae.latent_dim}"
        )
    if not hasattr(x, "__len__") or hasattr(x, "element_spec"):
        raise ValueError(
            "x must be an array of samples, such as splits.array('train'). "
            f"Received: {type(x).__name__}"
        )
    points = check_whole("points", points, 2)
    x = np.asarray(x)
    shape = _image_shape(ae.sample_shape, image_shape)
    if len(x) < 2:
        raise ValueError(f"x must hold at least 2 samples. Received: x of shape {x.shape}")
    steps, weights = steps_of(ae)
    labels = None if labels is None else one_each(labels, len(x))
    chosen = np.linspace(0, len(x) - 1, min(len(x), points)).round().astype(int)
    codes = ae.encode(x[chosen])
    if not np.isfinite(codes).all():
        raise ValueError("The codes of x must be finite. Received: NaN or infinite codes")
    check_same(ae, steps, weights, codes)
    names: list[str] = []
    members = None
    if labels is not None:
        classes, members = np.unique(labels[chosen], return_inverse=True)
        if len(classes) > 256:
            raise ValueError(
                f"labels must name at most 256 classes. Received: {len(classes)} classes"
            )
        names = [str(class_names[c] if class_names is not None else c) for c in classes]
    prior = ae.prior == "normal"
    limits = _limits(codes, prior)
    middle = np.zeros(2) if prior else codes[_nearest(codes, np.median(codes, axis=0))]
    span = span_of(x, value_range)
    spec = {
        "weights": _halves("weights", np.concatenate([w.ravel() for w in weights])),
        "steps": steps,
        "codes": _halves("codes", codes),
        "labels": None if members is None else _text(members.astype("uint8").tobytes()),
        "names": names,
        "places": [
            np.median(codes[members == i], axis=0).round(4).tolist() for i in range(len(names))
        ],
        "noun": noun,
        "limits": limits,
        "shape": shape,
        "range": span,
        "start": np.asarray(middle, float).round(4).tolist(),
        "quantiles": (
            [[round(NormalDist().inv_cdf(q), 5), f"{q:.0%}"] for q in _QUANTILES] if prior else None
        ),
        "help": _help(len(codes), noun, bool(names), prior),
    }
    picture, alt = _picture(ae, codes, members, names, limits, shape, span)
    return Explorer(spec, picture, alt)


def _image_shape(
    sample_shape: tuple[int, ...], image_shape: tuple[int, ...] | None
) -> tuple[int, int, int]:
    shape = tuple(image_shape or sample_shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3) or np.prod(shape) != np.prod(sample_shape):
        raise ValueError(
            "explorer shows images, (height, width), with 1 or 3 channels; give image_shape for "
            f"flat vectors. Received: samples of shape {tuple(sample_shape)}, "
            f"image_shape={image_shape}"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def _limits(codes: np.ndarray, prior: bool) -> list[list[float]]:
    """Return the edges of the map: equal for both axes with a prior, else those of the codes."""
    low, high = np.quantile(codes, [0.005, 0.995], axis=0).astype(float)
    if prior:
        edge = round(float(max(3.0, np.abs([low, high]).max())), 2)
        return [[-edge, edge], [-edge, edge]]
    extent = np.where(high > low, high - low, 1.0)
    edges = np.stack([low - 0.08 * extent, high + 0.08 * extent], axis=1)
    return [[float(f"{a:.5g}"), float(f"{b:.5g}")] for a, b in edges]


def _nearest(codes: np.ndarray, point: np.ndarray) -> int:
    return int(np.square(codes - point).sum(axis=1).argmin())


def _help(total: int, noun: str, named: bool, prior: bool) -> str:
    parts = [f"Each mark is one of {total:,} training {noun}s"]
    parts.append(", its shape and colour its class. " if named else ". ")
    if prior:
        shares = ", ".join(f"{q:.0%}" for q in _QUANTILES)
        parts.append(f"Shaded is the density of the prior, lines are its {shares} quantiles. ")
    parts.append("Drag the point, use the sliders, or press arrow keys on the map.")
    return "".join(parts)


def _halves(name: str, values: Any) -> str:
    with np.errstate(over="ignore"):
        halves = np.asarray(values).astype("<f2")
    if not np.isfinite(halves).all():
        raise ValueError(
            f"explorer stores {name} as float16, up to 65,504. "
            f"Received: {name} up to {np.abs(values).max():.3g}"
        )
    return _text(halves.tobytes())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def _picture(
    ae: Any,
    codes: np.ndarray,
    members: Any,
    names: list[str],
    limits: list[list[float]],
    shape: tuple[int, int, int],
    span: tuple[float, float],
    steps: int = 11,
) -> tuple[bytes, str]:
    """Return the map of the codes next to what a grid over it decodes to, as PNG, and its alt."""
    from matplotlib.figure import Figure

    from kerasae.report import figures

    across, up = (np.linspace(low, high, steps, dtype="float32") for low, high in limits)
    grid = np.stack(np.meshgrid(across, up[::-1]), axis=-1)
    images = ae.decode(grid.reshape(-1, 2)).reshape(steps, steps, *shape)
    shades = np.clip((images - span[0]) / (span[1] - span[0]), 0, 1)
    # A grey line between images, which may be white or black at their edges.
    shades = np.pad(shades, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=0.5)
    height, width = steps * (shape[0] + 1), steps * (shape[1] + 1)
    sheet = shades.swapaxes(1, 2).reshape(height, width, shape[2])
    figure = Figure(figsize=(9.2, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawing = figures.code_map(codes, members, names or None, left)
    left.set(xlim=limits[0], ylim=limits[1], title="codes")
    right.imshow(
        sheet.squeeze(-1) if shape[2] == 1 else sheet,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(*limits[0], *limits[1]),
        aspect="auto",
        interpolation="nearest",
    )
    right.set(xlabel="code dimension 0", yticks=[], title="what each place decodes to")
    alt = (
        f"{drawing.alt} Beside it, {steps} by {steps} "
        f"images decoded from a grid over the map, code dimension 0 from {limits[0][0]:.3g} to "
        f"{limits[0][1]:.3g} and dimension 1 from {limits[1][0]:.3g} to {limits[1][1]:.3g}."
    )
    return png(figure, 80), alt
