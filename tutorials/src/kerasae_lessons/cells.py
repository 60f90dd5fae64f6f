"""Output of a notebook's cell, or plain text where no notebook runs."""

import sys
from typing import Any


def shell() -> Any:
    """Return the running IPython, or None. IPython is never imported for this."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def show(text: str, markdown: str | None = None, **metadata: Any) -> None:
    """Show text in a cell, as Markdown where that can be rendered.

    Args:
        text: What is printed outside a notebook.
        markdown: The same for a notebook.
        metadata: Stored with the output under "kerasae", where the builder reads it.
    """
    if shell() is None:
        print(text)
        return
    from IPython.display import publish_display_data

    data = {"text/plain": text}
    if markdown is not None:
        data["text/markdown"] = markdown
    publish_display_data(data, {"kerasae": metadata} if metadata else {})
