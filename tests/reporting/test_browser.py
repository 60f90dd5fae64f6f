"""Pages in a real browser: nothing goes wrong in the console, nothing else is asked for."""

from pathlib import Path

import pytest

from kerasae.report import write_comparison, write_report

pytestmark = pytest.mark.slow


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
        assert browser.asked() == [path.as_uri()]
        assert browser.complaints() == []
        # Wide tables and figures scroll within their frames, never the page.
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("[...document.images].every(i => i.naturalWidth > 0)") is True
        dark = browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert dark == (scheme == "dark")


def test_the_browser_would_see_an_error_and_a_request(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="nowhere.png"><script>console.error("no"); missing()</script>')
    browser.open(page, 1280, "light")
    assert (tmp_path / "nowhere.png").as_uri() in browser.asked()
    assert browser.of("Runtime.consoleAPICalled")
    assert browser.of("Runtime.exceptionThrown")
    assert browser.of("Log.entryAdded")
