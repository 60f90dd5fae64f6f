"""Deterministic mode: the same bits in every process, and nothing left behind."""

import json
import os
import subprocess
import sys

import keras
import pytest

import kerasae
from kerasae.runs import determinism

TRAINED = {"data": "digits", "data_options": {"limit": 200}, "latent_dim": 4, "export": False,
           "verbose": 0, "epochs": 2}  # fmt: skip
# Chunks under XLA with noise; Keras's own steps of convolutions in oneDNN.
VARIANTS = {
    "denoising": {"variant": "denoising", "batch_size": 16, "hidden": [16]},
    "variational": {"variant": "variational", "batch_size": 16, "hidden": [16]},
    "conv": {"variant": "denoising", "network": "conv", "hidden": [4], "batch_size": 64},
}
PROGRAM = """
import hashlib, json, sys
import numpy as np
import kerasae
from kerasae import evaluation
from kerasae.acceleration import chunks
from kerasae.runs import figures

chunks._WORTH = 0
evaluation.measure = lambda *_, **__: {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
figures.draw = lambda *_, **__: []
found = {}
for name, asked in json.loads(sys.argv[1]).items():
    run = kerasae.train(out=f"{sys.argv[2]}/{name}", deterministic=True, **asked)
    words = [hashlib.sha256(np.asarray(w).tobytes()).hexdigest() for w in run.model.get_weights()]
    found[name] = [*words, (run.path / "history.csv").read_text()]
print(json.dumps(found))
"""


def enabled():
    from tensorflow.python.framework import config

    return config.is_op_determinism_enabled()


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch):
    from kerasae import evaluation
    from kerasae.runs import figures

    measured = {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
    monkeypatch.setattr(evaluation, "measure", lambda *_, **__: measured)
    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])


def test_weights_are_bit_equal_across_processes(tmp_path):
    asked = {name: {**TRAINED, **options} for name, options in VARIANTS.items()}
    found = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(asked), str(tmp_path / str(number))],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            # Another process in all that Python and TensorFlow may vary by.
            env={**os.environ, "PYTHONHASHSEED": str(number)},
        )
        for number in range(2)
    ]  # fmt: skip
    try:
        found = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert set(found[0]) == set(VARIANTS)
    assert found[0] == found[1]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="is about TensorFlow")
def test_the_mode_is_on_while_training_recorded_and_off_afterwards(tmp_path, monkeypatch):
    from kerasae.acceleration import chunks
    from kerasae.runs import callbacks

    seen, traced = [], []
    original = chunks._chunk_function
    monkeypatch.setattr(chunks, "_WORTH", 0)
    monkeypatch.setattr(
        chunks, "_chunk_function", lambda *args: (traced.append(enabled()), original(*args))[1]
    )

    def look(self, epoch, logs=None):
        seen.append(enabled())
        if epoch == 1:
            raise RuntimeError("power cut")

    asked = {**TRAINED, **VARIANTS["denoising"], "out": tmp_path / "run"}
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EventLog, "on_epoch_end", look)
        with pytest.raises(RuntimeError, match="power cut"):
            kerasae.train(**asked, deterministic=True)
        assert not enabled()
        with pytest.raises(RuntimeError, match="power cut"):
            kerasae.train(**asked, resume=True)
    assert len(seen) >= 3
    assert all(seen)
    assert traced
    assert all(traced)
    assert not enabled()
    with pytest.raises(ValueError, match=r"deterministic was True\. Received: deterministic=False"):
        kerasae.train(**asked, resume=True, deterministic=False)
    run = kerasae.train(**asked, resume=True)
    assert run.config["deterministic"] is True
    assert "--deterministic" in run.config["command"]
    assert not enabled()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="is about TensorFlow")
def test_a_mode_that_was_on_stays_on():
    import tensorflow as tf
    from tensorflow.python.framework import config

    tf.config.experimental.enable_op_determinism()
    try:
        with determinism.deterministic(True):
            assert enabled()
        assert enabled()
    finally:
        config.disable_op_determinism()
    with determinism.deterministic(False):
        assert not enabled()


def test_jax_on_a_gpu_needs_a_flag_of_xla(monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with determinism.deterministic(True):
        pass
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with (
        pytest.raises(ValueError, match=r"needs XLA_FLAGS=--xla_gpu_.* Received: XLA_FLAGS=''"),
        determinism.deterministic(True),
    ):
        pytest.fail("went on")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    with determinism.deterministic(True):
        pass


def test_deterministic_is_true_or_false(tmp_path):
    with pytest.raises(ValueError, match=r"must be True or False\. Received: deterministic='yes'"):
        kerasae.train("linear", out=tmp_path / "run", deterministic="yes")


def test_the_command_line_has_the_option(tmp_path, monkeypatch):
    from kerasae import cli

    seen = {}

    def train(variant, **asked):
        seen.update(asked)
        raise ValueError("enough")

    monkeypatch.setattr("kerasae.runs.train", train)
    for words, expected in (([], None), (["--deterministic"], True)):
        with pytest.raises(SystemExit):
            cli.main(["train", "linear", *words])
        assert seen["deterministic"] is expected
