"""Build the notebooks of the lessons from `src/`, and check that they are up to date.

    build.py build 03                   # run in the full profile, write 03_*.ipynb
    build.py smoke                      # run all in the smoke profile, write nothing
    build.py check                      # stale notebooks, template; runs nothing
    build.py calibrate 03 --seeds 10    # claims over seeds, to set bounds

`--offline` runs in an empty network namespace. `build` also generates `tutorials/README.md`,
`CLAIMS.md`, `MUSEUM.md` and `claims.json` from the notebooks; `index` does only that.
"""

import argparse
import concurrent.futures
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import index  # noqa: E402
import lint  # noqa: E402
from kerasae.files import replacing  # noqa: E402
from kerasae_lessons import notebooks, profiles  # noqa: E402

SIZE = 500_000  # bytes of one notebook


class BuildError(RuntimeError):
    """A notebook that cannot be built; the message says why."""


def sources(numbers: list[str]) -> dict[str, Path]:
    """Return the sources of the given lessons by number, or of all lessons."""
    found = {file.name[:2]: file for file in sorted((HERE / "src").glob("[0-9][0-9]_*.py"))}
    wanted = [number.zfill(2) for number in numbers] or list(found)
    unknown = [number for number in wanted if number not in found]
    if unknown:
        raise BuildError(f"There are lessons {', '.join(found)}. Received: {', '.join(unknown)}")
    return {number: found[number] for number in wanted}


def fingerprint(source: Path) -> str:
    """Return the SHA-256 of a source and its profiles, which determine the notebook."""
    profile = Path(profiles.__file__).parent / "lessons" / f"lesson_{source.name[:2]}.toml"
    return hashlib.sha256(source.read_bytes() + profile.read_bytes()).hexdigest()


def assemble(source: Path, profile: str, **values: Any) -> Any:
    """Return the learner's notebook of a source, without outputs, the same bytes each time."""
    import nbformat

    number = source.name[:2]
    cells, seen = [], set()
    for cell in lint.read(source).cells:
        text, tags = cell.source, cell.metadata.get("tags", [])
        if "solution" in tags:
            code = f"```python\n{text}\n```" if cell.cell_type == "code" else text
            text = f"<details><summary>Solution</summary>\n\n{code}\n\n</details>"
            new = nbformat.v4.new_markdown_cell(text)
        elif cell.cell_type == "code":
            new = nbformat.v4.new_code_cell(text)
        else:
            new = nbformat.v4.new_markdown_cell(text)
        if tags:
            new.metadata["tags"] = list(tags)
        digest = hashlib.sha256(text.encode()).hexdigest()
        while digest[:8] in seen:
            digest = hashlib.sha256(digest.encode()).hexdigest()
        new.id = digest[:8]
        seen.add(new.id)
        cells.append(new)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )
    return notebooks.with_profile(notebook, number, profile, **values)


def run(source: Path, profile: str) -> Any:
    """Run the learner's notebook of a source and return it, with outputs and provenance."""
    number, digest = source.name[:2], fingerprint(source)
    notebook = assemble(source, profile)
    seconds = notebooks.execute(notebook, profiles.read(number)[profile].limit_s)
    notebook.metadata.language_info = {"name": "python"}
    claims = notebooks.claims(notebook)
    inspect(notebook, claims, source, profile)
    if fingerprint(source) != digest:
        raise BuildError(f"{source.name} or its bounds were edited while it ran; build again.")
    notebook.metadata["kerasae"] = {
        "source": f"src/{source.name}",
        "sha256": digest,
        "profile": profile,
        "claims": claims,
        "versions": versions(),
        # What differs from run to run; nothing compares it.
        "run": {"seconds": round(seconds, 1), "date": datetime.date.today().isoformat()},
    }
    fill(notebook)
    return notebook


def fill(notebook: Any) -> None:
    """Write the time and the claims of a run into the text of its notebook."""
    about = notebook.metadata["kerasae"]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            seconds = index.duration(about["run"]["seconds"])
            cell.source = cell.source.replace("{{running}}", seconds)
            cell.source = cell.source.replace("{{claims}}", index.span(about["claims"]))


def inspect(notebook: Any, claims: list[dict[str, Any]], source: Path, profile: str) -> None:
    """Raise `BuildError` for output on standard error, figures without text, missing claims."""
    stated = lint.claimed(source)
    made = [entry["id"] for entry in claims]
    if sorted(stated) != sorted(made):
        raise BuildError(f"{source.name} states {stated}. Received: claims {made}")
    others = {entry["profile"] for entry in claims} - {profile}
    if others:
        raise BuildError(
            f"{source.name} ran in the {others.pop()} profile: the data of the {profile} profile "
            "are not here."
        )
    for place, cell in enumerate(notebook.cells, 1):
        pictures = []
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                text = " ".join(output["text"].split())[:300]
                raise BuildError(f"{source.name}: cell {place} writes to standard error: {text}")
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                pictures.append(output["metadata"].get("alt", ""))
        if len(pictures) > 1:
            raise BuildError(f"{source.name}: cell {place} shows {len(pictures)} figures, not one.")
        if pictures and not pictures[0]:
            raise BuildError(f"{source.name}: the figure of cell {place} has no text alternative.")
        if pictures:
            cell.metadata["mystnb"] = {"image": {"alt": pictures[0]}}


def versions() -> dict[str, str]:
    """Return the versions of what a notebook ran with."""
    from importlib.metadata import version

    names = ("kerasae", "keras", "tensorflow", "numpy")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


