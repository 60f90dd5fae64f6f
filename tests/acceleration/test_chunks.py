"""Chunks of steps in one compiled function train as Keras's own loop does."""

import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasae
from kerasae import acceleration
from kerasae.acceleration import chunks
from kerasae.acceleration.samples import samples_of
from kerasae.models.saving import seed_states

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("chunks are for TensorFlow", allow_module_level=True)

# 11 full batches of 16 and one of 9.
X = np.random.default_rng(0).random((185, 6), "float32")
WEIGHTS = np.random.default_rng(1).random(185).astype("float32")


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """A test trains for a few steps only."""
    monkeypatch.setattr(chunks, "_WORTH", 0)


def model(variant="undercomplete", seed=0, **options):
    keras.utils.set_random_seed(seed)
    if variant in ("overcomplete", "sparse_l1", "sparse_kl"):
        options.setdefault("latent_dim", 8)
    size = options.pop("latent_dim", 3)
    return kerasae.build(variant, (6,), size, hidden=(5,), seed=0, **options)


def steps(ae):
    """Return the steps of the chunks that XLA has compiled for a model."""
    return {steps for steps, _ in ae.train_function.compiled}


def fit(ae, x=X, chunks=True, compiled=None, **options):
    ae.compile(**(compiled or {}), **({} if chunks else {"steps_per_execution": 1}))
    options = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0, **options}
    history = ae.fit(x, **options).history
    assert bool(steps(ae)) == chunks
    return history


def same(build, tolerance=1e-5, **options):
    """Train two copies, in chunks and step by step, and compare weights and history."""
    pair = []
    for in_chunks in (True, False):
        ae = build()
        compiled = options.get("compiled", dict)()
        others = {k: v() if callable(v) else v for k, v in options.items() if k != "compiled"}
        history = fit(ae, chunks=in_chunks, compiled=compiled, **others)
        pair.append((ae, history))
    (a, first), (b, second) = pair
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for ours, theirs in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert int(a.optimizer.iterations) == int(b.optimizer.iterations)
    return a


# Equality ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:An overcomplete autoencoder")
@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("linear", {}),
        ("undercomplete", {"normalization": "batch"}),
        ("undercomplete", {"loss": "gaussian"}),
        ("overcomplete", {}),
        ("sparse_l1", {}),
        ("sparse_kl", {}),
        ("denoising", {}),
        ("denoising", {"corruption": "salt_and_pepper"}),
        ("contractive", {}),
        ("contractive", {"jacobian_method": "closed_form"}),
        ("variational", {"kl_weight": kerasae.schedules.Warmup(0.0, 1.0, 100)}),
    ],
)
def test_weights_are_those_of_kerass_own_loop(variant, options):
    # Adam would blow up the round-off of gradients that are 0, of a bias before a normalization.
    rate = {"optimizer": "sgd"} if "normalization" in options else {}
    build = lambda: model(variant, **options)  # noqa: E731
    ae = same(build, validation_data=lambda: X[:50], compiled=lambda: dict(rate))
    assert int(ae.optimizer.iterations) == 24


IMAGES = np.random.default_rng(2).random((100, 9, 8, 1), "float32")


@pytest.mark.parametrize(
    ("variant", "shape", "options"),
    [
        ("convolutional", (9, 8, 1), {}),
        ("denoising", (9, 8, 1), {"network": "conv", "kernel_size": 3}),
        ("undercomplete", (9, 8, 1), {"network": "conv", "normalization": "batch"}),
        ("variational", (9, 8), {"network": "conv"}),
        ("contractive", (9, 8, 1), {"network": "conv"}),
        ("sparse_kl", (72, 1), {"network": "sequence"}),
    ],
)
def test_convolutions_train_as_in_kerass_own_loop(variant, shape, options):
    x = IMAGES.reshape(100, *shape)

    def build():
        keras.utils.set_random_seed(0)
        return kerasae.build(variant, shape, 3, hidden=(4, 6), seed=0, **options)

    # As above: not Adam with gradients that are 0 but for round-off.
    same(build, compiled=lambda: {"optimizer": "sgd"}, x=lambda: x)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 20)),
        lambda: keras.optimizers.AdamW(0.01, clipnorm=0.1, use_ema=True, ema_momentum=0.9),
    ],
)
def test_any_optimizer_and_schedule(optimizer):
    same(model, compiled=lambda: {"optimizer": optimizer()})


