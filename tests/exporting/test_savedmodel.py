"""The exported model says the same as the model, alone, and appears whole or not at all."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasae
from kerasae import exporting
from kerasae.exporting import comparison, savedmodel, verify

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="export runs on the TensorFlow backend",
)

SCALES = np.logspace(-2, 3, 9).astype("float32")
IMAGES, VECTORS, SERIES = (8, 6, 1), (9,), (12, 2)
VARIANTS = {
    "denoising": (IMAGES, {"network": "conv", "hidden": (4, 8), "normalization": "batch"}),
    "variational": (IMAGES, {"hidden": (32,), "latent_dim": 3}),
    "linear": (VECTORS, {"scaler": "standardize", "latent_dim": 2}),
    "contractive": (VECTORS, {"scaler": "unit", "hidden": (), "latent_dim": 4}),
    "sparse_kl": (VECTORS, {"scaler": "standardize", "latent_dim": 12}),
    "sequence": (SERIES, {"hidden": (4,), "latent_dim": 5}),
}


def data(shape, n=60, seed=0):
    rng = np.random.default_rng(seed)
    if shape == IMAGES:
        return rng.integers(0, 256, (n, *shape)).astype("uint8")
    return rng.normal(1, 1, (n, *shape)).astype("float32") * (SCALES if shape == VECTORS else 1)


def trained(variant, seed=0):
    shape, options = VARIANTS[variant]
    x = data(shape)
    keras.utils.set_random_seed(seed)
    ae = kerasae.build(variant, shape, input_dtype=str(x.dtype), seed=seed, **options)
    ae.compile()
    ae.fit(x, epochs=2, verbose=0)
    return ae


def tiny(seed=0):
    keras.utils.set_random_seed(seed)
    return kerasae.build("undercomplete", (3,), latent_dim=2, hidden=(4,))


def here(monkeypatch):
    """Compare in this process, which takes no seconds to start."""
    monkeypatch.setattr(
        verify, "in_fresh_process", lambda folder, *rest: verify.verify(str(folder), *rest)
    )


def listing(path):
    return sorted(p.name for p in path.iterdir())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every variant, trained, and the folder of its export."""
    root = tmp_path_factory.mktemp("exported")
    models = {name: trained(name) for name in VARIANTS}
    return {
        name: (ae, exporting.export(ae, root / name, verify=False)) for name, ae in models.items()
    }


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    """A variational model, exported and verified on real samples, with metrics."""
    ae = trained("variational", seed=1)
    metrics = {"test": {"mse": np.float32(0.25), "psnr": float("nan")}, "epochs": 2}
    path = tmp_path_factory.mktemp("verified") / "deep" / "model"
    return ae, exporting.export(ae, path, samples=data(IMAGES), metrics=metrics)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_signature_equals_the_model(exported, variant):
    import tensorflow as tf

    ae, folder = exported[variant]
    signatures = tf.saved_model.load(str(folder)).signatures
    for n in (1, 60):
        x = data(ae.sample_shape, n, seed=n)
        code = ae.encode(x)
        expected = {
            "encode": {"code": code},
            "reconstruct": {"reconstruction": ae.reconstruct(x)},
            "serving_default": {"reconstruction": ae.reconstruct(x)},
            "score": {"score": ae.score(x)},
            "decode": {"reconstruction": ae.decode(code)},
        }
        for name, outputs in expected.items():
            given = {"code": tf.constant(code)} if name == "decode" else {"x": tf.constant(x)}
            answer = signatures[name](**given)
            for output, value in outputs.items():
                assert answer[output].dtype == tf.float32
                np.testing.assert_allclose(
                    answer[output], value, rtol=1e-5, atol=1e-5 * max(1, np.abs(value).max())
                )
        # One error per feature: a sample's score is their mean, or their sum in nats.
        answer = signatures["score"](x=tf.constant(x))
        assert answer["feature_scores"].shape == x.shape
        errors = answer["feature_scores"].numpy().reshape(n, -1).astype("float64")
        total = errors.sum(axis=1) if variant == "variational" else errors.mean(axis=1)
        np.testing.assert_allclose(total, ae.score(x), rtol=1e-5)


