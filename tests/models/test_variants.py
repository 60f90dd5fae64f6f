"""What is special about each variant."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import kerasae
from kerasae import layers

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16).astype("float32")


def trained(variant, x, epochs=20, optimizer="adam", **options):
    keras.utils.set_random_seed(0)
    ae = kerasae.build(variant, x.shape[1:], **options)
    ae.compile(optimizer)
    ae.fit(x, epochs=epochs, batch_size=64, verbose=0)
    return ae


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


# linear -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [8, 16])
def test_pca_initialization_is_the_optimum(digits, k):
    pca = PCA(k).fit(digits)
    want = ((pca.inverse_transform(pca.transform(digits)) - digits) ** 2).mean()
    golden = {8: 0.023913, 16: 0.011044}[k]
    assert want == pytest.approx(golden, abs=5e-7)
    ae = trained("linear", digits, 0, latent_dim=k, init="pca")
    assert ae.score(digits).mean() == pytest.approx(want, rel=1e-5)
    # Same subspace: the projections onto it are equal.
    decoder = to_numpy(ae.decoder_network.layers[-1].kernel)
    np.testing.assert_allclose(decoder.T @ decoder, pca.components_.T @ pca.components_, atol=1e-4)


def test_pca_initialization_happens_once_and_in_scaled_units(tmp_path):
    x = (rng.normal(size=(500, 6)) * [1, 10, 100, 1, 1, 1]).astype("float32")
    ae = trained("linear", x, 0, latent_dim=3, init="pca", scaler="standardize")
    scaled = (x - x.mean(0)) / x.std(0)
    pca = PCA(3).fit(scaled)
    want = ((pca.inverse_transform(pca.transform(scaled)) - scaled) ** 2).mean()
    assert ae.score(x).mean() == pytest.approx(want, rel=1e-4)
    ae.decoder_network.layers[-1].kernel.assign(np.ones((3, 6)))
    ae.save(tmp_path / "m.keras")
    loaded = kerasae.load(tmp_path / "m.keras")
    loaded.compile(keras.optimizers.SGD(0.0))
    loaded.fit(x, verbose=0)
    np.testing.assert_array_equal(
        to_numpy(loaded.decoder_network.layers[-1].kernel), np.ones((3, 6))
    )


def test_pca_initialization_does_not_see_the_validation_split():
    x = rng.normal(size=(200, 4)).astype("float32")
    x[150:] += 100
    ae = kerasae.build("linear", (4,), 2, init="pca")
    ae.compile(keras.optimizers.SGD(0.0))
    ae.fit(x, None, 32, 1, 0, None, 0.25)  # batch size, epochs, verbose, callbacks, split
    decoder = to_numpy(ae.decoder_network.layers[-1].kernel)
    pca = PCA(2).fit(x[:150])
    np.testing.assert_allclose(decoder.T @ decoder, pca.components_.T @ pca.components_, atol=1e-4)


def test_trained_linear_model_reaches_pca_and_cannot_beat_it(digits):
    # The third and fourth eigenvalue lie apart, so the subspace is well determined.
    pca = PCA(3).fit(digits)
    want = ((pca.inverse_transform(pca.transform(digits)) - digits) ** 2).mean()
    decay = keras.optimizers.schedules.CosineDecay(1e-2, 120 * 29)
    ae = trained("linear", digits, 120, keras.optimizers.Adam(decay), latent_dim=3)
    got = ae.score(digits).mean()
    assert want * (1 - 1e-5) <= got <= 1.02 * want
    # The largest principal angle between the two subspaces.
    q, _ = np.linalg.qr(to_numpy(ae.decoder_network.layers[-1].kernel).T)
    cosines = np.linalg.svd(pca.components_ @ q, compute_uv=False)
    assert np.degrees(np.arccos(cosines.min())) < 5


def test_linear_is_affine_on_every_network():
    for network, shape in (("dense", (6,)), ("conv", (6, 5, 1)), ("sequence", (6, 2))):
        options = {} if network == "dense" else {"hidden": (3,)}
        ae = kerasae.build("linear", shape, 2, network=network, **options)
        a, b = rng.normal(size=(2, 4, *shape)).astype("float32")
        f = ae.reconstruct
        np.testing.assert_allclose(f(0.3 * a + 0.7 * b), 0.3 * f(a) + 0.7 * f(b), atol=1e-5)


# undercomplete and overcomplete -------------------------------------------------------


def test_a_nonlinear_code_beats_pca_of_the_same_size(digits):
    pca = PCA(4).fit(digits)
    want = ((pca.inverse_transform(pca.transform(digits)) - digits) ** 2).mean()
    ae = trained("undercomplete", digits, 60, latent_dim=4)
    assert ae.score(digits).mean() < 0.9 * want


def test_overcomplete_warns_when_nothing_regularizes_it():
    with pytest.warns(UserWarning, match="can learn to copy"):
        ae = kerasae.build("overcomplete", (6,))
    assert ae.latent_dim == 12
    kerasae.build("overcomplete", (6,), corruption="masking")


# sparse -------------------------------------------------------------------------------


def test_more_l1_weight_means_fewer_active_units(digits):
    active = [
        (trained("sparse_l1", digits, 15, sparsity_weight=w).encode(digits) > 1e-3).mean()
        for w in (0.0, 1e-3, 1e-2)
    ]
    assert active[0] > 1.3 * active[1] > 1.69 * active[2]


def test_kl_sparsity_drives_units_to_their_target(digits):
    ae = trained(
        "sparse_kl",
        digits,
        40,
        keras.optimizers.Adam(1e-2),
        target_activation=0.1,
        sparsity_weight=0.05,
    )
    rates = ae.encode(digits).mean(axis=0)
    assert np.abs(rates - 0.1).mean() < 0.02


def test_momentum_reaches_the_penalty_layer():
    ae = kerasae.build("sparse_kl", (6,), momentum=0.9)
    assert ae.bottleneck.momentum == 0.9


# denoising ----------------------------------------------------------------------------


def linear_denoiser(clean, noisy):
    """Fit the best affine map from noisy to clean by least squares."""
    a = np.c_[noisy, np.ones(len(noisy))]
    return np.linalg.lstsq(a, clean, rcond=None)[0]


@pytest.mark.parametrize(
    ("corruption", "level"), [("gaussian", 0.5), ("masking", 0.5), ("salt_and_pepper", 0.4)]
)
def test_denoiser_beats_the_best_linear_one(digits, corruption, level):
    train, test = digits[:1400], digits[1400:]
    ae = trained(
        "denoising",
        train,
        100,
        scaler=layers.UnitScale(0, 1),
        latent_dim=32,
        corruption=corruption,
        corruption_level=level,
        seed=5,
    )
    copies = np.repeat(train, 30, axis=0)
    weights = linear_denoiser(copies, to_numpy(ae.corruption.corrupt(copies, seed=1)))
    noisy = to_numpy(ae.corruption.corrupt(test, seed=2))
    linear = ((np.c_[noisy, np.ones(len(noisy))] @ weights - test) ** 2).mean()
    ours = ((ae.reconstruct(noisy) - test) ** 2).mean()
    untouched = ((noisy - test) ** 2).mean()
    assert ours < 0.95 * linear < 0.5 * untouched


def test_gaussian_noise_is_clipped_where_input_is_scaled_to_the_unit_interval():
    images = kerasae.build("denoising", (8, 8), input_dtype="uint8", corruption_level=0.7)
    assert (images.corruption.stddev, images.corruption.clip) == (0.7, (0.0, 1.0))
    assert kerasae.build("denoising", (8, 8)).corruption.clip is None


def test_low_resolution_is_a_denoising_task_too(digits):
    x = digits.reshape(-1, 8, 8, 1)
    ae = trained("denoising", x, 5, corruption="low_resolution", corruption_level=2, hidden=(32,))
    low = to_numpy(ae.corruption.corrupt(x, seed=0))
    blocks = x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(low[:, ::2, ::2, 0], blocks, atol=1e-6)


# contractive --------------------------------------------------------------------------


def jacobian_norm(ae, x, step=1e-2):
    """Mean squared Frobenius norm of the encoder's Jacobian by central differences."""
    eye = np.eye(x.shape[1], dtype="float32") * step
    up, down = (ae.encode((x[:, None] + s * eye).reshape(-1, x.shape[1])) for s in (1, -1))
    return (((up - down) / (2 * step)) ** 2).sum() / len(x)