def test_targets_and_weights_of_samples():
    ae = same(model, y=lambda: X**2, sample_weight=lambda: WEIGHTS)
    other = same(model, y=lambda: X**2)
    assert not np.allclose(ae.get_weights()[0], other.get_weights()[0], atol=1e-5)


def test_a_warm_up_and_noise_go_on_with_every_step():
    ae = model("variational", kl_weight=kerasae.schedules.Warmup(0.0, 1.0, 100))
    states = seed_states(ae)
    before = [np.array(state) for state in states]
    fit(ae)
    (warmed,) = [v for v in ae.variables if v.name == "warmup_step"]
    assert int(warmed.value) == 24
    # Every step draws anew: the counters of Keras's generators move by one for each.
    assert any((np.array(s) - b).max() == 24 for s, b in zip(states, before, strict=True))


def test_training_in_chunks_learns_from_noise_that_differs_by_step():
    """With one and the same noise at every step, the network would learn to subtract it."""
    x = np.full((640, 6), 0.5, "float32")
    ae = model("denoising", corruption_level=1.0)
    history = fit(ae, x, epochs=30)
    assert ae.score(x).mean() < 0.02
    assert history["loss"][-1] < 0.1


def test_it_is_the_same_twice():
    runs = [fit(model("denoising"), epochs=3, shuffle=True) for _ in range(2)]
    assert runs[0] == runs[1]


# Whether ----------------------------------------------------------------------------------


class Batches(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)


def test_a_callback_that_looks_at_batches_sees_every_one(caplog):
    callback = Batches()
    ae = model()
    ae.compile()
    with caplog.at_level(logging.INFO, "kerasae"):
        ae.fit(X, batch_size=16, verbose=0, callbacks=[callback])
    assert callback.seen == list(range(12))
    assert "the callback Batches acts on batches" in caplog.text
    assert not steps(ae)
    ae.fit(X, batch_size=16, verbose=0)
    assert steps(ae) == {11}


def test_what_keras_does_better_is_left_to_it():
    class Own(kerasae.models.Autoencoder):
        def train_step(self, *args):
            return super().train_step(*args)

    plain = model()
    plain.compile()
    why_not = lambda ae, batch=128, **asked: chunks.why_not(ae, [], batch, asked)  # noqa: E731
    assert why_not(plain) is None
    for options in ({"jit_compile": False}, {"run_eagerly": True}, {"steps_per_execution": 4}):
        assert why_not(plain, **options) == ""
    assert "metrics" in why_not(plain, metrics=["mae"])
    own = Own.from_config(plain.get_config())
    own.compile()
    assert why_not(own) == "train_step is overridden"
    conv = kerasae.build("convolutional", (8, 8, 1), 3, hidden=(4, 8))
    conv.compile()
    assert why_not(conv, 128) is None
    assert why_not(conv, 100_000) == ""  # more windows than a cache holds
    inputs, code = keras.Input((8, 8, 1)), keras.Input((3,))
    flat = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))
    encoder = keras.Model(inputs, keras.layers.Dense(3)(flat))
    decoder = keras.Model(code, keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(code)))
    of_keras = kerasae.build("undercomplete", (8, 8, 1), 3, encoder=encoder, decoder=decoder)
    of_keras.compile()
    assert why_not(of_keras) == ""


def test_callbacks_of_keras_that_act_on_epochs_are_no_hindrance(tmp_path):
    epochs = [
        keras.callbacks.EarlyStopping("loss"),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "a.keras")),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]
    assert not any(map(chunks.acts_on_batches, epochs))
    batches = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "a.keras"), save_freq=3),
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None),
        Batches(),
    ]
    assert all(map(chunks.acts_on_batches, batches))
    fit(model(), callbacks=epochs, verbose=1)


