"""`Served` on ONNX Runtime says the same as on TensorFlow, which it does without."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import kerasae
from kerasae.serving import Served


def images(n=7, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


ALONE = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import numpy as np, kerasae

served = kerasae.load(sys.argv[1], runtime="onnx")
x = np.load(sys.argv[2])
detected = served.detect(x, false_alarm_rate=0.2)
np.savez(
    sys.argv[3], encode=served.encode(x, 3), reconstruct=served.reconstruct(x),
    decode=served.decode(served.encode(x)), score=served.score(x),
    feature_scores=served.feature_scores(x), **detected,
    decided=served.detect(x)["is_anomaly"],
)
print(repr(served))
"""


def test_equals_tensorflow_where_that_cannot_be_imported(digits, tmp_path):
    x = np.concatenate([images(), np.zeros((2, 8, 8, 1), "uint8")])
    np.save(tmp_path / "x.npy", x)
    arguments = [str(digits[1]), str(tmp_path / "x.npy"), str(tmp_path / "out.npz")]
    process = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    served = Served(digits[1])
    assert process.stdout.strip() == repr(served)
    expected = {
        "encode": served.encode(x),
        "reconstruct": served.reconstruct(x),
        "decode": served.decode(served.encode(x)),
        "score": served.score(x),
        "feature_scores": served.feature_scores(x),
        **served.detect(x, false_alarm_rate=0.2),
        "decided": served.detect(x)["is_anomaly"],
    }
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
            if name in ("is_anomaly", "decided"):  # ranks, which a last bit may move by one
                assert (found[name] != value).sum() <= 1
                continue
            ranks = 2 / 61 if name == "p_value" else 0
            scale = max(1, np.abs(value).max(), ranks * 1e5)
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * scale, err_msg=name)


def test_says_the_same_of_itself(digits):
    onnx, tensorflow = Served(digits[1], "onnx"), Served(digits[1], runtime="tensorflow")
    assert onnx.info == tensorflow.info
    assert (onnx.runtime, tensorflow.runtime, Served(digits[1]).runtime) == (
        "onnx",
        "tensorflow",
        "tensorflow",
    )
    assert set(tensorflow.signatures) - set(onnx.signatures) == {
        "generate",
        "info",
        "serving_default",
    }
    assert (onnx.sample_shape, onnx.latent_dim, onnx.input_dtype_name) == ((8, 8, 1), 4, "uint8")


@pytest.mark.parametrize("runtime", ["tensorflow", "onnx"])
def test_calls_a_signature_with_all_its_outputs(digits, runtime):
    served, x = Served(digits[1], runtime), images()
    found = served.call("score", {"x": x}, batch_size=3)
    np.testing.assert_array_equal(found["score"], served.score(x, batch_size=3))
    np.testing.assert_array_equal(found["feature_scores"], served.feature_scores(x, batch_size=3))
    with pytest.raises(ValueError, match="Received: 'code'"):
        served.call("encode", {"code": x})
    with pytest.raises(ValueError, match=r"'false_alarm_rate'.*Received: 'x'"):
        served.call("detect_at_rate", {"x": x})


def test_refuses_what_does_not_fit_with_the_same_sentences(digits):
    for runtime in ("tensorflow", "onnx"):
        served = Served(digits[1], runtime)
        with pytest.raises(ValueError, match=r"Received: x of shape \(7, 4, 8, 1\)"):
            served.encode(images()[:, :4])
        with pytest.raises(ValueError, match=r"code .*Received: nan"):
            served.decode(np.full((1, 4), np.nan))
        with pytest.raises(ValueError, match="Received: false_alarm_rate=2"):
            served.detect(images(), false_alarm_rate=2)
        with pytest.raises(ValueError, match="Received: batch_size=0"):
            served.detect(images(), batch_size=0)


def test_says_that_only_tensorflow_generates(digits):
    with pytest.raises(ValueError, match="Received: runtime='onnx'"):
        Served(digits[1], "onnx").generate(2)


def test_needs_the_files_and_the_card(digits, tmp_path):
    shutil.copytree(digits[1] / "1", tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    (tmp_path / "1" / "saved_model.pb").unlink()
    assert Served(tmp_path, "onnx").encode(images()).shape == (7, 4)
    card = tmp_path / "1" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "calibration": None}))
    assert Served(tmp_path, "onnx").info["calibration"] is None
    card.write_text("{}")
    with pytest.raises(ValueError, match=r"variant, input_shape.*Received: path="):
        Served(tmp_path, "onnx")
    card.unlink()
    with pytest.raises(ValueError, match=r"Received: path=.*card\.json"):
        Served(tmp_path, "onnx")
    shutil.copy(digits[1] / "1" / "card.json", card)
    (tmp_path / "1" / "onnx" / "encode.onnx").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"Received: path=.*encode\.onnx"):
        Served(tmp_path, "onnx")


def test_an_export_without_onnx_says_how_to_get_it(tmp_path):
    kerasae.export(kerasae.build("linear", (2,), 1), tmp_path, verify=False)
    with pytest.raises(ValueError, match=r"export it with also=\[\"onnx\"\].*--to onnx"):
        kerasae.load(tmp_path, runtime="onnx")


def test_refuses_a_runtime(digits, tmp_path):
    with pytest.raises(ValueError, match="Received: runtime='tf'"):
        kerasae.load(digits[1], runtime="tf")
    kerasae.build("linear", (2,), 1).save(tmp_path / "model.keras")
    for path in (tmp_path / "model.keras", tmp_path):
        with pytest.raises(ValueError, match=r"runtime .*Received: "):
            kerasae.load(path, runtime="onnx")


def test_names_the_extra_that_is_missing(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "kerasae\[onnx\]"'):
        Served(digits[1], "onnx")