def test_score_equals_a_calculation_by_hand(exported):
    import tensorflow as tf

    ae, folder = exported["linear"]
    x = data(VECTORS, 20, seed=5)
    mean, std = (np.asarray(v) for v in (ae.scaler.offset, ae.scaler.scale))
    errors = np.square((x - mean) / std - (ae.reconstruct(x) - mean) / std)
    answer = tf.saved_model.load(str(folder)).signatures["score"](x=tf.constant(x))
    np.testing.assert_allclose(answer["feature_scores"], errors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(answer["score"], errors.mean(axis=1), rtol=1e-4)


def test_a_keras_loss_has_a_score_and_no_score_per_feature(tmp_path):
    import tensorflow as tf

    ae = kerasae.build("undercomplete", (4, 3), latent_dim=2, loss=keras.losses.MeanSquaredError())
    folder = exporting.export(ae, tmp_path, verify=False)
    x = np.random.default_rng(0).random((5, 4, 3), dtype="float32")
    answer = tf.saved_model.load(str(folder)).signatures["score"](x=tf.constant(x))
    assert set(answer) == {"score"}
    np.testing.assert_allclose(answer["score"], ae.score(x), rtol=1e-6)


def test_generate_draws_from_the_prior_and_follows_its_seed(exported):
    import tensorflow as tf

    ae, folder = exported["variational"]
    generate = tf.saved_model.load(str(folder)).signatures["generate"]

    def draw(n, *seed):
        return generate(n=tf.constant(n), seed=tf.constant(seed))["samples"].numpy()

    np.testing.assert_allclose(draw(5, 3, 0), ae.generate(5, seed=3), rtol=1e-5)
    np.testing.assert_array_equal(draw(4, 1, 2), draw(4, 1, 2))
    assert np.abs(draw(4, 1, 2) - draw(4, 1, 3)).max() > 1e-3
    assert draw(1, 0, 0).shape == (1, *IMAGES)


def test_info_describes_the_model(exported):
    import tensorflow as tf

    ae, folder = exported["denoising"]
    info = json.loads(tf.saved_model.load(str(folder)).signatures["info"]()["info"].numpy())
    assert info["variant"] == "denoising"
    assert info["input_shape"] == [8, 6, 1]
    assert info["input_dtype"] == "uint8"
    assert info["latent_dim"] == ae.latent_dim
    assert info["kerasae_version"] == kerasae.__version__


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_generate_draws_random_numbers(exported, variant):
    import tensorflow as tf

    ae, folder = exported[variant]
    signatures = tf.saved_model.load(str(folder)).signatures
    for name, function in signatures.items():
        found = verify.random_operations(function)
        assert bool(found) == (name == "generate"), (name, found)
        # The walk reaches the functions that a signature calls.
        if name in ("encode", "decode", "reconstruct"):
            assert {"MatMul", "Conv2D"} & verify.operations(function)
    assert ("generate" in signatures) == ae.can_generate


def test_weights_are_stored_once(tmp_path):
    ae = kerasae.build("undercomplete", (100,), latent_dim=20, hidden=(150,))
    ae.compile()
    ae.fit(data((100,), 32), verbose=0)
    folder = exporting.export(ae, tmp_path, verify=False)
    stored = sum(p.stat().st_size for p in (folder / "variables").iterdir())
    assert 4 * ae.count_params() <= stored < 1.3 * 4 * ae.count_params()


def test_a_process_without_keras_and_kerasae_answers_alike(exported, tmp_path):
    script = """
import sys
sys.modules["keras"] = sys.modules["kerasae"] = None
import numpy as np, tensorflow as tf
arrays = dict(np.load(sys.argv[1]))
for key in [k for k in arrays if k.startswith("x:")]:
    folder = key[2:]
    model = tf.saved_model.load(folder)
    answer = model.signatures["encode"](x=tf.constant(arrays[key]))["code"]
    np.testing.assert_allclose(answer, arrays["code:" + folder], rtol=1e-5, atol=1e-5)
loaded = [m for m in sys.modules if m.split(".")[0] in ("keras", "kerasae") and sys.modules[m]]
assert not loaded, loaded
print("answered")
"""
    arrays = {}
    for ae, folder in exported.values():
        x = data(ae.sample_shape, 9)
        # Slashes make folders in the archive; the names come back unchanged.
        arrays |= {f"x:{folder}": x, f"code:{folder}": ae.encode(x)}
    np.savez(tmp_path / "cases.npz", **arrays)
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "cases.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.strip() == "answered", process.stderr


# Verification -----------------------------------------------------------------------------


def test_verification_compares_every_signature(verified):
    _, folder = verified
    card = json.loads((folder / "card.json").read_text())
    found = card["verification"]["largest_difference"]
    assert set(found) == {*card["signatures"], "serving_default"}
    assert all(0 <= value <= 255e-5 for value in found.values())
    assert card["verification"]["without"] == ["keras", "kerasae"]


def test_half_precision_models_give_float32_and_are_verified(monkeypatch, tmp_path):
    here(monkeypatch)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        ae = kerasae.build("variational", IMAGES, input_dtype="uint8", network="conv", hidden=(4,))
        folder = exporting.export(ae, tmp_path)
    finally:
        keras.config.set_dtype_policy("float32")
    card = json.loads((folder / "card.json").read_text())
    kinds = {
        output["dtype"]
        for name, signature in card["signatures"].items()
        if name != "info"
        for output in signature["outputs"].values()
    }
    assert kinds == {"float32"}
    assert card["verification"]["inputs"] == "random"


def test_a_model_changed_after_writing_fails_and_leaves_nothing(monkeypatch, tmp_path):
    write = savedmodel._write

    def write_and_perturb(ae, folder):
        endpoints = write(ae, folder)
        bias = ae.decoder_network.trainable_variables[-1]
        bias.assign(bias + 0.25)
        return endpoints

    monkeypatch.setattr(savedmodel, "_write", write_and_perturb)
    path = tmp_path / "new" / "model"
    with pytest.raises(exporting.VerificationError, match=r"'reconstruct' differs.* of 0\.25$"):
        exporting.export(tiny(), path, samples=np.ones((4, 3), "float32"))
    assert listing(tmp_path) == []


def test_a_model_that_cannot_be_loaded_fails_and_leaves_nothing(monkeypatch, tmp_path):
    write = savedmodel._write

    def write_half(ae, folder):
        endpoints = write(ae, folder)
        next((folder / "variables").glob("*.data*")).unlink()
        return endpoints

    monkeypatch.setattr(savedmodel, "_write", write_half)
    with pytest.raises(exporting.VerificationError, match="cannot load and run"):
        exporting.export(tiny(), tmp_path)
    assert listing(tmp_path) == []


def test_a_layer_that_is_always_noisy_is_refused(monkeypatch, tmp_path):
    here(monkeypatch)

    @keras.saving.register_keras_serializable("test_exporting")
    class AlwaysNoisy(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=1)

    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), AlwaysNoisy()])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    ae = kerasae.build("undercomplete", (3,), encoder=encoder, decoder=decoder)
    with pytest.raises(
        exporting.VerificationError, match="Only 'generate' may draw random numbers"
    ):
        exporting.export(ae, tmp_path)
    assert listing(tmp_path) == []