@pytest.mark.filterwarnings("error:Your input ran out of data")
def test_validation_and_evaluation_see_every_batch():
    ae = model()
    ae.compile("sgd")
    for _ in range(2):
        history = ae.fit(X, batch_size=16, epochs=2, verbose=0, validation_data=(X, X)).history
        assert steps(ae)
        whole = ae.evaluate(X, batch_size=16, verbose=0, return_dict=True)
        assert whole["loss"] == pytest.approx(np.mean((ae.predict(X, verbose=0) - X) ** 2), 1e-5)
        assert history["val_loss"][-1] == pytest.approx(whole["loss"], 1e-6)
    # Another loss, another function.
    ae.compile("sgd", loss="mae")
    ae.fit(X, batch_size=16, verbose=0, validation_data=(X, X))
    found = ae.evaluate(X, batch_size=16, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(np.mean(abs(ae.predict(X, verbose=0) - X)), 1e-5)


def test_a_short_training_is_not_worth_compiling(monkeypatch):
    monkeypatch.setattr(chunks, "_WORTH", 1000)
    conv = kerasae.build("convolutional", (8, 8, 1), 3, hidden=(4, 8))
    assert (chunks.worth(model()), chunks.worth(conv)) == (1000, 2000)
    for epochs, options, chunk in (
        (90, {}, set()),
        (91, {}, {11}),
        (2, {"jit_compile": True}, {11}),
    ):
        ae = model()
        ae.compile(**options)
        # Stopped at once: what counts is how many epochs were asked for.
        stop = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_, ae=ae: setattr(ae, "stop_training", True)
        )
        ae.fit(X, batch_size=16, epochs=epochs, verbose=0, callbacks=[stop])
        assert steps(ae) == chunk
        # What is compiled already costs nothing any more; anything else does.
        ae.fit(X, batch_size=16, epochs=1, verbose=0)
        assert steps(ae) == chunk
        ae.fit(X[:80], batch_size=16, epochs=1, verbose=0)
        assert steps(ae) == (chunk | {5} if options else chunk)


@pytest.mark.parametrize(
    ("full", "stated", "most", "size"),
    [
        (3, None, 16, 1),
        (4, None, 16, 4),
        (17, None, 16, 9),
        (421, None, 16, 16),
        (468, None, 128, 117),
        (0, None, 16, 1),
        (20, 14, 16, 14),
        (20, 34, 128, 17),
        (20, 13, 8, 1),
    ],
)
def test_the_steps_of_a_chunk(full, stated, most, size):
    assert chunks.chunk_steps(full, stated, most) == size
    assert size == 1 or stated is None or stated % size == 0


def test_a_chunk_of_a_large_network_is_short():
    sizes = []
    pipeline = kerasae.data.load(np.zeros((999, 784), "float32"), batch_size=128).train
    for width in (16, 1024, 8192):
        ae = kerasae.build("undercomplete", (784,), 8, hidden=(width,), seed=0)
        sizes.append(chunks.most_steps(ae, samples_of(pipeline, None, {})))
    assert sizes[0] == 128
    assert 16 < sizes[1] < 128
    assert sizes[2] == 16
    # Half a second at the rate that the docstring names.
    assert sizes[1] * 128 * 6 * 2 * 784 * 1024 <= 0.6e11
    costly = kerasae.build("contractive", (784,), 8, hidden=(16,), jacobian_method="exact")
    assert chunks.most_steps(costly, samples_of(pipeline, None, {})) == 16
    large = kerasae.data.load(np.zeros((99, 150_000), "float32"), batch_size=4).train
    small = kerasae.build("undercomplete", (150_000,), 1, hidden=())
    # 27 chunks of four samples of 600 kB are 64 MiB.
    assert chunks.most_steps(small, samples_of(large, None, {})) == 27


# Samples in memory ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"y": lambda: X**2},
        {"sample_weight": lambda: WEIGHTS},
        {"validation_split": lambda: 0.25},
        {"validation_split": lambda: 0.25, "sample_weight": lambda: WEIGHTS},
        {"validation_data": lambda: (X[:40], None, WEIGHTS[:40])},
        {"validation_split": lambda: 0.25, "validation_data": lambda: X[:40]},
        {"batch_size": lambda: None},
        {"initial_epoch": lambda: 1},
        {"epochs": lambda: 4, "steps_per_epoch": lambda: 6},
    ],
    ids=lambda options: next(iter(options), "x alone"),
)
def test_arrays_train_as_in_kerass_own_loop(options):
    same(model, shuffle=True, **options)


