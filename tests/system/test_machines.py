"""One training on several machines: two processes of this one."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

import kerasae

pytest.importorskip("jax")

PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import kerasae, keras, numpy as np
from kerasae import evaluation
from kerasae.runs import callbacks, figures, training

figures.draw = lambda *_, **__: []
evaluation.measure = lambda *_, **__: {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
training._SAVE_EVERY = 0.0
asked = json.loads(sys.argv[1])
signals = asked.pop("signals", {})

def strike(self, epoch, logs=None):
    if str(epoch + 1) in signals:
        os.kill(os.getpid(), getattr(signal, signals[str(epoch + 1)]))
callbacks.EpochOrder.on_epoch_end = strike
listening, parts, restore = [], set(), callbacks.Backup.on_train_begin

def look(self, logs=None):
    restore(self, logs)
    for variable in [*self.model.weights, *self.model.optimizer.variables]:
        here = variable.value.sharding.addressable_devices_indices_map(tuple(variable.shape))
        parts.add((len(set(map(str, here.values()))), len(here)))
    if "machines" not in asked:
        return
    port = f":{int(asked['machines'].split(',')[0].split(':')[1]):04X}"
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if local.endswith(port) and state == "0A":
                listening.append(local)
callbacks.Backup.on_train_begin = look

rng = np.random.default_rng(0)
x = (rng.normal(size=(263, 3)) @ rng.normal(size=(3, 12)) + 5).astype("float32")
# Batches of 32, the last of 8; then 7 samples to validate on, of which four devices see 4.
splits = kerasae.data.load(x, batch_size=32, validation=39, test=24)
for one in asked.pop("trainings", [{}]):
    try:
        both = {**asked, **one}
        hidden = [both.pop("hidden", 512)]
        data = both.pop("data", splits)
        run = kerasae.train("variational", data=data, hidden=hidden, latent_dim=2, verbose=0,
                            epochs=both.pop("epochs", 4), **both)
        answer = {"scores": run.model.score(splits.array("test")).tolist(), "path": str(run.path),
                  "parts": sorted(parts), "interrupted": run.interrupted, "listening": listening}
        print(json.dumps(answer))
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(2)
"""
# The best epoch is the third, and the fourth is the last.
STOPPED = {"epochs": 6, "patience": 1, "learning_rate": 0.02}


def begin(devices, **asked):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(asked)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "KERASAE_MACHINES_TIMEOUT": "120",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def both(out, first=None, second=None, devices=(2, 2), **asked):
    """Run two machines; return what each printed, and its exit status."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    asked |= {"out": str(out), "machines": f"127.0.0.1:{port},127.0.0.1"}
    pairs = enumerate(zip(devices, (first or {}, second or {}), strict=True))
    processes = [begin(number, machine=i, **asked, **own) for i, (number, own) in pairs]
    try:
        return [(*process.communicate(timeout=240), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def answers(told):
    """Return what machines answered that trained to the end."""
    assert [status for *_, status in told] == [0, 0], told
    return [json.loads(out.splitlines()[-1]) for out, *_ in told]


def history(path):
    return np.loadtxt(path / "history.csv", delimiter=",", skiprows=1, ndmin=2)


def assert_alike(path, other, columns=slice(None)):
    """Compare the losses and the weights of two runs."""
    np.testing.assert_allclose(history(path)[:, columns], history(other)[:, columns], rtol=1e-5)
    weights, others = (kerasae.load(run / "model.keras").get_weights() for run in (path, other))
    for mine, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same trainings in one process: on one device, on four, and on two by two."""
    path = tmp_path_factory.mktemp("alone")
    trainings = [
        {"out": str(path / "one")},
        {"out": str(path / "four"), "devices": 4},
        {"out": str(path / "wide"), "devices": "all", "model_parallel": 2, **STOPPED},
    ]
    process = begin(4, trainings=trainings)
    try:
        out, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, out + errors
    return path


@pytest.mark.slow
def test_four_devices_agree_with_one(alone):
    # The columns of validation differ by the samples that are left over.
    assert_alike(alone / "four", alone / "one", columns=slice(0, 4))
    assert json.loads((alone / "four/config.json").read_text())["devices"] == 4


@pytest.mark.slow
def test_machines_agree_with_one_though_one_of_them_is_interrupted(alone, tmp_path):
    """Both stop after the epoch, and go on to the same result."""
    out = tmp_path / "run"
    told = answers(both(out, second={"signals": {"1": "SIGTERM"}}))
    assert [answer["interrupted"] for answer in told] == [True, True]
    assert history(out)[:, 0].tolist() == [1, 2]

    told = answers(both(out, resume=True))
    assert [answer["interrupted"] for answer in told] == [False, False]
    assert [answer["path"] for answer in told] == [str(out)] * 2
    np.testing.assert_allclose(told[0]["scores"], told[1]["scores"], rtol=1e-5)
    assert_alike(out, alone / "four")
    assert json.loads((out / "config.json").read_text())["devices"] == 4
    assert (out / "report.html").is_file()
    assert not (out / "checkpoints").exists()
    # Machine 0 listens at the address that it was given, and not at all there are.
    [listening] = set(told[0]["listening"])
    assert listening.startswith("0100007F:") or listening.startswith("0" * 16 + "FFFF00000100007F")
    assert told[1]["listening"] in ([], [listening])  # of one machine, both see its sockets


@pytest.mark.slow
def test_machines_divide_wide_layers_though_one_is_killed_and_training_stops_early(alone, tmp_path):
    out = tmp_path / "run"
    asked = {**STOPPED, "model_parallel": 2}
    (said, errors, status), (*_, killed) = both(out, second={"signals": {"3": "SIGKILL"}}, **asked)
    assert (status, killed) == (2, -9), said + errors
    assert "MachineLost" in said, said + errors
    assert "--resume" in said
    assert 2 <= len(history(out)) < 4

    told = answers(both(out, resume=True, **asked))
    np.testing.assert_allclose(told[0]["scores"], told[1]["scores"], rtol=1e-5)
    # Of the two devices of a machine each had a half of what is divided, and all of the rest.
    assert [answer["parts"] for answer in told] == [[[1, 2], [2, 2]]] * 2
    assert_alike(out, alone / "wide")
    trained = json.loads((out / "metrics.json").read_text())["training"]
    assert (trained["epochs"], trained["best_epoch"]) == (4, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"epochs": 7}, "epochs differs. Received: epochs=4 on machine 0, 7 on machine 1"),
        ({"data": "/none.csv"}, "Received: '/none.csv'"),
    ],
)
def test_all_machines_say_what_differs_and_write_nothing(tmp_path, second, words):
    for said, errors, status in both(tmp_path / "run", second=second, devices=(1, 1)):
        assert status == 2, said + errors
        assert words in said
        assert "MachineLost" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_machines_with_other_numbers_of_devices_say_so(tmp_path):
    for said, errors, status in both(tmp_path / "run", devices=(1, 2)):
        assert status == 2, said + errors
        assert "the same number of devices. Received: [1, 2]" in said
    assert not (tmp_path / "run").exists()
