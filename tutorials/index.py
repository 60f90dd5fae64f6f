"""What is made from the executed notebooks: the index, the claims, what seeds did to them."""

import json
import statistics
from pathlib import Path
from typing import Any

import lint

from kerasae.learn import notebooks
from kerasae.learn.showing import number as text_of


def duration(seconds: float) -> str:
    """Return a time as a reader wants it."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.1f} min"


def span(claims: list[dict[str, Any]]) -> str:
    """Return the first and last of the claims of one lesson."""
    return f"{claims[0]['id']} to {claims[-1]['id']}" if claims else ""


def lessons(folder: Path) -> list[dict[str, Any]]:
    """Return what the notebooks say about themselves, in their order."""
    found = []
    for file in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        notebook = json.loads(file.read_text("utf-8"))
        about = notebook.get("metadata", {}).get("kerasae")
        if about is None:
            continue
        lines = "".join(notebook["cells"][0]["source"]).splitlines()
        answer = " ".join(line[2:] for line in lines if line.startswith("> "))
        found.append({
            "file": file.name,
            "number": file.name[:2],
            "title": notebooks.title(notebook),
            "answer": answer,
            "exhibits": lint.exhibits(notebook["cells"]),
            **about,
        })  # fmt: skip
    return found


def record(
    folder: Path,
    number: str,
    profile: str,
    values: dict[str, list[float]],
    entries: dict[str, dict[str, Any]],
) -> None:
    """Write the claims over seeds into `calibration/`, and print them with proposed bounds."""
    file = folder / "calibration" / f"{number}.json"
    file.parent.mkdir(exist_ok=True)
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known[profile] = values
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{'claim':<7}{'kind':<10}{'op':<4}{'bound':>11}{'mean':>11}{'sd':>11}{'worst':>11}"
          f"{'propose':>11}  broken")  # fmt: skip
    for id, given in values.items():
        entry = entries[id]
        if any(isinstance(value, (bool, str)) for value in given):
            print(f"{id:<7}{entry['kind']:<10}{entry['op']:<4} {given}")
            continue
        spread = _spread(given, entry["op"])
        side = {"<": 2, "<=": 2, ">": -2, ">=": -2}.get(entry["op"], 0)
        cells = [entry["bound"], spread["mean"], spread["sd"], spread["worst"]]
        propose = spread["worst"] + side * spread["sd"]
        broken = sum(not _holds(value, entry) for value in given)
        numbers = "".join(f"{text_of(v) if v is not None else '-':>11}" for v in [*cells, propose])
        print(f"{id:<7}{entry['kind']:<10}{entry['op']:<4}{numbers}  {broken} of {len(given)}")


def _holds(value: float, entry: dict[str, Any]) -> bool:
    from kerasae.learn.claiming import _OPERATORS

    return entry["bound"] is None or bool(_OPERATORS[entry["op"]](value, entry["bound"]))


def _spread(values: list[float], op: str) -> dict[str, float]:
    worst = max(values) if op in ("<", "<=") else min(values)
    return {
        "seeds": len(values),
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "worst": worst,
    }


def _files(folder: Path) -> dict[str, str]:
    """Return the text of each file that is made from the notebooks."""
    found = lessons(folder)
    claims = []
    for lesson in found:
        file = folder / "calibration" / f"{lesson['number']}.json"
        calibration = json.loads(file.read_text("utf-8")) if file.exists() else {}
        for entry in lesson["claims"]:
            seeds = {
                profile: _spread(values[entry["id"]], entry["op"])
                for profile, values in calibration.items()
                if all(type(v) in (int, float) for v in values.get(entry["id"], [None]))
            }
            claims.append({"lesson": lesson["number"], **entry, "seeds": seeds,
                           "versions": lesson["versions"]})  # fmt: skip
    return {
        "claims.json": json.dumps(claims, indent=1, ensure_ascii=False) + "\n",
        "CLAIMS.md": _claims_page(found, claims),
        "MUSEUM.md": _museum_page(found),
        "README.md": _readme(found, len(claims)),
    }


def _readme(found: list[dict[str, Any]], count: int) -> str:
    rows = [
        f"| {lesson['number']} | [{lesson['title']}]({lesson['file']}) | {lesson['answer']} | "
        f"{duration(lesson['run']['seconds'])} | [{len(lesson['claims'])}](CLAIMS.md) |"
        for lesson in found
    ]
    return "\n".join([
        "<!-- made by tutorials/build.py; edit tutorials/index.py instead -->",
        "# Lessons",
        "",
        "Notebooks to work through, in this order or as you need them. Each runs in minutes on",
        "two CPU cores. Every sentence with a number is a claim that was checked as it ran:",
        f"[what these lessons establish](CLAIMS.md) lists all {count}. Mistakes that others",
        "published, each made again and caught by one line, are in [the museum](MUSEUM.md).",
        "",
        "```sh",
        'pip install ".[tutorials]"         # in a checkout; brings JupyterLab',
        "kerasae tutorials --to lessons     # copies the notebooks to a folder and opens them",
        "kerasae tutorials --run 01         # runs one and prints its claims",
        "```",
        "",
        "MNIST is downloaded once. Without a network a lesson says so in one line and goes on with",
        "embedded data.",
        "",
        "| | lesson | in one sentence | runs | claims |",
        "|---|---|---|---:|---:|",
        *rows,
        "",
        "The notebooks are made from `src/`: edit there, then `tutorials/build.py build NN`.",
        "Bounds and parameters are in `kerasae/learn/lessons/`. `build.py check` finds a notebook",
        "that is older than its source.",
        "",
    ])  # fmt: skip


def _claims_page(found: list[dict[str, Any]], claims: list[dict[str, Any]]) -> str:
    lines = [
        "<!-- made by tutorials/build.py; edit tutorials/index.py instead -->",
        "# What these lessons establish",
        "",
        f"{len(claims)} claims, each checked in the notebook where it is made. An exact bound",
        "holds by theorem or definition. A measured one leaves room for other seeds: the worst",
        "value over seeds, less or more by twice their standard deviation.",
    ]
    for lesson in found:
        own = [entry for entry in claims if entry["lesson"] == lesson["number"]]
        lines += ["", f"## {lesson['number']} · {lesson['title']}", "",
                  "| claim | what was checked | value | bound | over seeds |",
                  "|---|---|---:|---|---|"]  # fmt: skip
        for entry in own:
            bound = "not tested" if entry["bound"] is None else (
                f"{entry['op']} {text_of(entry['bound'])} ({entry['kind']})"
            )  # fmt: skip
            over = "; ".join(
                f"{profile}: {text_of(spread['mean'])} ± {text_of(spread['sd'])}, "
                f"worst {text_of(spread['worst'])} of {spread['seeds']}"
                for profile, spread in entry["seeds"].items()
            )
            lines.append(f"| {entry['id']} | {entry['sentence']} | {text_of(entry['value'])} | "
                         f"{bound} | {over} |")  # fmt: skip
    ran = sorted({json.dumps(lesson["versions"]) for lesson in found})
    for each in map(json.loads, ran):
        names = ", ".join(f"{name} {version}" for name, version in each.items())
        lines += ["", f"Ran with {names}."]
    lines.append("")
    return "\n".join(lines)


def _museum_page(found: list[dict[str, Any]]) -> str:
    exhibits = [(lesson, exhibit) for lesson in found for exhibit in lesson["exhibits"]]
    lines = [
        "<!-- made by tutorials/build.py; edit tutorials/index.py instead -->",
        "# The museum of published mistakes",
        "",
        f"{len(exhibits)} mistakes that stand, or stood, in tutorials, books and libraries that",
        "many read. None of them stops a program. Each is made again in a lesson, with the line",
        "that shows it.",
    ]
    for lesson, (title, story, caught) in exhibits:
        link = f"[{lesson['number']} · {lesson['title']}]({lesson['file']})"
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", story, "",
                  "```python", *caught, "```", "", f"Made and caught in {link}."]  # fmt: skip
    lines.append("")
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Write the files that are made from the notebooks."""
    for name, text in _files(folder).items():
        (folder / name).write_text(text, "utf-8")


def stale(folder: Path) -> list[str]:
    """Return the files that are not what the notebooks say, one sentence each."""
    return [
        f"{name} is not what the notebooks say; run: tutorials/build.py index"
        for name, text in _files(folder).items()
        if not (folder / name).exists() or (folder / name).read_text("utf-8") != text
    ]
