"""A figure together with its text alternative."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasae.files import replacing
from kerasae.report.figures import style

# Format -> the field of its metadata that describes the picture.
_DESCRIPTION = {"png": "Description", "svg": "Description", "pdf": "Subject"}


@dataclass(frozen=True)
class Drawing:
    """A figure and, in words and numbers, what is seen on it. Notebooks show both.

    Attributes:
        figure: The matplotlib figure; draw further on `figure.axes`.
        alt: The text alternative.

    Example:
        >>> drawing = learning_curves(history)  # doctest: +SKIP
        >>> drawing.save("curves.png"), drawing.alt  # doctest: +SKIP
    """

    figure: Figure
    alt: str

    @classmethod
    def on(cls, ax: Axes, alt: str) -> "Drawing":
        """Return the drawing of which `ax` is a panel, or all."""
        figure = ax.get_figure(root=True)
        assert figure is not None
        return cls(figure, alt)

    @style.styled
    def save(self, path: str | Path, *, dpi: int = 200) -> Path:
        """Write the figure, and the text alternative into its metadata; a file there is replaced.

        Args:
            path: File to write; its suffix is the format ("figure.png").
            dpi: Pixels per inch; 200 is sharp on a screen that doubles pixels.

        Returns:
            The path.

        Raises:
            ValueError: The suffix names no known format.
        """
        path = Path(path)
        kind, known = path.suffix[1:], self.figure.canvas.get_supported_filetypes()
        if kind not in known:
            raise ValueError(
                f"path must end in one of {', '.join('.' + name for name in known)}. "
                f"Received: path={str(path)!r}"
            )
        metadata = {_DESCRIPTION[kind]: self.alt} if kind in _DESCRIPTION else None
        options: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12, "dpi": dpi}
        with replacing(path) as temporary:
            self.figure.savefig(temporary, format=kind, metadata=metadata, **options)
        return path

    @style.styled
    def png(self, *, dpi: int = 200) -> bytes:
        """Return the figure as a PNG."""
        picture = io.BytesIO()
        self.figure.savefig(picture, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.12)
        return picture.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        picture = base64.b64encode(self.png(dpi=110)).decode()
        data = {"image/png": picture, "text/plain": f"Figure: {self.alt}"}
        return data, {"image/png": {"alt": self.alt}, "alt": self.alt}
