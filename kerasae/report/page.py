"""One self-contained page: plain data in, a file out that loads nothing and runs no script."""

import base64
import struct
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kerasae.files import replacing

# A kind that `templates/blocks.html` knows, and what it shows.
Block = tuple[str, Any]

_PNG = b"\x89PNG\r\n\x1a\n"
_WIDE = 560  # its text would be too small to read at the width of a phone
_PIXELS_PER_CSS_PIXEL = 2  # figures are saved for screens that double pixels
_TEMPLATES = Environment(
    loader=PackageLoader("kerasae.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def fill(sections: dict[str, list[Block]], **head: Any) -> str:
    """Return a whole page as HTML; every text is escaped.

    Args:
        sections: Title to blocks; a section without blocks is left out.
        **head: What `templates/page.html` says above and below them: `title`, `eyebrow`, `lead`,
            `tiles` (name, value and small print of key numbers), `notice` (paragraphs to read
            first, under a title of their own), `made_with`.
    """
    shown = [{"title": title, "blocks": blocks} for title, blocks in sections.items() if blocks]
    head = {"tiles": [], "notice": {}, "made_with": "kerasae", **head}
    return _TEMPLATES.get_template("page.html").render(sections=shown, **head)


def write(page: str, target: Path) -> Path:
    """Write a page, replacing an old one at once."""
    with replacing(target) as temporary:
        temporary.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))
    return target


def table(label: str, head: list[Any], rows: list[list[Any]], *, own: bool = False) -> Block:
    """Return the block of a table.

    Args:
        label: What a screen reader calls it.
        head: Heading of each column, or a pair of it and small print.
        rows: Name of each row, and its cells: texts or `Number`.
        own: Whether the first row is set in bold.
    """
    head = [(column, "") if isinstance(column, str) else column for column in head]
    return "table", {"label": label, "head": head, "rows": rows, "own": own}


def picture(data: bytes, title: str, alt: str, file: str = "") -> Block:
    """Return the block of a PNG, with its size; a wide one scrolls sideways on a phone."""
    content: dict[str, Any] = {"title": title, "alt": alt, "file": repr(file), "source": ""}
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = (n // _PIXELS_PER_CSS_PIXEL for n in struct.unpack(">II", data[16:24]))
        content |= {"source": base64.b64encode(data).decode("ascii"), "wide": width > _WIDE}
        content |= {"width": width, "height": height}
    return "picture", content