def build(numbers: list[str], profile: str) -> None:
    """Run lessons and write their notebooks, each when it is complete."""
    for source in sources(numbers).values():
        notebook = run(source, profile)
        write(source, notebook)
        print(summary(source, notebook), flush=True)
    index.write(HERE)


def write(source: Path, notebook: Any) -> None:
    """Write the notebook of a source."""
    import nbformat

    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode())
    if size > SIZE:
        raise BuildError(
            f"{source.name} makes a notebook of {size:,} bytes, more than {SIZE:,}; save figures "
            "smaller."
        )
    nbformat.validate(notebook)
    with replacing(HERE / f"{source.stem}.ipynb") as temporary:
        temporary.write_text(text, "utf-8")


def summary(source: Path, notebook: Any) -> str:
    """Return the line that says a lesson ran."""
    about = notebook.metadata["kerasae"]
    return f"{source.stem}: {about['run']['seconds']:.0f} s, {len(about['claims'])} claims"


def smoke(numbers: list[str], jobs: int) -> None:
    """Run lessons in the smoke profile, each in its own process, and write nothing."""

    def one(number: str) -> subprocess.CompletedProcess:
        command = [sys.executable, __file__, "_smoke", number]
        return subprocess.run(command, capture_output=True, text=True)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done in pool.map(one, sources(numbers)):
            print(done.stdout.strip() or done.stderr.strip(), flush=True)
            failed += done.returncode != 0
    if failed:
        raise BuildError(f"{failed} of the lessons failed.")


def check() -> list[str]:
    """Return what is wrong with sources and notebooks, one sentence each, without running them."""
    found = []
    for number, source in sources([]).items():
        found += lint.problems(source, number)
        target = HERE / f"{source.stem}.ipynb"
        again = f"run: tutorials/build.py build {number}"
        if not target.exists():
            found.append(f"{source.name} has no notebook; {again}")
            continue
        about = json.loads(target.read_text("utf-8"))["metadata"].get("kerasae", {})
        if about.get("sha256") != fingerprint(source):
            found.append(f"{target.name} is older than {source.name} or its profiles; {again}")
        if about.get("profile") != "full":
            found.append(f"{target.name} is not of the full profile; {again}")
        if target.stat().st_size > SIZE:
            found.append(f"{target.name} is larger than {SIZE:,} bytes")
    stems = {source.stem for source in sources([]).values()}
    for target in sorted(HERE.glob("*.ipynb")):
        if target.stem not in stems:
            found.append(f"{target.name} has no source")
    return found + index.stale(HERE)


def calibrate(number: str, profile: str, seeds: int) -> None:
    """Run a lesson with many seeds, record its claims, and propose bounds."""
    values: dict[str, list[float]] = {}
    entries: dict[str, dict[str, Any]] = {}
    (number,) = sources([number])
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "claims.json"
            command = [sys.executable, __file__, "_collect", number, profile, str(seed), str(file)]
            done = subprocess.run(
                command,
                env={**os.environ, "MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=subprocess.DEVNULL,
            )
            if done.returncode:
                raise BuildError(f"Lesson {number} failed with SEED={seed}.")
            for entry in json.loads(file.read_text("utf-8")):
                entries[entry["id"]] = entry
                values.setdefault(entry["id"], []).append(entry["value"])
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    index.record(HERE, number, profile, values, entries)
    index.write(HERE)


def collect(number: str, profile: str, seed: int, file: Path) -> None:
    """Run the code of a lesson without a kernel, and write its claims, held or broken."""
    ((number, source),) = sources([number]).items()
    notebook = assemble(source, profile, SEED=seed)
    profiles.session.collecting = True
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for place, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{source.name} cell {place}", "exec"), namespace)
    file.write_text(json.dumps(list(profiles.session.claims.values())), "utf-8")


def offline() -> None:
    """Restart this command in a network namespace that has only the loopback."""
    flag = "KERASAE_OFFLINE"
    if os.environ.get(flag):
        return
    command = [sys.executable, *sys.argv]
    try:
        os.execvpe(
            "unshare",
            ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command],
            {**os.environ, flag: "1"},
        )
    except OSError as error:
        raise BuildError(f"--offline needs unshare and ip: {error}") from None


def main() -> int:
    """Run a command, and return 1 if something is wrong with a lesson."""
    if sys.argv[1:2] == ["_collect"]:
        number, profile, seed, file = sys.argv[2:]
        collect(number, profile, int(seed), Path(file))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "command", choices=("build", "check", "smoke", "calibrate", "index", "_smoke")
    )
    parser.add_argument("numbers", nargs="*", help="of lessons; all by default")
    parser.add_argument("--profile", choices=profiles.PROFILES, help="full, but for calibrate")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2, help="lessons at a time, for smoke")
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args()
    try:
        if options.offline:
            offline()
        if options.command == "build":
            build(options.numbers, options.profile or "full")
        elif options.command == "smoke":
            smoke(options.numbers, options.jobs)
        elif options.command == "_smoke":
            ((_, source),) = sources(options.numbers).items()
            print(summary(source, run(source, "smoke")))
        elif options.command == "calibrate":
            for number in sources(options.numbers):
                calibrate(number, options.profile or "smoke", options.seeds)
        elif options.command == "index":
            index.write(HERE)
        else:
            found = check()
            print("\n".join(found) or "Notebooks and sources agree.")
            return bool(found)
    except (BuildError, notebooks.LessonError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
