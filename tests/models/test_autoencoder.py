"""The contract of the model: compile, fit, evaluate and the verbs."""

from contextlib import nullcontext as nothing

import keras
import numpy as np
import pytest

import kerasae
from kerasae.layers import GaussianCorruption, MaskingCorruption

BACKEND = keras.backend.backend()
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (64, 6, 5, 1), dtype="uint8")
TABLE = (rng.normal(size=(64, 7)) * 10.0 ** np.arange(-2, 5) + 3).astype("float32")


def small(variant="undercomplete", x=TABLE, **options):
    options = {"latent_dim": 3, "hidden": (8,), **options}
    ae = kerasae.build(variant, x.shape[1:], input_dtype=str(x.dtype), **options)
    ae.compile()
    return ae


def fit(ae, *args, **kwargs):
    return ae.fit(*args, **{"epochs": 1, "batch_size": 16, "verbose": 0, **kwargs}).history


def test_uint8_goes_in_and_comes_out_in_raw_units():
    ae = small(x=IMAGES)
    fit(ae, IMAGES)
    reconstruction = ae.reconstruct(IMAGES)
    assert reconstruction.min() >= 0
    assert 50 < reconstruction.max() <= 255
    # The score is the MSE in scaled units.
    error = np.mean((reconstruction / 255 - IMAGES / 255.0) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(ae.score(IMAGES), error, rtol=1e-4)
    # Without noise, the loss is the mean score.
    np.testing.assert_allclose(
        ae.evaluate(IMAGES, verbose=0, return_dict=True)["loss"], error.mean(), rtol=1e-4
    )


def test_standardize_is_adapted_to_the_training_data_only():
    ae = small(scaler="standardize")
    assert not ae.scaler.adapted
    fit(ae, TABLE[:48], validation_data=TABLE[48:])
    offset = keras.ops.convert_to_numpy(ae.scaler.offset)
    np.testing.assert_allclose(offset, TABLE[:48].mean(axis=0), rtol=1e-5)
    scaled = (TABLE - TABLE[:48].mean(axis=0)) / TABLE[:48].std(axis=0)
    reconstruction = (ae.reconstruct(TABLE) - offset) / TABLE[:48].std(axis=0)
    np.testing.assert_allclose(
        ae.score(TABLE), np.mean((reconstruction - scaled) ** 2, axis=1), rtol=1e-3
    )


def test_bce_is_taken_from_logits_in_scaled_units():
    ae = small(x=IMAGES, loss="bce")
    p = ae.reconstruct(IMAGES).astype("float64") / 255
    x = IMAGES / 255.0
    bce = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p), axis=(1, 2, 3))
    np.testing.assert_allclose(ae.score(IMAGES), bce, rtol=1e-4)


def test_variational_loss_sums_over_features():
    ae = small("variational", x=IMAGES)
    p = ae.reconstruct(IMAGES).astype("float64") / 255
    x = IMAGES / 255.0
    nll = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=(1, 2, 3))
    np.testing.assert_allclose(ae.score(IMAGES), nll, rtol=1e-4)


def test_gaussian_likelihood_learns_its_standard_deviation():
    noise = 0.1
    line = np.linspace(-1, 1, 2048)[:, None] * np.ones(8)
    x = (line + noise * rng.normal(size=line.shape)).astype("float32")
    ae = small("variational", x=x, latent_dim=1, hidden=(16,))
    ae.compile(keras.optimizers.Adam(1e-2))
    fit(ae, x, epochs=30, batch_size=64)
    stddev = float(np.exp(keras.ops.convert_to_numpy(ae.log_stddev)))
    # Seven of eight directions are pure noise; the eighth is explained up to the code's own.
    assert stddev == pytest.approx(noise, rel=0.2)


def test_pairs_train_from_input_to_target():
    x = rng.normal(size=(256, 4)).astype("float32")
    ae = kerasae.build("linear", (4,), latent_dim=4)
    ae.compile(keras.optimizers.Adam(0.05))
    history = fit(ae, x, -2 * x, epochs=40)
    assert history["loss"][-1] < 1e-3
    np.testing.assert_allclose(ae.reconstruct(x), -2 * x, atol=0.3)


@pytest.mark.parametrize("form", ["x", "pairs"])
def test_tf_data_equals_arrays(form):
    import tensorflow as tf

    def trained(as_dataset):
        keras.utils.set_random_seed(1)
        ae = small()
        y = None if form == "x" else TABLE[:, ::-1]
        if not as_dataset:
            return fit(ae, TABLE, y, shuffle=False)
        arrays = TABLE if y is None else (TABLE, y)
        dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(16)
        return ae.fit(dataset, epochs=1, verbose=0).history

    assert trained(True)["loss"] == pytest.approx(trained(False)["loss"], rel=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "float64"])
