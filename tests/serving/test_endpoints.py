"""Which signatures of a version are served, and by which runtime."""

import json
import shutil

import pytest

pytest.importorskip("mlserver")

from kerasae.serving import endpoints


@pytest.fixture
def folder(digits, tmp_path):
    shutil.copytree(digits[1] / "1", tmp_path / "1")
    return tmp_path / "1"


def test_auto_takes_onnx_where_it_is_and_tensorflow_for_what_it_lacks(folder, monkeypatch):
    found = endpoints.read(folder, "auto")
    assert [name for name, e in found.items() if e.runtime == "tensorflow"] == ["generate"]
    assert [name for name, e in found.items() if e.lazy] == ["generate"]
    assert [name for name, e in found.items() if not e.batched] == ["detect_at_rate", "generate"]
    assert set(endpoints.read(folder, "onnx")) == set(found) - {"generate"}
    found = endpoints.read(folder, "tensorflow")
    assert {(e.runtime, e.lazy) for e in found.values()} == {("tensorflow", False)}
    (folder / "saved_model.pb").unlink()
    assert "generate" not in endpoints.read(folder, "auto")
    monkeypatch.setattr(endpoints, "_installed", lambda package: package != "onnxruntime")
    assert {e.runtime for e in endpoints.read(folder, "auto").values()} == {"tensorflow"}
    monkeypatch.undo()
    shutil.rmtree(folder / "onnx")
    assert {e.runtime for e in endpoints.read(folder, "auto").values()} == {"tensorflow"}


def test_inputs_and_outputs_are_those_of_the_card(folder):
    found = endpoints.read(folder, "auto")

    def described(tensors):
        return [(t.name, t.datatype, t.shape) for t in tensors]

    assert described(found["score"].inputs) == [("x", "UINT8", [-1, 8, 8, 1])]
    assert described(found["score"].outputs) == [
        ("score", "FP32", [-1]),
        ("feature_scores", "FP32", [-1, 8, 8, 1]),
    ]
    assert described(found["detect_at_rate"].inputs)[1] == ("false_alarm_rate", "FP32", [1])
    assert described(found["generate"].inputs) == [("n", "INT64", [1]), ("seed", "INT64", [1])]


def test_the_size_of_an_answer_is_known_beforehand(folder):
    found = endpoints.read(folder, "auto")
    assert found["decode"].most(2**25) == (2**25 - 1024) // 256
    assert found["detect"].most(1024 + 9 * 7) == 7
    # All in one call, whose activations may be much larger than the answer.
    assert found["generate"].most(2**25) == 1024
    assert found["generate"].most(2**10 + 256 * 7) == 7


def test_a_file_that_the_card_names_must_be_there(folder):
    (folder / "onnx" / "detect.onnx").unlink()
    for runtime in ("auto", "onnx"):
        with pytest.raises(ValueError, match=r"'detect'.*Received: path="):
            endpoints.read(folder, runtime)
    assert "detect" in endpoints.read(folder, "tensorflow")


@pytest.mark.parametrize(
    "given",
    [
        {},
        [],
        {"inputs": {"x": {"dtype": "uint8"}}, "outputs": {}},
        {"inputs": {"x": {"shape": [None], "dtype": "float99"}}, "outputs": {}},
        {"inputs": {"x": {"shape": ["a"], "dtype": "uint8"}}, "outputs": {}},
        {"inputs": {}, "outputs": {"code": {"shape": 3, "dtype": "float32"}}},
    ],
)
def test_a_card_that_describes_a_signature_badly_is_refused(folder, given):
    file = folder / "card.json"
    card = json.loads(file.read_text())
    card["signatures"]["encode"] = given
    file.write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"'encode'.*Received: path="):
        endpoints.read(folder, "tensorflow")
    del card["signatures"]
    file.write_text(json.dumps(card))
    with pytest.raises(ValueError, match="Received: path="):
        endpoints.read(folder, "tensorflow")