@pytest.mark.parametrize("kind", ["float64", "tensorflow", "jax"])
def test_other_arrays(kind):
    import tensorflow as tf

    def given():
        if kind == "jax":
            return pytest.importorskip("jax").numpy.asarray(X)
        return tf.constant(X) if kind == "tensorflow" else X.astype(kind)

    ae = same(model, x=given, shuffle=True)
    expected = model()
    fit(expected, shuffle=True)
    for ours, theirs in zip(ae.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_what_is_not_in_memory_is_left_to_keras(tmp_path, monkeypatch):
    import tensorflow as tf

    file = tmp_path / "x.npy"
    np.save(file, X)
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(16)
    for x in (np.load(file, mmap_mode="r"), dataset):
        ae = model()
        ae.compile()
        ae.fit(x, batch_size=16 if x is not dataset else None, verbose=0)
        assert not steps(ae)
        assert int(ae.optimizer.iterations) == 12
    monkeypatch.setattr("kerasae.acceleration.samples._COPIED", X.nbytes - 1)
    assert samples_of(X, None, {}) is None


def test_every_sample_is_seen_once_in_every_epoch():
    ae = model("denoising", corruption_level=0.0)
    ae.compile(keras.optimizers.SGD(0.0))
    pipeline = in_memory()
    history = ae.fit(pipeline, epochs=2, verbose=0).history
    assert steps(ae) == {11}
    # The mean over the samples, the short last batch with its own weight.
    expected = np.mean((ae.predict(X, verbose=0) - X) ** 2)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    passes = [
        np.concatenate([*pipeline.kerasae_resident.row_numbers(60).as_numpy_iterator()])
        for _ in range(2)
    ]
    assert all(sorted(rows) == list(range(185)) for rows in passes)
    assert list(passes[0]) != list(passes[1])


@pytest.mark.parametrize("kind", ["samples", "windows"])
def test_a_pipeline_in_memory_trains_as_its_batches_do(kind):
    if kind == "samples":
        make = lambda: kerasae.data.load(X, validation=0.0, test=0.0, batch_size=16)  # noqa: E731
        build = model
    else:
        series = np.sin(np.arange(300) / 5).astype("float32")[:, None]
        make = lambda: kerasae.data.load(  # noqa: E731
            series, window=6, validation=0.0, test=0.0, batch_size=16
        )

        def build():
            keras.utils.set_random_seed(0)
            return kerasae.build("undercomplete", (6, 1), 3, hidden=(5,), network="dense", seed=0)

    weights = []
    for whole in (True, False):
        pipeline = make().train
        ae = build()
        ae.compile()
        # Mapped, it is any dataset: Keras fetches its batches.
        ae.fit(pipeline if whole else pipeline.map(lambda x: x), epochs=3, verbose=0)
        assert bool(steps(ae)) is whole
        weights.append(ae.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_other_samples_are_not_taken_for_those_before():
    ae = model()
    ae.compile(keras.optimizers.SGD(0.0))
    losses = []
    for x in (X, X * 0.5, X[:160], X[:100]):
        given = kerasae.data.load(x, validation=0.0, test=0.0, batch_size=16).train
        found = ae.fit(given, epochs=1, verbose=0).history["loss"][0]
        losses.append(found)
        assert found == pytest.approx(np.mean((ae.predict(x, verbose=0) - x) ** 2), rel=1e-5)
    assert len({round(loss, 6) for loss in losses}) == 4


def test_arguments_of_fit_go_by_their_place_too():
    ae = model()
    ae.compile()
    ae.fit(X, None, 16, 3, 0, None, 0.2)
    assert int(ae.optimizer.iterations) == 3 * 10
    with pytest.raises(ValueError, match="batch_size"):
        ae.fit(X, None, 0)
    with pytest.raises(TypeError, match="batchsize"):
        ae.fit(X, batchsize=16)


# What a callback does meanwhile ------------------------------------------------------------


def in_memory():
    return kerasae.data.load(X, validation=0.0, test=0.0, batch_size=16).train


def watching(act):
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: act())


def test_predictions_in_a_callback_are_of_all_samples():
    ae = model()
    ae.compile()
    ae.reconstruct(X)
    found = []

    def look():
        found.append(ae.reconstruct(X, batch_size=16))
        found.append(ae.predict(X, batch_size=16, steps=2, verbose=0))
        found.append(ae.evaluate(X, batch_size=16, verbose=0, return_dict=True)["loss"])
        found.append(ae.evaluate(X, batch_size=16, steps=2, verbose=0, return_dict=True)["loss"])

    ae.fit(in_memory(), verbose=0, callbacks=[watching(look)])
    assert steps(ae) == {11}
    np.testing.assert_allclose(found[0], ae.reconstruct(X), atol=1e-6)
    assert found[1].shape == (32, 6)
    assert found[2] == pytest.approx(np.mean((found[0] - X) ** 2), rel=1e-5)
    assert found[3] == pytest.approx(np.mean((found[0] - X)[:32] ** 2), rel=1e-5)


def test_a_new_number_of_samples_compiles_nothing(monkeypatch):
    traced, loss = [], kerasae.models.Autoencoder.compute_loss

    def watched(ae, *args, **kwargs):
        traced.append(ae)
        return loss(ae, *args, **kwargs)

    monkeypatch.setattr(kerasae.models.Autoencoder, "compute_loss", watched)
    ae = model()
    ae.compile()
    ae.fit(X[:176], batch_size=16, verbose=0)
    once = len(traced)
    ae.fit(X[88:][:88].repeat(2, 0), batch_size=16, verbose=0)
    assert len(traced) == once
    ae.fit(X[:180], batch_size=16, verbose=0)  # 4 are left over, in a step of Keras's
    left = len(traced)
    assert left > once
    ae.fit(in_memory(), verbose=0)
    ae.fit(X[:183], batch_size=16, verbose=0)
    assert len(traced) <= left + 2  # Keras traces other numbers of samples left over as one


def test_compile_in_a_callback_holds():
    ae = model()
    ae.compile()
    again = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: ae.compile(steps_per_execution=4)
    )
    ae.fit(X, batch_size=16, verbose=0, callbacks=[again])
    assert ae.steps_per_execution == 4