def test_other_numbers_train_as_float32(dtype):
    x = (TABLE[:, :2] > 3).astype(dtype)
    losses = []
    for data in (x, x.astype("float32")):
        keras.utils.set_random_seed(0)
        ae = small("denoising", x=TABLE[:, :2], latent_dim=1, corruption_level=0.5, seed=1)
        losses.append(fit(ae, data, shuffle=False)["loss"][0])
        assert ae.score(data).mean() == pytest.approx(ae.score(data.astype("float32")).mean())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_sample_weight_applies_to_every_term():
    ae = small("sparse_l1", code_activation="relu", sparsity_weight=0.1)
    weight = np.linspace(0, 2, len(TABLE)).astype("float32")
    result = ae.evaluate(TABLE, TABLE, sample_weight=weight, verbose=0, return_dict=True)
    assert result["reconstruction_loss"] == pytest.approx(
        np.mean(weight * ae.score(TABLE)), rel=1e-4
    )
    code = np.mean(weight * np.abs(ae.encode(TABLE)).sum(axis=1))
    assert result["sparsity_loss"] == pytest.approx(code, rel=1e-4)


def test_sample_weight_is_refused_beside_a_term_of_whole_batches():
    ae = small("sparse_kl")
    weights = [w.copy() for w in ae.get_weights()]
    with pytest.raises(ValueError, match="sample_weight cannot apply to sparsity_loss"):
        ae.fit(TABLE, sample_weight=np.ones(len(TABLE)), verbose=0)
    for before, after in zip(weights, ae.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_kernel_regularizers_show_as_a_term():
    inputs = keras.Input((7,))
    dense = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])
    encoder = keras.Model(inputs, dense(inputs))
    ae = kerasae.build("undercomplete", (7,), encoder=encoder, decoder=decoder)
    ae.compile()
    result = ae.evaluate(TABLE, verbose=0, return_dict=True)
    kernel = keras.ops.convert_to_numpy(dense.kernel)
    assert result["regularization_loss"] == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-5)
    terms = result["reconstruction_loss"] + result["regularization_loss"]
    assert result["loss"] == pytest.approx(terms, rel=1e-6)
    assert set(fit(ae, TABLE)) == set(result)


def test_compiled_metrics_compare_raw_units():
    ae = small(x=IMAGES)
    ae.compile(metrics=["mse"])
    fit(ae, IMAGES)
    result = ae.evaluate(IMAGES, verbose=0, return_dict=True)
    name = next(key for key in result if key not in ("loss", "reconstruction_loss"))
    error = np.mean((ae.reconstruct(IMAGES) - IMAGES.astype("float32")) ** 2)
    assert result[name] == pytest.approx(error, rel=1e-3)


