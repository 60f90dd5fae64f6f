"""Docstrings as they are written here become reST with the same meaning."""

import importlib.util
import inspect
from pathlib import Path


def test_docstrings_become_what_they_look_like():
    path = Path(__file__).parents[2] / "docs" / "docstrings.py"
    spec = importlib.util.spec_from_file_location("docs_docstrings", path)
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)

    def written(text, what="function"):
        lines = inspect.cleandoc(text).splitlines()
        docstrings.to_rest(None, what, "name", None, None, lines)
        return "\n".join(lines).rstrip()

    assert written("Sum |h| of `|h|` and *x.") == r"Sum \|h\| of ``|h|`` and \*x."
    assert written("A `long\ncode` here.") == "A ``long\ncode`` here."
    assert written(">>> 2 * 3\n6") == ">>> 2 * 3\n6"
    assert written("Words.\n\nExample:\n>>> 2\n2") == "Words.\n\n.. rubric:: Example\n\n>>> 2\n2"
    fenced = written("Example:\n```python\nf(*x)\n\ng(x)\n```")
    assert fenced == "Example:\n.. code-block:: python\n\n   f(*x)\n\n   g(x)"
    table = written("| a | b |\n|---|---|\n| 1 | `2` |")
    assert table.splitlines()[3:] == ["   * - a", "     - b", "   * - 1", "     - `2`"]
    assert written("Words.\n\n    f(*x)\n\nMore *.", "module").splitlines()[2:5] == [
        "::",
        "",
        "    f(*x)",
    ]
