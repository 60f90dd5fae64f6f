"""Corruptions: rates and moments of the noise, when it is on, and block averages in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.layers import (
    GaussianCorruption,
    LowResolutionCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from kerasae.layers.penalty import evaluating

X = np.random.default_rng(0).uniform(0.1, 0.9, (200, 300)).astype("float32")

NOISY = {
    "gaussian": lambda **options: GaussianCorruption(0.3, **options),
    "clipped": lambda **options: GaussianCorruption(0.3, clip=(0.0, 1.0), **options),
    "masking": lambda **options: MaskingCorruption(0.4, **options),
    "salt_and_pepper": lambda **options: SaltAndPepperCorruption(0.4, -1.0, 2.0, **options),
}
ALL = {**NOISY, "low_resolution": lambda **options: LowResolutionCorruption(2, **options)}
each_noisy = pytest.mark.parametrize("name", NOISY)
each = pytest.mark.parametrize("name", ALL)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def assert_rate(hits, rate):
    """Check a fraction against its binomial probability, within four standard errors."""
    assert abs(hits.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / hits.size)


def test_gaussian_noise_has_its_mean_and_deviation():
    noise = numpy(GaussianCorruption(0.3).corrupt(X, seed=1)).astype("float64") - X
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(noise.size)
    assert abs(noise.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * noise.size)
    assert_rate(abs(noise) > 0.3 * 1.959964, 0.05)


def test_gaussian_noise_is_independent_between_entries():
    noise = numpy(GaussianCorruption(1.0).corrupt(np.zeros_like(X), seed=1))
    for a, b in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        assert abs((a * b).mean()) < 4 / np.sqrt(a.size)


def test_clip_bounds_the_noisy_input_and_nothing_else():
    free = numpy(GaussianCorruption(0.5).corrupt(X, seed=2))
    clipped = numpy(GaussianCorruption(0.5, clip=(0.0, 1.0)).corrupt(X, seed=2))
    np.testing.assert_array_equal(clipped, np.clip(free, 0.0, 1.0))
    assert (free < 0).any()
    assert (free > 1).any()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.8])
def test_masking_zeroes_at_its_rate_and_does_not_rescale(rate):
    corrupted = numpy(MaskingCorruption(rate).corrupt(X, seed=3))
    masked = corrupted == 0
    assert_rate(masked, rate)
    np.testing.assert_array_equal(corrupted[~masked], X[~masked])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_salt_and_pepper_come_in_equal_shares(rate):
    corrupted = numpy(SaltAndPepperCorruption(rate, low=-1.0, high=2.0).corrupt(X, seed=4))
    pepper, salt = corrupted == -1.0, corrupted == 2.0
    assert_rate(pepper, rate / 2)
    assert_rate(salt, rate / 2)
    kept = ~(pepper | salt)
    np.testing.assert_array_equal(corrupted[kept], X[kept])


@pytest.mark.parametrize(
    ("corruption", "values"),
    [
        (MaskingCorruption(1.0), {0.0}),
        (SaltAndPepperCorruption(1.0), {0.0, 1.0}),
    ],
)
def test_a_rate_of_one_leaves_nothing(corruption, values):
    assert set(np.unique(numpy(corruption.corrupt(X, seed=0)))) == values


@pytest.mark.parametrize(
    "corruption",
    [
        GaussianCorruption(0.0),
        MaskingCorruption(0.0),
        SaltAndPepperCorruption(0.0),
        LowResolutionCorruption(1),
    ],
    ids=lambda corruption: type(corruption).__name__,
)
def test_no_corruption_is_the_identity(corruption):
    np.testing.assert_array_equal(numpy(corruption.corrupt(X, seed=0)), X)


@each
@pytest.mark.parametrize("training", [False, None])
def test_off_outside_training(name, training):
    np.testing.assert_array_equal(numpy(ALL[name](seed=1)(X, training=training)), X)


@each
def test_on_while_an_autoencoder_evaluates(name):
    with evaluating():
        assert (numpy(ALL[name](seed=1)(X, training=False)) != X).any()


@each_noisy
def test_every_training_step_draws_afresh_and_the_seed_decides(name):
    layer, same, other = NOISY[name](seed=1), NOISY[name](seed=1), NOISY[name](seed=2)
    first, second = numpy(layer(X, training=True)), numpy(layer(X, training=True))
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(same(X, training=True)), first)
    np.testing.assert_array_equal(numpy(same(X, training=True)), second)
    assert (numpy(other(X, training=True)) != first).any()


@each_noisy
def test_fit_and_compiled_steps_draw_afresh(name):
    # The loss of a frozen identity behind a corruption is the corruption, anew at every step.
    x = X[:, :20]
    inputs = keras.Input((20,))
    identity = keras.layers.Dense(20, use_bias=False, kernel_initializer="identity")
    model = keras.Model(inputs, identity(NOISY[name](seed=1)(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(x, x, batch_size=len(x), epochs=3, verbose=0).history["loss"]
    assert len(set(history)) == 3
    assert min(history) > 0.01
    np.testing.assert_allclose(model.evaluate(x, x, verbose=0), 0.0, atol=1e-12)


@each_noisy
def test_corrupt_by_hand_depends_on_its_seed_alone(name):
    layer = NOISY[name](seed=1)
    first = numpy(layer.corrupt(X, seed=7))
    layer(X, training=True)
    np.testing.assert_array_equal(numpy(layer.corrupt(X, seed=7)), first)
    np.testing.assert_array_equal(numpy(NOISY[name](seed=2).corrupt(X, seed=7)), first)
    assert (numpy(layer.corrupt(X, seed=8)) != first).any()


@each_noisy
def test_corrupt_by_hand_leaves_the_draws_of_training_alone(name):
    layer, same = NOISY[name](seed=1), NOISY[name](seed=1)
    layer.corrupt(X, seed=7)
    np.testing.assert_array_equal(numpy(layer(X, training=True)), numpy(same(X, training=True)))


@each
@pytest.mark.parametrize("shape", [(4, 12), (4, 9, 2), (4, 6, 5, 3)])
def test_shape_and_dtype_stay(name, shape):
    x = np.random.default_rng(0).random(shape).astype("float32")
    corrupted = ALL[name]().corrupt(x, seed=0)
    assert tuple(corrupted.shape) == shape
    assert keras.backend.standardize_dtype(corrupted.dtype) == "float32"
    half = ALL[name](dtype="mixed_bfloat16")(x, training=True)
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"


@each
def test_corrupt_refuses_raw_integers(name):
    with pytest.raises(ValueError, match=r"scaled units.*Received: x of dtype uint8"):
        ALL[name]().corrupt(np.zeros((2, 4), "uint8"), seed=0)


def blocks(size, factor):
    """The averaging matrix of blocks of `factor`; what is left over is split over both ends."""
    count = -(-size // factor)
    before = (count * factor - size) // 2
    block = (np.arange(size) + before) // factor
    same = (block[:, None] == block[None, :]).astype("float64")
    return same / same.sum(axis=1, keepdims=True)


def block_average(x, factor):
    x = x.astype("float64")
    if x.ndim == 4:
        rows, columns = blocks(x.shape[1], factor), blocks(x.shape[2], factor)
        return np.einsum("ij,bjkc,lk->bilc", rows, x, columns)
    return np.einsum("ij,bj...->bi...", blocks(x.shape[1], factor), x)


@pytest.mark.parametrize("factor", [2, 3, 4, 100])
@pytest.mark.parametrize(
    "shape", [(3, 8), (3, 9), (2, 8, 2), (2, 9, 3), (2, 8, 8, 1), (2, 9, 8, 2), (2, 61, 47, 3)]
)
def test_low_resolution_is_a_block_average(shape, factor):
    x = np.random.default_rng(5).normal(size=shape).astype("float32")
    layer = LowResolutionCorruption(factor)
    low = numpy(layer.corrupt(x, seed=0))
    np.testing.assert_allclose(low, block_average(x, factor), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numpy(layer.corrupt(low, seed=0)), low, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), low)


def test_low_resolution_known_values():
    x = np.array([[1.0, 3.0, 5.0, 9.0, 20.0]], "float32")
    low = numpy(LowResolutionCorruption(2).corrupt(x, seed=0))
    np.testing.assert_allclose(low, [[2, 2, 7, 7, 20]])


def test_low_resolution_takes_no_more_than_images():
    with pytest.raises(ValueError, match="Received: input of shape"):
        LowResolutionCorruption(2).corrupt(np.zeros((1, 4, 4, 4, 1), "float32"), seed=0)


@each
def test_round_trip_through_a_saved_model(name, tmp_path):
    layer = ALL[name](seed=11, name="corruption")
    inputs = keras.Input((300,))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").get_layer("corruption")
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert again.seed == 11
    np.testing.assert_array_equal(numpy(again.corrupt(X, 3)), numpy(layer.corrupt(X, 3)))
    serialized = keras.saving.serialize_keras_object(layer)
    assert serialized["registered_name"] == f"kerasae>{type(layer).__name__}"
    assert keras.saving.deserialize_keras_object(serialized).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianCorruption(-0.1), r"^stddev must .*Received: stddev=-0.1"),
        (lambda: GaussianCorruption(float("nan")), r"^stddev must .*Received: stddev=nan"),
        (lambda: GaussianCorruption(float("inf")), r"^stddev must .*Received: stddev=inf"),
        (lambda: GaussianCorruption(clip=(1.0, 0.0)), r"^clip must .*Received: clip=\(1.0, 0.0\)"),
        (lambda: GaussianCorruption(clip=(0.0,)), r"^clip must .*Received: clip=\(0.0,\)"),
        (lambda: MaskingCorruption(1.5), r"^rate must .*Received: rate=1.5"),
        (lambda: MaskingCorruption(-0.5), r"^rate must .*Received: rate=-0.5"),
        (lambda: SaltAndPepperCorruption(float("nan")), r"^rate must .*Received: rate=nan"),
        (lambda: SaltAndPepperCorruption(0.1, 1.0, 1.0), r"^low must .*low=1.0, high=1.0"),
        (lambda: LowResolutionCorruption(0), r"^factor must .*Received: factor=0"),
        (lambda: LowResolutionCorruption(1.5), r"^factor must .*Received: factor=1.5"),
        (lambda: LowResolutionCorruption(float("nan")), r"^factor must .*Received: factor=nan"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