def with_layer(call):
    """Return a model with a layer of the user's in its encoder."""

    @keras.saving.register_keras_serializable("test_exporting")
    class Own(keras.layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(5, 2))

        def call(self, x):
            return call(self, x)

    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), Own()])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    return kerasae.build("undercomplete", (3,), encoder=encoder, decoder=decoder)


def test_layers_with_checks_and_tables_of_weights_are_served(monkeypatch, tmp_path):
    import tensorflow as tf

    here(monkeypatch)

    def own(layer, x):
        x = tf.debugging.assert_all_finite(x, "finite")
        tf.debugging.assert_less(x, 1e9)
        rows = tf.cast(x[:, 0] > 0, "int32")
        at = tf.stack([rows, rows], axis=1)
        return x + tf.gather(layer.table.value, rows) + tf.gather_nd(layer.table.value, at)[:, None]

    ae = with_layer(own)
    folder = exporting.export(ae, tmp_path)
    kinds = set(verify.operations(tf.saved_model.load(str(folder)).signatures["encode"]))
    assert {"CheckNumerics", "Assert", "ResourceGather", "ResourceGatherNd"} <= kinds
    x = data((3,), 6)
    np.testing.assert_allclose(kerasae.serving.Served(folder).encode(x), ae.encode(x), atol=1e-5)


