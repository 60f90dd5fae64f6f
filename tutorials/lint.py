"""Checks of the sources against the template: sections, lengths, claims, exercises."""

import re
from functools import cache
from pathlib import Path
from typing import Any

LINES = 25  # of a code cell
IDEAS = (3, 5)  # sections between prediction and "What is a good number?"
SECTIONS = (
    "Before you start",
    "Setup",
    "Predict first",
    "What is a good number?",
    "Pitfalls",
    "Exercises",
    "Three questions",
    "Summary",
    "Next",
)


@cache
def read(source: Path) -> Any:
    """Return a percent script as a notebook."""
    import jupytext

    return jupytext.reads(source.read_text("utf-8"), fmt="py:percent")


def headings(source: Path, level: int) -> list[str]:
    """Return the headings of one level, in order."""
    marks = "#" * level
    return [
        line[level + 1 :].strip()
        for cell in read(source).cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith(marks + " ")
    ]


def claimed(source: Path) -> list[str]:
    """Return the claims that a source states, with repetitions."""
    return [
        name
        for cell in read(source).cells
        if cell.cell_type == "code"
        for name in re.findall(r"learn\.claim\(\s*\"(C\d+\.\d+)\"", cell.source)
    ]


def exhibits(cells: list[Any]) -> list[tuple[str, str, list[str]]]:
    """Return title, story and the lines that catch it of each published mistake in a lesson.

    A markdown cell holds `### Pitfall: title` and below it a paragraph that begins with
    `**Museum.**`; in the code cell after it one line ends in `# catches it`.
    """
    found = []
    for cell, after in zip(cells, [*cells[1:], {"source": ""}], strict=True):
        text, code = ("".join(one["source"]) for one in (cell, after))
        if cell["cell_type"] != "markdown" or "**Museum.**" not in text:
            continue
        title = re.search(r"^### Pitfall: (.+)$", text, re.MULTILINE)
        story = re.search(r"\*\*Museum\.\*\*\s+(.+?)(?:\n\n|$)", text, re.DOTALL)
        lines = re.findall(r"^\s*(.+?)\s+# catches it$", code, re.MULTILINE)
        found.append((title[1] if title else "", " ".join(story[1].split()), lines))
    return found


def problems(source: Path, number: str) -> list[str]:
    """Return what violates the template, one sentence each."""
    found = _sections(source, number) + _cells(source) + _claims(source, number) + _museum(source)
    return [f"{source.name}: {text}" for text in found + _exercises(source, int(number))]


def _sections(source: Path, number: str) -> list[str]:
    found = []
    titles = headings(source, 1)
    if len(titles) != 1 or not titles[0].startswith(f"{number} · "):
        found.append(f"has one title, which begins with '{number} · '. Received: {titles}")
    first = read(source).cells[0].source
    if "\n> " not in first:
        found.append("answers in one sentence below the title, after '> '")
    given = headings(source, 2)
    ideas = [title for title in given if title not in SECTIONS]
    order = [*SECTIONS[:3], *ideas, *SECTIONS[3:]]
    if given != order:
        found.append(f"has the sections {', '.join(order)}. Received: {', '.join(given)}")
    if not IDEAS[0] <= len(ideas) <= IDEAS[1]:
        found.append(f"has three to five ideas. Received: {len(ideas)}")
    if any(not re.match(rf"{place}\. ", title) for place, title in enumerate(ideas, 1)):
        found.append(f"numbers its ideas '1. ' and so on. Received: {', '.join(ideas)}")
    if sum(re.match(r"Pitfall", title) is not None for title in headings(source, 3)) not in (2, 3):
        found.append("has two or three headings '### Pitfall: ...'")
    if "References" not in headings(source, 3):
        found.append("ends with '### References'")
    card = "".join(cell.source for cell in read(source).cells[:3])
    for word in ("{{running}}", "{{claims}}", "You will be able to", "Needs", "Reading", "Data"):
        if word not in card:
            found.append(f"says {word} in the card")
    return found


def _cells(source: Path) -> list[str]:
    found = []
    cells = read(source).cells
    for place, cell in enumerate(cells, 1):
        if cell.cell_type != "code":
            continue
        lines = len(cell.source.splitlines())
        if lines > LINES:
            found.append(f"cell {place} has {lines} lines, more than {LINES}")
        if re.search(r"https?://|www\.", cell.source):
            found.append(f"cell {place} names an address; code needs no network")
        if "%%" in cell.source or re.search(r"^[%!]", cell.source, re.MULTILINE):
            found.append(f"cell {place} uses a magic; sources also run as plain Python")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    first = re.search(r"^(?:import|from) (kerasae_lessons|keras|tensorflow)\b", code, re.MULTILINE)
    if first is not None and first[1] != "kerasae_lessons":
        found.append("imports kerasae_lessons before Keras and TensorFlow, to keep them quiet")
    if sum("parameters" in cell.metadata.get("tags", ()) for cell in cells) != 1:
        found.append("has one cell tagged parameters")
    return found


def _claims(source: Path, number: str) -> list[str]:
    found = []
    claims = claimed(source)
    wanted = [f"C{int(number)}.{place}" for place in range(1, len(claims) + 1)]
    if len(claims) < 3 or sorted(claims) != sorted(wanted):
        found.append(f"states each of its claims once, C{int(number)}.1 and on. Received: {claims}")
    code = "\n".join(cell.source for cell in read(source).cells if cell.cell_type == "code")
    if len(re.findall(r"profile=\"full\"", code)) > 1:
        found.append("leaves at most one claim to the full profile")
    for cell in read(source).cells:
        if "PROFILE == " in cell.source or "PROFILE != " in cell.source:
            found.append("never asks for PROFILE; parameters say what differs")
    return found


def _museum(source: Path) -> list[str]:
    return [
        "has for each **Museum.** a '### Pitfall: title' in its cell, and in the code cell after "
        f"it one line that ends in '# catches it'. Received: {title!r} and {len(lines)} lines"
        for title, _, lines in exhibits(read(source).cells)
        if not title or len(lines) != 1
    ]


def _exercises(source: Path, number: int) -> list[str]:
    found = []
    titles = [title for title in headings(source, 3) if title.startswith("Exercise ")]
    shape = rf"Exercise {number}\.([123]): .+ \(\d+ minutes|Exercise {number}\.([123]): .+ \(open"
    if len(titles) != 3 or any(re.match(shape, title) is None for title in titles):
        found.append(
            f"has three headings '### Exercise {number}.1: name (10 minutes)', the last may be "
            f"'(open)'. Received: {titles}"
        )
    for place in range(1, 4):
        call = f'learn.exercise("{number}.{place}").check('
        using = [cell for cell in read(source).cells if call in cell.source]
        tagged = ["solution" in cell.metadata.get("tags", ()) for cell in using]
        if tagged != [False, True]:
            found.append(f"checks exercise {number}.{place} in a stub, then in a solution cell")
    return found
