"""New versions of a model that is being served."""

import shutil
import threading

import numpy as np
import pytest

import kerasae

pytest.importorskip("mlserver")


def images(n=4, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


@pytest.fixture(scope="module", params=["onnx", "tensorflow"])
def server(request, start, digits, tmp_path_factory):
    """A server of a copy of the model, with a single version."""
    folder = tmp_path_factory.mktemp("versions") / "digits"
    shutil.copytree(digits[1], folder)
    server = start(folder, "--runtime", request.param)
    server.folder = folder
    return server


def test_new_versions_are_served_without_a_gap(server, digits, build):
    """Every request is answered, by one version or the other; the last ones by the new one."""
    x = images()
    newer = build(seed=5)
    old, new = digits[0].encode(x), newer.encode(x)
    assert np.abs(old - new).max() > 0.01
    statuses, odd, over = [], [], threading.Event()

    def ask():
        while not over.is_set():
            status, answer = server.infer("digits-encode", server.tensor("x", x))
            statuses.append(status)
            code = np.reshape(answer["outputs"][0]["data"], old.shape) if status == 200 else old
            expected = {"1": old, "2": new}[answer.get("model_version", "1")]
            odd.extend([] if np.allclose(code, expected, atol=1e-4) else [answer])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        kerasae.export(newer, server.folder, also=["onnx"], verify=False)
        server.wait("Version 2 of digits is served.")
        found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    np.testing.assert_allclose(found, new, atol=1e-4)
    assert set(statuses) == {200}
    assert not odd
    for name in ("digits", "digits-score", "digits-detect-at-rate"):
        assert server.call(f"/v2/models/{name}")[1]["versions"] == ["2"]
        assert server.call(f"/v2/models/{name}/versions/1")[0] == 404
    assert server.call("/v2/health/ready")[0] == 200

    # Batches are formed by the new version, too: the answers stay everybody's own.
    wrong = []

    def check(i):
        found = server.outputs("digits-encode", server.tensor("x", x[i : i + 1]))["code"]
        wrong.extend([] if np.allclose(found, new[i : i + 1], atol=1e-4) else [i])

    threads = [threading.Thread(target=check, args=(i % 4,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

    # A version that cannot be loaded changes nothing and is logged once.
    broken = server.folder / "broken"
    shutil.copytree(server.folder / "2", broken)
    (broken / "saved_model.pb").write_bytes(b"\xff")
    (broken / "onnx" / "encode.onnx").write_bytes(b"\xff")
    broken.rename(server.folder / "3")
    server.wait("Version 3 of digits cannot be loaded")
    assert server.call("/v2/repository/models/digits/load", b"")[0] == 403
    found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    np.testing.assert_allclose(found, new, atol=1e-4)

    # Back to the first version, by taking the others away; without what it has no longer.
    card = server.folder / "1" / "card.json"
    card.write_text(card.read_text().replace('"detect"', '"other"'))
    shutil.rmtree(server.folder / "3")
    (server.folder / "2").rename(server.folder.parent / "away")
    server.wait("Version 1 of digits is served.")
    found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    np.testing.assert_allclose(found, old, atol=1e-4)
    assert server.call("/v2/models/digits-detect")[0] == 404
    assert server.said().count("cannot be loaded") <= 2
    assert server.stop() == 0


def test_mlservers_own_way_loads_the_newest(start, digits, build, tmp_path):
    folder = tmp_path / "digits"
    shutil.copytree(digits[1], folder)
    server = start(folder, "--no-reload", "--runtime", "onnx", "--allow-model-control")
    newer = build(seed=6)
    kerasae.export(newer, folder, also=["onnx"], verify=False)
    x = images()
    assert server.call("/v2/repository/models/digits-encode/load", b"")[0] == 200
    found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    np.testing.assert_allclose(found, newer.encode(x), atol=1e-4)
    assert server.call("/v2/models/digits")[1]["versions"] == ["1"]
    assert server.call("/v2/repository/models/other/load", b"")[0] == 404
    assert server.call("/v2/repository/models/digits-score/unload", b"")[0] == 200
    assert server.call("/v2/models/digits-score")[0] == 404
    assert server.call("/v2/health/ready")[0] == 400
    assert server.call("/v2/repository/models/digits-score/load", b"")[0] == 200
    assert server.call("/v2/models/digits-score")[1]["versions"] == ["2"]
    assert server.call("/v2/health/ready")[0] == 200