def test_a_model_that_would_not_be_loaded_is_not_written(monkeypatch, tmp_path):
    import tensorflow as tf

    here(monkeypatch)

    def own(layer, x):
        tf.print("seen", output_stream="file:///dev/null")
        return x

    sentence = "does more than compute.*Received: the operation 'PrintV2'"
    with pytest.raises(exporting.VerificationError, match=sentence):
        exporting.export(with_layer(own), tmp_path)
    assert listing(tmp_path) == []
    folder = exporting.export(with_layer(own), tmp_path, verify=False)
    with pytest.raises(ValueError, match="the operation 'PrintV2'"):
        kerasae.serving.Served(folder)


def test_a_model_that_answers_nan_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(verify, "in_fresh_process", lambda *_: pytest.fail("not needed"))
    ae = tiny()
    bias = ae.decoder_network.trainable_variables[-1]
    bias.assign(bias * np.nan)
    with pytest.raises(exporting.VerificationError, match=r"finite numbers.*Received: variant="):
        exporting.export(ae, tmp_path)
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("expected", "received", "apart", "allowed"),
    [
        ([0.5, -2.0], [0.5, -2.25], 0.25, 2e-5),
        ([0.5, 0.1], [0.5, 0.1], 0.0, 1e-5),
        ([np.inf, np.nan, 3.0], [np.inf, np.nan, 3.0], 0.0, 3e-5),
        ([1.0, 2.0], [1.0, np.nan], np.inf, 2e-5),
        ([1.0, np.inf], [1.0, 2.0], np.inf, 1e-5),
        ([1.0, 2.0], [[1.0, 2.0]], np.inf, 1e-5),
        (np.array(b"a"), np.array(b"a", object), 0.0, 0.0),
        (np.array(b"a"), np.array(b"b", object), np.inf, 0.0),
    ],
)
def test_difference(expected, received, apart, allowed):
    found = verify.difference(np.asarray(expected), np.asarray(received))
    assert found == pytest.approx((apart, allowed))


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({"input_dtype": "uint8"}, 0, 255),
        ({"scaler": "unit"}, 2, 5),
        ({"scaler": "standardize"}, 3.5 - 3 * 1.5, 3.5 + 3 * 1.5),
        ({}, -3, 3),
    ],
)
def test_inputs_cover_the_range_of_the_scaler(options, low, high):
    ae = kerasae.build("undercomplete", (4,), latent_dim=2, **options)
    if not getattr(ae.scaler, "adapted", True):
        ae.scaler.adapt([np.repeat([[2.0], [5.0]], 4, axis=1)])
    inputs = comparison._samples(ae, None)
    assert {name: len(x) for name, x in inputs.items()} == {
        "batch of 257": 257,
        "batch of 1": 1,
        "extremes of the range": 4,
    }
    edges = inputs["extremes of the range"]
    np.testing.assert_allclose([edges[0].max(), edges[1].min()], [low, high], rtol=1e-6)
    np.testing.assert_allclose(edges[2] + edges[3], low + high, rtol=1e-6)
    assert all(x.min() >= low - 1e-5 and x.max() <= high + 1e-5 for x in inputs.values())
    assert all(x.dtype == ae.input_dtype_name for x in inputs.values())


