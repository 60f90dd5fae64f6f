"""Deterministic mode: the same bits in every process, and nothing left behind."""

import keras
import pytest

import kerasae
from kerasae.runs import determinism

TRAINED = {
    "data": "digits",
    "data_options": {"limit": 200},
    "latent_dim": 4,
    "export": False,
    "verbose": 0,
    "epochs": 2,
}
# Chunks under XLA with noise; Keras's own steps of convolutions in oneDNN.
VARIANTS = {
    "denoising": {"variant": "denoising", "batch_size": 16, "hidden": [16]},
    "variational": {"variant": "variational", "batch_size": 16, "hidden": [16]},
    "conv": {"variant": "denoising", "network": "conv", "hidden": [4], "batch_size": 64},
}


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
    with pytest.raises(ValueError, match="Received: deterministic=False"):
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
        pytest.raises(ValueError, match="Received: XLA_FLAGS=''"),
        determinism.deterministic(True),
    ):
        pytest.fail("went on")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    with determinism.deterministic(True):
        pass


def test_deterministic_is_true_or_false(tmp_path):
    with pytest.raises(ValueError, match="Received: deterministic='yes'"):
        kerasae.train("linear", out=tmp_path / "run", deterministic="yes")