def test_a_step_in_a_callback_is_one_on_the_batch_given():
    ae = model()
    ae.compile()
    act = watching(lambda: ae.train_on_batch(X[:16]))
    ae.fit(in_memory(), epochs=2, verbose=0, callbacks=[act])
    assert steps(ae) == {11}
    assert int(ae.optimizer.iterations) == 2 * (12 + 1)


def test_a_fit_in_a_callback_leaves_the_other_as_it_was():
    ae = model()
    ae.compile()
    dataset = __import__("tensorflow").data.Dataset.from_tensor_slices(X[:32]).batch(16)
    inner = iter([{"x": X[:80], "batch_size": 16}, {"x": dataset}])
    ae.fit(
        in_memory(), epochs=2, verbose=0,
        callbacks=[watching(lambda: ae.fit(**next(inner), verbose=0))],
    )  # fmt: skip
    assert steps(ae) == {5, 11}
    assert int(ae.optimizer.iterations) == 2 * 12 + 5 + 2


# What else counts batches -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arrays", "dataset", "endless"])
def test_validation_takes_as_many_steps_as_stated(kind):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(X).batch(16)
    given = {"arrays": X, "dataset": dataset, "endless": dataset.repeat()}[kind]
    ae = model()
    ae.compile("sgd")
    history = ae.fit(X, batch_size=16, verbose=0, validation_data=given, validation_steps=3)
    assert steps(ae) == {11}
    expected = ae.evaluate(X[:48], batch_size=16, verbose=0, return_dict=True)["loss"]
    assert history.history["val_loss"][0] == pytest.approx(expected, rel=1e-6)


def test_a_limit_on_steps_is_kept():
    keras.config.set_max_steps_per_epoch(4)
    try:
        ae = model()
        ae.compile()
        with pytest.warns(UserWarning, match="Limiting"):
            ae.fit(X, batch_size=16, epochs=1, verbose=0)
    finally:
        keras.config.set_max_steps_per_epoch(None)
    assert int(ae.optimizer.iterations) == 4


def test_turned_off_the_results_are_the_same():
    found = []
    for on in (True, False):
        acceleration.enable(on)
        try:
            assert acceleration.enabled() == on
            ae = model("contractive", jacobian_method="closed_form")
            ae.compile()
            history = ae.fit(X, batch_size=16, epochs=2, verbose=0, validation_split=0.2).history
            assert hasattr(ae.train_function, "compiled") == on
        finally:
            acceleration.enable()
        found.append((history, ae.get_weights()))
    (ours, weights), (plain, expected) = found
    for name, values in plain.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_the_environment_turns_it_off():
    program = "import kerasae; print(kerasae.acceleration.enabled())"
    environment = {**os.environ, "KERASAE_ACCELERATION": "0"}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert found.stdout.strip() == "False"


def test_all_steps_of_an_epoch_stated_are_no_hindrance():
    ae = same(model, steps_per_epoch=lambda: 12)
    assert int(ae.optimizer.iterations) == 24


def test_a_split_that_leaves_nothing_is_refused_by_keras():
    ae = model()
    ae.compile()
    for x, share in ((X[:1], 0.2), (X, 1e-17)):
        with pytest.raises(ValueError, match="not sufficient"):
            ae.fit(x, validation_split=share, verbose=0)
    assert int(ae.optimizer.iterations) == 0