@pytest.mark.parametrize("method", ["estimate", "closed_form", "exact"])
def test_the_penalty_contracts_the_code(digits, method):
    options = {"latent_dim": 8, "hidden": (16,), "activation": "tanh"}
    free, held = (
        trained("contractive", digits, 10, jacobian_weight=w, jacobian_method=method, **options)
        for w in (0.0, 1e-2)
    )
    assert jacobian_norm(held, digits[:50]) < 0.5 * jacobian_norm(free, digits[:50])
    reported = held.evaluate(digits, batch_size=1797, verbose=0, return_dict=True)
    want = jacobian_norm(held, digits[:400])
    assert reported["jacobian_loss"] == pytest.approx(want, rel=0.15)


def test_contraction_is_measured_at_the_uncorrupted_input():
    x = rng.normal(size=(256, 4)).astype("float32")
    kwargs = {"latent_dim": 2, "hidden": (), "jacobian_method": "exact"}
    noisy = kerasae.build(
        "contractive", (4,), corruption="gaussian", corruption_level=9.0, **kwargs
    )
    noisy.compile()
    reported = noisy.evaluate(x, verbose=0, return_dict=True)["jacobian_loss"]
    assert reported == pytest.approx(jacobian_norm(noisy, x), rel=1e-3)


# variational --------------------------------------------------------------------------


