"""Conversion of docstrings, which are written nearly in Markdown, to the reST that Sphinx reads."""

import inspect
import re
from typing import Any


def to_rest(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place, before napoleon reads its sections.

    Fences and tables become directives, and indented code of modules becomes a literal block.
    Bars and stars in prose, as in Σ|h|, are escaped.
    """
    written: list[str] = []
    table: list[str] = []
    fenced = doctest = code = False
    for line in [*lines, ""]:
        text = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if table and not text.startswith("|"):
            written += _list_table(table)
            table = []
        if text.startswith("```"):
            fenced = not fenced
            written += [f"{indent}.. code-block:: python", ""] if fenced else [""]
        elif fenced:
            written.append(f"   {line}" if text else "")
        elif text.startswith("|") and text.endswith("|"):
            table.append(line)
        elif what == "module" and len(indent) >= 4 and (code or written[-1:] == [""]):
            written += [line] if code else ["::", "", line]
            code = True
            continue
        elif text.startswith(">>>") or (doctest and text):
            above = written[-1].strip() if written else ""
            if not doctest and above == "Example:" and written[-1].startswith(f"{indent}E"):
                # Napoleon wants the body of a section indented; ours, as Keras's, is not.
                written[-1:] = [f"{indent}.. rubric:: Example", ""]
            elif not doctest and above and not above.endswith(":"):
                written.append("")
            doctest = True
            written.append(line)
        else:
            doctest = False
            written.append(line)
        code = code and not text
    lines[:] = _escaped(written)


def signature(app: Any, what: str, name: str, obj: Any, options: Any, *signature: Any) -> Any:
    """Return the arguments of a class's own constructor, which Keras wraps."""
    if what != "class" or "__init__" not in vars(obj) or not obj.__module__.startswith("kerasae"):
        return None
    found = inspect.signature(obj.__init__)
    plain = [
        argument.replace(annotation=inspect.Parameter.empty)
        for argument in list(found.parameters.values())[1:]
    ]
    shown = found.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    return str(shown), None


def _list_table(rows: list[str]) -> list[str]:
    indent = rows[0][: len(rows[0]) - len(rows[0].lstrip())]
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]
    written = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in (row for row in cells if not re.fullmatch(r"[-: ]+", "".join(row))):
        written += [f"{indent}   {'*' if i == 0 else ' '} - {c}" for i, c in enumerate(row)]
    return [*written, ""]


def _escaped(lines: list[str]) -> list[str]:
    """Escape stars and bars in prose, but not in code and directives."""
    written, inside, kept = [], False, None
    for line in lines:
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text:
            inside = False
        elif kept is not None and indent <= kept:
            kept = None
        if kept is None and re.match(r"\.\. (code-block|list-table)|::$", text):
            kept = indent
            written.append(line)
            continue
        if not text or kept is not None or text.startswith((">>>", "...")):
            written.append(line)
            continue
        parts = line.split("`")
        for i, part in enumerate(parts):
            if not inside:
                parts[i] = re.sub(r"(?<!\\)([*|])", r"\\\1", part)
            if i < len(parts) - 1:
                inside = not inside
        # Napoleon takes the first colon outside double ticks for the end of a type.
        ticks = "`" if "``" in line or ":`" in line else "``"
        written.append(ticks.join(parts))
    return written
