import itertools
import json

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import describe, options_of
from kerasae.models.variants import registry


def test_variants_by_pattern():
    assert kerasae.variants("*sparse*") == ["sparse_l1", "sparse_kl", "sparse_topk"]
    assert {"linear", "variational", "sequence"} <= set(kerasae.variants())
    assert kerasae.variants("none*") == []


def test_every_variant_says_what_it_is():
    sentences = {describe(name) for name in kerasae.variants()}
    assert len(sentences) == len(kerasae.variants())
    assert all(s.startswith("Build a") and s.endswith(".") for s in sentences)


def test_the_option_name_is_that_of_the_keras_model():
    ae = kerasae.build("vae", 8, latent_dim=2, name="mine")
    assert (ae.variant, ae.name) == ("variational", "mine")


def test_vae_is_another_name_for_variational():
    assert kerasae.build("vae", 8, 2).variant == "variational"
    assert describe("vae") == describe("variational")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("denoisng", {}, r"Did you mean 'denoising'\? Received: 'denoisng'"),
        (3, {}, "Unknown variant; known are"),
        ("denoising", {"coruption": "masking"}, "Did you mean 'corruption'"),
        ("variational", {"latent_size": 3}, r"Did you mean 'latent_dim'\? Its options are kl_w"),
        ("linear", {"input_size": 3}, "Did you mean 'input_shape'"),
        ("sparse_l1", {"kl_weight": 1.0}, "'sparse_l1' has no option 'kl_weight'"),
        ("linear", {"network": "dens"}, "Did you mean 'dense'"),
        ("linear", {"input_shape": (0,)}, r"Received: input_shape=\(0,\)"),
        ("linear", {"input_shape": "8"}, "input_shape must be the shape of one sample"),
        ("linear", {"latent_dim": 0}, "latent_dim must be a whole number >= 1"),
        ("linear", {"latent_dim": 2.5}, "latent_dim must be a whole number >= 1"),
        ("linear", {"latent_dim": True}, "latent_dim must be a whole number >= 1"),
        ("undercomplete", {"latent_dim": 8}, "latent_dim must be below the input's 8 features"),
        ("overcomplete", {"latent_dim": 8}, "latent_dim must be above the input's 8 features"),
        ("undercomplete", {"hidden": (8, 0)}, "hidden must be a whole number >= 1"),
        ("undercomplete", {"kernel_size": 3}, "Received: kernel_size=3"),
        ("undercomplete", {"activation": "rellu"}, "Did you mean 'relu'"),
        ("undercomplete", {"normalization": "batches"}, "Did you mean 'batch'"),
        ("undercomplete", {"loss": "mean"}, "loss must be"),
        ("undercomplete", {"scaler": "standardise"}, "Did you mean 'standardize'"),
        ("undercomplete", {"input_dtype": "int8"}, "input_dtype must be"),
        ("undercomplete", {"input_dtype": "uint8", "scaler": None}, "Received: scaler=None"),
        ("denoising", {"corruption": "gausian"}, "Did you mean 'gaussian'"),
        ("denoising", {"corruption": 0.5}, "corruption must be None, a layer, or one of"),
        (
            "denoising",
            {"corruption": None, "corruption_level": 1},
            "Received: .*corruption_level=1",
        ),
        ("denoising", {"corruption_level": -1}, "stddev must be >= 0"),
        ("sparse_kl", {"code_activation": "relu"}, "sparse_kl .*Received: codes from"),
        ("sparse_kl", {"code_activation": "tanh"}, "sparse_kl .*Received: codes from"),
        ("sparse_kl", {"target_activation": 1.0}, "target_activation must lie strictly"),
        ("sparse_l1", {"sparsity_weight": -1.0}, "weight must be a finite number >= 0"),
        ("contractive", {"jacobian_method": "exacty"}, "Did you mean 'exact'"),
        ("variational", {"code_activation": "relu"}, "Received: code_activation='relu'"),
        ("variational", {"free_bits": -1.0}, "free_bits must be >= 0"),
        ("convolutional", {"network": "dense"}, "Received: network='dense'"),
        ("sequence", {"network": "conv"}, "Received: network='conv'"),
        ("linear", {"activation": "relu"}, "Received: activation='relu'"),
        ("linear", {"code_activation": "relu"}, "Received: code_activation='relu'"),
        ("undercomplete", {"hidden": "big"}, "hidden must be"),
        ([], {}, "Unknown variant"),
        ("linear", {"init": "svd"}, "init must be None or 'pca'"),
        (
            "linear",
            {"init": "pca", "hidden": (4,)},
            "init='pca' .*Received: encoder and decoder with",
        ),
        ("undercomplete", {"encoder": keras.Sequential()}, "encoder and decoder must be given"),
    ],
)
def test_what_does_not_work_is_said_in_one_sentence(name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        kerasae.build(name, **{"input_shape": (8,), **options})
    assert "\n" not in str(error.value)
    assert "Received: " in str(error.value)


@pytest.mark.parametrize("name", kerasae.variants())
def test_recipe_is_plain_and_says_how_the_model_was_built(name):
    shape = (8, 8, 1) if name == "convolutional" else (12,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)
        needed = {"condition": 10} if name == "conditional_vae" else {}
        ae = kerasae.build(name, shape, seed=4, **needed)
    assert json.loads(json.dumps(ae.built_with)) == ae.built_with
    assert ae.built_with["variant"] == ae.variant == name
    assert ae.built_with["latent_dim"] == ae.latent_dim
    assert ae.built_with["seed"] == 4


def test_options_are_those_of_the_builder_and_those_that_all_share():
    assert "jacobian_weight" in options_of("contractive")
    assert "jacobian_weight" not in options_of("linear")
    shared = {"network", "hidden", "scaler", "corruption", "loss", "seed", "input_dtype"}
    for name in kerasae.variants():
        assert shared <= set(options_of(name))


def test_options_are_explained_with_their_defaults():
    for name in kerasae.variants():
        rows = registry.explain_options(name)
        assert [row[0] for row in rows] == ["latent_dim", *options_of(name)]
        assert all(meaning.endswith(".") and "`" not in meaning for _, _, meaning in rows)
    rows = {row[0]: row[1:] for row in registry.explain_options("vae")}
    assert rows["kl_weight"] == ("1.0", 'Factor "beta" of the KL term, or a Warmup.')
    assert rows["scaler"][0] == '"auto"'
    assert rows["hidden"][0] == "None"
    assert dict(row[:2] for row in registry.explain_options("sequence"))["network"] == '"sequence"'
    assert dict(row[:2] for row in registry.explain_options("denoising"))["corruption"] == (
        '"gaussian"'
    )
    assert "one hidden layer of 256 units by default" in registry.notes("denoising")
    assert registry.notes("undercomplete") == ""


def test_options_of_an_own_variant_need_no_docstring(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))

    @kerasae.register("bare")
    def bare(input_shape, *, width=16):
        return kerasae.build("undercomplete", input_shape, hidden=(width,))

    rows = {row[0]: row[1:] for row in registry.explain_options("bare")}
    assert rows["width"] == ("16", "")
    assert registry.notes("bare") == ""