def test_real_samples_fill_the_batch_and_give_the_range():
    samples = data(VECTORS, 100)
    inputs = comparison._samples(kerasae.build("linear", VECTORS, 2), samples)
    np.testing.assert_array_equal(inputs["batch of 257"][100:200], samples)
    np.testing.assert_array_equal(inputs["batch of 1"], samples[:1])
    np.testing.assert_array_equal(inputs["extremes of the range"][1], samples.max(axis=0))


# Versions and failures --------------------------------------------------------------------


def test_versions_count_up_and_leave_earlier_ones(tmp_path):
    first = exporting.export(tiny(0), tmp_path, verify=False)
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    second = exporting.export(tiny(1), tmp_path, verify=False)
    assert (first.name, second.name) == ("1", "2")
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert exporting.export(tiny(2), tmp_path, verify=False).name == "8"
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == before
    assert listing(tmp_path) == ["1", "2", "7", "8", "notes"]


def test_a_number_taken_in_between_is_passed_over(monkeypatch, tmp_path):
    rename = os.rename

    def rename_late(source, target):
        if target.name == "1":
            (target / "variables").mkdir(parents=True)
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_late)
    assert exporting.export(tiny(), tmp_path, verify=False).name == "2"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("No space left on device")])
@pytest.mark.parametrize("at", ["savedmodel._write", "card.card", "savedmodel.files.publish"])
def test_an_interrupted_export_leaves_the_earlier_version(monkeypatch, tmp_path, at, error):
    ae = tiny(0)
    exporting.export(ae, tmp_path, verify=False)

    def stop(*_):
        raise error

    monkeypatch.setattr(f"kerasae.exporting.{at}", stop)
    with pytest.raises((KeyboardInterrupt, OSError)):
        exporting.export(tiny(1), tmp_path, verify=False)
    assert listing(tmp_path) == ["1"]
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(kerasae.load(tmp_path).encode(x), ae.encode(x), rtol=1e-6)


def test_the_folder_has_the_usual_permissions(exported):
    # A server often runs as another user.
    _, folder = exported["linear"]
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


# Card -------------------------------------------------------------------------------------


def test_card_holds_schema_recipe_versions_and_metrics(verified):
    import tensorflow as tf

    ae, folder = verified
    card = json.loads((folder / "card.json").read_text())
    assert card["recipe"] == ae.built_with
    assert card["parameters"] == ae.count_params()
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["metrics"] == {"test": {"mse": 0.25, "psnr": None}, "epochs": 2}
    assert card["signatures"]["encode"] == {
        "inputs": {"x": {"shape": [None, 8, 6, 1], "dtype": "uint8"}},
        "outputs": {"code": {"shape": [None, 3], "dtype": "float32"}},
    }
    assert card["signatures"]["score"]["outputs"]["score"]["shape"] == [None]
    assert card["signatures"]["generate"]["inputs"]["seed"] == {"shape": [2], "dtype": "int32"}


def test_the_card_tells_of_the_training_and_of_no_folder(tmp_path):
    import kerasae

    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    data = str(tmp_path / "x.npy")
    kerasae.train("linear", data=data, epochs=1, latent_dim=2, out=tmp_path / "run", verbose=0)
    folder = tmp_path / "run/saved_model/1"
    card, text = json.loads((folder / "card.json").read_text()), (folder / "README.md").read_text()
    assert card["training"]["data"] == "x.npy"
    assert sum(card["training"]["samples"].values()) == 200
    assert "kerasae train linear --data x.npy" in card["training"]["command"]
    assert "| data | x.npy |" in text
    # Vectors are for programs.
    assert len(card["metrics"]["codes"]["covariance_spectrum"]) == 2
    assert str(tmp_path) not in text + json.dumps(card["training"])


def test_a_run_whose_test_rows_overflow_is_exported(tmp_path):
    import kerasae

    x = np.random.default_rng(0).random((300, 4), "float32")
    splits = kerasae.data.load(x)
    row = np.flatnonzero((x == splits.array("test")[3]).all(axis=1))[0]
    x[row] = 1e22
    run = kerasae.train(
        "undercomplete",
        data=x,
        epochs=1,
        latent_dim=2,
        out=tmp_path / "run",
        scaler=None,
        verbose=0,
    )
    assert run.metrics["test"]["mse"] > 1e38
    with np.load(tmp_path / "run/saved_model/1/golden.npz") as golden:
        assert np.isfinite(golden["score/out/score"]).all()


