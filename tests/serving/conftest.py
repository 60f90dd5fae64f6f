"""A small exported model of digits."""

import os

import keras
import numpy as np
import pytest

import kerasae


def pytest_collection_modifyitems(items):
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    for item in items:
        if other and "tests/serving" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="export runs on the TensorFlow backend"))


def images(n=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def trained(seed=0):
    keras.utils.set_random_seed(seed)
    ae = kerasae.build("variational", (8, 8, 1), 4, input_dtype="uint8", hidden=(16,))
    ae.compile()
    ae.fit(images(), epochs=1, verbose=0)
    ae.calibrate(images(60, seed=1), 0.05)
    return ae


@pytest.fixture(scope="session")
def build():
    """Return the function that trains a model of a seed."""
    return trained


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A calibrated variational model, and its folder of versions with ONNX files."""
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    ae = trained()
    path = tmp_path_factory.mktemp("models") / "digits"
    kerasae.export(ae, path, also=["onnx"], verify=False)
    return ae, path
