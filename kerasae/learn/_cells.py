"""What a notebook shows: the display of IPython, or plain text where there is none."""

from typing import Any


def shell() -> Any:
    """Return the running IPython, or None; IPython is not imported for it."""
    import sys

    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def show(text: str, markdown: str | None = None, **metadata: Any) -> None:
    """Show text in a cell, as Markdown where that can be drawn.

    Args:
        text: What is printed outside of a notebook.
        markdown: The same for a notebook.
        metadata: Kept in the notebook with the output, under "kerasae"; the builder reads it.
    """
    if shell() is None:
        print(text)
        return
    from IPython.display import publish_display_data

    data = {"text/plain": text}
    if markdown is not None:
        data["text/markdown"] = markdown
    publish_display_data(data, {"kerasae": metadata} if metadata else {})