def test_model_card_has_a_yaml_head_and_the_numbers(verified):
    ae, folder = verified
    text = (folder / "README.md").read_text()
    start, head, body = text.split("---\n", 2)
    assert start == ""
    assert "\n- autoencoder\n" in head
    assert '\n- "variational"\n' in head
    assert "| test mse | 0.25 |" in body
    assert f"{ae.count_params():,} parameters" in body
    assert "| `encode` | `x` uint8 (batch, 8, 6, 1) | `code` float32 (batch, 3) |" in body
    assert str(folder) not in text


def test_the_code_in_the_model_card_runs(verified, monkeypatch):
    _, folder = verified
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["code"].shape == (1, 3)


def test_a_card_without_verification_metrics_and_recipe_says_so(tmp_path):
    ae = tiny()
    ae.built_with = {}
    folder = exporting.export(ae, tmp_path, verify=False)
    text = (folder / "README.md").read_text()
    assert "This export was not verified." in text
    assert "No metrics were passed" in text
    assert "assembled without `kerasae.build`" in text
    assert json.loads((folder / "card.json").read_text())["verification"] is None


# What is refused --------------------------------------------------------------------------


def test_refuses_what_is_not_an_autoencoder(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"must be a kerasae Autoencoder\. Received: Sequential"):
        exporting.export(model, tmp_path)


def test_refuses_a_scaler_that_has_seen_nothing(tmp_path):
    ae = kerasae.build("linear", (3,), 2, scaler="standardize")
    with pytest.raises(ValueError, match=r"must be trained .* Received: scaler=Standardize"):
        exporting.export(ae, tmp_path)


