"""A headless Chromium, driven by Playwright."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclasses.dataclass
class Visit:
    """A page that was opened: what its console said, and which addresses it requested."""

    page: Any
    complaints: list[str] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        return self.page.evaluate(expression)


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium. It ends with the module: Playwright keeps an event loop running."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """`visit(path, width, scheme)` opens a file in a new window and waits until it is loaded."""
    windows = []

    def open_(path: Path, width: int = 1280, scheme: str = "light") -> Visit:
        window = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=True,
            is_mobile=width < 500,
        )
        windows.append(window)
        seen = Visit(window.new_page())
        seen.page.on("console", lambda message: seen.complaints.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(path.as_uri())
        # Data addresses hold their data.
        seen.requests[:] = [url for url in seen.requests if not url.startswith("data:")]
        return seen

    yield open_
    for window in windows:
        window.close()
