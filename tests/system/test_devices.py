"""One training on several devices: two logical CPUs in a process of their own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import kerasae

on_tensorflow = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="tf.distribute is of the TensorFlow backend",
)

PROGRAM = """
import json, sys, warnings
import kerasae
import keras, numpy as np, tensorflow as tf
from kerasae import evaluation
from kerasae.layers import backend, gaussian_sampling
from kerasae.runs import callbacks, figures

warnings.simplefilter("ignore")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
two = tf.distribute.MirroredStrategy(
    ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
)
one = tf.distribute.get_strategy()
rng = np.random.default_rng(0)
# Batches of 16, the last of 3; then 5 samples to validate on.
x = (rng.random((35, 8, 8, 1)) * 255).astype("uint8")
rows = (rng.normal(size=(35, 6)) @ rng.normal(size=(6, 6)) / 5 + 0.5).astype("float32")
warm = kerasae.schedules.Warmup(0.0, 1.0, 4)
CASES = {
    "linear": ("linear", rows, {"scaler": "standardize"}),
    "undercomplete": ("undercomplete", rows, {"hidden": ()}),
    "overcomplete": ("overcomplete", rows, {"latent_dim": 9}),
    "sparse_l1": ("sparse_l1", x, {"latent_dim": 6, "sparsity_weight": 0.1}),
    "sparse_kl": ("sparse_kl", x, {"latent_dim": 6, "sparsity_weight": 0.1}),
    "running mean": ("sparse_kl", x, {"latent_dim": 6, "sparsity_weight": 0.1, "momentum": 0.9}),
    "contractive": ("contractive", rows, {"jacobian_method": "closed_form", "hidden": ()}),
    "variational": ("variational", rows, {"hidden": (), "kl_weight": warm}),
    "free bits": ("variational", rows, {"hidden": (), "free_bits": 0.3}),
    "denoising": ("denoising", rows, {"hidden": (), "corruption": None}),
    "sparse_topk": ("sparse_topk", rows, {"k": 3}),
    "fsq": ("fsq", rows, {"hidden": ()}),
    "conditional_vae": ("conditional_vae", rows, {"hidden": (), "condition": 3}),
    "convolutional": ("convolutional", x, {"hidden": (4,)}),
    "sequence": ("sequence", rng.random((35, 8, 2)).astype("float32"), {"hidden": (4,)}),
}
silent = lambda shape, seed: tf.zeros(shape)
drawn, gaussian_sampling.normal = gaussian_sampling.normal, silent


def fitted(strategy, variant, data, options, eagerly=False):
    keras.utils.set_random_seed(0)
    options = {"latent_dim": 3, "input_dtype": data.dtype.name, "seed": 0, **options}
    latent_dim = options.pop("latent_dim")
    with strategy.scope():
        ae = kerasae.build(variant, data.shape[1:], latent_dim, **options)
        ae.compile(optimizer=keras.optimizers.SGD(0.02), run_eagerly=eagerly)
    history = ae.fit(data, batch_size=16, epochs=2, shuffle=False, verbose=0).history
    return ae, history


answer = {"cases": {}}
for name, (variant, data, options) in CASES.items():
    alone, before = fitted(one, variant, data, options, eagerly=True)
    shared, after = fitted(two, variant, data, options)
    pairs = zip(alone.get_weights(), shared.get_weights())
    answer["cases"][name] = {
        "before": before, "after": after,
        "weights": max(float(np.abs(a - b).max() / max(1, np.abs(a).max())) for a, b in pairs),
    }
    if name == "free bits":
        answer["evaluated"] = [ae.evaluate(data, verbose=0) for ae in (alone, shared)]
        found = [ae.predict(data, batch_size=16, verbose=0) for ae in (alone, shared)]
        answer["predicted"] = float(np.abs(found[0] - found[1]).max())

# A last batch of one sample, for two replicas.
_, few = fitted(two, "sparse_kl", rows[:33] * 0, {"latent_dim": 2})
answer["few"] = [few, fitted(one, "sparse_kl", rows[:33] * 0, {"latent_dim": 2}, True)[1]]

