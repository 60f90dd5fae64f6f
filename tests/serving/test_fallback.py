"""Versions that cannot be served: broken ones, and those that are other models."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("mlserver")


def break_(folder):
    """Spoil what both runtimes read."""
    (folder / "saved_model.pb").write_bytes(b"\xff")
    (folder / "onnx" / "encode.onnx").write_bytes(b"\xff")


def copied(digits, folder, *numbers):
    for number in numbers:
        shutil.copytree(digits[1] / "1", folder / str(number))
    return folder


def added(folder, number, change):
    """Let a version appear in one step."""
    away = folder / "new"
    shutil.copytree(folder / "8", away)
    change(away)
    away.rename(folder / str(number))


def version(server):
    return server.call("/v2/models/digits-encode")[1]["versions"]


def answers(server, digits):
    x = np.zeros((2, 8, 8, 1), "uint8")
    found = server.outputs("digits-encode", server.tensor("x", x))["code"]
    np.testing.assert_allclose(found, digits[0].encode(x), atol=1e-4)


def test_the_next_lower_version_is_served(start, digits, tmp_path):
    """At start, and when what is served is taken away; each is logged once."""
    folder = copied(digits, tmp_path / "digits", 8, 9, 11)
    break_(folder / "11")
    (folder / "6").mkdir()
    server = start(folder, "--runtime", "onnx", "--allow-model-control")
    assert version(server) == ["9"]
    said = server.said()
    assert "Version 11 of digits cannot be loaded" in said
    assert "6 of digits is passed over" in said
    assert "digits runs on ONNX Runtime." in said

    added(folder, 12, lambda path: None)
    server.wait("Version 12 of digits is served.")
    shutil.rmtree(folder / "9")
    added(folder, 9, break_)
    # What a client has unloaded, the version that is gone back to does not have.
    changed(lambda s: s.pop("detect"))(folder / "8")
    assert server.call("/v2/repository/models/digits-detect/unload", b"")[0] == 200
    assert server.call("/v2/health/ready")[0] == 400
    shutil.rmtree(folder / "12")
    server.wait("Version 8 of digits is served.")
    server.wait("Version 9 of digits cannot be loaded")
    answers(server, digits)
    assert server.call("/v2/health/ready")[0] == 200
    assert version(server) == ["8"]
    said = server.said()
    assert said.count("Version 9 of digits cannot be loaded") == 1
    assert said.count("Version 11 of digits cannot be loaded") == 1
    assert said.count("6 of digits is passed over") == 1
    assert {m["version"] for m in server.call("/v2/repository/index", {})[1]} == {"8"}


def changed(change):
    def applied(folder):
        card = json.loads((folder / "card.json").read_text())
        change(card["signatures"])
        (folder / "card.json").write_text(json.dumps(card))

    return applied


MISFITS = {
    9: (lambda s: s.pop("detect"), "a version without detect"),
    10: (
        lambda s: s["encode"]["inputs"]["x"].update(shape=[None, 9, 9, 1]),
        "input x of encode: UINT8 [-1, 9, 9, 1] instead of UINT8 [-1, 8, 8, 1]",
    ),
    11: (
        lambda s: s["encode"]["inputs"]["x"].update(dtype="float32"),
        "input x of encode: FP32 [-1, 8, 8, 1] instead of UINT8 [-1, 8, 8, 1]",
    ),
    12: (lambda s: s["score"]["outputs"].pop("score"), "output score of score: none instead of"),
}


def test_another_model_is_not_served_under_clients(start, digits, tmp_path):
    folder = copied(digits, tmp_path / "digits", 8)
    server = start(folder, "--runtime", "onnx", "--allow-model-control")
    for number, (change, _) in MISFITS.items():
        added(folder, number, changed(change))
    for number, (_, sentence) in MISFITS.items():
        server.wait(f"Version {number} of digits is not served: it must have the signatures")
        assert sentence in server.said()
    status, answer = server.call("/v2/repository/models/digits/load", b"")
    assert (status, sentence in answer["error"]) == (400, True)
    answers(server, digits)
    assert version(server) == ["8"]
    for number in MISFITS:
        assert server.said().count(f"Version {number} of digits is not served") == 1
    # In place, file by file.
    shutil.copy(folder / "8" / "card.json", folder / "12" / "card.json")
    server.wait("Version 12 of digits is served.")
