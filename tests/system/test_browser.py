"""Pages in Chromium: reports, comparisons and the latent explorer.

Nothing is written to the console, nothing else is requested, and everything fits.
"""

import re

import numpy as np
import pytest

import kerasae
import kerasae_lessons as learn
from kerasae.report import write_comparison

pytestmark = pytest.mark.slow
IMAGE = (6, 5)  # height and width differ, so that a swap of them shows


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a small run with long names, and a comparison of it with itself."""
    folder = tmp_path_factory.mktemp("pages")
    data = folder / ("a_folder_with_a_long_name" * 8)
    data.mkdir()
    splits = kerasae.data.load("digits")
    np.save(data / "images.npy", splits.array("train")[:300])
    run = kerasae.train(
        "variational",
        data=data / "images.npy",
        out=folder / ("run" * 40),
        epochs=1,
        latent_dim=2,
        export=False,
        verbose=0,
    )
    report = run.path / "report.html"
    assert report.read_text("utf-8").count("<section") >= 5
    return [report, write_comparison([run.path, run.path], folder / "comparison.html")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_cleanly_and_fit(width, scheme, visit, pages):
    for path in pages:
        seen = visit(path, width, scheme)
        assert seen.requests == [path.as_uri()]
        assert seen.complaints == []
        # Wide tables and figures scroll within their frames, never the page.
        assert seen.value("document.documentElement.scrollWidth") <= width
        assert seen.value("[...document.images].every((image) => image.naturalWidth > 0)")
        dark = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((v) => v < 64)"
        assert seen.value(dark) == (scheme == "dark")


def test_an_error_and_a_request_would_be_seen(visit, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="nowhere.png"><script>console.error("no"); missing()</script>')
    seen = visit(page)
    assert (tmp_path / "nowhere.png").as_uri() in seen.requests
    said = " ".join(seen.complaints)
    assert "no" in seen.complaints
    assert "missing is not defined" in said
    assert "Failed to load resource" in said


def model(variant="undercomplete", **options):
    """Build an autoencoder with weights of the size of trained ones."""
    options = {"input_shape": IMAGE, "latent_dim": 2, "hidden": (9, 7), **options}
    ae = kerasae.build(variant, **options)
    rng = np.random.default_rng(1)
    for weight in ae.decoder_network.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape).astype("float16"))
    return ae


def images(dtype="float32"):
    x = np.random.default_rng(0).uniform(0, 255 if dtype == "uint8" else 1, (60, *IMAGE))
    return x.astype(dtype)


@pytest.fixture(scope="module")
def explorers(tmp_path_factory):
    """A page with a dark switch and three explorers, two of them alike; and their model."""
    ae = model("variational", output_activation="sigmoid")
    first = learn.explorer(ae, images(), np.arange(60) % 3, noun="digit")
    other = learn.explorer(model(input_dtype="uint8"), images("uint8"))
    path = tmp_path_factory.mktemp("explorers") / "page.html"
    path.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<style>body.dark { background: #111; color: #eee; }</style><body>"
        + "".join(each._repr_html_() for each in (first, other, first)),
        "utf-8",
    )
    return path, ae


class Map:
    """The first explorer of a page: its point, its image and its status line."""

    def __init__(self, seen):
        self.seen = seen
        self.box = seen.page.locator(".kx-map").first.bounding_box()
        self.middle = (
            self.box["x"] + self.box["width"] / 2,
            self.box["y"] + self.box["height"] / 2,
        )
        self.edge = seen.value("Number(document.querySelector('.kx-slider input').max)")

    def status(self, index=0):
        return self.seen.page.locator(".kx-status").nth(index).text_content()

    def z(self):
        """The point as the status line gives it."""
        found = re.match(
            r"z = \((.+?), (.+?)\); nearest training digit \d, .+ away; prior", self.status()
        )
        return [float(number.replace("\N{MINUS SIGN}", "-")) for number in found.groups()]

    def drawn(self):
        """The decoded image, 0 to 255, once it is drawn."""
        return np.array(
            self.seen.value("""new Promise((done) => requestAnimationFrame(() =>
            requestAnimationFrame(() => {
              const image = document.querySelector('.kx-image');
              const copy = document.createElement('canvas');
              const context = copy.getContext('2d', { willReadFrequently: true });
              context.drawImage(image, 0, 0);
              const all = context.getImageData(0, 0, image.width, image.height).data;
              done([...all].filter((_, i) => i % 4 === 0));
            })))""")
        ).reshape(IMAGE)

    def shows(self, ae):
        """Whether the image is that of Keras where the sliders are."""
        z = self.seen.value(
            "[...document.querySelectorAll('.kx-slider input')].slice(0, 2)"
            ".map((slider) => Number(slider.value))"
        )
        expected = 255 * ae.decode(np.array([z], "float32"))[0]
        # A slider moves in steps of a 400th of the map, and holds the nearest.
        return np.abs(self.drawn() - expected).max() < 4


@pytest.mark.parametrize("width", [1200, 390])
def test_the_point_moves_by_mouse_touch_keys_and_sliders(width, visit, explorers):
    path, ae = explorers
    seen = visit(path, width)
    map_, page = Map(seen), seen.page
    assert map_.z() == [0, 0]
    assert "density 1.00 of its peak" in map_.status()
    assert page.locator(".kx-map").count() == 3
    assert page.locator(".kerasae-explorer img").count() == 0
    assert map_.shows(ae)

    x, y = map_.middle
    before = map_.drawn()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + map_.box["width"] / 4, y - map_.box["height"] / 6)
    page.mouse.up()
    page.mouse.move(x, y)  # nothing follows once the button is up
    assert map_.z() == pytest.approx([map_.edge / 2, map_.edge / 3], abs=0.03)
    assert np.abs(map_.drawn() - before).max() > 3
    assert map_.shows(ae)
    assert map_.status(2) != map_.status(0)  # the one alike stayed

    scroll = seen.value("scrollY")
    at = map_.z()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    moved = [at[0] + 0.04 * map_.edge, at[1] - 0.2 * map_.edge]
    assert map_.z() == pytest.approx(moved, abs=0.02)
    assert seen.value("scrollY") == scroll
    page.keyboard.press("Home")
    assert map_.z() == [0, 0]
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")
    assert map_.z() == pytest.approx([0, map_.edge], abs=0.01)  # not off the map

    page.locator(".kx-slider input").first.focus()
    page.keyboard.press("Home")
    assert map_.z() == pytest.approx([-map_.edge, map_.edge], abs=0.01)

    touch = page.context.new_cdp_session(page)  # Playwright itself taps, but cannot drag
    finger = {"x": x + map_.box["width"] / 3, "y": y}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    finger["x"] -= map_.box["width"] / 2
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [finger]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert map_.z() == pytest.approx([-map_.edge / 3, 0], abs=0.03)
    assert map_.shows(ae)

    names = seen.value("[...document.querySelectorAll('.kx-image')].map((e) => e.ariaLabel)")
    assert all(len(name) > 40 for name in names)
    assert seen.value("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []
    assert seen.requests == [path.as_uri()]


def test_it_follows_the_page_from_light_to_dark(visit, explorers, tmp_path):
    seen = visit(explorers[0])
    theme = "document.querySelector('.kerasae-explorer').dataset.theme"
    assert seen.value(theme) == "light"
    seen.value("document.body.className = 'dark'")
    Map(seen).drawn()
    assert seen.value(theme) == "dark"
    saved = learn.explorer(model(), images()).save(tmp_path / "explorer.html")
    seen = visit(saved, scheme="dark")
    assert seen.value(theme) == "dark"
    assert seen.complaints == []