gaussian_sampling.normal = drawn
with two.scope():
    seed = keras.random.SeedGenerator(5)
noise = two.run(tf.function(lambda: backend.normal((4000,), seed)))
answer["noise"] = [part.numpy().tolist() for part in two.experimental_local_results(noise)]

answer["refused"] = []
with two.scope():
    for options in ({"jit_compile": True}, {"steps_per_execution": 4}):
        try:
            kerasae.build("linear", (6,), 2).compile(**options)
        except ValueError as error:
            answer["refused"].append(str(error))

figures.draw = lambda *_, **__: []
evaluation.measure = lambda *_, **__: {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
splits = kerasae.data.load(x, batch_size=16, validation=5, test=0)
asked = {"data": splits, "hidden": [4], "latent_dim": 2, "export": False, "verbose": 0}
out = sys.argv[1]
original = callbacks.EventLog.on_epoch_end


def cut(self, epoch, logs=None):
    original(self, epoch, logs)
    if epoch == 1:
        raise RuntimeError("power cut")


from kerasae.runs import training
training._SAVE_EVERY = 0.0
callbacks.EventLog.on_epoch_end = cut
asked["devices"] = "all"
try:
    kerasae.train("variational", out=f"{out}/two", epochs=3, **asked)
except RuntimeError:
    callbacks.EventLog.on_epoch_end = original
run = kerasae.train("variational", out=f"{out}/two", epochs=3, resume=True, **asked)
kerasae.train("variational", out=f"{out}/whole", epochs=3, **asked)
answer["strategy"] = type(run.model.distribute_strategy).__name__
answer["devices"] = run.config["devices"]
json.dump(answer, open(f"{out}/answer.json", "w"))
"""


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    path = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads((path / "answer.json").read_text()), "path": path}


@on_tensorflow
@pytest.mark.slow
def test_two_devices_train_every_variant_as_one_does(answer):
    names = {name.split("+")[0] for name in answer["cases"]}
    assert set(kerasae.variants()) <= names
    for name, case in answer["cases"].items():
        assert case["before"].keys() == case["after"].keys(), name
        for term, values in case["before"].items():
            np.testing.assert_allclose(case["after"][term], values, rtol=1e-4, err_msg=name)
        assert case["weights"] < 1e-4, name


@on_tensorflow
@pytest.mark.slow
def test_evaluate_and_predict_agree_on_two_devices(answer):
    before, after = answer["evaluated"]
    assert after == pytest.approx(before, rel=1e-4)
    assert answer["predicted"] < 1e-4


@on_tensorflow
@pytest.mark.slow
def test_a_batch_smaller_than_the_replicas_is_counted_and_no_nan(answer):
    after, before = answer["few"]
    for term, values in before.items():
        np.testing.assert_allclose(after[term], values, rtol=1e-4)


@on_tensorflow
@pytest.mark.slow
def test_replicas_draw_noise_of_their_own(answer):
    first, second = np.array(answer["noise"])
    # Independent: the correlation of 4,000 pairs has a standard deviation of 0.016.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.08
    for noise in (first, second):
        assert abs(noise.mean()) < 0.08
        assert noise.std() == pytest.approx(1, abs=0.06)


@on_tensorflow
@pytest.mark.slow
def test_xla_and_several_steps_at_once_are_refused(answer):
    xla, steps = answer["refused"]
    assert xla.endswith("Received: jit_compile=True")
    assert steps.endswith("Received: steps_per_execution=4")


@on_tensorflow
@pytest.mark.slow
def test_train_on_all_devices_leaves_a_plain_run_and_resumes(answer):
    path = answer["path"]
    assert answer["devices"] == 2
    assert answer["strategy"] != "MirroredStrategy"
    whole, resumed = (kerasae.load(path / name).get_weights() for name in ("whole", "two"))
    for mine, theirs in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(theirs, mine)
    history = np.loadtxt(path / "two/history.csv", delimiter=",", skiprows=1)
    assert history[:, 0].tolist() == [1, 2, 3]
    assert np.isfinite(history).all()
