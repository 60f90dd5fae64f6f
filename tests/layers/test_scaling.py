"""Scalers against NumPy and scikit-learn."""

import itertools

import keras
import numpy as np
import pytest
import sklearn.preprocessing
from keras import ops

from kerasae.layers import InverseScale, Standardize, UnitScale

RNG = np.random.default_rng(0)
TABLE = RNG.normal([3.0, -50.0, 0.0, 1e3], [0.1, 20.0, 1.0, 300.0], (500, 4)).astype("float32")
IMAGES = RNG.integers(0, 256, (40, 6, 5, 3)).astype("uint8")

SCALERS = {
    "standardize": (Standardize, sklearn.preprocessing.StandardScaler),
    "unit": (UnitScale, sklearn.preprocessing.MinMaxScaler),
}
each_scaler = pytest.mark.parametrize("name", SCALERS)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def adapted(scaler, *batches):
    scaler.adapt(batches)
    return scaler


@each_scaler
def test_equals_scikit_learn(name):
    make, make_reference = SCALERS[name]
    expected = make_reference().fit_transform(TABLE.astype("float64"))
    scaled = numpy(adapted(make(), TABLE)(TABLE))
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    assert scaled.dtype == "float32"


@each_scaler
@pytest.mark.parametrize("shape", [(40, 6, 5, 3), (20, 90), (40, 30, 3)])
def test_statistics_belong_to_the_last_axis_and_take_uint8(name, shape):
    make, make_reference = SCALERS[name]
    x = IMAGES.reshape(-1)[: np.prod(shape)].reshape(shape)
    rows = x.reshape(-1, shape[-1]).astype("float64")
    expected = make_reference().fit_transform(rows).reshape(shape)
    scaler = adapted(make(), x)
    np.testing.assert_allclose(numpy(scaler(x)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(scaler.inverse(scaler(x))), x, atol=1e-3)


@each_scaler
def test_many_batches_equal_one(name):
    make, _ = SCALERS[name]
    edges = [0, 1, 2, 7, 7, 100, 499, 500]  # one sample, none, many
    parts = [TABLE[a:b] for a, b in itertools.pairwise(edges)]
    whole, pieces = adapted(make(), TABLE), adapted(make(), *parts)
    np.testing.assert_allclose(numpy(pieces.offset), numpy(whole.offset), rtol=1e-6)
    np.testing.assert_allclose(numpy(pieces.scale), numpy(whole.scale), rtol=1e-6)


@each_scaler
def test_adapting_again_forgets_the_old_statistics(name):
    make, _ = SCALERS[name]
    scaler = adapted(make(), 1e3 * TABLE)
    scaler.adapt([TABLE])
    np.testing.assert_array_equal(numpy(scaler(TABLE)), numpy(adapted(make(), TABLE)(TABLE)))


@pytest.mark.filterwarnings("ignore:The values are so far from 0")
def test_a_large_offset_does_not_drown_the_deviation():
    # Sums of squares in float32, or E[x^2] - E[x]^2 even in float64, would lose it.
    x = np.random.default_rng(1).normal(1e6, 1.0, (100_000, 2))
    scaler = adapted(Standardize(), *np.array_split(x, 1000))
    np.testing.assert_allclose(numpy(scaler.scale), x.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(numpy(scaler.offset), x.mean(axis=0).astype("float32"))


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e6 + 0.1])
@each_scaler
def test_a_constant_feature_maps_to_zero_and_back(name, constant):
    make, _ = SCALERS[name]
    column = np.full((7, 1), constant)
    batches = [np.hstack([column, RNG.normal(size=(7, 1))]) for _ in range(30)]
    scaler = adapted(make(), *batches)
    assert numpy(scaler.scale)[0] == 1.0  # not the rounding error of a mean
    scaled = numpy(scaler(batches[0]))
    np.testing.assert_array_equal(scaled[:, 0], 0.0)
    np.testing.assert_allclose(numpy(scaler.inverse(scaled))[:, 0], constant, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The values are so far from 0")
def test_a_small_deviation_is_not_taken_for_a_constant():
    x = (1.0 + 1e-6 * np.random.default_rng(2).normal(size=(1000, 1))).astype("float64")
    np.testing.assert_allclose(numpy(adapted(Standardize(), x).scale), x.std(axis=0), rtol=1e-5)


@each_scaler
def test_inverse_round_trip(name):
    scaler = adapted(SCALERS[name][0](), TABLE)
    np.testing.assert_allclose(numpy(scaler.inverse(scaler(TABLE))), TABLE, rtol=1e-5, atol=1e-4)
    layer = InverseScale(scaler)
    np.testing.assert_array_equal(
        numpy(layer(numpy(scaler(TABLE)))), numpy(scaler.inverse(scaler(TABLE)))
    )


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1.0, 3.0)])
def test_a_fixed_range_needs_no_data(low, high):
    scaler = UnitScale(low, high)
    x = np.linspace(low, high, 12).reshape(3, 4).astype("float32")
    scaled = numpy(scaler(x))
    np.testing.assert_allclose(scaled, np.linspace(0, 1, 12).reshape(3, 4), atol=1e-6)
    assert (scaled[0, 0], scaled[-1, -1]) == (0.0, 1.0)
    assert scaler.adapted
    np.testing.assert_allclose(numpy(scaler.inverse(scaled)), x, atol=1e-4)


