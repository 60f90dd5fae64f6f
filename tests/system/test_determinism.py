"""Deterministic mode gives the same bits in every process."""

import json
import os
import subprocess
import sys

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


def test_weights_are_bit_equal_across_processes(tmp_path):
    asked = {name: {**TRAINED, **options} for name, options in VARIANTS.items()}
    found = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(asked), str(tmp_path / str(number))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Another process in all that Python and TensorFlow may vary by.
            env={**os.environ, "PYTHONHASHSEED": str(number)},
        )
        for number in range(2)
    ]
    try:
        found = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert set(found[0]) == set(VARIANTS)
    assert found[0] == found[1]
