"""The models that ship: TensorFlow alone loads them and says what is written beside them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasae.serving import Served

FOLDER = Path(__file__).parent.parent / "saved_models"
NAMES = ["convolutional", "denoising", "sparse_kl", "undercomplete", "variational"]

GOLDEN = """
import json, sys
for name in ("keras", "kerasae"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf

for name in sys.argv[2:]:
    folder = f"{sys.argv[1]}/{name}-mnist/1"
    model, apart = tf.saved_model.load(folder), {}
    with np.load(folder + "/golden.npz") as golden:
        calls = {}
        for key in golden:
            signature, side, tensor = key.split("/")
            calls.setdefault(signature, {"in": {}, "out": {}})[side][tensor] = golden[key]
    for signature, call in calls.items():
        inputs = {k: tf.constant(v) for k, v in call["in"].items()}
        answers = model.signatures[signature](**inputs)
        assert answers.keys() == call["out"].keys()
        for tensor, expected in call["out"].items():
            given = answers[tensor].numpy().astype("float64")
            scale = max(1.0, np.abs(expected.astype("float64")).max())
            apart[f"{signature}/{tensor}"] = float(np.abs(given - expected).max() / scale)
    print("APART", json.dumps(apart))
"""


@pytest.fixture(scope="module")
def apart():
    """Differences from the golden outputs, found in a process without Keras and kerasae."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", GOLDEN, str(FOLDER), *NAMES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(s[5:]) for s in done.stdout.splitlines() if s.startswith("APART")]
    return dict(zip(NAMES, found, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_tensorflow_alone_meets_the_golden_pair(apart, name):
    signatures = {key.split("/")[0] for key in apart[name]}
    wanted = {"encode", "decode", "reconstruct", "score", "detect", "detect_at_rate"}
    assert signatures == wanted | ({"generate"} if name == "variational" else set())
    # A p-value is a rank, which another machine's last bits may move by some of 6,001; then a
    # decision may change, too.
    apart = {key: value for key, value in apart[name].items() if value > 1e-5}
    assert {key.split("/")[1] for key in apart} <= {"p_value", "is_anomaly"}
    assert all(value < 4 / 6001 for key, value in apart.items() if key.endswith("p_value"))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_small_and_says_where_it_is_from(name):
    folder = FOLDER / f"{name}-mnist"
    assert [p.name for p in folder.iterdir()] == ["1"]
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 2_000_000
    text = (folder / "1/card.json").read_text("utf-8")
    card = json.loads(text)
    assert card["variant"] == name
    assert card["training"]["data"] == "mnist"
    assert card["training"]["samples"] == {"train": 54000, "validation": 6000, "test": 10000}
    assert card["training"]["command"].startswith(f"kerasae train {name} --data mnist")
    assert card["calibration"]["n"] == 6000
    assert '"/' not in text  # no path of the machine it was made on
    # Better than the best linear map of the same code, or in its place.
    test, baselines = card["metrics"]["test"], card["metrics"]["baselines"]
    if name != "sparse_kl":  # its code is sparse, not small
        assert test["psnr"] > baselines.get("linear_denoiser", baselines["pca"])["psnr"] + 1


def test_the_table_is_that_of_the_cards(monkeypatch):
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_saved_models", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = (FOLDER / "README.md").read_text("utf-8")
    assert make.with_table(page) == page
    assert [f"{name}-mnist" for name in NAMES] == sorted(make.MODELS)


def test_the_denoiser_removes_noise_and_the_detector_finds_what_is_no_digit():
    from sklearn.datasets import load_digits

    small = np.rint(load_digits().images[:60] * (255 / 16))
    clean = np.pad(small.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))[..., None]
    rng = np.random.default_rng(0)
    noisy = np.clip(clean + rng.normal(0, 0.5 * 255, clean.shape), 0, 255).astype("uint8")
    served = Served(FOLDER / "denoising-mnist")
    cleaned = served.reconstruct(noisy)
    assert np.mean((cleaned - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)
    found = Served(FOLDER / "undercomplete-mnist").detect(
        rng.integers(0, 256, (50, 28, 28, 1), "uint8")
    )
    assert found["is_anomaly"].all()


def test_what_is_served_takes_the_golden_inputs_as_they_are_stored():
    folder = FOLDER / "undercomplete-mnist" / "1"
    with np.load(folder / "golden.npz") as golden:
        names = ("x", "false_alarm_rate")
        inputs = {name: golden[f"detect_at_rate/in/{name}"] for name in names}
        flagged = golden["detect_at_rate/out/is_anomaly"]
    assert inputs["false_alarm_rate"].shape == ()
    found = Served(folder).call("detect_at_rate", inputs)["is_anomaly"]
    assert found.shape == flagged.shape
    with pytest.raises(ValueError, match="must be a number between 0 and 1"):
        Served(folder).call("detect_at_rate", {**inputs, "false_alarm_rate": np.array(1.5)})
    with pytest.raises(ValueError, match="must be a number between 0 and 1"):
        Served(folder).call("detect_at_rate", {**inputs, "false_alarm_rate": np.array([0.5])})
