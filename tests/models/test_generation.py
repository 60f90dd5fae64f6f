"""Samples from fitted samplers and along paths of codes, against decodes by hand."""

from statistics import NormalDist

import keras
import numpy as np
import pytest

import kerasae

KINDS = ("gaussian", "mixture", "neighbour")


def rows(n=400, seed=0, width=6):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 2)) @ rng.normal(size=(2, width)) + 3).astype("float32")


def plain(latent_dim=2, **options):
    return kerasae.build("undercomplete", (6,), latent_dim, hidden=(5,), seed=1, **options)


def vae(latent_dim=2):
    return kerasae.build("variational", (6,), latent_dim, hidden=(5,), seed=1)


def exact():
    """A linear model whose code is the first two of three numbers, and decodes to them."""
    ae = kerasae.build("linear", (3,), 2)
    ae.compile()
    weights = [np.zeros(w.shape, "float32") for w in ae.get_weights()]
    for w in weights:
        if w.ndim == 2:
            np.fill_diagonal(w, 1)
    ae.set_weights(weights)
    x = np.float32([[1, 2, 0], [3, 5, 0]])
    np.testing.assert_array_equal(ae.reconstruct(x), x)
    return ae


def shifted(n=5000):
    codes = np.random.default_rng(0).normal(size=(n, 2)) * [1, 4] + [10, -20]
    return np.concatenate([codes, np.zeros((n, 1))], axis=1).astype("float32")


# Samplers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [plain, vae])
def test_any_autoencoder_generates_with_a_fitted_sampler(kind, make):
    x, ae = rows(), make()
    assert ae.can_generate == (make is vae)
    sampler = ae.fit_sampler(x, kind, seed=3)
    assert ae.sampler is sampler
    assert sampler.kind == kind
    assert ae.can_generate
    samples = ae.generate(50, seed=0)
    assert samples.shape == (50, 6)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(ae.generate(50, seed=0), samples)
    np.testing.assert_allclose(ae.generate(50, seed=0, batch_size=7), samples, rtol=1e-5, atol=1e-6)
    assert not np.allclose(ae.generate(50, seed=1), samples)
    assert not np.allclose(ae.generate(50), ae.generate(50))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_decoded_from_codes_like_those_of_the_data(kind):
    ae, x = exact(), shifted()
    ae.fit_sampler(x, kind)
    samples = ae.generate(20_000, seed=0)
    np.testing.assert_allclose(samples.mean(axis=0), [10, -20, 0], atol=0.2)
    np.testing.assert_allclose(samples.std(axis=0), [1, 4, 0], rtol=0.1)


def test_gaussian_samples_are_the_first_draw_through_the_factor():
    """What the export repeats: first the normal numbers of a seed, then its uniform ones."""
    ae, x = exact(), shifted()
    ae.fit_sampler(x, "gaussian")
    normal = keras.random.normal((9, 2), seed=keras.random.SeedGenerator(5))
    normal = keras.ops.convert_to_numpy(normal)
    codes = normal @ ae.sampler.arrays["factor"].T + ae.sampler.arrays["mean"]
    np.testing.assert_allclose(ae.generate(9, seed=5)[:, :2], codes, rtol=1e-5)


def test_without_a_sampler_a_prior_is_drawn_from():
    ae = vae()
    before = ae.generate(9, seed=0)
    normal = keras.random.normal((9, 2), seed=keras.random.SeedGenerator(0))
    np.testing.assert_allclose(before, ae.decode(normal), rtol=1e-5)
    ae.fit_sampler(rows())
    assert not np.allclose(ae.generate(9, seed=0), before)
    ae.compile()
    ae.fit(rows(), epochs=1, verbose=0)
    assert ae.sampler is None


