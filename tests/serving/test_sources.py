"""Which models a server finds at a path, and which of their signatures it serves how."""

import json
import shutil
from pathlib import Path

import pytest

from kerasae.serving import _sources


@pytest.fixture
def folder(digits, tmp_path):
    """A folder that holds a model, a run with an export, and other things."""
    shutil.copytree(digits[1], tmp_path / "models" / "digits")
    shutil.copytree(digits[1], tmp_path / "models" / "a-run" / "saved_model")
    (tmp_path / "models" / "notes").mkdir()
    (tmp_path / "models" / "README.md").write_text("")
    return tmp_path / "models"


def names(*paths, **more):
    return {source.name: source.path for source in _sources.find(paths, **more)}


def test_finds_versions_runs_and_folders_of_them(folder):
    versions = folder / "digits"
    assert names(versions) == {"digits": versions}
    assert names(versions / "1") == {"digits": versions / "1"}
    assert names(folder / "a-run") == {"a-run": folder / "a-run" / "saved_model"}
    assert names(folder / "a-run" / "saved_model") == {"a-run": folder / "a-run" / "saved_model"}
    assert list(names(folder)) == ["a-run", "digits"]
    assert names(versions, name="mine") == {"mine": versions}
    assert _sources.find([versions / "1"])[0].pinned
    assert not _sources.find([versions])[0].pinned


def test_takes_the_highest_number(folder):
    for number in ("2", "10", "x"):
        shutil.copytree(folder / "digits" / "1", folder / "digits" / number)
    (folder / "digits" / "11").mkdir()
    assert _sources.find([folder / "digits"])[0].newest().name == "10"


def test_refuses_names_and_paths(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder to serve"):
        names(tmp_path / "nothing")
    for path in (folder / "notes", folder / "README.md"):
        with pytest.raises(ValueError, match="path must be a folder of versions"):
            names(path)
    with pytest.raises(ValueError, match=r"name is for one model.* with a-run, digits"):
        names(folder, name="x")
    shutil.copytree(folder / "digits", folder / "digits-encode")
    with pytest.raises(ValueError, match=r"Two models would have one name.*'digits-encode'"):
        names(folder)
    (folder / "digits").rename(tmp_path / "ö ö")
    with pytest.raises(ValueError, match=r"give another one with --name. Received: name='ö ö'"):
        names(tmp_path / "ö ö")


def test_auto_takes_onnx_where_it_is_and_tensorflow_for_what_it_lacks(folder):
    source = _sources.find([folder / "digits"])[0]
    found = {e.signature: e for e in _sources.endpoints(source, "auto")}
    assert {name for name, e in found.items() if e.runtime == "tensorflow"} == {"generate"}
    assert [name for name, e in found.items() if e.lazy] == ["generate"]
    assert [name for name, e in found.items() if not e.batched] == ["detect_at_rate", "generate"]
    assert "generate" not in {e.signature for e in _sources.endpoints(source, "onnx")}
    found = _sources.endpoints(source, "tensorflow")
    assert {(e.runtime, e.lazy) for e in found} == {("tensorflow", False)}
    shutil.rmtree(folder / "digits" / "1" / "onnx")
    assert {e.runtime for e in _sources.endpoints(source, "auto")} == {"tensorflow"}


def test_an_endpoint_survives_json(folder):
    import dataclasses

    for endpoint in _sources.endpoints(_sources.find([folder / "digits"])[0], "auto"):
        plain = json.loads(json.dumps(dataclasses.asdict(endpoint)))
        assert _sources.Endpoint.of(plain) == endpoint


def test_a_model_that_is_given_twice_is_one(folder):
    versions = folder / "digits"
    assert [s.name for s in _sources.find([versions, folder / "digits" / ".", folder])] == [
        "digits", "a-run",
    ]  # fmt: skip
    assert len(_sources.find([versions, versions], name="mine")) == 1


def test_says_how_to_export_what_has_not_been(folder, tmp_path):
    run = tmp_path / "runs" / "never yet"
    run.mkdir(parents=True)
    (run / "model.keras").write_bytes(b"")
    for path in (run, run.parent):
        with pytest.raises(ValueError, match=f"run has not been exported.* kerasae export '{run}'"):
            names(path)
    file = run / "model.keras"
    with pytest.raises(ValueError, match=f"model has not been exported.* kerasae export '{file}'"):
        names(file)


def test_says_why_tensorflow_runs_a_model(folder, monkeypatch):
    source = _sources.find([folder / "digits"])[0]

    def why(runtime):
        return _sources.why(_sources.endpoints(source, runtime), runtime)

    assert why("auto") == "ONNX Runtime"
    assert why("tensorflow") == "TensorFlow"
    monkeypatch.setattr(_sources, "_installed", lambda package: package != "onnxruntime")
    assert "onnxruntime is not installed" in why("auto")
    shutil.rmtree(folder / "digits" / "1" / "onnx")
    assert why("auto") == "TensorFlow, since it has no ONNX files"


def test_candidates_go_down_and_others_are_named(folder):
    versions = folder / "digits"
    shutil.copytree(versions / "1", versions / "12")
    (versions / "3").mkdir()
    source = _sources.find([versions])[0]
    assert [path.name for path in source.candidates()] == ["12", "1"]
    assert [path.name for path in source.strange()] == ["3"]
    assert _sources.find([versions / "1"])[0].strange() == []


def test_generate_makes_a_thousand_at_a_time(folder):
    """All in one call, with maps between the layers that may be much larger than the answer."""
    source = _sources.find([folder / "digits"])[0]
    found = {e.signature: e for e in _sources.endpoints(source, "auto")}
    assert found["generate"].most(2**25) == 1024
    assert found["decode"].most(2**25) == (2**25 - 1024) // 256
    assert found["generate"].most(2**10 + 256 * 7) == 7


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
    source = _sources.find([folder / "digits"])[0]
    file = folder / "digits" / "1" / "card.json"
    card = json.loads(file.read_text())
    card["signatures"]["encode"] = given
    file.write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"lacks inputs or outputs of 'encode'.*Received: path="):
        _sources.endpoints(source, "tensorflow")


def test_a_version_that_cannot_be_read_is_passed_over(folder, monkeypatch):
    versions = folder / "digits"
    shutil.copytree(versions / "1", versions / "2")
    (versions / "3").mkdir()
    is_file = Path.is_file

    def closed(path):
        if path.parent.name == "2":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", closed)
    [source] = _sources.find([versions])
    assert [path.name for path in source.candidates()] == ["1"]
    assert [path.name for path in source.strange()] == ["2", "3"]


@pytest.mark.parametrize("paths", [None, 3, [None], b"models", []])
def test_paths_that_are_none_have_a_sentence(paths):
    pytest.importorskip("mlserver")
    from kerasae import serving

    with pytest.raises(ValueError, match=r"paths must .*\. Received: paths="):
        serving.serve(paths)
