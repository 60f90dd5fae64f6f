"""A fitted model that is deleted leaves about as little behind as a plain Keras model does."""

import os
import subprocess
import sys

import pytest

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("acceleration is for TensorFlow", allow_module_level=True)
if not os.path.exists("/proc/self/status"):
    pytest.skip("the resident set is read from /proc", allow_module_level=True)

PROGRAM = """
import ctypes, gc, pathlib, re, sys
import keras, numpy as np
import kerasae

x = np.random.default_rng(0).random((2048, 784), "float32")

def plain():
    inputs = hidden = keras.Input((784,))
    for width in (128, 64, 32, 64, 128):
        hidden = keras.layers.Dense(width, "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(784)(hidden))
    model.compile("adam", "mse")
    model.fit(x, x, batch_size=128, epochs=2, verbose=0)

def ours():
    ae = kerasae.build("undercomplete", (784,), 32, hidden=(128, 64), seed=0)
    ae.compile(jit_compile=True)
    ae.fit(x, batch_size=128, epochs=2, verbose=0)
    assert ae.train_function.compiled

def resident():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+)", status)[1]) / 1024

found = []
for _ in range(10):
    {"plain": plain, "ours": ours}[sys.argv[1]]()
    keras.backend.clear_session()
    found.append(resident())
print((found[-1] - found[1]) / 8)
"""


def growth(kind):
    """Return the MiB that a model leaves behind, the mean of eight."""
    command = [sys.executable, "-c", PROGRAM, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def test_a_fitted_model_leaves_about_as_little_behind_as_keras_does():
    plain, ours = growth("plain"), growth("ours")
    # The compiled program is kept by TensorFlow, about 8 MiB.
    assert ours <= 1.5 * plain + 4, (ours, plain)