def test_register_adds_a_variant_and_guards_names(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))

    @kerasae.register("wide")
    def wide(input_shape, latent_dim=None, *, width=16, **options):
        """Build a wide one."""
        return kerasae.build("undercomplete", input_shape, latent_dim, hidden=(width,), **options)

    assert "wide" in kerasae.variants()
    assert describe("wide") == "Build a wide one."
    ae = kerasae.build("wide", 8, 2, width=5)
    assert (ae.variant, ae.encoder_network.layers[1].units) == ("wide", 5)
    with pytest.raises(ValueError, match=r"has no option 'widht'.*Did you mean 'width'"):
        kerasae.build("wide", 8, 2, widht=5)
    for taken in ("wide", "vae"):
        with pytest.raises(ValueError, match="A variant of this name exists"):
            kerasae.register(taken, wide)
    kerasae.register("wide", wide, replace=True)


def test_seed_example_in_one_call():
    ae = kerasae.build("undercomplete", (784,), 32, hidden=(128, 64), output_activation="sigmoid")
    ae.compile()
    assert isinstance(ae.optimizer, keras.optimizers.Adam)
    assert float(ae.optimizer.learning_rate) == pytest.approx(1e-3)
    sizes = [784, 128, 64, 32, 64, 128, 784]
    kernels = [w.shape for w in ae.trainable_weights if len(w.shape) == 2]
    assert kernels == list(itertools.pairwise(sizes))
    x = np.random.default_rng(0).random((5, 784), dtype="float32")
    np.testing.assert_allclose(ae.score(x), ((ae.reconstruct(x) - x) ** 2).mean(1), rtol=1e-5)
    assert 0 < ae.reconstruct(x).min() < ae.reconstruct(x).max() < 1


@pytest.mark.parametrize(
    "option", [{"normalization": "batch"}, {"hidden": (3,)}, {"network": "dense"}]
)
def test_options_of_our_networks_do_not_go_with_the_users_own(option):
    encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
    with pytest.raises(ValueError, match=rf"Received: {next(iter(option))}="):
        kerasae.build("undercomplete", 8, encoder=encoder, decoder=decoder, **option)


def test_two_features_take_a_code_of_one():
    assert kerasae.build("undercomplete", 2).latent_dim == 1


def test_half_precision_codes_leave_as_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        ae = kerasae.build("undercomplete", 8, 2)
        assert ae.encode(np.zeros((3, 8), "float32")).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")