def test_evaluate_is_the_sampled_elbo(digits):
    ae = trained("variational", digits, 5, scaler=layers.UnitScale(0, 1), latent_dim=3)
    result = ae.evaluate(digits, batch_size=256, verbose=0, return_dict=True)
    x = digits.astype("float64")
    h = ae.encoder_network.predict(digits, verbose=0)
    mean, log_var = (
        to_numpy(ae.bottleneck.get_layer(name)(h)).astype("float64")
        for name in ("z_mean", "z_log_var")
    )
    np.testing.assert_allclose(mean, ae.encode(digits), rtol=1e-4, atol=1e-5)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1).mean()
    assert result["kl_loss"] == pytest.approx(kl, rel=1e-4)
    nll = []
    for draw in range(8):
        z = mean + np.exp(log_var / 2) * np.random.default_rng(draw).normal(size=mean.shape)
        p = np.clip(ae.decode(z).astype("float64"), 1e-7, 1 - 1e-7)
        nll.append(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean())
    spread = 4 * np.std(nll, ddof=1) + 1e-3 * np.mean(nll)
    assert result["reconstruction_loss"] == pytest.approx(np.mean(nll), abs=spread)
    assert result["loss"] == pytest.approx(result["reconstruction_loss"] + result["kl_loss"])


def test_a_weight_that_is_set_takes_effect_at_the_next_step(digits):
    x = digits[:256]
    ae = trained("variational", x, 1, latent_dim=2, scaler="unit")
    first = ae.evaluate(x, verbose=0, return_dict=True)
    layer = ae.bottleneck.get_layer("z")
    layer.kl_weight = 10.0
    second = ae.evaluate(x, verbose=0, return_dict=True)
    expected = first["loss"] + 9 * first["kl_loss"]
    assert second["loss"] == pytest.approx(expected, rel=1e-5)
    assert layer.get_config()["kl_weight"] == 10.0


def test_kl_weight_trades_code_for_reconstruction(digits):
    x = digits[:512]
    results = [
        trained("variational", x, 15, latent_dim=4, scaler="unit", kl_weight=w).evaluate(
            x, verbose=0, return_dict=True
        )
        for w in (0.1, 10.0)
    ]
    assert results[0]["kl_loss"] > 2 * results[1]["kl_loss"]
    assert results[0]["reconstruction_loss"] < results[1]["reconstruction_loss"]


def test_warm_up_continues_after_a_file(digits, tmp_path):
    from kerasae.schedules import Warmup

    x = digits[:128]
    ae = trained("variational", x, 3, kl_weight=Warmup(0.0, 1.0, steps=20), latent_dim=2)
    assert int(to_numpy(ae.bottleneck.get_layer("z").penalty_weight.step)) == 6
    ae.save(tmp_path / "m.keras")
    loaded = kerasae.load(tmp_path / "m.keras")
    loaded.evaluate(x, verbose=0)
    loaded.fit(x, epochs=1, batch_size=64, verbose=0)
    assert int(to_numpy(loaded.bottleneck.get_layer("z").penalty_weight.step)) == 8


# sparse_topk --------------------------------------------------------------------------


def test_topk_starts_as_transposes_around_the_median():
    x = (rng.normal(size=(400, 6)) + np.arange(1, 7)).astype("float32")
    ae = trained("sparse_topk", x, 0, latent_dim=10, k=2)
    encode, decode = ae.encoder_network.layers[-1], ae.decoder_network.layers[-1]
    columns = to_numpy(encode.kernel)
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(to_numpy(decode.kernel), columns.T)
    np.testing.assert_allclose(to_numpy(decode.bias), np.median(x, axis=0), rtol=1e-6)
    # At the median no unit is active, and the output is the median.
    median = np.median(x, axis=0)[None]
    np.testing.assert_allclose(ae.reconstruct(median), median, rtol=1e-4)


