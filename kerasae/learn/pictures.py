"""Figures that say in words what is seen on them."""

import base64
import io
from typing import Any

from kerasae.learn import _cells

SHORTEST = 40  # characters of a text alternative
_DPI = 110


def figure(drawing: Any, *, alt: str | None = None) -> None:
    """Show a figure with its text alternative, which also stands below it.

    Args:
        drawing: A `Drawing`, as `kerasae.report.figures` return, or a matplotlib figure or axes.
        alt: What is seen, with a number, in at least 40 characters. It goes into the metadata of
            the output, from where pages take it, and below the figure for everyone. None takes
            the words of the `Drawing`.

    Raises:
        ValueError: `alt` is missing or too short to say what is seen.
    """
    alt = " ".join((getattr(drawing, "alt", "") if alt is None else alt).split())
    if len(alt) < SHORTEST:
        raise ValueError(
            f"alt must say in at least {SHORTEST} characters what is seen. Received: alt={alt!r}"
        )
    if not any(character.isdigit() for character in alt):
        raise ValueError(f"alt must give a number that is seen. Received: alt={alt!r}")
    fig = drawing if hasattr(drawing, "savefig") else drawing.figure
    if _cells.shell() is None:
        print(f"Figure: {alt}")
    else:
        from IPython.display import publish_display_data

        publish_display_data(
            {"image/png": _png(fig), "text/plain": f"Figure: {alt}"},
            {"image/png": {"alt": alt}, "alt": alt},
        )
        _cells.show(f"Figure: {alt}", f"*{alt}*", caption=True)
    from matplotlib import pyplot

    pyplot.close(fig)  # or the notebook would show it again, without words


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


def _png(fig: Any) -> str:
    """Return a figure as PNG in base64: few colours, since notebooks are kept in git."""
    from PIL import Image

    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.1)
    packed = io.BytesIO()
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(packed, format="PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()
