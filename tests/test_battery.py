"""One battery for every variant on every network; it picks new variants up by itself."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import options_of
from kerasae.models.variants.registry import required_options

SHAPES = {"dense": (5, 7), "conv": (9, 7, 1), "sequence": (11, 2)}
NAMED = {"convolutional": "conv", "sequence": "sequence"}
CASES = [
    (variant, network)
    for variant in kerasae.variants()
    for network in SHAPES
    if NAMED.get(variant, network) == network
]
# Values of the options that a variant cannot do without.
EXAMPLES = {"condition": 3}
# An overcomplete model without regularization warns, as it should; see test_plain.py.
pytestmark = pytest.mark.filterwarnings("ignore:An overcomplete autoencoder")


def make(variant, network, **options):
    keras.utils.set_random_seed(3)
    if variant not in NAMED:
        options["network"] = network
    if network != "dense":
        options.setdefault("hidden", (4, 8))
    needed = {name: EXAMPLES[name] for name in required_options(variant)}
    ae = kerasae.build(variant, SHAPES[network], seed=1, **{**needed, **options})
    ae.compile()
    return ae


def data(network, n=70, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPES[network]), dtype="float32")


def further(ae, n=70):
    """Return the inputs of a model next to x, by name."""
    rng = np.random.default_rng(1)
    fields = {name: field for name, field in ae.input_spec_.fields.items() if name != "x"}
    return {
        name: rng.integers(0, field.classes, (n, *field.shape)).astype("int32")
        for name, field in fields.items()
    }


def inputs_of(ae, x):
    others = further(ae, len(x))
    return {"x": x, **others} if others else x


def first(inputs, n):
    return {k: v[:n] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[:n]


def fit(ae, x, epochs=2):
    return ae.fit(x, epochs=epochs, batch_size=32, shuffle=False, verbose=0).history


@pytest.mark.parametrize(("variant", "network"), CASES)
def test_trains_saves_loads_and_goes_on(variant, network, tmp_path):
    raw = data(network)
    ae = make(variant, network)
    x = inputs_of(ae, raw)
    history = fit(ae, x)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]

    # Shapes and determinism of the verbs.
    code, reconstruction, score = ae.encode(x), ae.reconstruct(x), ae.score(x)
    assert code.shape == (70, *ae.code_shape)
    assert code.dtype == ae.code_dtype
    assert reconstruction.shape == raw.shape
    assert reconstruction.dtype == np.float32
    assert score.shape == (70,)
    np.testing.assert_array_equal(code, ae.encode(x))
    np.testing.assert_array_equal(reconstruction, ae.predict(x, batch_size=70, verbose=0))
    decoded = ae.decode(code, **further(ae))
    np.testing.assert_allclose(decoded, reconstruction, rtol=1e-5, atol=1e-5)
    # What is left out is unknown.
    assert np.isfinite(ae.reconstruct(raw)).all()
    assert np.isfinite(ae.decode(code)).all()

    # A batch of one says the same as the row of a large batch.
    np.testing.assert_allclose(ae.encode(first(x, 1)), code[:1], rtol=1e-5, atol=1e-5)
    one = ae.reconstruct(first(x, 1))
    np.testing.assert_allclose(one, reconstruction[:1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ae.score(x, batch_size=3), score, rtol=1e-4, atol=1e-5)

    # Scores become decisions, and codes samples.
    ae.calibrate(x, 0.1, allow_training_rows=True)
    assert ae.detect(x)["is_anomaly"].mean() <= 0.1
    if not ae.can_generate:
        ae.fit_sampler(x)
    samples = ae.generate(4, seed=0, **{name: v[0] for name, v in further(ae).items()})
    assert samples.shape == (4, *raw.shape[1:])
    np.testing.assert_array_equal(
        samples, ae.generate(4, seed=0, **{name: v[0] for name, v in further(ae).items()})
    )

    # `evaluate` is a fixed draw and leaves the training noise alone.
    evaluated = ae.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert evaluated == ae.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert set(evaluated) == set(history)

    # The whole state survives the file, and training goes on as if nothing had happened.
    ae.save(tmp_path / "model.keras")
    loaded = kerasae.load(tmp_path / "model.keras")
    for key in (
        "input_shape",
        "input_dtype",
        "output_activation",
        "prior",
        "built_with",
        "recipe",
        "loss",
    ):
        assert loaded.get_config()[key] == ae.get_config()[key]
    np.testing.assert_array_equal(loaded.reconstruct(x), reconstruction)
    np.testing.assert_array_equal(loaded.score(x), score)
    np.testing.assert_array_equal(loaded.detect(x)["p_value"], ae.detect(x)["p_value"])
    assert fit(loaded, x) == fit(ae, x)
    for ours, theirs in zip(ae.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )


@pytest.mark.parametrize(("variant", "network"), CASES)
def test_loss_is_the_weighted_sum_of_its_terms(variant, network):
    names = ("sparsity_weight", "jacobian_weight", "kl_weight", "auxiliary_weight")
    weights = {name.replace("_weight", "_loss"): 0.5 for name in names}
    known = options_of(variant)
    ae = make(variant, network, **{name: 0.5 for name in names if name in known})
    # The last batch is smaller, so the averages must be weighted alike.
    history = fit(ae, inputs_of(ae, data(network)), epochs=1)
    total = sum(weights.get(key, 1.0) * history[key][0] for key in history if key != "loss")
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("variant", kerasae.variants())
def test_works_on_a_users_own_networks(variant, tmp_path):
    latent_dim = 40 if variant == "overcomplete" else 4
    needed = {name: EXAMPLES[name] for name in required_options(variant)}
    # Of the sizes that the variant's own networks have.
    ours = kerasae.build(variant, (5, 7), latent_dim, **needed)
    units = ours.encoder_network.compute_output_shape((None, 5, 7))[-1]
    taken = ours.decoder_network.input_shape[-1]
    inputs = keras.Input((5, 7))
    h = keras.layers.LSTM(6)(inputs)
    h = keras.layers.Dense(units, "sigmoid")(h)
    encoder = keras.Model(inputs, h)
    decoder = keras.Sequential(
        [keras.Input((taken,)), keras.layers.Dense(35), keras.layers.Reshape((5, 7))]
    )
    ae = kerasae.build(variant, (5, 7), encoder=encoder, decoder=decoder, **needed)
    assert ae.code_shape == ours.code_shape
    ae.compile()
    x = inputs_of(ae, data("dense"))
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
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "same\n", done.stderr
