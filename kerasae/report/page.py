"""The page: its head and its sections in a template, written to a file."""

from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from kerasae.files import replacing
from kerasae.report import instructions, measures, results, sections, summary
from kerasae.report.run import Run, mapping

SECTIONS: dict[str, Callable[[Run], str]] = {
    "Results": results.results,
    "Figures": sections.figures,
    "Codes": measures.codes,
    "Variational": measures.variational,
    "Linear check": measures.linear_check,
    "Contraction": measures.contraction,
    "Anomaly detection": measures.detection,
    "Generation": measures.generation,
    "Loss terms": sections.losses,
    "Use the model": instructions.use,
    "Commands": instructions.commands,
    "Configuration": sections.configuration,
}


def write_report(run: str | Path) -> Path:
    """Write `report.html` into a run directory, replacing the old one at once.

    Args:
        run: Directory that `kerasae.train` wrote. Only `config.json` must be there: the page says
            what is missing. `metrics.json`, `history.csv`, `figures/figures.json`, `model.keras`
            and `saved_model/` each add their part.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: There is no `config.json` in `run`.
        ValueError: A file of the run cannot be read; the sentence names it.

    Example:
        >>> write_report("runs/denoising-digits")  # doctest: +SKIP
        PosixPath('runs/denoising-digits/report.html')
    """
    content = Run.read(run)
    page = render(content).encode("utf-8", "xmlcharrefreplace")
    target = content.path / "report.html"
    with replacing(target) as temporary:
        temporary.write_bytes(page)
    return target


def render(run: Run) -> str:
    """Return the page of a run as HTML.

    Args:
        run: What `Run.read` returned.
    """
    links, main = "", ""
    bodies = ((title, section(run)) for title, section in SECTIONS.items())
    said = ((title, body) for title, body in bodies if body)
    for index, (title, body) in enumerate(said, start=1):
        anchor = f"section-{index}"
        links += f'<li><a href="#{anchor}">{escape(title)}</a></li>'
        main += (
            f'<section aria-labelledby="{anchor}">'
            f'<h2 id="{anchor}">{escape(title)}</h2>{body}</section>\n'
        )
    nav = f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    versions = mapping(run.config.get("versions"))
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items()) or "kerasae"
    page = (
        f"<header>{summary.header(run)}{nav}</header>\n"
        f"<main>\n{summary.notice(run)}{main}</main>\n"
        f"<footer><p>Made with {escape(made_with)}. "
        "This page is one file: it loads nothing and runs no script.</p></footer>"
    )
    return fill(f"{summary.title(run)} - kerasae report", page)


def fill(title: str, body: str) -> str:
    """Return a whole page.

    Args:
        title: Text of the title; it is escaped here.
        body: HTML.
    """
    template = resources.files("kerasae.report").joinpath("template.html").read_text("utf-8")
    return Template(template).substitute(title=escape(title), body=body)
