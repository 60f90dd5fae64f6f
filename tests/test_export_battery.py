"""Every variant on every network, exported and compared on every signature; exports killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import kerasae
from kerasae.exporting import comparison, savedmodel, verify
from kerasae.serving import Served, versions

SHAPES = {"dense": (5, 7), "conv": (9, 7, 1), "sequence": (11, 2)}
NAMED = {"convolutional": "conv", "sequence": "sequence"}
pytestmark = pytest.mark.filterwarnings("ignore:An overcomplete autoencoder")

ALL = {"reconstruct", "encode", "decode", "score", "detect", "detect_at_rate", "generate"}

COMPARE = """
import json, runpy, sys
import numpy as np
verify = runpy.run_path(sys.argv[1])
verify["block_imports"]("savedmodel")
for folder in sys.argv[2:]:
    found = verify["verify"](folder, np.load(folder + "/cases.npz"))
    print("FOUND", json.dumps(found))
"""


def prepared(variant, network):
    """Return a model of which every signature exists, with its data."""
    keras.utils.set_random_seed(3)
    options = {} if network == "dense" else {"hidden": (4, 8)}
    if variant not in NAMED:
        options["network"] = network
    x = np.random.default_rng(0).random((60, *SHAPES[network]), dtype="float32")
    ae = kerasae.build(variant, SHAPES[network], scaler="standardize", seed=1, **options)
    ae.compile()
    ae.fit(x, epochs=1, batch_size=30, verbose=0)
    ae.calibrate(x, 0.1, allow_training_rows=True)
    ae.fit_sampler(x, "mixture")
    return ae, x


@pytest.mark.parametrize("network", SHAPES)
def test_every_variant_says_the_same_without_keras(network, tmp_path):
    """One fresh process for all variants of a network; `export` starts one for each."""
    folders = {}
    for variant in kerasae.variants():
        if NAMED.get(variant, network) != network:
            continue
        ae, x = prepared(variant, network)
        folders[variant] = tmp_path / variant
        endpoints = savedmodel._write(ae, folders[variant])
        arrays = verify.answers(endpoints, comparison._inputs(ae, x))
        arrays |= comparison._ranks(ae, arrays)
        np.savez(folders[variant] / "cases.npz", **arrays)
        # The functions that were written are the model's own verbs.
        calls = {key.rsplit("/", 1)[0]: value for key, value in arrays.items() if "/in/x" in key}
        batch = next(value for key, value in calls.items() if key.startswith("batch of 2"))
        for name, verb in (("encode", "code"), ("reconstruct", "reconstruction")):
            answer = arrays[f"batch of 257/{name}/out/{verb}"]
            np.testing.assert_allclose(answer, getattr(ae, name)(batch), rtol=1e-5, atol=1e-5)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", COMPARE, verify.__file__,
         *map(str, folders.values())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(s[5:]) for s in done.stdout.splitlines() if s.startswith("FOUND")]
    assert len(found) == len(folders)
    for variant, result in zip(folders, found, strict=True):
        assert result["failures"] == [], variant
        assert set(result["largest_difference"]) == ALL | {"serving_default", "info"}, variant
        assert result["imported"] == [], variant
        drawing = {name for name, types in result["random_operations"].items() if types}
        assert drawing == {"generate"}, variant


@pytest.mark.parametrize(("variant", "network"), [("denoising", "dense"), ("sequence", "sequence")])
def test_other_networks_run_in_the_other_runtimes(variant, network, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("ai_edge_litert")
    ae, x = prepared(variant, network)
    folder = kerasae.export(ae, tmp_path, also=("onnx", "litert"), samples=x)
    found = json.loads((folder / "card.json").read_text("utf-8"))["verification"]["also"]
    for runtime in ("onnx", "litert"):
        assert set(found[runtime]) == ALL - {"generate"}


# Killed -----------------------------------------------------------------------------------

# Imports TensorFlow once, and exports in a child process per line that it reads.
NURSERY = """
import os, sys
import keras, tensorflow
import kerasae, kerasae.models
from kerasae import exporting
for line in sys.stdin:
    model, path, samples, verify = line.split()
    pid = os.fork()
    if not pid:
        import numpy as np
        ae, x = kerasae.load(model), np.load(samples)
        print("exporting", os.getpid(), flush=True)
        kerasae.export(ae, path, samples=x, verify=verify == "True")
        print("exported", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_an_export_killed_at_any_moment_leaves_whole_versions_only(tmp_path):
    ae, x = prepared("variational", "dense")
    ae.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    path, expected = tmp_path / "models", ae.reconstruct(x)
    rng = random.Random(0)
    nursery = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", NURSERY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip

    def begin(verify):
        nursery.stdin.write(f"{tmp_path}/model.keras {path} {tmp_path}/x.npy {verify}\n")
        nursery.stdin.flush()
        word, pid = nursery.stdout.readline().split()
        assert word == "exporting"
        return int(pid), time.monotonic()

    def completed():
        said = nursery.stdout.readline().strip()
        return said == "exported" and nursery.stdout.readline().strip() == "ended"

    duration, killed = {}, 0
    with nursery:
        try:
            for verify in (True, False):  # whole ones, to know how long they take
                _, start = begin(verify)
                assert completed()
                duration[verify] = time.monotonic() - start
            assert set(versions(path)) == {1, 2}
            for attempt in range(60):
                if killed == 20:
                    break
                # Most of a verified export is spent in the other process.
                verify = attempt % 4 == 0
                pid, start = begin(verify)
                time.sleep(max(0.0, start + rng.random() * duration[verify] - time.monotonic()))
                with contextlib.suppress(ProcessLookupError):  # it was faster
                    os.kill(pid, signal.SIGKILL)
                killed += not completed()
                for folder in versions(path).values():
                    names = {p.name for p in folder.iterdir()}
                    whole = {"saved_model.pb", "variables", "card.json", "README.md", "golden.npz"}
                    assert names >= whole
                served = Served(path)
                np.testing.assert_allclose(served.reconstruct(x), expected, rtol=1e-5, atol=1e-5)
        finally:
            nursery.kill()
    assert killed == 20, "too few exports were caught in the act"
    assert any(p.name.startswith(".") for p in path.iterdir())
    # The next export clears what the killed ones left.
    kerasae.export(ae, path, verify=False)
    assert not [p for p in path.iterdir() if not p.name.isdecimal()]
