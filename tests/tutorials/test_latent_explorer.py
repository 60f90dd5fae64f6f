"""The latent explorer: it decodes as Keras does, under Node, and refuses what it cannot show."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasae
import kerasae_lessons as learn
from kerasae_lessons import latent_explorer
from kerasae_lessons.decoder import ACTIVATIONS

SCRIPT = Path(learn.__file__).parent / "explorer.js"
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
    monkeypatch.setattr(latent_explorer, "_picture", lambda *_: (b"", ""))


def under_node(specs, codes):
    """What the script of the page decodes, without the page."""
    program = (
        SCRIPT.read_text("utf-8")
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
        (lambda: model(latent_dim=3), "Received: latent_dim=3"),
        (lambda: model("convolutional", hidden=(4,)), "Conv2DTranspose"),
        (lambda: model(normalization="layer"), "LayerNormalization"),
        (lambda: model(activation="softsign"), "activation='softsign'"),
        (lambda: around(twice()), "in one row"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        learn.explorer(make(), data())


def test_bad_data_is_refused_with_a_sentence():
    flat = model(input_shape=(30,))
    with pytest.raises(ValueError, match=r"Received: samples of shape \(30,\)"):
        learn.explorer(flat, data(shape=(30,)))
    assert learn.explorer(flat, data(shape=(30,)), image_shape=PIXELS).spec["shape"] == (6, 5, 1)
    with pytest.raises(ValueError, match=r"labels.* Received: shape=\(3,\)"):
        learn.explorer(model(), data(), [1, 2, 3])
    with pytest.raises(ValueError, match="x must hold"):
        learn.explorer(model(), data(1))
    with pytest.raises(ValueError, match="Received: generator"):
        learn.explorer(model(), (row for row in data()))
    with pytest.raises(ValueError, match="Received: points=1"):
        learn.explorer(model(), data(), points=1)
    large = model()
    large.decoder_network.weights[-1].assign(np.full(30, 1e5))
    with pytest.raises(ValueError, match=r"weights.* 1e\+05"):
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
