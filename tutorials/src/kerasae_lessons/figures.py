"""Figures with a text alternative that says what is seen."""

import base64
import io
from typing import Any

from kerasae_lessons import cells

SHORTEST = 40  # characters of a text alternative
_DPI = 110


def figure(drawing: Any, *, alt: str | None = None) -> None:
    """Show a figure with its text alternative, which is also printed below it.

    Args:
        drawing: A drawing of `kerasae.report.figures`, or a matplotlib figure or axes.
        alt: What is seen, with a number, in at least 40 characters. Pages take it from the
            metadata of the output. None takes the text alternative of the drawing.

    Raises:
        ValueError: If `alt` is too short or contains no number.
    """
    alt = " ".join((getattr(drawing, "alt", "") if alt is None else alt).split())
    if len(alt) < SHORTEST:
        raise ValueError(
            f"alt must say in at least {SHORTEST} characters what is seen. Received: alt={alt!r}"
        )
    if not any(character.isdigit() for character in alt):
        raise ValueError(f"alt must give a number that is seen. Received: alt={alt!r}")
    from matplotlib import pyplot

    fig = drawing if hasattr(drawing, "savefig") else drawing.figure
    if cells.shell() is None:
        print(f"Figure: {alt}")
    else:
        from IPython.display import publish_display_data

        publish_display_data(
            {
                "image/png": base64.b64encode(png(fig, _DPI)).decode(),
                "text/plain": f"Figure: {alt}",
            },
            {"image/png": {"alt": alt}, "alt": alt},
        )
        cells.show(f"Figure: {alt}", f"*{alt}*", caption=True)
    pyplot.close(fig)  # otherwise the notebook shows it again, without its text alternative


def style() -> None:
    """Let pyplot draw as `kerasae.report.figures` does, until the process ends.

    The lines of one figure differ in colour and in dashes.
    """
    import matplotlib
    from cycler import cycler

    from kerasae.report.figures import style

    settings: Any = matplotlib.rcParams

    @style.styled
    def ours() -> dict[str, Any]:
        return {key: settings[key] for key in settings if not key.startswith("backend")}

    settings.update(ours())
    dashes = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
    settings["axes.prop_cycle"] = cycler(color=list(style.COLOURS[: len(dashes)]), linestyle=dashes)
    settings["figure.constrained_layout.use"] = True


def png(fig: Any, dpi: int) -> bytes:
    """Return a matplotlib figure as PNG of at most 128 colours: notebooks are kept in git."""
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.1)
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(packed, format="PNG", optimize=True)
    return packed.getvalue()
