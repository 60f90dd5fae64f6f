"""Build the site: lay out its sources as in the repository, and run Sphinx on them.

    .venv/bin/python docs/build.py build/docs      # build/docs/site/index.html

The sources are the pages of `docs/`, the executed lessons, the READMEs that are pages of their
own, and one page per public module. Links between them are those of the repository. Warnings are
errors, and nothing needs a network.
"""

import importlib
import inspect
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = (
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/results/*",
    "saved_models/README.md",
    "saved_models/*/1/README.md",
    "tutorials/*.ipynb",
    "tutorials/*.md",
)
FRONT = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>kerasae</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">kerasae</a></html>
"""


def build(folder: Path) -> Path:
    """Build the site in `folder/site`, from sources laid out in `folder/source`.

    Returns:
        The folder of the site.

    Raises:
        RuntimeError: If Sphinx warned or failed.
    """
    from sphinx.cmd.build import build_main

    source, site = folder / "source", folder / "site"
    shutil.rmtree(source, ignore_errors=True)
    lay_out(source)
    arguments = ["-q", "-W", "--keep-going", "-b", "html", "-c", HERE, "-d", folder / "doctrees"]
    if build_main([str(argument) for argument in (*arguments, source, site)]):
        raise RuntimeError("The site has not been built: see the warnings above.")
    (site / "index.html").write_text(FRONT, "utf-8")
    return site


def lay_out(source: Path) -> None:
    """Write the sources of the site to a new folder."""
    ignored = shutil.ignore_patterns("_static", "__pycache__", "*.py", ".*")
    shutil.copytree(HERE, source / "docs", ignore=ignored)
    for code in (HERE / "guides").glob("*.py"):
        shutil.copy(code, source / "docs" / "guides")
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            target = source / page.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page, target)
    for page in (source / "tutorials").iterdir():
        page.write_text(without_missing_lessons(page), "utf-8")
    learn = source / "docs" / "learn.md"
    learn.write_text(learn.read_text("utf-8").replace("<!-- lessons -->", lessons(source)), "utf-8")
    for folder, pages in (("saved_models", "*/1/README"), ("benchmarks", "results/*")):
        if list((source / folder).glob(f"{pages}.md")):
            with (source / folder / "README.md").open("a", encoding="utf-8") as page:
                page.write(f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{pages}\n```\n")
    api = source / "docs" / "api"
    api.mkdir()
    for name, text in api_pages().items():
        (api / f"{name}.md").write_text(text, "utf-8")


def without_missing_lessons(page: Path) -> str:
    """Return a page in which links to lessons that do not exist yet are plain text."""
    there = {path.name[:2] for path in page.parent.glob("[0-9]*.ipynb")}
    return re.sub(
        r"\[([^][]*)\]\((\d\d)_\w+\.ipynb\)",
        lambda link: link[0] if link[2] in there else link[1],
        page.read_text("utf-8"),
    )


def lessons(source: Path) -> str:
    """Return the existing lessons as a table of contents."""
    pages = ["README", "CLAIMS", "MUSEUM"]
    pages += sorted(path.stem for path in (source / "tutorials").glob("[0-9]*.ipynb"))
    there = [p for p in pages if list((source / "tutorials").glob(f"{p}.*"))]
    return "\n".join(["```{toctree}", *(f"/tutorials/{page}" for page in there), "```"])


def public_modules() -> list[str]:
    """Return the names of the public modules, `kerasae` first."""
    import kerasae

    inner = [n for n in kerasae.__all__ if inspect.ismodule(getattr(kerasae, n))]
    return ["kerasae", *(f"kerasae.{name}" for name in sorted(inner)), "kerasae_lessons"]


def api_pages() -> dict[str, str]:
    """Return the pages of the reference by name."""
    modules = public_modules()
    rows = [f"| {{doc}}`{name}` | {first_line(name)} |" for name in modules]
    pages = {
        "index": "\n".join(
            [
                "# Reference",
                "",
                "Every public name, from its docstring. `import kerasae` loads neither Keras nor "
                "TensorFlow; each name below is imported at its first use.",
                "",
                "| module | what it holds |",
                "|---|---|",
                *rows,
                "",
                "```{toctree}",
                ":hidden:",
                "",
                *modules,
                "```",
                "",
            ]
        )
    }
    for name in modules:
        pages[name] = f"# {name}\n\n```{{eval-rst}}\n{directives(name)}\n```\n"
    return pages


def first_line(name: str) -> str:
    """Return the first line of a module's docstring."""
    return (inspect.getdoc(importlib.import_module(name)) or "").splitlines()[0]


def public_names(name: str) -> list[str]:
    """Return the public names of a module: its `__all__`, or what is defined in it."""
    module = importlib.import_module(name)
    if hasattr(module, "__all__"):
        names = [n for n in module.__all__ if not n.startswith("_")]
        return [n for n in names if not inspect.ismodule(getattr(module, n))]
    return [
        n
        for n, value in vars(module).items()
        if not n.startswith("_") and getattr(value, "__module__", None) == name and callable(value)
    ]


def directives(name: str) -> str:
    """Return the directives that make autodoc write the reference of a module."""
    module = importlib.import_module(name)
    lines = [f".. automodule:: {name}", ""]
    for member in public_names(name):
        value = getattr(module, member)
        if inspect.isclass(value):
            # What a class inherits from Keras is documented there.
            outer = [c.__name__ for c in value.__mro__ if not c.__module__.startswith("kerasae")]
            lines += [
                f".. autoclass:: {name}.{member}",
                "   :members:",
                f"   :inherited-members: {', '.join(outer)}",
                "",
            ]
        elif callable(value):
            lines += [f".. autofunction:: {name}.{member}", ""]
        else:
            lines += [f".. autodata:: {name}.{member}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("One argument: the folder to build in, such as build/docs.")
    try:
        print(build(Path(sys.argv[1]).absolute()) / "index.html")
    except RuntimeError as error:
        sys.exit(str(error))