def test_refuses_a_file_and_a_version_as_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder, not a file"):
        exporting.export(tiny(), tmp_path / "file")
    folder = exporting.export(tiny(), tmp_path / "model", verify=False)
    with pytest.raises(ValueError, match=r"path must be .*saved_model\.pb"):
        exporting.export(tiny(), folder)


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.zeros((2, 4), "float32"), r"samples must have shape \(samples, 3\)"),
        (np.full((2, 3), np.nan, "float32"), "samples must be finite"),
        (np.zeros((0, 3), "float32"), "samples must hold at least one"),
        (iter([1]), "samples must be an array"),
    ],
)
def test_refuses_samples_that_do_not_fit(tmp_path, samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        exporting.export(tiny(), tmp_path, samples=samples)
    assert listing(tmp_path) == []


def test_names_the_way_out_on_another_backend(monkeypatch, tmp_path):
    ae = tiny()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=tensorflow\. Received: backend='jax'"):
        exporting.export(ae, tmp_path)


# Calibrated models, and samplers ----------------------------------------------------------


def calibrated(rate=0.05, n=150, **options):
    ae = kerasae.build("undercomplete", VECTORS, 3, hidden=(6,), seed=0, **options)
    ae.calibrate(data(VECTORS, n, seed=1), rate)
    return ae


@pytest.mark.parametrize(("rate", "n"), [(0.05, 150), (0.01, 99), (1 / 3, 2), (0.07, 99)])
def test_detect_equals_the_model(tmp_path, rate, n):
    import tensorflow as tf

    ae = calibrated(rate, n)
    signatures = tf.saved_model.load(str(exporting.export(ae, tmp_path, verify=False))).signatures
    # Among them those calibrated on, which tie with themselves.
    x = np.concatenate([data(VECTORS, n, seed=1), data(VECTORS, 60, seed=2) * 1.5])
    for at in (None, 0.01, 0.07, 0.29, 1 / 3, 0.5, 0.999):
        if at is not None and at * (n + 1) < 1:
            continue  # which the model refuses
        given = {} if at is None else {"false_alarm_rate": tf.constant(at, tf.float32)}
        answer = signatures["detect" if at is None else "detect_at_rate"](x=tf.constant(x), **given)
        expected = ae.detect(x, false_alarm_rate=at)
        kinds = {name: answer[name].dtype.name for name in answer}
        assert kinds == {"anomaly_score": "float32", "p_value": "float32", "is_anomaly": "bool"}
        for name, value in expected.items():
            np.testing.assert_allclose(answer[name].numpy(), value, rtol=1e-5, err_msg=name)


def test_a_calibrated_export_is_verified_and_described(tmp_path, monkeypatch):
    here(monkeypatch)
    ae = calibrated()
    ae.fit_sampler(data(VECTORS, 100), "neighbour")
    card = json.loads((exporting.export(ae, tmp_path) / "card.json").read_text("utf-8"))
    largest = card["verification"]["largest_difference"]
    assert {"detect", "detect_at_rate", "generate"} <= largest.keys()
    served = kerasae.load(tmp_path)
    assert served.info["calibration"] == {
        "false_alarm_rate": 0.05,
        "threshold": ae.calibration.threshold,
        "n": 150,
        "stride": None,
    }
    assert served.info["sampler"] == "neighbour"
    assert served.info["can_generate"] is True


def test_without_calibration_there_is_no_detect(exported, tmp_path):
    _, folder = exported["linear"]
    served = kerasae.load(folder)
    assert not {"detect", "detect_at_rate", "generate"} & set(served.signatures)
    assert served.info["calibration"] is served.info["sampler"] is None
    # Nor where time steps of long series were calibrated, not windows.
    ae = kerasae.build("undercomplete", (8,), 2)
    ae.calibrate(np.sin(np.arange(300)).astype("float32"), stride=2)
    served = kerasae.load(exporting.export(ae, tmp_path, verify=False))
    assert "detect" not in served.signatures
    assert served.info["calibration"]["stride"] == 2


@pytest.mark.parametrize("kind", ["gaussian", "mixture", "neighbour"])
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_samplers_draw_the_same_in_the_export(tmp_path, kind, latent_dim):
    ae = kerasae.build("undercomplete", VECTORS, latent_dim, hidden=(6,), seed=0)
    ae.fit_sampler(data(VECTORS, 80), kind)
    served = kerasae.load(exporting.export(ae, tmp_path, verify=False))
    for n, seed in ((1, 0), (100, 7), (9, 2**31 - 3), (9, 2**40)):
        expected = ae.generate(n, seed=seed)
        answer = served.generate(n, seed=seed)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


def test_an_overflowing_score_is_an_anomaly_in_the_export(tmp_path):
    import tensorflow as tf

    folder = exporting.export(calibrated(), tmp_path, verify=False)
    answer = tf.saved_model.load(str(folder)).signatures["detect"](x=tf.fill((2, 9), 1e30))
    assert np.isinf(answer["anomaly_score"]).all()
    assert answer["is_anomaly"].numpy().all()
    np.testing.assert_allclose(answer["p_value"], 1 / 151)


def test_a_loaded_model_exports_what_it_was_saved_with(tmp_path):
    ae = calibrated()
    ae.fit_sampler(data(VECTORS, 80), "mixture")
    ae.save(tmp_path / "model.keras")
    again = kerasae.load(tmp_path / "model.keras")
    served = kerasae.load(exporting.export(again, tmp_path / "saved", verify=False))
    x = data(VECTORS, 50, seed=3)
    for name, value in ae.detect(x).items():
        np.testing.assert_allclose(served.detect(x)[name], value, rtol=1e-5)
    np.testing.assert_allclose(served.generate(5, 1), ae.generate(5, 1), rtol=1e-4, atol=1e-4)


def test_a_notebook_hears_nothing_of_files_in_temporary_folders(tmp_path):
    program = f"""
import sys
sys.ps1 = "> "  # what TensorFlow takes for a notebook
import kerasae
ae = kerasae.build("linear", (4,), 2)
print(kerasae.export(ae, {str(tmp_path / "out")!r}, verify=False))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Assets" not in done.stderr
    assert done.stdout.strip() == str(tmp_path / "out" / "1")
