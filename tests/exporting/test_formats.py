"""The other formats of an export, each run by its own runtime alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kerasae
from kerasae import exporting

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A calibrated variational model on images, whose loss has a logarithm ONNX lacks."""
    splits = kerasae.data.load("digits")
    ae = kerasae.build(
        "variational", splits.shape, 3, network="conv", hidden=(4, 8), input_dtype="uint8", seed=0
    )
    ae.calibrate(splits.array("validation"), 0.05)
    folder = tmp_path_factory.mktemp("converted")
    return (
        ae,
        kerasae.export(ae, folder, also=["onnx", "litert"], samples=splits.array("test")),
        splits.array("test")[:33],
    )


RUN = """
import json, sys
for name in ("tensorflow", "keras", "kerasae"):
    sys.modules[name] = None
import numpy as np
folder, runtime = sys.argv[1:]
x = np.load(folder + "/x.npy")
if runtime == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(folder + "/onnx/detect.onnx")
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(None, {"x": x})))
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_path=folder + "/model.tflite")
    answers = interpreter.get_signature_runner("detect")(x=x)
print("ANSWERS", json.dumps({name: np.asarray(value).tolist() for name, value in answers.items()}))
"""


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_a_runtime_alone_detects_as_the_model_does(exported, runtime, tmp_path):
    ae, folder, x = exported
    np.save(folder / "x.npy", x)
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), runtime],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    line = next(s for s in result.stdout.splitlines() if s.startswith("ANSWERS"))
    answers, expected = json.loads(line.removeprefix("ANSWERS")), ae.detect(x)
    scores, p = np.float32(answers["anomaly_score"]), np.asarray(answers["p_value"])
    np.testing.assert_allclose(scores, expected["anomaly_score"], rtol=1e-5)
    # The ranks of the runtime's own scores: another sum may pass a calibration score by a hair.
    high, low = (ae.calibration.p_value(scores * np.float32(1 + r)) for r in (-1e-6, 1e-6))
    assert (low - 1e-6 <= p).all()
    assert (p <= high + 1e-6).all()
    clear = (p < 0.05 - 1e-6) | (p > 0.05 + 1e-6)
    assert (np.asarray(answers["is_anomaly"]) == (p <= 0.05))[clear].all()


def test_every_deterministic_signature_was_compared_in_every_runtime(exported):
    _, folder, _ = exported
    card = json.loads((folder / "card.json").read_text("utf-8"))
    named = {"encode", "decode", "reconstruct", "score", "detect", "detect_at_rate"}
    for runtime in ("onnx", "litert"):
        assert set(card["verification"]["also"][runtime]) == named
    assert {file.stem for file in (folder / "onnx").iterdir()} == named


def test_the_golden_pair_is_what_tensorflow_alone_answers(exported):
    import tensorflow as tf

    _, folder, _ = exported
    model = tf.saved_model.load(str(folder))
    with np.load(folder / "golden.npz") as golden:
        signatures = {key.split("/")[0] for key in golden}
        assert signatures == set(model.signatures) - {"serving_default", "info"}
        for signature in signatures:
            given, expected = (
                {k.split("/")[2]: golden[k] for k in golden if k.startswith(f"{signature}/{side}/")}
                for side in ("in", "out")
            )
            answers = model.signatures[signature](
                **{name: tf.constant(value) for name, value in given.items()}
            )
            for name, value in expected.items():
                np.testing.assert_allclose(answers[name].numpy(), value, rtol=1e-5, atol=1e-5)


def test_a_runtime_that_says_something_else_fails_the_export(monkeypatch, tmp_path):
    from kerasae.exporting import formats

    def other_model(ae, folder):
        weights = ae.encoder_network.get_weights()
        ae.encoder_network.set_weights([0 * weight for weight in weights])
        formats.to_onnx(ae, folder)
        ae.encoder_network.set_weights(weights)

    monkeypatch.setitem(formats.TARGETS, "onnx", (other_model, ()))
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,))
    with pytest.raises(exporting.VerificationError, match="in ONNX Runtime"):
        kerasae.export(ae, tmp_path / "model", also="onnx")
    assert not (tmp_path / "model").exists()


def test_an_unknown_format_is_refused(tmp_path):
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,))
    with pytest.raises(ValueError, match="Did you mean 'onnx'"):
        kerasae.export(ae, tmp_path, also="onx")


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    from kerasae.exporting import formats

    monkeypatch.setitem(formats.TARGETS, "onnx", (None, ("not_there",)))
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,))
    with pytest.raises(ModuleNotFoundError, match=r'pip install "kerasae\[onnx\]"'):
        kerasae.export(ae, tmp_path, also="onnx")
