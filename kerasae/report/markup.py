"""Numbers and names for reading, and the HTML of tables and code."""

import math
from collections.abc import Iterable
from html import escape
from typing import Any


def table(
    head: Iterable[str], rows: Iterable[list[str]], own: int | None = None, label: str = "Table"
) -> str:
    """A table of HTML cells whose first column names the row; `own` is set in bold.

    A wide one scrolls sideways, which must be within reach of the keyboard: `label` is what a
    screen reader calls it.
    """
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr{" class=own" if index == own else ""}><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell or '<span class=soft>&ndash;</span>'}</td>" for cell in row[1:])
        + "</tr>"
        for index, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-label="{escape(label)}">'
        f"<table><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(rows: Iterable[tuple[str, str, str]]) -> str:
    """Name, value and one plain sentence on how to read it; values are HTML, the rest is text.

    What has no value is left out; nothing when none has one.
    """
    items = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{value}</dd>'
        f'<dd class="note">{escape(note)}</dd></div>'
        for name, value, note in rows
        if value
    )
    return f'<dl class="facts">{items}</dl>' if items else ""


def pre(*lines: str) -> str:
    """Lines of code; they are escaped here."""
    return f'<pre tabindex="0"><code>{escape(chr(10).join(lines))}</code></pre>'


def under(text: str) -> str:
    """Small print below a number or heading."""
    return f' <span class="under">{text}</span>'


def quantity(value: float | None, form: str | None = None, unit: str = "") -> str:
    """A number with its unit, or nothing where there is none."""
    if value is None:
        return ""
    return data_element(value, form) + (
        f' <span class="unit">{escape(unit)}</span>' if unit else ""
    )


def percent(value: float | None) -> str:
    """A share as per cent, or nothing where there is none; small ones keep two digits."""
    if value is None:
        return ""
    small = 0 < abs(value) < 0.0995 or 0.99 <= value < 1
    text = f"{100 * value:.{'3' if abs(value) > 0.5 else '2'}g}%" if small else f"{value:.1%}"
    return f'<data value="{value!r}">{text if math.isfinite(value) else shown(value)}</data>'


def data_element(value: float, form: str | None = None) -> str:
    """The number rounded for reading, with the exact one beside it for machines."""
    text = form.format(value) if form and math.isfinite(value) else shown(value)
    if text.startswith("-"):
        text = typeset(text[0]) + text[1:]
    return f'<data value="{value!r}">{text}</data>'


def shown(value: float) -> str:
    """Four significant digits."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "minus infinite"}.get(value, "not a number")
    return f"{value:.4g}"


def typeset(text: str) -> str:
    """A signed number with a true minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")


def plural(number: Any, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    if not math.isfinite(seconds) or seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def words(name: str) -> str:
    """The name of a variant or term, for reading."""
    return name.replace("_", " ").replace("kl ", "KL ")