def test_uint8_has_exact_ends():
    x = np.array([[0, 255, 51]], "uint8")
    np.testing.assert_array_equal(numpy(UnitScale(0, 255)(x)), np.float32([[0, 1, 0.2]]))


@each_scaler
def test_adapted_tells_the_truth(name):
    scaler = SCALERS[name][0]()
    assert not scaler.adapted
    np.testing.assert_array_equal(numpy(scaler(TABLE)), TABLE)
    assert not scaler.adapted
    scaler.adapt([TABLE])
    assert scaler.adapted


@pytest.mark.parametrize(
    ("make", "is_adapted"),
    [
        (lambda: adapted(Standardize(name="scaler"), TABLE), True),
        (lambda: adapted(UnitScale(name="scaler"), TABLE), True),
        (lambda: UnitScale(-1.0, 3.0, name="scaler"), True),
        (lambda: Standardize(name="scaler"), False),
    ],
    ids=["standardize", "unit", "fixed", "unadapted"],
)
def test_saved_in_a_model_it_keeps_its_statistics(make, is_adapted, tmp_path):
    scaler = make()
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs, InverseScale(scaler)(keras.layers.Activation("tanh")(scaler(inputs)))
    )
    assert scaler.adapted == is_adapted
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    loaded = again.get_layer("scaler")
    assert loaded.adapted == is_adapted
    assert loaded.get_config() == scaler.get_config()
    np.testing.assert_array_equal(numpy(loaded(TABLE)), numpy(scaler(TABLE)))
    np.testing.assert_array_equal(numpy(again(TABLE)), numpy(model(TABLE)))


def test_statistics_are_not_trained():
    scaler = adapted(Standardize(), TABLE)
    assert scaler.trainable_variables == []
    assert len(scaler.non_trainable_variables) == 3


def test_half_precision_scales_in_float32_first():
    scaler = adapted(Standardize(dtype="mixed_bfloat16"), TABLE)
    scaled = scaler(TABLE)
    assert keras.backend.standardize_dtype(scaled.dtype) == "bfloat16"
    expected = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
    # Column 0 is 3 +- 0.1: cast to bfloat16 before the subtraction it would be off by 0.1.
    np.testing.assert_allclose(numpy(ops.cast(scaled, "float32")), expected, atol=0.02)
    back = InverseScale(scaler, dtype="float32")(scaled)
    assert keras.backend.standardize_dtype(back.dtype) == "float32"
    np.testing.assert_allclose(numpy(back)[:, 0], TABLE[:, 0], atol=0.002)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_scaler
def test_data_that_is_not_finite_is_refused_and_nothing_changes(name, value):
    bad = TABLE.copy()
    bad[3, 1] = value
    scaler = SCALERS[name][0]()
    with pytest.raises(ValueError, match=r"finite.*Received"):
        scaler.adapt([TABLE, bad])
    assert not scaler.adapted


@pytest.mark.parametrize("batches", [[], [np.zeros((0, 4), "float32")]])
@each_scaler
def test_no_data_is_refused(name, batches):
    with pytest.raises(ValueError, match="at least one"):
        SCALERS[name][0]().adapt(batches)


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 1.0), (2.0, 1.0), (None, 1.0), (0.0, None), (0.0, np.nan), (0.0, np.inf)],
)
def test_bad_ranges(low, high):
    with pytest.raises(ValueError, match=rf"^minimum and maximum .*minimum={low}, maximum={high}"):
        UnitScale(low, high)


def test_warns_where_float32_tells_few_values_apart():
    times = 1.7e9 + np.random.default_rng(0).normal(0, 100, (500, 1))
    with pytest.warns(UserWarning, match="feature 1 around 1.7e\\+09"):
        Standardize().adapt([np.concatenate([times - 1.7e9, times], axis=1)])
