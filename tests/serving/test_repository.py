"""Which version of a model is served, without a server around it."""

import asyncio
import json
import os
import shutil

import pytest

mlserver = pytest.importorskip("mlserver")

from kerasae.serving import endpoints, repository  # noqa: E402
from kerasae.serving.sources import Source  # noqa: E402


@pytest.fixture
def folder(digits, tmp_path):
    shutil.copytree(digits[1] / "1", tmp_path / "digits" / "1")
    return tmp_path / "digits"


def serving(folder, runtime="onnx", load=True):
    return repository.Model(Source("digits", folder), runtime, {}, load)


def look(model):
    """Return the number of the version that a look takes, if any."""
    return model.version.folder.name if model.renew() else None


def add(folder, number, change=lambda path: None):
    """Let a version appear in one step."""
    shutil.copytree(folder / "1", folder / "new")
    change(folder / "new")
    (folder / "new").rename(folder / str(number))


def carded(change):
    def applied(folder):
        card = json.loads((folder / "card.json").read_text())
        change(card["signatures"])
        (folder / "card.json").write_text(json.dumps(card))

    return applied


def broken(folder):
    (folder / "saved_model.pb").write_bytes(b"\xff")
    (folder / "onnx" / "encode.onnx").write_bytes(b"\xff")


@pytest.mark.parametrize("runtime", ["onnx", "tensorflow"])
def test_a_version_that_is_copied_slowly_is_served_once_it_is_whole(folder, runtime):
    """Each file arrives in two halves, the card last, and every state is looked at."""
    model = serving(folder, runtime)
    needed = "onnx" if runtime == "onnx" else "variables"
    files = sorted(p.relative_to(folder / "1") for p in (folder / "1").rglob("*") if p.is_file())
    files.sort(key=lambda file: (file.parts[0] == needed, file.name == "card.json"))
    for file in files:
        content, copy = (folder / "1" / file).read_bytes(), folder / "2" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        for part in (content[: len(content) // 2], content):
            assert [look(model) for _ in range(3)] == [None] * 3
            copy.write_bytes(part)
    assert [look(model) for _ in range(3)] == [None, "2", None]


def test_a_bad_version_is_tried_and_named_once_until_a_file_in_it_changes(
    folder, caplog, monkeypatch
):
    model = serving(folder)
    add(folder, 2)
    file = folder / "2" / "onnx" / "encode.onnx"
    good = file.read_bytes()
    tries = []
    served = endpoints.Served
    monkeypatch.setattr(endpoints, "Served", lambda *given: tries.append(1) or served(*given))
    for bad in (b"\xff" * len(good), b"\xfe" * len(good)):
        # A copy may keep the size and the time of what it replaces.
        times = file.stat()
        file.write_bytes(bad)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert [look(model) for _ in range(4)] == [None] * 4
    assert len(tries) == len(caplog.records) == 2
    assert "Version 2 of digits cannot be loaded" in caplog.text
    file.write_bytes(good)
    assert [look(model) for _ in range(2)] == [None, "2"]


def test_the_next_lower_version_is_served_at_the_start(folder, caplog):
    add(folder, 2)
    add(folder, 11, broken)
    (folder / "12").mkdir()
    model = serving(folder)
    assert model.version.folder.name == "2"
    for number in (11, 12):
        assert caplog.text.count(f"Version {number} of digits cannot be loaded") == 1
    assert [look(model) for _ in range(3)] == [None] * 3
    shutil.copy(folder / "2" / "onnx" / "encode.onnx", folder / "11" / "onnx")
    assert [look(model) for _ in range(2)] == [None, "11"]


def test_goes_back_when_a_version_is_taken_away(folder, caplog):
    add(folder, 2)
    model = serving(folder)
    carded(lambda signatures: signatures.pop("detect"))(folder / "1")
    shutil.rmtree(folder / "2")
    assert [look(model) for _ in range(2)] == [None, "1"]
    assert "lacks ['detect']" in caplog.text
    assert "digits-detect" not in {settings.name for settings in model.settings()}
    # The last one goes on from memory.
    shutil.rmtree(folder / "1")
    assert [look(model) for _ in range(2)] == [None, None]


MISFITS = {
    "a signature": lambda s: s.pop("detect"),
    "shape": lambda s: s["encode"]["inputs"]["x"].update(shape=[None, 9, 9, 1]),
    "dtype": lambda s: s["encode"]["inputs"]["x"].update(dtype="float32"),
    "output": lambda s: s["score"]["outputs"].pop("score"),
    "input": lambda s: s["encode"]["inputs"].update(y=s["encode"]["inputs"]["x"]),
}


@pytest.mark.parametrize("change", MISFITS.values(), ids=MISFITS)
def test_another_model_is_not_served_to_clients(folder, caplog, change):
    model = serving(folder)
    add(folder, 2, carded(change))
    assert [look(model) for _ in range(3)] == [None] * 3
    assert caplog.text.count("Version 2 of digits is not served") == 1
    assert serving(folder).version.folder.name == "2"


def test_more_outputs_and_signatures_fit(folder):
    def less(signatures):
        del signatures["score"]["outputs"]["feature_scores"], signatures["decode"]

    carded(less)(folder / "1")
    model = serving(folder)
    shutil.copytree(folder / "1", folder / "2")
    for signature in ("score", "decode"):
        carded(lambda s, name=signature: s.update({name: s.get(name) or s["encode"]}))(folder / "2")
    card = json.loads((folder / "2" / "card.json").read_text())
    spec = card["signatures"]["score"]["outputs"]["score"]
    card["signatures"]["score"]["outputs"]["feature_scores"] = spec
    (folder / "2" / "card.json").write_text(json.dumps(card))
    assert [look(model) for _ in range(2)] == [None, "2"]


def test_no_version_at_all_is_an_error(folder):
    broken(folder / "1")
    with pytest.raises(ValueError, match="Received: path="):
        serving(folder)


def test_signatures_share_one_model_that_is_freed_with_the_last_version(folder):
    model = serving(folder)
    assert len(set(map(id, model.version.served))) == 1
    before = len(endpoints._in_memory)
    add(folder, 2)
    model.renew(at_once=True)
    assert model.version.folder.name == "2"
    assert len(endpoints._in_memory) == before


def test_with_workers_nothing_is_loaded_here(folder, monkeypatch):
    monkeypatch.setattr(endpoints, "Served", lambda *_: pytest.fail("loaded"))
    assert serving(folder, load=False).version.served == []


@pytest.mark.parametrize(("control", "version"), [(False, "1"), (True, "2")])
def test_a_client_that_loads_gets_a_new_version_only_with_control(folder, control, version):
    model = serving(folder)
    add(folder, 2)
    found = repository.Repository("", [model], control)
    [settings] = asyncio.run(found.find("digits-encode"))
    assert (settings.name, settings.version) == ("digits-encode", version)
    assert len(asyncio.run(found.list())) == 6
    with pytest.raises(mlserver.errors.ModelNotFound):
        asyncio.run(found.find("other"))
