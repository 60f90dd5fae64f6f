"""The latent explorer: the numbers of Keras under Node, and its page in a browser."""

import json
import re
import shutil
import subprocess
from importlib import resources

import keras
import numpy as np
import pytest
from kerasae.learn._decoding import ACTIVATIONS

import kerasae
from kerasae import learn

NODE = shutil.which("node")
PIXELS = (6, 5)  # height and width differ, so that a swap of them shows


def model(variant="undercomplete", *, half=True, seed=1, **options):
    """An autoencoder with weights of the size of trained ones."""
    options = {"input_shape": PIXELS, "latent_dim": 2, "hidden": (9, 7), **options}
    ae = kerasae.build(variant, **options)
    rng = np.random.default_rng(seed)
    for weight in ae.decoder_network.weights:
        value = np.abs(1 + 0.3 * rng.normal(size=weight.shape))  # variances must be positive
        if "variance" not in weight.path:
            value = rng.normal(0, 0.5, weight.shape)
        weight.assign(value.astype("float16") if half else value)
    return ae


def data(n=60, dtype="float32", shape=PIXELS):
    x = np.random.default_rng(0).uniform(0, 255 if dtype == "uint8" else 1, (n, *shape))
    return x.astype(dtype)


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr("kerasae.learn.exploring._picture", lambda *_: (b"", ""))


def under_node(specs, codes):
    """What the script of the page decodes, without the page."""
    source = (resources.files("kerasae.learn") / "explorer.js").read_text("utf-8")
    program = (
        source
        + """
        const { specs, codes } = JSON.parse(require("fs").readFileSync(0));
        console.log(JSON.stringify(specs.map((spec) => {
          const decode = makeDecoder(spec);
          return codes.map((code) => [...decode(code)]);
        })));"""
    )
    answer = subprocess.run(
        [NODE, "-e", program],
        input=json.dumps({"specs": specs, "codes": codes.tolist()}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return np.array(json.loads(answer.stdout))


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_page_decodes_as_keras_does(no_picture):
    codes = np.random.default_rng(2).normal(0, 1.5, (50, 2)).astype("float32")
    # Two layers of exponentials are beyond float32.
    hidden = {"exponential": (9,)}
    models = [model(activation=name, hidden=hidden.get(name, (9, 7))) for name in ACTIVATIONS]
    specs = [learn.explorer(ae, data()).spec for ae in models]
    for name, ae, found in zip(ACTIVATIONS, models, under_node(specs, codes), strict=True):
        expected = ae.decode(codes).reshape(50, -1)
        # The weights are float16 on both sides; gelu's error function is good to 1.5e-7.
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_scalers_normalization_and_own_layers_decode_as_keras_does(no_picture):
    codes = np.random.default_rng(2).normal(0, 1.5, (50, 2)).astype("float32")
    own = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(8),
            keras.layers.LeakyReLU(negative_slope=0.07),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(30, use_bias=False),
            keras.layers.Reshape(PIXELS),
        ]
    )
    ends = keras.Sequential([keras.Input(PIXELS), keras.layers.Flatten(), keras.layers.Dense(2)])
    normalized = model(normalization="batch", half=False)
    standardized = model(scaler="standardize")
    standardized.scaler.adapt([data() * 7 + 3])
    cases = [
        (kerasae.build("undercomplete", PIXELS, encoder=ends, decoder=own), data()),
        (normalized, data()),
        (standardized, data() * 7 + 3),
        (model(input_dtype="uint8"), data(dtype="uint8")),
        (model("variational", input_shape=(6, 5, 3)), data(shape=(6, 5, 3))),
    ]
    specs = [learn.explorer(ae, x).spec for ae, x in cases]
    for (ae, _), found in zip(cases, under_node(specs[:-1], codes), strict=False):
        expected = ae.decode(codes).reshape(50, -1)
        scale = np.abs(expected).max()
        # Only what is folded or drawn by Keras itself is rounded to float16 here.
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-3)
    expected = cases[-1][0].decode(codes).reshape(50, -1)
    np.testing.assert_allclose(under_node(specs[-1:], codes)[0], expected, atol=2e-5)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_float16_weights_change_a_pixel_by_a_thousandth(no_picture):
    codes = np.random.default_rng(2).normal(size=(50, 2)).astype("float32")
    ae = model("variational", half=False, output_activation="sigmoid")
    found = under_node([learn.explorer(ae, data()).spec], codes)[0]
    error = np.abs(found - ae.decode(codes).reshape(50, -1))
    assert 1e-6 < error.max() < 2e-3