def test_compile_takes_another_loss_and_keeps_it_through_a_file(tmp_path):
    ae = small(x=IMAGES)
    ae.compile(keras.optimizers.Adam(0.01), loss="mae", metrics=["mse"])
    fit(ae, IMAGES)
    ae.save(tmp_path / "m.keras")
    loaded = kerasae.load(tmp_path / "m.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.01)
    want = np.mean(np.abs(ae.reconstruct(IMAGES) / 255 - IMAGES / 255.0))
    for model in (ae, loaded):
        result = model.evaluate(IMAGES, verbose=0, return_dict=True)
        assert result["loss"] == pytest.approx(want, rel=1e-4)


def test_evaluate_corrupts_and_predict_does_not():
    ae = small("denoising", corruption_level=2.0, scaler="standardize")
    fit(ae, TABLE, epochs=3)
    clean = ae.score(TABLE).mean()
    corrupted = ae.evaluate(TABLE, verbose=0, return_dict=True)["loss"]
    assert corrupted > clean + 0.01
    assert ae.test_on_batch(TABLE, return_dict=True)["loss"] > clean + 0.01


def test_evaluation_noise_differs_from_batch_to_batch():
    # With every weight zero and the identity as decoder, the loss is the noise's own power.
    x = np.zeros((4000, 3), "float32")
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    ae = kerasae.build(
        "denoising",
        (3,),
        encoder=encoder,
        decoder=decoder,
        corruption=GaussianCorruption(2.0),
    )
    ae.compile()
    power = ae.evaluate(x, batch_size=4, verbose=0, return_dict=True)["loss"]
    # Twelve numbers drawn once would scatter by 40 %; 12,000 fresh ones by 1.3 %.
    assert power == pytest.approx(4.0, rel=0.065)


def test_training_noise_is_fresh_at_every_step():
    x = np.ones((8, 50), "float32")
    ae = small("denoising", x=x, corruption=MaskingCorruption(0.5))
    ae.compile(keras.optimizers.SGD(0.0))
    losses = [fit(ae, x, batch_size=8)["loss"][0] for _ in range(3)]
    assert len(set(losses)) == 3


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_dropout_in_a_users_network_is_on_in_training_and_off_in_evaluation(part):
    x = np.ones((512, 4), "float32")

    def network(name):
        layers = [keras.Input((4,)), keras.layers.Activation("linear")]
        return keras.Sequential(layers + [keras.layers.Dropout(0.5)] * (name == part))

    ae = kerasae.build(
        "denoising", (4,), corruption=None, encoder=network("encoder"), decoder=network("decoder")
    )
    ae.compile(keras.optimizers.SGD(0.0))
    # Each entry is 0 or 2 with equal chance, so its squared error is 1 on average; there are
    # no weights to train.
    with pytest.warns(UserWarning, match="trainable") if BACKEND == "tensorflow" else nothing():
        assert fit(ae, x)["loss"][0] == pytest.approx(1.0, abs=1e-6)
    assert ae.evaluate(x, verbose=0, return_dict=True)["loss"] == 0


def test_variational_generates_from_its_prior():
    ae = small("variational", x=IMAGES)
    a, b, c = ae.generate(5, seed=1), ae.generate(5, seed=1), ae.generate(5, seed=2)
    assert a.shape == (5, 6, 5, 1)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0
    with pytest.raises(ValueError, match=r"n must be a whole number >= 1\. Received: n=0"):
        ae.generate(0)
    with pytest.raises(ValueError, match=r"generate .*Received: variant="):
        small().generate(3)


def test_encoder_and_decoder_are_models_over_the_same_weights():
    ae = small("denoising", x=IMAGES, corruption_level=0.5)
    code = ae.encoder.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(code, ae.encode(IMAGES))
    np.testing.assert_allclose(
        ae.decoder.predict(code, verbose=0), ae.reconstruct(IMAGES), rtol=1e-5, atol=1e-3
    )
    fit(ae, IMAGES)
    assert np.abs(ae.encode(IMAGES) - code).max() > 0
    np.testing.assert_array_equal(ae.encoder.predict(IMAGES, verbose=0), ae.encode(IMAGES))


def test_mixed_precision_keeps_loss_and_output_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        ae = small("variational", x=IMAGES)
        history = fit(ae, IMAGES)
        assert np.isfinite(history["loss"]).all()
        assert ae.reconstruct(IMAGES).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


BAD = [
    (TABLE[:, :5], None, r"x must have shape \(samples, 7\).*Received: x of shape \(64, 5\)"),
    (TABLE[:0], None, "at least one sample"),
    (TABLE.astype("uint8"), None, "input_dtype='uint8'"),
    (np.where(TABLE[3, 2] == TABLE, np.nan, TABLE), None, r"index \(3, 2\)\. Received: nan"),
    (np.where(TABLE[3, 2] == TABLE, np.inf, TABLE), None, r"Received: inf"),
    (TABLE, np.arange(64), "y must be a target shaped like x"),
    (TABLE, TABLE[:, :3], "y must be a target shaped like x"),
    (np.full((4, 7), "a"), None, r"x must hold numbers\. Received: x of dtype <U1"),
    (TABLE.astype(object), None, "x must hold numbers"),
    (TABLE[0], None, r"Received: x of shape \(7,\)"),
    ([[1.0] * 7], None, r"convert it with numpy\.asarray\. Received: x of type list"),
    ({"x": TABLE}, None, r"Received: x with keys \['x'\]"),
    (None, None, "x must be an array or a tf.data.Dataset"),
]


@pytest.mark.parametrize(("x", "y", "message"), BAD)
def test_data_that_do_not_fit_are_refused(x, y, message):
    ae = small()
    before = [keras.ops.convert_to_numpy(w) for w in ae.weights]
    with pytest.raises(ValueError, match=message):
        ae.fit(x, y, verbose=0)
    if y is None:
        for verb in (ae.encode, ae.reconstruct, ae.score):
            with pytest.raises(ValueError, match=message):
                verb(x)
    for old, new in zip(before, ae.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


def test_float_input_to_a_uint8_model_is_refused_and_not_truncated():
    ae = small(x=IMAGES)
    with pytest.raises(ValueError, match="x must be uint8"):
        ae.fit(IMAGES / 255.0, verbose=0)
    with pytest.raises(ValueError, match="x must be uint8"):
        ae(IMAGES / np.float32(255))


def test_datasets_are_checked_before_anything_runs():
    import tensorflow as tf

    ae = small()
    with pytest.raises(ValueError, match="x must have shape"):
        ae.fit(tf.data.Dataset.from_tensor_slices(TABLE[:, :4]).batch(8))
    labelled = tf.data.Dataset.from_tensor_slices((TABLE, np.arange(64))).batch(8)
    with pytest.raises(ValueError, match="y must be a target shaped like x"):
        ae.fit(labelled)


def test_a_code_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match=r"code must have shape \(samples, 3\)"):
        small().decode(np.zeros((2, 4)))


def test_a_generator_cannot_adapt_a_scaler():
    ae = small(scaler="standardize")
    with pytest.raises(ValueError, match="can be read only once"):
        ae.fit((TABLE for _ in range(3)), verbose=0)


def test_sample_weight_counts_without_a_target():
    ae = small()
    weight = np.linspace(0, 2, len(TABLE)).astype("float32")
    want = np.mean(weight * ae.score(TABLE))
    result = ae.evaluate(TABLE, sample_weight=weight, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(want, rel=1e-4)
    ae.compile(keras.optimizers.SGD(0.0))
    validation = (TABLE, None, weight)
    history = fit(ae, TABLE, sample_weight=weight, validation_data=validation)
    assert history["loss"][0] == pytest.approx(want, rel=1e-4)
    assert history["val_loss"][0] == pytest.approx(want, rel=1e-4)


def test_a_scaler_does_not_see_the_validation_split():
    ae = small(scaler="standardize")
    fit(ae, TABLE, validation_split=0.25)
    offset = keras.ops.convert_to_numpy(ae.scaler.offset)
    np.testing.assert_allclose(offset, TABLE[:48].mean(axis=0), rtol=1e-5)


def test_a_dataset_without_end_needs_steps():
    import tensorflow as tf

    endless = tf.data.Dataset.from_tensor_slices(TABLE).batch(16).repeat()
    with pytest.raises(ValueError, match=r"Received: steps_per_epoch=None"):
        small(scaler="standardize").fit(endless, verbose=0)
    ae = small(scaler="standardize")
    ae.fit(endless, steps_per_epoch=4, epochs=1, verbose=0)
    offset = keras.ops.convert_to_numpy(ae.scaler.offset)
    np.testing.assert_allclose(offset, TABLE.mean(axis=0), rtol=1e-5)


def test_a_nan_in_the_target_is_refused():
    y = np.where(TABLE[3, 2] == TABLE, np.nan, TABLE)
    with pytest.raises(ValueError, match=r"y must be finite"):
        small().fit(TABLE, y, verbose=0)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_a_custom_loop_may_call_compute_loss(loss):
    ae = small(x=IMAGES, loss=loss)
    value = ae.compute_loss(IMAGES, None, ae(IMAGES), None)
    assert float(value) == pytest.approx(ae.score(IMAGES).mean(), rel=1e-3)


def test_a_loss_from_logits_needs_an_activation():
    with pytest.raises(ValueError, match=r"output_activation='sigmoid'"):
        small().compile(loss="bce")
    with pytest.raises(ValueError, match=r"Received: scaler='standardize'"):
        small(scaler="standardize", loss="bce")
    assert small(loss="bce").output_activation.activation is keras.activations.sigmoid


def test_one_loss_object_serves_two_models():
    from kerasae.losses import GaussianNLL

    loss = GaussianNLL()
    models = [small(loss=loss) for _ in range(2)]
    models[0].log_stddev.assign(3.0)
    assert models[0].score(TABLE).mean() != models[1].score(TABLE).mean()


def test_an_autoencoder_inside_another_is_a_plain_layer_to_it():
    inner = small("denoising", corruption_level=0.1)
    inputs = keras.Input((7,))
    encoder = keras.Model(inputs, keras.layers.Dense(3)(inner(inputs)))
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])
    ae = kerasae.build("undercomplete", (7,), encoder=encoder, decoder=decoder)
    ae.compile()
    assert np.isfinite(fit(ae, TABLE)["loss"][0])


@pytest.mark.parametrize("verb", ["evaluate", "predict", "score", "encode", "train_on_batch"])
def test_an_unadapted_scaler_is_not_the_identity(verb):
    with pytest.raises(ValueError, match=r"Received: an unadapted scaler"):
        getattr(small(scaler="standardize"), verb)(TABLE)


def test_an_empty_dataset_class_weights_and_scaled_targets_are_refused():
    import tensorflow as tf

    empty = tf.data.Dataset.from_tensor_slices(TABLE).batch(16).take(0)
    for use in (lambda: small().fit(empty), lambda: small().score(empty)):
        with pytest.raises(ValueError, match=r"at least one batch"):
            use()
    with pytest.raises(ValueError, match=r"Received: class_weight="):
        small().fit(TABLE, class_weight={0: 1.0})
    with pytest.raises(ValueError, match=r"Received: loss_weights="):
        small().compile(loss_weights=[2.0])
    with pytest.raises(ValueError, match=r"y must be uint8, in raw units"):
        small(x=IMAGES).fit(IMAGES, IMAGES / 255.0)