def test_topk_codes_have_k_active_units_and_the_same_bits_alone(digits):
    ae = trained("sparse_topk", digits[:500], 2, latent_dim=40, k=5)
    codes = ae.encode(digits[:50])
    assert (codes > 0).sum(axis=1).max() <= 5
    for i in range(5):
        np.testing.assert_array_equal(ae.bottleneck(ae.encode(digits[i : i + 1]))[0], codes[i])


def test_the_auxiliary_loss_is_what_dead_units_leave_of_the_residual():
    x = rng.normal(size=(64, 6)).astype("float32")
    ae = kerasae.build("sparse_topk", (6,), 12, k=2, dead_after=1000)
    ae.compile()
    alive = ae.evaluate(x, batch_size=64, verbose=0, return_dict=True)
    assert alive["auxiliary_loss"] == 0
    ae.bottleneck.unused.assign([2000] * 6 + [0] * 6)
    found = ae.evaluate(x, batch_size=64, verbose=0, return_dict=True)
    # By hand: the three largest activations of the dead units, if positive, decoded.
    pass_ = ae.pass_of(x)
    features = to_numpy(pass_.features)[:, :6]
    chosen = np.zeros((64, 12), "float32")
    for row, values in enumerate(features):
        for unit in np.argsort(values)[::-1][:3]:
            chosen[row, unit] = max(values[unit], 0)
    explained = chosen @ to_numpy(ae.decoder_network.layers[-1].kernel)
    residual = x - to_numpy(pass_.decoded)
    expected = np.square(residual - explained).mean()
    assert found["auxiliary_loss"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(found["reconstruction_loss"] + expected / 32, rel=1e-4)


# fsq ----------------------------------------------------------------------------------


def test_fsq_codes_are_indices(digits):
    ae = trained("fsq", digits[:500], 3, latent_dim=4, levels=(5, 4))
    codes = ae.encode(digits[:100])
    assert (codes.dtype, codes.shape, ae.code_size) == (np.int32, (100, 4), 20)
    assert codes.min() >= 0
    assert codes.max() < 20
    np.testing.assert_allclose(ae.decode(codes), ae.reconstruct(digits[:100]), atol=1e-5)
    with pytest.raises(ValueError, match="Received: 20"):
        ae.decode(np.full((1, 4), 20))
    with pytest.raises(ValueError, match="fsq"):
        ae.interpolate(digits[0], digits[1])
    with pytest.raises(ValueError, match="kind='gaussian'"):
        ae.fit_sampler(digits[:100], "gaussian")
    ae.fit_sampler(digits[:100])
    assert ae.generate(3, seed=0).shape == (3, 64)


# conditional_vae ----------------------------------------------------------------------


def test_a_condition_decides_what_is_generated():
    # Two classes far apart, of which the code need know nothing.
    y = rng.integers(0, 2, 600)
    x = (rng.normal(0, 0.05, (600, 3)) + np.where(y, 0.8, 0.2)[:, None]).astype("float32")
    keras.utils.set_random_seed(0)
    ae = kerasae.build("conditional_vae", (3,), 2, condition=2, hidden=(16,))
    ae.compile(keras.optimizers.Adam(1e-2))
    ae.fit({"x": x, "condition": y}, epochs=40, batch_size=50, verbose=0)
    means = [ae.generate(200, seed=0, condition=c).mean() for c in (0, 1)]
    assert means[0] == pytest.approx(0.2, abs=0.15)
    assert means[1] == pytest.approx(0.8, abs=0.15)
    unknown = ae.reconstruct(x)
    np.testing.assert_array_equal(unknown, ae.reconstruct({"x": x, "condition": np.full(600, -1)}))


@pytest.mark.parametrize(
    ("condition", "received"), [([0, 1, 5], "5"), ([0.5, 1, 1], "0.5"), ([0, 1], r"\(2,\)")]
)
def test_a_wrong_condition_is_refused(condition, received):
    ae = kerasae.build("conditional_vae", (3,), 2, condition=3)
    with pytest.raises(ValueError, match=f"condition.*Received: .*{received}"):
        ae.encode({"x": np.zeros((3, 3), "float32"), "condition": np.array(condition)})


def test_a_conditional_model_needs_its_condition():
    with pytest.raises(ValueError, match="condition"):
        kerasae.build("conditional_vae", (3,), 2)
    with pytest.raises(ValueError, match="condition=3"):
        kerasae.build("undercomplete", (3,), 2, condition=3)
