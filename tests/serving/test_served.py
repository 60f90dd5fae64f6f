"""Answers from an exported model, batched and checked."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasae
from kerasae.serving import Served

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="export runs on the TensorFlow backend",
)


def images(n=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 5, 4, 1)).astype("uint8")


def rows(n=50, seed=0):
    scales = np.float32([0.1, 1, 10, 100])
    return np.random.default_rng(seed).normal(5, 1, (n, 4)).astype("float32") * scales


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    """A variational model of images, and the folder above its export."""
    keras.utils.set_random_seed(0)
    ae = kerasae.build("variational", (5, 4, 1), 3, input_dtype="uint8", hidden=(16,))
    ae.compile()
    ae.fit(images(), epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("vae")
    kerasae.export(ae, path, verify=False)
    return ae, path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A plain model of standardized rows, and its export."""
    keras.utils.set_random_seed(0)
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(8,), scaler="standardize")
    ae.compile()
    ae.fit(rows(), epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("plain")
    kerasae.export(ae, path, verify=False)
    return ae, Served(path)


def close(answer, expected):
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("batch_size", [1024, 50, 7, 1])
def test_verbs_equal_the_model_at_any_batch_size(plain, batch_size):
    ae, served = plain
    x = rows(21, seed=1)
    close(served.encode(x, batch_size), ae.encode(x))
    close(served.reconstruct(x, batch_size), ae.reconstruct(x))
    close(served.score(x, batch_size), ae.score(x))
    close(served.feature_scores(x, batch_size).mean(axis=1), ae.score(x))
    close(served.decode(ae.encode(x), batch_size), ae.decode(ae.encode(x)))


def test_verbs_of_an_image_model(vae):
    ae, path = vae
    served = kerasae.load(path)
    x = images(9, seed=2)
    assert isinstance(served, Served)
    close(served.encode(x), ae.encode(x))
    close(served.reconstruct(x), ae.reconstruct(x))
    close(served.score(x), ae.score(x))
    assert served.feature_scores(x).shape == x.shape
    close(served.decode([[0.0, 1.0, -1.0]]), ae.decode([[0.0, 1.0, -1.0]]))
    assert served.reconstruct(x).dtype == np.float32


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**40 + 3])
def test_generate_equals_the_model_for_any_seed(vae, seed):
    ae, path = vae
    close(Served(path).generate(5, seed), ae.generate(5, seed))


def test_generate_follows_its_seed(vae):
    served = Served(vae[1])
    np.testing.assert_array_equal(served.generate(3, seed=np.int64(4)), served.generate(3, seed=4))
    assert np.abs(served.generate(3, seed=4) - served.generate(3, seed=5)).max() > 1e-3
    assert served.generate(np.int32(2)).shape == (2, 5, 4, 1)


def test_says_what_it_is(vae):
    served = Served(vae[1])
    assert served.path == vae[1] / "1"
    assert served.info["variant"] == "variational"
    assert served.info["input_shape"] == [5, 4, 1]
    assert {"encode", "decode", "generate", "serving_default"} <= set(served.signatures)
    assert "variant='variational', input_shape=(5, 4, 1)" in repr(served)


def test_takes_the_highest_complete_version(tmp_path):
    models = [kerasae.build("linear", (2,), 1) for _ in range(2)]
    for number, ae in zip((2, 10), models, strict=True):
        kerasae.export(ae, tmp_path, verify=False).rename(tmp_path / str(number))
    (tmp_path / "11").mkdir()
    (tmp_path / ".incoming-0").mkdir()
    x = np.float32([[1.0, 2.0]])
    assert Served(tmp_path).path.name == "10"
    close(Served(tmp_path).encode(x), models[1].encode(x))
    close(Served(tmp_path / "2").encode(x), models[0].encode(x))


