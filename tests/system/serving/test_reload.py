"""New versions arrive, and some of them are bad, while requests are being answered."""

import json
import shutil
import threading
import time

import numpy as np
import pytest

import kerasae

pytest.importorskip("mlserver")


def images(n=4, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


@pytest.fixture
def folder(digits, tmp_path):
    """A copy of the model, with a single version."""
    shutil.copytree(digits[1], tmp_path / "digits")
    return tmp_path / "digits"


def versions(server, signature="-encode"):
    return server.call(f"/v2/models/digits{signature}")[1].get("versions")


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("runtime", ["onnx", "tensorflow"])
def test_every_request_is_answered_while_versions_come_and_go(
    start, digits, folder, build, runtime
):
    server = start(folder, "--runtime", runtime)
    x = images()
    newer = build(seed=5)
    codes = {"1": digits[0].encode(x), "2": newer.encode(x)}
    assert np.abs(codes["1"] - codes["2"]).max() > 0.01
    answered, wrong, over = [], [], threading.Event()

    def ask():
        while not over.is_set():
            status, answer = server.infer("digits-encode", server.tensor("x", x))
            answered.append(status)
            if status != 200:
                wrong.append(answer)
                continue
            code = np.reshape(answer["outputs"][0]["data"], (4, 4))
            expected = codes[answer["model_version"]]
            wrong.extend([] if np.allclose(code, expected, atol=1e-4) else [answer])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        kerasae.export(newer, folder, also=["onnx"], verify=False)
        server.wait("Version 2 of digits is served.")
        assert {versions(server, s)[0] for s in ("", "-score", "-detect-at-rate")} == {"2"}
        # One that cannot be loaded changes nothing, and is named once.
        shutil.copytree(folder / "2", folder / "broken")
        (folder / "broken" / "saved_model.pb").write_bytes(b"\xff")
        (folder / "broken" / "onnx" / "encode.onnx").write_bytes(b"\xff")
        (folder / "broken").rename(folder / "3")
        server.wait("Version 3 of digits cannot be loaded")
        # Nor does one that is another model.
        shutil.copytree(folder / "2", folder / "other")
        card = json.loads((folder / "other" / "card.json").read_text())
        del card["signatures"]["detect"]
        (folder / "other" / "card.json").write_text(json.dumps(card))
        (folder / "other").rename(folder / "4")
        server.wait("Version 4 of digits is not served")
        assert versions(server) == ["2"]
        # When the new one is taken away, the old one is back.
        for number in ("2", "3", "4"):
            shutil.move(folder / number, folder.parent / f"away-{number}")
        server.wait("Version 1 of digits is served.")
        until(lambda: versions(server) == ["1"])
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert set(answered) == {200}
    assert len(answered) > 100
    said = server.said()
    assert said.count("Version 3 of digits cannot be loaded") == 1
    assert said.count("Version 4 of digits is not served") == 1
    assert server.call("/v2/models/digits/versions/2")[0] == 404
    assert server.call("/v2/health/ready")[0] == 200
    assert server.stop() == 0


def test_what_a_client_unloads_is_loaded_again(start, folder, digits):
    server = start(folder, "--runtime", "onnx")
    newer = folder.parent / "newer"
    shutil.copytree(folder / "1", newer)
    server.call("/v2/repository/models/digits-encode/unload", b"")
    until(lambda: versions(server) == ["1"])
    # To load is not to choose: a version is looked at twice before it is served.
    newer.rename(folder / "2")
    assert server.call("/v2/repository/models/digits-encode/load", b"")[0] == 200
    server.wait("Version 2 of digits is served.")
    found = server.outputs("digits-encode", server.tensor("x", images()))["code"]
    np.testing.assert_allclose(found, digits[0].encode(images()), atol=1e-4)


def test_clients_load_and_unload_where_they_may(start, digits, folder, build):
    server = start(folder, "--no-reload", "--runtime", "onnx", "--allow-model-control")
    newer = build(seed=6)
    kerasae.export(newer, folder, also=["onnx"], verify=False)
    x = images()
    assert server.call("/v2/repository/models/digits-encode/load", b"")[0] == 200
    found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    np.testing.assert_allclose(found, newer.encode(x), atol=1e-4)
    assert versions(server, "") == ["1"]
    assert server.call("/v2/repository/models/other/load", b"")[0] == 404
    assert server.call("/v2/repository/models/digits-score/unload", b"")[0] == 200
    assert server.call("/v2/models/digits-score")[0] == 404
    assert server.call("/v2/repository/models/digits-score/load", b"")[0] == 200
    assert versions(server, "-score") == ["2"]


def test_what_a_client_unloaded_stays_so_where_it_may(start, folder):
    server = start(folder, "--runtime", "onnx", "--allow-model-control")
    shutil.copytree(folder / "1", folder.parent / "newer")
    # What it has unloaded is known from the first look on.
    time.sleep(2)
    assert server.call("/v2/repository/models/digits-score/unload", b"")[0] == 200
    (folder.parent / "newer").rename(folder / "2")
    server.wait("Version 2 of digits is served.")
    assert server.call("/v2/models/digits-score")[0] == 404
    assert versions(server) == ["2"]
