"""The site: it builds without network and warnings, and its pages open cleanly in Chromium."""

import base64
import fcntl
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def layout():
    """The module docs/build.py."""
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebook():
    """A lesson with what lessons have: a formula, a folded solution, a figure, an explorer."""
    nbformat = pytest.importorskip("nbformat")
    drawn = io.BytesIO()
    Image.new("L", (9, 9)).save(drawn, "png")
    dot = base64.b64encode(drawn.getvalue()).decode()
    new = nbformat.v4
    folded = "<details><summary>Solution</summary>\n\n`x`\n\n</details>"
    text = "# 99 Try\n\n[Next](98_later.ipynb)\n\n$\\boldsymbol x$\n\n$$\\mathbb E\\,z^2$$"
    cells = [
        new.new_markdown_cell(f"{text}\n\n{folded}"),
        new.new_code_cell(
            "1",
            execution_count=1,
            metadata={"mystnb": {"image": {"alt": "A dot, alone."}}},
            outputs=[new.new_output("display_data", {"image/png": dot})],
        ),
        new.new_code_cell(
            "2",
            execution_count=2,
            outputs=[
                new.new_output(
                    "display_data",
                    {
                        "text/html": "<p id='live'>no</p><script>live.textContent = 'yes'</script>",
                    },
                )
            ],
        ),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    language = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return nbformat.writes(new.new_notebook(cells=cells, metadata=language))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site with one more lesson, built once for all workers of pytest-xdist."""
    pytest.importorskip("myst_nb")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "docs"
    with (folder.parent / "docs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            build_site(folder)
    assert (folder / "built" / "site" / "index.html").exists(), "another worker tells why"
    return folder / "built" / "site"


def build_site(folder):
    """Build in a copy of what the site is made of, without network if that can be had."""
    for part in ("docs", "tutorials", "benchmarks", "saved_models"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("variables"))
    shutil.copy(ROOT / "CHANGELOG.md", folder)
    (folder / "tutorials" / "99_try.ipynb").write_text(notebook(), "utf-8")
    command = [sys.executable, str(folder / "docs" / "build.py"), str(folder / "built")]
    alone = ["unshare", "-rn"]
    can = shutil.which("unshare") and not subprocess.run([*alone, "true"], check=False).returncode
    command = [*alone, *command] if can else command
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


class Page(HTMLParser):
    """Links, anchors and sources of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.sources, self.anchors, self.images = [], [], set(), []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical",):
            self.sources.append(values["href"])
        if values.get("src"):
            self.sources.append(values["src"])
        if tag == "img":
            self.images.append(values)


@pytest.fixture(scope="module")
def pages(site):
    found = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    assert len(found) > 40
    return found


def test_every_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"https?:|mailto:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file.split("?")[0])).resolve() if file else path
            if not target.is_file() or (
                anchor and target in pages and unquote(anchor) not in pages[target].anchors
            ):
                broken.append((path.name, link))
    assert broken == []


def test_no_page_asks_another_machine(pages, site):
    for path, page in pages.items():
        for source in page.sources:
            assert not re.match(r"(https?:)?//", source), (path.name, source)
            file = source.split("?")[0].split("#")[0]
            assert source.startswith(("data:", "#")) or (path.parent / unquote(file)).is_file(), (
                source
            )
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_examples_and_sections_of_docstrings_are_set_as_such(site):
    """What is not recognized would stand there as one paragraph, without a warning."""
    for path in (site / "docs" / "api").glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<p>[^<]*&gt;&gt;&gt;", text), path.name
        assert not re.search(
            r"<p>(Args|Call arguments|Returns|Raises|Input shape|Output shape):", text
        ), path.name
        assert "<p>```" not in text, path.name


def test_every_image_says_what_it_shows(pages):
    for path, page in pages.items():
        for image in page.images:
            assert image.get("alt"), (path.name, image)


def test_every_public_name_is_in_the_reference(site, layout):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    modules = layout.public_modules()
    wanted = {f"{m}.{name}" for m in modules for name in layout.public_names(m)}
    assert {"kerasae.build", "kerasae_lessons.explorer", "kerasae.losses.get"} <= wanted
    assert wanted - known == set()
    # The verbs come from private classes, and are the model's.
    verbs = {f"kerasae.models.Autoencoder.{verb}" for verb in ("encode", "calibrate", "generate")}
    assert verbs <= known


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
)
def test_every_kind_of_page_opens_cleanly(width, scheme, site, visit):
    kinds = [
        "docs/index.html",
        "docs/choosing.html",
        "docs/gallery.html",
        "docs/learn.html",
        "docs/api/kerasae.models.html",
        "docs/guides/serving.html",
        "benchmarks/README.html",
        "saved_models/denoising-mnist/1/README.html",
        "tutorials/99_try.html",
        "search.html",
    ]
    dark = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((v) => v < 64)"
    for kind in kinds:
        seen = visit(site / kind, width, scheme)
        assert seen.complaints == [], kind
        assert all(url.startswith("file:") for url in seen.requests), kind
        assert seen.value("document.documentElement.scrollWidth") <= width, kind
        assert seen.value(dark) == (scheme == "dark"), kind


def test_a_lesson_has_its_formulas_figure_and_script(site, visit):
    seen = visit(site / "tutorials" / "99_try.html")
    seen.value("MathJax.startup.promise.then(() => 1)")
    page = seen.page
    assert page.locator("mjx-container").count() == 2
    assert page.locator("mjx-merror").count() == 0
    assert seen.value("document.fonts.ready.then(() => 1)") == 1
    assert page.locator("#live").text_content() == "yes"
    assert page.get_by_alt_text("A dot, alone.").count() == 1
    assert seen.complaints == []