def test_numbers_of_other_kinds_become_float32(plain):
    ae, served = plain
    x = np.round(rows(4))
    for other in (x.astype("float64"), x.astype("int64"), x.tolist(), x[:, ::-1][:, ::-1]):
        close(served.encode(other), ae.encode(x))


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "score", "feature_scores"])
@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((2, 3)), r"Received: x of shape \(2, 3\)"),
        (np.zeros(4), r"Received: x of shape \(4,\)"),
        (np.zeros((0, 4)), "Received: x of length 0"),
        (np.zeros((2, 4), "uint8"), "Received: x of dtype uint8"),
        (np.full((1, 4), "a"), "Received: x of dtype <U1"),
        (np.zeros((1, 4), "complex64"), "Received: x of dtype complex64"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]]), r"first at index \(1, 1\)\. Received: nan"),
        (np.array([[0, 0, 0, 1e39]]), r"x .*Received: inf"),
    ],
)
def test_refuses_samples_that_do_not_fit(plain, verb, x, sentence):
    with pytest.raises(ValueError, match=sentence):
        getattr(plain[1], verb)(x)


def test_takes_finite_values_whose_sum_overflows(plain):
    big = np.full((4, 4), 3e38, "float32")
    assert plain[1].encode(np.concatenate([big, -big])).shape == (8, 2)


def test_refuses_images_that_are_not_uint8(vae):
    with pytest.raises(ValueError, match="Received: x of dtype float64"):
        Served(vae[1]).encode(images() / 255)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (np.zeros((2, 3)), r"Received: code of shape \(2, 3\)"),
        ([[np.inf, 0]], r"code .*Received: inf"),
        (np.zeros((0, 2)), "Received: code of length 0"),
    ],
)
def test_refuses_codes_that_do_not_fit(plain, code, sentence):
    with pytest.raises(ValueError, match=sentence):
        plain[1].decode(code)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, None])
def test_refuses_a_batch_size(plain, batch_size):
    with pytest.raises(ValueError, match=f"Received: batch_size={batch_size}"):
        plain[1].encode(rows(), batch_size)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0,), "Received: n=0"),
        ((2.5,), "Received: n=2.5"),
        ((2**31,), "Received: n=2147483648"),
        ((3, -1), "Received: seed=-1"),
        ((3, None), "Received: seed=None"),
    ],
)
def test_refuses_counts_and_seeds(vae, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Served(vae[1]).generate(*arguments)


def test_a_plain_model_does_not_generate(plain):
    with pytest.raises(ValueError, match=r"'generate'.*Received: variant="):
        plain[1].generate(3)


def test_a_loss_of_keras_has_no_score_per_feature(tmp_path):
    ae = kerasae.build("undercomplete", (3,), 2, loss=keras.losses.MeanSquaredError())
    kerasae.export(ae, tmp_path, verify=False)
    with pytest.raises(ValueError, match="Received: loss='MeanSquaredError'"):
        Served(tmp_path).feature_scores(np.zeros((1, 3)))


def test_refuses_what_is_not_a_saved_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: path="):
        Served(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"path must .*Received: path="):
        Served(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"path must .*Received: path="):
        Served(tmp_path / "file")


def test_refuses_a_broken_saved_model(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ValueError, match=r"SavedModel .*Received: path="):
        Served(tmp_path)


def test_refuses_the_saved_model_of_another_program(tmp_path):
    import tensorflow as tf

    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), name="x")])
        def double(self, x):
            return {"y": 2 * x}

    other = Other()
    tf.saved_model.save(other, str(tmp_path), signatures={"double": other.double})
    with pytest.raises(ValueError, match=r"Received: path=.* with double"):
        Served(tmp_path)