def test_samplers_take_datasets():
    import tensorflow as tf

    ae, x = plain(), rows()
    by_array = ae.fit_sampler(x).arrays
    by_dataset = ae.fit_sampler(tf.data.Dataset.from_tensor_slices(x).batch(33)).arrays
    for name, array in by_array.items():
        np.testing.assert_allclose(by_dataset[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent_dim", [1, 3])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_saved_model_generates_as_before(tmp_path, kind, latent_dim, name):
    ae, x = plain(latent_dim), rows(100)
    ae.fit_sampler(x, kind)
    if name.endswith(".h5"):
        ae.save_weights(tmp_path / name)
        again = plain(latent_dim)
        again.load_weights(tmp_path / name)
    else:
        ae.save(tmp_path / name)
        again = kerasae.load(tmp_path / name)
    assert again.sampler.kind == kind
    for key, array in ae.sampler.arrays.items():
        assert again.sampler.arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(again.sampler.arrays[key], array)
    np.testing.assert_array_equal(again.generate(20, seed=4), ae.generate(20, seed=4))
    # A second sampler replaces the first one in the file, too.
    again.fit_sampler(x, "gaussian")
    again.save(tmp_path / "second.keras")
    assert kerasae.load(tmp_path / "second.keras").sampler.kind == "gaussian"


# Paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_runs_from_one_reconstruction_to_the_other(spherical):
    ae, x = plain(), rows()
    path = ae.interpolate(x[0], x[1], steps=5, spherical=spherical)
    assert path.shape == (5, 6)
    np.testing.assert_allclose(path[[0, -1]], ae.reconstruct(x[:2]), rtol=1e-4, atol=1e-5)
    many = ae.interpolate(x[:3], x[3:6], steps=4, spherical=spherical)
    assert many.shape == (3, 4, 6)
    for i in range(3):
        one = ae.interpolate(x[i], x[3 + i], steps=4, spherical=spherical)
        np.testing.assert_allclose(many[i], one, rtol=1e-4, atol=1e-5)
    codes = ae.encode(x[:2])
    middle = ae.decode(codes.mean(axis=0)[None])[0]
    if not spherical:
        np.testing.assert_allclose(path[2], middle, rtol=1e-4, atol=1e-5)


def test_interpolation_by_hand():
    path = exact().interpolate(np.float32([3, 0, 9]), np.float32([0, 4, 9]), 3)
    np.testing.assert_allclose(path, [[3, 0, 0], [1.5, 2, 0], [0, 4, 0]], atol=1e-6)
    path = exact().interpolate(np.float32([3, 0, 9]), np.float32([0, 4, 9]), 3, spherical=True)
    np.testing.assert_allclose(path[1], [3.5 / 2**0.5, 3.5 / 2**0.5, 0], rtol=1e-6)


# Traversals -------------------------------------------------------------------------------


def test_traversal_of_a_prior_replaces_one_number_at_a_time():
    ae, x = vae(3), rows()[0]
    images = ae.traverse(x, steps=5, span=2.0)
    assert images.shape == (3, 5, 6)
    code = ae.encode(x[None])[0]
    for dimension in range(3):
        for step, value in enumerate([-2, -1, 0, 1, 2]):
            changed = code.copy()
            changed[dimension] = value
            by_hand = ae.decode(changed[None])[0]
            np.testing.assert_allclose(images[dimension, step], by_hand, rtol=1e-4, atol=1e-5)
    some = ae.traverse(x, steps=5, span=2.0, dimensions=[2, 0])
    np.testing.assert_allclose(some, images[[2, 0]], rtol=1e-5, atol=1e-6)


def test_traversal_with_a_sampler_adds_standard_deviations_of_the_codes():
    ae = exact()
    ae.fit_sampler(shifted())
    images = ae.traverse(np.float32([1, 1, 0]), steps=3, span=2.0)
    np.testing.assert_allclose(images[0, :, 0], [1 - 2, 1, 1 + 2], atol=0.15)
    np.testing.assert_allclose(images[1, :, 1], [1 - 8, 1, 1 + 8], atol=0.6)
    np.testing.assert_allclose(images[0, :, 1], 1, atol=1e-5)
    np.testing.assert_allclose(images[1, :, 0], 1, atol=1e-5)


# The manifold -----------------------------------------------------------------------------


def test_manifold_decodes_quantiles_of_the_prior():
    ae = vae()
    images = ae.manifold(steps=4, coverage=0.8)
    assert images.shape == (4, 4, 6)
    points = [NormalDist().inv_cdf(q) for q in (0.1, 0.1 + 0.8 / 3, 0.1 + 1.6 / 3, 0.9)]
    for i in range(4):
        for j in range(4):
            by_hand = ae.decode(np.array([[points[j], points[3 - i]]]))[0]
            np.testing.assert_allclose(images[i, j], by_hand, rtol=1e-4, atol=1e-5)


def test_manifold_of_a_fitted_gaussian_holds_the_share_it_says():
    ae, x = exact(), shifted()
    ae.fit_sampler(x)
    corners = ae.manifold(steps=3, coverage=0.9)
    np.testing.assert_allclose(corners[1, 1], [10, -20, 0], atol=0.2)
    reach = NormalDist().inv_cdf(0.95)
    np.testing.assert_allclose(corners[1, :, 0], 10 + reach * np.array([-1, 0, 1]), atol=0.2)
    np.testing.assert_allclose(corners[:, 1, 1], -20 + 4 * reach * np.array([1, 0, -1]), atol=0.5)


def test_manifold_of_codes_on_a_line():
    """One dead or doubled number of the code, as trained models have."""
    ae = exact()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        t = rng.normal(size=500) * 10 ** rng.uniform(-2, 2)
        slope = rng.normal()
        ae.fit_sampler(np.stack([t, slope * t, 0 * t], axis=1).astype("float32"))
        grid = ae.manifold(steps=3)
        assert np.isfinite(grid).all()
        np.testing.assert_allclose(grid[..., 1], slope * grid[..., 0], atol=0.01 * np.abs(t).max())


# What is refused --------------------------------------------------------------------------


NO_PRIOR = r".*prior over codes, .*ae\.fit_sampler\(x.*Received: variant='undercomplete'"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda ae: ae.generate(3), "generate " + NO_PRIOR),
        (lambda ae: ae.generate(3), r"ae\.fit_sampler\(x\) \(--sampler gaussian\) first"),
        (lambda ae: ae.traverse(rows()[0]), "traverse " + NO_PRIOR),
        (lambda ae: ae.manifold(), "manifold " + NO_PRIOR),
        (lambda ae: ae.manifold(steps=1), r"steps must be a whole number >= 2\. Received: steps=1"),
        (lambda ae: ae.interpolate(rows()[0], rows()[1], 1), "Received: steps=1"),
        (lambda ae: ae.traverse(rows()[0], steps=2.5), r"Received: steps=2\.5"),
        (lambda ae: ae.traverse(rows()[0], dimensions=[2]), r"from 0 to 1\. Received: dim.*\[2\]"),
        (lambda ae: ae.traverse(rows()[0], dimensions=[-1]), r"Received: dimensions=\[-1\]"),
        (lambda ae: ae.traverse(rows()[0], dimensions=1), "Received: dimensions=1"),
        (lambda ae: ae.manifold(coverage=1), "between 0 and 1. Received: coverage=1"),
        (lambda ae: ae.fit_sampler(rows(), "gausian"), "Did you mean 'gaussian'.* Received: kind="),
        (lambda ae: ae.fit_sampler(rows(2)), r"at least 3 .*Received: codes of shape \(2, 2\)"),
        (lambda ae: ae.fit_sampler(rows(width=4)), r"x must have shape \(samples, 6\)"),
        (lambda ae: ae.interpolate(rows()[:2], rows()[:3]), r"Received: shapes \(2, 2\) and \(3,"),
        (lambda ae: ae.interpolate(rows()[0], rows()[:3]), r"Received"),
    ],
)
def test_mistakes_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(plain())


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_counts_that_are_none(n):
    with pytest.raises(ValueError, match=f"whole number >= 1. Received: n={n}"):
        vae().generate(n)


@pytest.mark.parametrize(
    "call",
    [
        lambda ae: ae.generate(float("nan")),
        lambda ae: ae.generate(None),
        lambda ae: ae.traverse(rows()[0], dimensions=[0.0]),
        lambda ae: ae.traverse(rows()[0], dimensions=[]),
    ],
)
def test_odd_mistakes_get_one_sentence_too(call):
    with pytest.raises(ValueError, match=r"must be .*whole number.*Received: "):
        call(vae())


def test_manifold_needs_two_numbers():
    with pytest.raises(ValueError, match=r"latent_dim=2\. Received: latent_dim=3"):
        vae(3).manifold()
    ae = plain()
    ae.fit_sampler(rows(), "neighbour")
    with pytest.raises(ValueError, match=r"ae\.fit_sampler\(x, 'gaussian'\) first"):
        ae.manifold()
