"""What a run did: results, figures, loss terms, configuration."""

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from kerasae.report.markup import data_element, plural, table, under, words
from kerasae.report.run import Run, mapping, value_of

_PNG = b"\x89PNG\r\n\x1a\n"
_WIDE = 560  # its text would be too small to read at the width of a phone
_PIXELS_PER_CSS_PIXEL = 2  # figures are saved for screens that double pixels

# Section -> file names of the pictures that belong there; `figures` has all others.
_PICTURES = {
    "losses": ("learning_curves",),
    "codes": ("code_map", "code_map_tsne", "activations", "code_spectrum"),
    "variational": ("kl_per_dimension",),
    "contraction": ("singular_values",),
    "detection": ("scores", "feature_scores", "roc_curve"),
    "generation": ("generated", "manifold", "traversals", "interpolations"),
}


def losses(run: Run) -> str:
    """Every loss term: first, last and lowest value, and the value measured at the end."""
    terms = [
        name
        for name in run.history
        if not name.startswith("val_") and name not in ("epoch", "learning_rate")
    ]
    if not terms:
        return ""
    body = []
    for term in terms:
        for split, key in (("training", term), ("validation", f"val_{term}")):
            if values := run.history.get(key):
                body.append([f"{escape(words(term))}, {split}", *_first_last_lowest(values)])
    note = f"{plural(len(run.history[terms[0]]), 'epoch')}, counted from 1."
    if (best := run.training.get("best_epoch")) is not None:
        note += f" The weights kept are those of epoch {escape(str(best))}."
    on_test = [
        f"{escape(words(name))} {data_element(value)}"
        for name in run.test
        if name.endswith("loss") and (value := value_of(run.test, name)) is not None
    ]
    if on_test:
        note += f" On the {escape(run.split)} split they give {', '.join(on_test)}."
    numbers = table(["term", "first", "last", "lowest"], body, label="Loss terms")
    return f'{pictures(run, "losses")}{numbers}<p class="soft">{note}</p>'


def _first_last_lowest(values: list[float]) -> list[str]:
    numbers = [(value, epoch) for epoch, value in enumerate(values, 1) if value == value]
    lowest, epoch = min(numbers, default=(math.nan, 0))
    cells = [data_element(value) for value in (values[0], values[-1], lowest)]
    return [*cells[:2], cells[2] + (under(f"epoch {epoch}") if epoch else "")]


def figures(run: Run) -> str:
    """The figures that belong to no other section."""
    return pictures(run, None)


def pictures(run: Run, section: str | None) -> str:
    """Figures of a section, each with its title, and its text alternative in sight as well."""
    known = {name for names in _PICTURES.values() for name in names}
    blocks = []
    for entry in map(mapping, run.figures):
        name = str(entry.get("file", ""))
        stem = name.removesuffix(".png")
        if stem not in _PICTURES[section] if section else stem in known:
            continue
        title = str(entry.get("title") or Path(name).stem)
        alt = str(entry.get("alt") or title)
        framed = _framed(run.path / "figures", name, title, alt)
        # Who listens to the page has the same words as the picture's alt text.
        caption = f'<h3>{escape(title)}</h3><p aria-hidden="true">{escape(alt)}</p>'
        blocks.append(f"<figure><figcaption>{caption}</figcaption>{framed}</figure>")
    return "".join(blocks)


def _framed(folder: Path, name: str, title: str, alt: str) -> str:
    # Only a file directly in the folder: the page must not carry off any other.
    file = folder / name
    data = file.read_bytes() if name == file.name and file.is_file() else b""
    if not data.startswith(_PNG) or len(data) < 24:
        return f"<p>The file {escape(repr(name))} of this figure is missing or is not a PNG.</p>"
    return picture(data, title, alt)


def picture(data: bytes, title: str, alt: str) -> str:
    """A PNG within the page, with its size; a wide one scrolls sideways on a phone."""
    width, height = (side // _PIXELS_PER_CSS_PIXEL for side in struct.unpack(">II", data[16:24]))
    wide = " wide" if width > _WIDE else ""
    # What scrolls must be within reach of the keyboard.
    scrolls = f' role="group" tabindex="0" aria-label="{escape(title)}"' if wide else ""
    source = base64.b64encode(data).decode("ascii")
    return (
        f'<div class="frame{wide}"{scrolls}>'
        f'<img src="data:image/png;base64,{source}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}"></div>'
    )


def configuration(run: Run) -> str:
    """All of config.json, folded."""
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>'
        for key, value in _flat(run.config)
    )
    return (
        f'<details><summary>All of config.json</summary><div class="scroll">'
        f'<table class="plain"><tbody>{rows}</tbody></table></div></details>'
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{name}.")
        else:
            yield name, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
