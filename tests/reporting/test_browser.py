"""Pages in a real browser: nothing goes wrong in the console, nothing else is asked for.

Chromium is driven over a pipe with its DevTools protocol, which needs no library.
"""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from kerasae.reporting import write_comparison, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--remote-debugging-pipe",
]  # fmt: skip
SECONDS = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


class Browser:
    """A page of a headless Chromium: methods of its protocol are called, events are kept."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen(
            # The browser reads commands from 3 and writes answers to 4.
            ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null',
             CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        self.write, self.read = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.events: list[dict[str, Any]] = []
        self.rest, self.calls, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def next(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], until - time.monotonic())
            piece = os.read(self.read, 1 << 20) if ready else b""
            assert piece, "Chromium does not answer"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, width: int, scheme: str) -> None:
        """Load a page, and wait until all of it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 500,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not self.of("Page.loadEventFired"):
            self.events.append(self.next())

    def of(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def pages(make_run, png, tmp_path) -> list[Path]:
    """A report with every section, and a comparison."""
    metrics = {
        "test": {"mse": 0.01, "mae": 0.05, "bce": 0.3, "bce_floor": 0.2, "psnr": 20.0, "ssim": 0.9},
        "baselines": {"pca": {"mse": 0.02, "psnr": 17.0}},
        "noisy": {"mse": 0.2},
        "codes": {"probe_accuracy": 0.93, "active_units": 30},
        "variational": {
            "elbo_nats": -90.5, "warning": "Collapsed.", "importance_weighted": {"10": {"nats": 1}}
        },
        "linear": {"explained_variance": 0.9},
        "contractive": {"frobenius": 1.0},
        "detection": {"false_alarm_rate": 0.01, "threshold": 0.5, "n": 500},
        "generation": {"frechet_distance": 12.0},
    }  # fmt: skip
    long = "/" + "a_folder_with_a_long_name" * 8 + "/beats.csv"
    run = make_run("run" * 40, metrics=metrics, config={"variant": "vae", "data": long})
    report = write_report(run)
    assert report.read_text("utf-8").count("<section") >= 11
    return [report, write_comparison([run, run], tmp_path / "comparison.html")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_cleanly_and_fit(width, scheme, browser, pages):
    for path in pages:
        browser.open(path, width, scheme)
        asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        said = [
            browser.of(method)
            for method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        ]
        assert said == [[], [], []]
        # Wide tables and figures scroll within their frames, never the page.
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("[...document.images].every(i => i.naturalWidth > 0)") is True
        dark = browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert dark == (scheme == "dark")


def test_the_browser_would_see_an_error_and_a_request(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="nowhere.png"><script>console.error("no"); missing()</script>')
    browser.open(page, 1280, "light")
    asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert (tmp_path / "nowhere.png").as_uri() in asked
    assert browser.of("Runtime.consoleAPICalled")
    assert browser.of("Runtime.exceptionThrown")
    assert browser.of("Log.entryAdded")
