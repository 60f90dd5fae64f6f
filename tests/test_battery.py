"""One battery for every variant on every network; it picks new variants up by itself."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import options_of

SHAPES = {"dense": (5, 7), "conv": (9, 7, 1), "sequence": (11, 2)}
NAMED = {"convolutional": "conv", "sequence": "sequence"}
CASES = [
    (variant, network)
    for variant in kerasae.variants()
    for network in SHAPES
    if NAMED.get(variant, network) == network
]
# An overcomplete model without regularization warns, as it should; see test_plain.py.
pytestmark = pytest.mark.filterwarnings("ignore:An overcomplete autoencoder")


def make(variant, network, **options):
    keras.utils.set_random_seed(3)
    if variant not in NAMED:
        options["network"] = network
    if network != "dense":
        options.setdefault("hidden", (4, 8))
    ae = kerasae.build(variant, SHAPES[network], seed=1, **options)
    ae.compile()
    return ae


def data(network, n=70, seed=0):
    x = np.random.default_rng(seed).random((n, *SHAPES[network]), dtype="float32")
    return x


def fit(ae, x, epochs=2):
    return ae.fit(x, epochs=epochs, batch_size=32, shuffle=False, verbose=0).history


@pytest.mark.parametrize(("variant", "network"), CASES)
def test_trains_saves_loads_and_goes_on(variant, network, tmp_path):
    x = data(network)
    ae = make(variant, network)
    history = fit(ae, x)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]

    # Shapes and determinism of the verbs.
    code, reconstruction, score = ae.encode(x), ae.reconstruct(x), ae.score(x)
    assert code.shape == (70, ae.latent_dim)
    assert reconstruction.shape == x.shape
    assert reconstruction.dtype == np.float32
    assert score.shape == (70,)
    np.testing.assert_array_equal(code, ae.encode(x))
    np.testing.assert_array_equal(reconstruction, ae.predict(x, batch_size=70, verbose=0))
    np.testing.assert_allclose(ae.decode(code), reconstruction, rtol=1e-5, atol=1e-5)

    # A batch of one says the same as the row of a large batch.
    np.testing.assert_allclose(ae.reconstruct(x[:1]), reconstruction[:1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ae.score(x, batch_size=3), score, rtol=1e-4, atol=1e-5)

    # `evaluate` is a fixed draw and leaves the training noise alone.
    first = ae.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert first == ae.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert set(first) == set(history)

    # The whole state survives the file, and training goes on as if nothing had happened.
    ae.save(tmp_path / "model.keras")
    loaded = kerasae.load(tmp_path / "model.keras")
    for key in ("input_shape", "input_dtype", "output_activation", "prior", "recipe", "loss"):
        assert loaded.get_config()[key] == ae.get_config()[key]
    np.testing.assert_array_equal(loaded.reconstruct(x), reconstruction)
    np.testing.assert_array_equal(loaded.score(x), score)
    assert fit(loaded, x) == fit(ae, x)
    for ours, theirs in zip(ae.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )


@pytest.mark.parametrize(("variant", "network"), CASES)
def test_loss_is_the_weighted_sum_of_its_terms(variant, network):
    weights = {"sparsity_loss": 0.5, "jacobian_loss": 0.5, "kl_loss": 0.5}
    known = options_of(variant)
    names = ("sparsity_weight", "jacobian_weight", "kl_weight")
    ae = make(variant, network, **{name: 0.5 for name in names if name in known})
    # The last batch is smaller, so the averages must be weighted alike.
    history = fit(ae, data(network), epochs=1)
    total = sum(weights.get(key, 1.0) * history[key][0] for key in history if key != "loss")
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("variant", kerasae.variants())
def test_works_on_a_users_own_networks(variant, tmp_path):
    latent_dim = 40 if variant == "overcomplete" else 4
    inputs = keras.Input((5, 7))
    h = keras.layers.LSTM(6)(inputs)
    h = keras.layers.Dense(latent_dim, "sigmoid")(h)
    encoder = keras.Model(inputs, h)
    decoder = keras.Sequential(
        [keras.Input((latent_dim,)), keras.layers.Dense(35), keras.layers.Reshape((5, 7))]
    )
    ae = kerasae.build(variant, (5, 7), encoder=encoder, decoder=decoder)
    ae.compile()
    x = data("dense")
    fit(ae, x)
    ae.save(tmp_path / "model.keras")
    loaded = kerasae.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), ae.reconstruct(x))


def test_loads_in_a_fresh_process(tmp_path):
    x = data("dense")
    ae = make("variational", "dense")
    fit(ae, x)
    ae.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "want.npy", ae.reconstruct(x))
    program = (
        "import sys, numpy as np, kerasae\n"
        "ae = kerasae.load(sys.argv[1] + '/model.keras')\n"
        "x, want = (np.load(sys.argv[1] + n) for n in ('/x.npy', '/want.npy'))\n"
        "assert np.array_equal(ae.reconstruct(x), want)\n"
        "ae.fit(x, epochs=1, verbose=0)\n"
        "print('same')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr
