"""Which version the look for new ones takes, without a server around it."""

import asyncio
import os
import shutil

import numpy as np
import pytest

mlserver = pytest.importorskip("mlserver")

from kerasae.serving import _repository, _sources  # noqa: E402

EXTRA = {"max_batch_size": 0, "max_batch_time": 0.0, "max_request_bytes": 10**6}


@pytest.fixture
def folder(digits, tmp_path):
    shutil.copytree(digits[1] / "1", tmp_path / "digits" / "1")
    return tmp_path / "digits"


@pytest.fixture
def logged(monkeypatch):
    lines = []
    for level in ("warning", "error"):
        monkeypatch.setattr(_repository.logger, level, lines.append)
    return lines


def serving(folder, runtime="onnx"):
    """Return a repository that serves what is there, and its model."""
    [source] = _sources.find([folder])
    repository = _repository.Repository("", [source], runtime, EXTRA)
    repository.newest(source)
    return repository, source


def look(repository, source):
    """Return the number of the version that a look finds, if any."""
    found = repository.renewed(source)
    return found and found[0].parameters.version


@pytest.mark.parametrize("runtime", ["onnx", "tensorflow"])
def test_a_version_that_is_copied_slowly_is_served_once_it_is_whole(folder, logged, runtime):
    """Each file arrives in two halves, the card last, and every state is looked at."""
    repository, source = serving(folder, runtime)
    needed = "onnx" if runtime == "onnx" else "variables"
    files = sorted(p.relative_to(folder / "1") for p in (folder / "1").rglob("*") if p.is_file())
    files.sort(key=lambda file: (file.parts[0] == needed, file.name == "card.json"))
    for file in files:
        content, copy = (folder / "1" / file).read_bytes(), folder / "2" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        for part in (content[: len(content) // 2], content):
            assert [look(repository, source) for _ in range(3)] == [None] * 3
            copy.write_bytes(part)
    assert [look(repository, source) for _ in range(2)] == [None, "2"]
    # One line for each reason, not for each look.
    assert len(logged) == len(set(logged)) <= len(files) + 1
    assert any("Version 2 of digits cannot be loaded" in line for line in logged)


def test_a_bad_version_is_tried_again_when_a_file_in_it_changes(folder, logged, monkeypatch):
    repository, source = serving(folder)
    shutil.copytree(folder / "1", folder / "2")
    file = folder / "2" / "onnx" / "encode.onnx"
    good = file.read_bytes()
    tries = []
    fitting = repository._fitting
    monkeypatch.setattr(
        repository, "_fitting", lambda *given: tries.append(given) or fitting(*given)
    )
    for bad in (b"\xff" * len(good), b"\xfe" * len(good)):
        times = file.stat()
        file.write_bytes(bad)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert [look(repository, source) for _ in range(4)] == [None] * 4
    assert len(tries) == 2
    assert len(logged) == 1
    file.write_bytes(good)
    assert [look(repository, source) for _ in range(2)] == [None, "2"]


def test_a_change_while_a_version_is_tried_is_not_missed(folder, logged, monkeypatch):
    repository, source = serving(folder)
    shutil.copytree(folder / "1", folder / "2")
    fitting = repository._fitting

    def changed(source, folder):
        monkeypatch.setattr(repository, "_fitting", fitting)
        (folder / "late").write_text("")
        raise ValueError("half of it")

    monkeypatch.setattr(repository, "_fitting", changed)
    assert [look(repository, source) for _ in range(4)] == [None, None, None, "2"]


def test_a_version_that_was_bad_at_start_is_tried_again(folder, logged):
    shutil.copytree(folder / "1", folder / "2")
    file = folder / "2" / "onnx" / "score.onnx"
    file.rename(folder / "score.onnx")
    repository, source = serving(folder)
    assert repository.served["digits"][0].version == "1"
    assert [look(repository, source) for _ in range(3)] == [None] * 3
    [line] = logged
    assert "no ONNX file of 'score', which its card names" in line
    (folder / "score.onnx").rename(file)
    assert [look(repository, source) for _ in range(2)] == [None, "2"]


def test_an_announced_signature_is_there(folder, monkeypatch):
    """ONNX files are looked for in the folder, so that workers are not started in vain."""
    [source] = _sources.find([folder])
    (folder / "1" / "onnx" / "detect.onnx").unlink()
    for runtime in ("auto", "onnx"):
        with pytest.raises(ValueError, match="no ONNX file of 'detect', which its card names"):
            _repository.Repository("", [source], runtime, EXTRA).describe(source)
    (folder / "1" / "onnx").rename(folder / "away")
    from kerasae.serving.served import Served

    class Less(Served):
        def __init__(self, *given):
            super().__init__(*given)
            self.signatures.remove("detect")

    monkeypatch.setattr("kerasae.serving._mlserver.Served", Less)
    repository = _repository.Repository("", [source], "tensorflow", EXTRA)
    with pytest.raises(ValueError, match="lacks the signature 'detect' that its card names"):
        repository.newest(source)
    # In a worker, MLServer loads without the repository.
    for settings in repository.describe(source):
        loading = settings.implementation(settings).load()
        if settings.name != "digits-detect":
            loading.close()
            continue
        with pytest.raises(ValueError, match="lacks the signature 'detect'"):
            asyncio.run(loading)


def test_what_is_loaded_late_and_is_bad_has_a_sentence(folder):
    from mlserver.types import InferenceRequest, RequestInput

    (folder / "1" / "saved_model.pb").write_bytes(b"\xff")
    repository, source = serving(folder, "auto")
    [settings] = [s for s in repository.newest(source) if s.name == "digits-generate"]
    inputs = [
        RequestInput(name=name, datatype="INT64", shape=[1], data=np.array([1]).tolist())
        for name in ("n", "seed")
    ]

    async def ask():
        model = settings.implementation(settings)
        await model.load()
        await model.predict(InferenceRequest(inputs=inputs))

    with pytest.raises(mlserver.errors.MLServerError, match="digits-generate cannot be") as raised:
        asyncio.run(ask())
    assert raised.value.status_code == 500
    (folder / "1" / "saved_model.pb").unlink()
    assert "digits-generate" not in {s.name for s in repository.describe(source)}


def test_requests_that_come_while_a_model_is_loaded_late_take_no_thread(folder, monkeypatch):
    from kerasae.serving import _mlserver

    repository, source = serving(folder, "auto")
    [settings] = [s for s in repository.newest(source) if s.name == "digits-generate"]
    calls, load = [], _mlserver.loaded
    monkeypatch.setattr(_mlserver, "loaded", lambda e: calls.append(e) or load(e))

    async def ask():
        model = settings.implementation(settings)
        await model.load()
        return await asyncio.gather(*(model._late() for _ in range(6)))

    found = asyncio.run(ask())
    assert len(calls) == 1
    assert len(set(map(id, found))) == 1
    assert "generate" in found[0].signatures


def watching(repository, source):
    """Return the part of a server that looks for new versions, with names and what is loaded."""
    from kerasae.serving._server import Server

    server = Server.__new__(Server)
    server._model_repository = repository
    server._names = {settings.name for settings in asyncio.run(repository.list())}
    server.serves = {name: "1" for name in server._names}

    class Handlers:
        bad = None

        async def load(self, name):
            [settings] = await repository.find(name)
            version = settings.parameters.version
            if (name, version) == self.bad:
                raise RuntimeError("no memory")
            server.serves[name] = version

        async def unload(self, name):
            del server.serves[name]

    async def known(name, version):
        return name in server.serves

    server._handlers, server._known = Handlers(), known
    return server


def test_a_switch_that_fails_half_way_goes_back(folder, logged):
    repository, source = serving(folder)
    server = watching(repository, source)
    # One that the version before has not.
    repository.served["digits"] = [
        e for e in repository.served["digits"] if e.signature != "reconstruct"
    ]
    server._names.remove("digits")
    del server.serves["digits"]
    before = dict(server.serves)
    shutil.copytree(folder / "1", folder / "2")
    server._handlers.bad = ("digits-decode", "2")

    async def twice():
        for _ in range(2):
            await server._renew(source)

    asyncio.run(twice())
    assert server.serves == before
    assert {e.version for e in repository.served["digits"]} == {"1"}
    assert server._names == set(before)
    assert not repository._next
    [line] = logged
    assert "Version 2 of digits cannot be loaded" in line
    server._handlers.bad = None
    (folder / "2" / "late").write_text("")
    asyncio.run(twice())
    assert server.serves == dict.fromkeys([*before, "digits"], "2")


def test_a_folder_that_cannot_be_looked_at_is_named_once(folder, logged, monkeypatch):
    repository, source = serving(folder)
    server = watching(repository, source)

    def closed(source):
        raise PermissionError("closed")

    monkeypatch.setattr(repository, "renewed", closed)
    for _ in range(3):
        asyncio.run(server._look(source))
    assert logged == ["New versions of digits cannot be looked for: closed"]


def test_with_workers_nothing_is_loaded_here(folder, monkeypatch):
    [source] = _sources.find([folder])
    repository = _repository.Repository("", [source], "onnx", EXTRA, workers=2)
    monkeypatch.setattr(_repository, "loaded", lambda _: pytest.fail("not here"))
    repository.describe(source)
    shutil.copytree(folder / "1", folder / "2")
    [found] = asyncio.run(repository.find("digits"))
    assert found.parameters.version == "2"