def around(decoder):
    encoder = keras.Sequential([keras.Input(PIXELS), keras.layers.Flatten(), keras.layers.Dense(2)])
    return kerasae.build("undercomplete", PIXELS, encoder=encoder, decoder=decoder)


def twice():
    code = keras.Input((2,))
    again = keras.layers.Dense(2, activation="tanh")
    return keras.Model(
        code, keras.layers.Reshape(PIXELS)(keras.layers.Dense(30)(again(again(code))))
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: model(latent_dim=3), r"needs latent_dim=2.* Received: latent_dim=3"),
        (lambda: model("convolutional", hidden=(4,)), r"dense layers.* a Conv2DTranspose"),
        (lambda: model(normalization="layer"), r"dense layers.* a LayerNormalization"),
        (lambda: model(activation="softsign"), r"knows the activations .*activation='softsign'"),
        (lambda: around(twice()), r"follow each other in one row"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        learn.explorer(make(), data())


def test_bad_data_is_refused_with_a_sentence():
    flat = model(input_shape=(30,))
    with pytest.raises(ValueError, match=r"shows images.* Received: samples of shape \(30,\)"):
        learn.explorer(flat, data(shape=(30,)))
    assert learn.explorer(flat, data(shape=(30,)), image_shape=PIXELS).spec["shape"] == (6, 5, 1)
    with pytest.raises(ValueError, match=r"labels must hold one value .* Received: shape=\(3,\)"):
        learn.explorer(model(), data(), [1, 2, 3])
    with pytest.raises(ValueError, match=r"at least 2 samples"):
        learn.explorer(model(), data(1))
    with pytest.raises(ValueError, match=r"x must be an array of samples.* Received: generator"):
        learn.explorer(model(), (row for row in data()))
    with pytest.raises(ValueError, match=r"points must be .* Received: points=1"):
        learn.explorer(model(), data(), points=1)
    large = model()
    large.decoder_network.weights[-1].assign(np.full(30, 1e5))
    with pytest.raises(ValueError, match=r"float16, up to 65,504.* up to 1e\+05"):
        learn.explorer(large, data())


def test_the_page_is_whole_and_the_same_every_time(tmp_path):
    ae = model("variational")
    labels = np.arange(60) % 2
    names = ["</script><b>", 'a "b"']
    made = [learn.explorer(ae, data(), labels, class_names=names, noun="digit") for _ in range(2)]
    html = made[0]._repr_html_()
    assert html == made[1]._repr_html_()
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", html)
    assert html.count("</script>") == 1
    assert re.search(r'<img src="data:image/png;base64,[^"]{1000,}" alt="[^"]{40,}"', html)
    page = made[0].save(tmp_path / "explorer.html").read_text("utf-8")
    assert html in page
    assert "60 codes" in repr(made[0])


def test_codes_are_taken_evenly_and_the_map_holds_them(no_picture):
    ae, x = model(), data(500)
    spec = learn.explorer(ae, x, points=50).spec
    assert len(spec["codes"]) < 300  # 50 codes of 4 bytes, in base64
    codes = ae.encode(x)
    for (low, high), axis in zip(spec["limits"], codes.T, strict=True):
        assert np.mean((axis > low) & (axis < high)) > 0.9
    assert spec["quantiles"] is None
    prior = learn.explorer(model("variational"), x).spec
    assert prior["limits"][0] == prior["limits"][1]
    assert prior["limits"][0][1] >= 3
    assert dict((share, z) for z, share in prior["quantiles"])["95%"] == pytest.approx(1.64485)


@pytest.fixture
def page(tmp_path):
    """Three explorers on one page, two of them alike, in a page with a dark switch."""
    ae = model("variational", output_activation="sigmoid")
    first = learn.explorer(ae, data(), np.arange(60) % 3, noun="digit")
    other = learn.explorer(model(input_dtype="uint8"), data(dtype="uint8"))
    path = tmp_path / "page.html"
    style = "<style>body.dark { background: #111; color: #eee; }</style>"
    parts = [first._repr_html_(), other._repr_html_(), first._repr_html_()]
    head = (
        '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    path.write_text(f"{head}{style}<body>{''.join(parts)}", "utf-8")
    return path, ae


def statuses(browser):
    return browser.value("[...document.querySelectorAll('.kx-status')].map((e) => e.textContent)")


def drawn(browser, index=0):
    """The pixels of a decoded image, once they are drawn."""
    return np.array(
        browser.value(f"""new Promise((done) => requestAnimationFrame(() =>
        requestAnimationFrame(() => {{
          const image = document.querySelectorAll('.kx-image')[{index}];
          const copy = document.createElement('canvas');
          const context = copy.getContext('2d', {{ willReadFrequently: true }});
          context.drawImage(image, 0, 0);
          const all = context.getImageData(0, 0, image.width, image.height).data;
          done([...all].filter((_, i) => i % 4 === 0));
        }})))""")
    ).reshape(PIXELS)


def z_of(status):
    found = re.match(r"z = \((.+?), (.+?)\); nearest training digit \d, .+ away; prior", status)
    return [float(number.replace("\N{MINUS SIGN}", "-")) for number in found.groups()]


def close_to_keras(browser, ae):
    z = browser.value(
        "[...document.querySelectorAll('.kx-slider input')].slice(0, 2).map((e) => Number(e.value))"
    )
    expected = 255 * ae.decode(np.array([z], "float32"))[0]
    # A slider moves in steps of a 400th of the map, and holds the nearest.
    return np.abs(drawn(browser) - expected).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_the_point_moves_by_mouse_finger_keys_and_sliders(width, browser, page):
    path, ae = page
    browser.open(path, width, "light")
    assert z_of(statuses(browser)[0]) == [0, 0]
    assert "density 1.00 of its peak" in statuses(browser)[0]
    assert browser.value("document.querySelectorAll('.kx-map').length") == 3
    assert browser.value("document.querySelectorAll('.kerasae-explorer img').length") == 0
    assert close_to_keras(browser, ae)

    box = browser.value("document.querySelector('.kx-map').getBoundingClientRect().toJSON()")
    edge = browser.value("Number(document.querySelector('.kx-slider input').max)")
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    before = drawn(browser)

    def mouse(kind, x, y):
        browser.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left",
            buttons=0 if kind == "mouseReleased" else 1,
            clickCount=1,
        )

    mouse("mousePressed", *middle)
    mouse("mouseMoved", middle[0] + box["width"] / 4, middle[1] - box["height"] / 6)
    mouse("mouseReleased", middle[0] + box["width"] / 4, middle[1] - box["height"] / 6)
    mouse("mouseMoved", middle[0], middle[1])  # nothing follows once the button is up
    assert z_of(statuses(browser)[0]) == pytest.approx([edge / 2, edge / 3], abs=0.03)
    assert np.abs(drawn(browser) - before).max() > 3
    assert close_to_keras(browser, ae)
    assert statuses(browser)[2] != statuses(browser)[0]  # the one alike stayed

    def press(key, modifiers=0):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers)

    scroll = browser.value("scrollY")
    at = z_of(statuses(browser)[0])
    press("ArrowRight")
    press("ArrowDown", 8)
    moved = z_of(statuses(browser)[0])
    assert moved == pytest.approx([at[0] + 0.04 * edge, at[1] - 0.2 * edge], abs=0.02)
    assert browser.value("scrollY") == scroll
    press("Home")
    assert z_of(statuses(browser)[0]) == [0, 0]
    for _ in range(12):
        press("ArrowUp", 8)
    assert z_of(statuses(browser)[0]) == pytest.approx([0, edge], abs=0.01)  # not off the map

    browser.value("document.querySelector('.kx-slider input').focus()")
    press("Home")
    assert z_of(statuses(browser)[0]) == pytest.approx([-edge, edge], abs=0.01)

    points = [{"x": middle[0] + box["width"] / 3, "y": middle[1]}]
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=points)
    points[0]["x"] -= box["width"] / 2
    browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=points)
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert z_of(statuses(browser)[0]) == pytest.approx([-edge / 3, 0], abs=0.03)
    assert close_to_keras(browser, ae)

    names = browser.value("[...document.querySelectorAll('.kx-image')].map((e) => e.ariaLabel)")
    assert all(len(name) > 40 for name in names)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
    assert browser.asked() == [path.as_uri()]


@pytest.mark.slow
def test_it_follows_the_page_from_light_to_dark(browser, page, tmp_path):
    browser.open(page[0], 1200, "light")
    theme = "document.querySelector('.kerasae-explorer').dataset.theme"
    assert browser.value(theme) == "light"
    browser.value("document.body.className = 'dark'")
    drawn(browser)
    assert browser.value(theme) == "dark"
    saved = learn.explorer(model(), data()).save(tmp_path / "explorer.html")
    browser.open(saved, 1200, "dark")
    assert browser.value(theme) == "dark"
    assert browser.complaints() == []