def test_loading_imports_no_model_code(vae):
    script = """
import sys
import kerasae, numpy as np
served = kerasae.load(sys.argv[1])
assert served.encode(np.zeros((2, 5, 4, 1), "uint8")).shape == (2, 3)
ours = sorted(m for m in sys.modules if m.startswith("kerasae."))
print(" ".join(ours))
"""
    process = subprocess.run(
        [sys.executable, "-c", script, str(vae[1])], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    loaded = set(process.stdout.split())
    assert "kerasae.serving" in loaded
    assert not loaded & {"kerasae.models", "kerasae.layers", "kerasae.losses", "kerasae.exporting"}


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A calibrated model of rows, and its export."""
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(8,), seed=0)
    ae.calibrate(rows(150, seed=3), 0.05)
    path = tmp_path_factory.mktemp("judge")
    kerasae.export(ae, path, verify=False)
    return ae, Served(path)


@pytest.mark.parametrize("rate", [None, 0.01, 0.07, 0.3, 1 / 3, np.float64(0.5), np.float32(0.1)])
@pytest.mark.parametrize("batch_size", [1024, 13])
def test_detect_equals_the_model(judge, rate, batch_size):
    ae, served = judge
    x = rows(60, seed=4) * np.linspace(0.8, 1.4, 60, dtype="float32")[:, None]
    found = served.detect(x, false_alarm_rate=rate, batch_size=batch_size)
    expected = ae.detect(x, false_alarm_rate=rate)
    dtypes = {"anomaly_score": "float32", "p_value": "float32", "is_anomaly": "bool"}
    assert {name: value.dtype.name for name, value in found.items()} == dtypes
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
    assert 0 < expected["is_anomaly"].sum() < 60


@pytest.mark.parametrize("rate", [0, 1, -0.5, 2, True, float("nan")])
def test_detect_refuses_a_rate(judge, rate):
    with pytest.raises(ValueError, match="Received: false_alarm_rate="):
        judge[1].detect(rows(3), false_alarm_rate=rate)


def test_detect_refuses_a_rate_of_text(judge):
    with pytest.raises(ValueError, match="Received: false_alarm_rate='low'"):
        judge[1].detect(rows(3), false_alarm_rate="low")


def test_detect_refuses_samples_and_models_that_do_not_fit(judge, plain):
    with pytest.raises(ValueError, match=r"Received: x of shape \(2, 3\)"):
        judge[1].detect(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"'detect'.*Received: variant="):
        plain[1].detect(rows(3))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A calibrated conditional model, its export, and data of it."""
    options = {"condition": 3, "hidden": (8,), "scaler": "standardize"}
    ae = kerasae.build("conditional_vae", (4,), 2, **options, seed=0)
    given = {"x": rows(60), "condition": np.arange(60) % 3}
    ae.compile()
    ae.fit(given, epochs=1, verbose=0)
    ae.calibrate(given, 0.1, allow_training_rows=True)
    path = tmp_path_factory.mktemp("conditional")
    kerasae.export(ae, path, verify=False)
    return ae, Served(path), given


@pytest.mark.parametrize("batch_size", [1024, 7])
def test_a_condition_goes_with_the_samples(conditional, batch_size):
    ae, served, given = conditional
    assert served.further_inputs == ["condition"]
    for verb in ("encode", "reconstruct", "score"):
        found = getattr(served, verb)(given, batch_size)
        close(found, getattr(ae, verb)(given))
        close(getattr(served, verb)(given["x"], batch_size), getattr(ae, verb)(given["x"]))
        assert np.abs(found - getattr(served, verb)(given["x"])).max() > 1e-3
    code = ae.encode(given)
    for condition in (given["condition"], 2, None):
        expected = ae.decode(code, condition=condition)
        close(served.decode(code, batch_size, condition=condition), expected)
        one = None if condition is None else 2
        close(served.generate(3, 5, condition=one), ae.generate(3, seed=5, condition=one))
    for rate in (None, 0.2):
        found = served.detect(given, false_alarm_rate=rate, batch_size=batch_size)
        close(found["p_value"], ae.detect(given, false_alarm_rate=rate)["p_value"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"condition": [0, 1]}, r"Received: condition of shape \(2,\)"),
        ({"condition": [3] * 60}, "Received: 3"),
        ({"condition": [0.5] * 60}, "Received: 0.5"),
        ({"condition": "a"}, r"Received: condition .*dtype <U1"),
        ({"label": [0] * 60}, "'label'"),
    ],
)
def test_refuses_a_condition_that_does_not_fit(conditional, change, sentence):
    _, served, given = conditional
    with pytest.raises(ValueError, match=sentence):
        served.encode({**given, **change})


def test_a_code_of_indices_is_whole_numbers(tmp_path):
    ae = kerasae.build("fsq", (4,), hidden=(8,), seed=0, scaler="standardize")
    ae.scaler.adapt(rows())
    kerasae.export(ae, tmp_path, verify=False)
    served = Served(tmp_path)
    code = served.encode(rows(), 7)
    assert (served.code_dtype, code.dtype, code.shape) == ("int32", "int32", (50, *ae.code_shape))
    np.testing.assert_array_equal(code, ae.encode(rows()))
    close(served.decode(code, 7), ae.decode(code))
    for wrong in (code + 0.5, code - 10**6, code + 10**6):
        with pytest.raises(ValueError, match=r"code .*Received: "):
            served.decode(wrong)
