import json
import warnings

import numpy as np
import pytest

import kerasae
from kerasae import evaluation

PARTS = {"test", "baselines", "baselines_fitted_on", "codes"}


@pytest.fixture(scope="module")
def splits():
    x = np.random.default_rng(0).integers(0, 256, size=(200, 6, 6, 1)).astype("uint8")
    return kerasae.data.load(x, batch_size=50, test=0.3)


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ("undercomplete", set()),
        ("linear", {"linear"}),
        ("sparse_kl", set()),
        ("denoising", {"noisy", "clean"}),
        ("contractive", {"contractive"}),
        ("variational", {"variational"}),
    ],
)
def test_measures_what_suits_the_variant(splits, variant, parts):
    ae = kerasae.build(variant, (6, 6, 1), 4, input_dtype="uint8", seed=0)
    measured = evaluation.measure(ae, splits)
    assert set(measured) == PARTS | parts
    text = json.dumps(measured, allow_nan=False)
    assert text == json.dumps(evaluation.measure(ae, splits), allow_nan=False)
    if variant == "contractive":
        assert len(measured["contractive"]["singular_values"]) == 4


def test_measures_series_and_standardized_tables(splits):
    x = np.random.default_rng(0).normal(size=(150, 12, 2)).astype("float32") * 9
    splits = kerasae.data.load(x)
    ae = kerasae.build("sequence", (12, 2), 3, scaler="standardize", hidden=(4, 8))
    with pytest.raises(ValueError, match="unadapted"):
        evaluation.measure(ae, splits)
    ae.scaler.adapt([splits.array("train")])
    measured = evaluation.measure(ae, splits, split="validation")
    assert set(measured["test"]) == {"mse", "mae"}
    expected = np.square(
        evaluation.scale(ae, ae.reconstruct(splits.array("validation")))
        - evaluation.scale(ae, splits.array("validation"))
    ).mean()
    assert measured["test"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_measures_a_handful_of_samples():
    x = np.random.default_rng(0).random((8, 5), dtype="float32")
    splits = kerasae.data.load(x, validation=1, test=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = evaluation.measure(kerasae.build("linear", (5,), 2), splits)
    assert "trustworthiness" not in measured["codes"]
    json.dumps(measured, allow_nan=False)


def test_measures_streamed_data_alike(tmp_path):
    x = np.random.default_rng(0).normal(size=(3000, 6)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    splits = kerasae.data.load(tmp_path / "x.npy", memory_budget=20_000)
    assert splits.streamed
    ae = kerasae.build("undercomplete", (6,), 2)
    measured = evaluation.measure(ae, splits)
    test = splits.array("test")
    expected = np.square(ae.reconstruct(test) - test).mean()
    assert measured["test"]["mse"] == pytest.approx(expected, rel=1e-5)
    assert measured["codes"]["mean_activation"] == pytest.approx(
        ae.encode(test).mean(axis=0).tolist(), abs=1e-5
    )


def test_leaves_the_order_of_the_training_data_alone(splits):
    splits.set_epoch(5)
    evaluation.measure(kerasae.build("linear", (6, 6, 1), 2, input_dtype="uint8"), splits)
    following = next(iter(splits.train)).numpy()
    splits.set_epoch(5)
    np.testing.assert_array_equal(next(iter(splits.train)).numpy(), following)
