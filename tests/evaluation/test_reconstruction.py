import numpy as np
import pytest

import kerasae
from kerasae import evaluation, metrics
from kerasae.evaluation import _statistics
from kerasae.evaluation.reconstruction import Errors, cross_entropy, entropy

SHAPE = (6,)


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(400, 6)) + 5
    return kerasae.data.load(x.astype("float32"), batch_size=64)


def pca_error(train, test, components):
    """Mean squared error of PCA, from the definition, by singular values."""
    mean = train.mean(axis=0)
    basis = np.linalg.svd(train - mean, full_matrices=False)[2][:components]
    centred = test - mean
    return float(np.square(centred - centred @ basis.T @ basis).mean())


def test_baselines_are_those_of_numpy(splits):
    ae = kerasae.build("undercomplete", SHAPE, 2)
    measured = evaluation.reconstruction_errors(ae, splits)
    train, test = (splits.array(name).astype("float64") for name in ("train", "test"))
    assert measured["baselines"]["pca"]["mse"] == pytest.approx(pca_error(train, test, 2), rel=1e-6)
    expected = np.square(test - train.mean(axis=0)).mean()
    assert measured["baselines"]["mean"]["mse"] == pytest.approx(expected, rel=1e-6)
    expected = np.square(test - ae.reconstruct(splits.array("test"))).mean()
    assert measured["test"]["mse"] == pytest.approx(expected, rel=1e-5)
    assert set(measured) == {"test", "baselines", "baselines_fitted_on"}
    assert "psnr" not in measured["test"]  # the range of the data is not known


def test_linear_at_the_optimum_equals_the_pca_baseline(splits):
    ae = kerasae.build("linear", SHAPE, 3, init="pca", scaler="standardize")
    ae.compile()
    ae.fit(splits.train, epochs=1, steps_per_epoch=1, verbose=0)
    ae.recipe.prepare(ae, [splits.array("train")])
    measured = evaluation.reconstruction_errors(ae, splits)
    assert measured["test"]["mse"] == pytest.approx(measured["baselines"]["pca"]["mse"], rel=1e-4)


def test_a_code_as_large_as_the_input_loses_nothing(splits):
    measured = evaluation.reconstruction_errors(kerasae.build("sparse_l1", SHAPE, 12), splits)
    assert measured["baselines"]["pca"] == {"mse": 0.0, "mae": 0.0}


def test_wide_data_are_measured_without_a_covariance_matrix(splits, monkeypatch):
    ae = kerasae.build("undercomplete", SHAPE, 2)
    exact = evaluation.reconstruction_errors(ae, splits)
    monkeypatch.setattr(_statistics, "EXACT", 5)
    assert evaluation.reconstruction_errors(ae, splits)["baselines"]["pca"]["mse"] == pytest.approx(
        exact["baselines"]["pca"]["mse"], rel=1e-3
    )


def test_denoising_compares_everything_on_the_same_noisy_input():
    x = np.random.default_rng(0).integers(0, 256, size=(300, 4, 4, 1)).astype("uint8")
    splits = kerasae.data.load(x, batch_size=50, test=0.5)
    ae = kerasae.build(
        "denoising", (4, 4, 1), 4, input_dtype="uint8", corruption="masking", corruption_level=1.0
    )
    measured = evaluation.reconstruction_errors(ae, splits)
    test = splits.array("test") / 255
    # Everything is masked: the noisy input is zero, and no map of it can beat the mean.
    power = np.square(test).mean()
    assert measured["noisy"]["mse"] == pytest.approx(power, rel=1e-5)
    assert measured["noisy"]["psnr"] == pytest.approx(-10 * np.log10(power), rel=1e-5)
    mean = measured["baselines"]["mean"]["mse"]
    assert measured["baselines"]["linear_denoiser"]["mse"] == pytest.approx(mean, rel=1e-4)
    model = evaluation.reconstruction_model(ae)
    blind = model.predict(np.zeros((1, 4, 4, 1), "float32"), verbose=0)
    assert measured["test"]["mse"] == pytest.approx(np.square(test - blind).mean(), rel=1e-5)
    clean = ae.reconstruct(splits.array("test")) / 255
    assert measured["clean"]["mse"] == pytest.approx(np.square(test - clean).mean(), rel=1e-4)


def test_linear_denoiser_is_the_wiener_filter():
    """For Gaussian data of known covariance the best linear map has a closed form."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    splits = kerasae.data.load(
        (rng.normal(size=(40_000, 6)) @ root.T).astype("float32"), batch_size=1000
    )
    ae = kerasae.build("denoising", SHAPE, 2, corruption="gaussian", corruption_level=2.0)
    error = evaluation.reconstruction_errors(ae, splits)["baselines"]["linear_denoiser"]["mse"]
    gain = covariance @ np.linalg.inv(covariance + 4 * np.eye(6))
    expected = np.trace(covariance - gain @ covariance) / 6
    assert error == pytest.approx(expected, rel=0.03)


def test_corruption_depends_on_the_seed_only():
    ae = kerasae.build("denoising", SHAPE, 2)
    x = np.zeros((5, 6), "float32")
    np.testing.assert_array_equal(evaluation.corrupt(ae, x, 3), evaluation.corrupt(ae, x, 3))
    assert np.abs(evaluation.corrupt(ae, x, 3) - evaluation.corrupt(ae, x, 4)).max() > 0.1


def test_all_quantities_have_the_same_names_everywhere():
    x = np.random.default_rng(0).integers(0, 256, size=(300, 6, 6, 1)).astype("uint8")
    splits = kerasae.data.load(x, batch_size=50)
    ae = kerasae.build("denoising", (6, 6, 1), 4, input_dtype="uint8", corruption_level=0.5)
    measured = evaluation.reconstruction_errors(ae, splits)
    names = ["mse", "mae", "psnr", "ssim", "bce", "bce_floor"]
    assert list(measured) == ["test", "noisy", "clean", "baselines", "baselines_fitted_on"]
    assert list(measured["baselines"]) == ["pca", "mean", "linear_denoiser"]
    baselines = measured.pop("baselines")
    assert measured.pop("baselines_fitted_on") == "train split"
    for values in (*measured.values(), *baselines.values()):
        assert list(values) == names
        assert values["bce"] >= values["bce_floor"] == measured["test"]["bce_floor"]


def test_quantities_are_those_of_their_definitions():
    x = np.random.default_rng(0).integers(0, 256, size=(300, 6, 6, 1)).astype("uint8")
    splits = kerasae.data.load(x, batch_size=50)
    ae = kerasae.build("undercomplete", (6, 6, 1), 4, input_dtype="uint8")
    found = evaluation.reconstruction_errors(ae, splits)["test"]
    clean = splits.array("test") / 255
    output = ae.reconstruct(splits.array("test")).astype("float64") / 255
    assert found["mae"] == pytest.approx(np.abs(clean - output).mean(), rel=1e-5)
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["mse"]), rel=1e-6)
    bce = -(clean * np.log(output) + (1 - clean) * np.log(1 - output))
    assert found["bce"] == pytest.approx(bce.mean(), rel=1e-5)
    similarity = float(np.mean(metrics.ssim(clean, output, 1.0)))
    assert found["ssim"] == pytest.approx(similarity, rel=1e-4)


def test_the_floor_is_the_cross_entropy_of_the_target_with_itself():
    x = np.array([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(entropy(x), cross_entropy(x, x), atol=1e-5)
    np.testing.assert_allclose(entropy(x), [0, 0.562335, np.log(2), 0], atol=1e-6)


def test_cross_entropy_is_left_out_where_data_leave_the_unit_interval():
    errors = Errors((2,), 1.0)
    errors.add(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]), floor=0.0)
    assert set(errors.result()) == {"mse", "mae", "psnr", "bce", "bce_floor"}
    errors.add(np.array([[0.0, 1.5]]), np.array([[0.5, 0.5]]), floor=None)
    assert errors.result() == pytest.approx(
        {"mse": 1.75 / 4, "mae": 2.5 / 4, "psnr": -10 * np.log10(1.75 / 4)}
    )


def test_noise_that_leaves_the_range_is_clipped_as_a_baseline():
    x = np.random.default_rng(0).random((200, 6), dtype="float32")
    splits = kerasae.data.load(x)
    noise = kerasae.layers.GaussianCorruption(stddev=1.0, clip=None)
    ae = kerasae.build("denoising", SHAPE, 2, corruption=noise)
    measured = evaluation.reconstruction_errors(ae, splits)
    clean = splits.array("test")
    noisy = evaluation.corrupt(ae, clean, 0)
    assert measured["noisy"]["mse"] == pytest.approx(np.square(noisy - clean).mean(), rel=1e-5)
    expected = np.square(np.clip(noisy, 0, 1) - clean).mean()
    assert measured["clipped"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_moments_keep_their_digits_far_from_zero():
    rows = np.random.default_rng(0).normal(size=(3000, 4)) + 1e7
    moments = _statistics.Moments(4)
    for part in np.split(rows, 5):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T, bias=True), rtol=1e-8, atol=1e-8)


def test_pca_is_that_of_scikit_learn(splits):
    from sklearn.decomposition import PCA

    ae = kerasae.build("undercomplete", SHAPE, 2, scaler="standardize")
    ae.scaler.adapt([splits.array("train")])
    found = evaluation.reconstruction_errors(ae, splits, split="validation")
    train, test = (evaluation.scale(ae, splits.array(s)) for s in ("train", "validation"))
    pca = PCA(2).fit(train.astype("float64"))
    expected = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    assert found["baselines"]["pca"]["mse"] == pytest.approx(expected, rel=1e-6)


def test_baselines_say_what_they_were_fitted_on(splits):
    ae = kerasae.build("undercomplete", SHAPE, 2)
    by_split = {
        split: evaluation.reconstruction_errors(ae, splits, split=split)["baselines_fitted_on"]
        for split in ("train", "validation", "test")
    }
    assert by_split == {
        "train": "the measured samples",
        "validation": "train split",
        "test": "train split",
    }


def test_wide_rows_go_through_a_few_at_a_time(splits, monkeypatch):
    from kerasae.evaluation import passes, reconstruction

    assert passes.rows_of((128, 128, 3)) == 85
    assert passes.rows_of((64, 64)) == passes.rows_of((2,)) == 1024
    assert passes.rows_of((4096, 4096)) == 1
    ae = kerasae.build("undercomplete", SHAPE, 2)
    at_once = evaluation.reconstruction_errors(ae, splits)
    seen = []

    def watched(model, x):
        seen.append(len(x))
        return evaluation.reconstruct(model, x)

    monkeypatch.setattr(reconstruction, "reconstruct", watched)
    monkeypatch.setattr(passes, "NUMBERS", 7 * 6)
    in_passes = evaluation.reconstruction_errors(ae, splits)
    assert max(seen) == 7
    assert sum(seen) == splits.sizes["test"]
    for name in ("pca", "mean"):
        expected = pytest.approx(at_once["baselines"][name], rel=1e-9)
        assert in_passes["baselines"][name] == expected
    assert in_passes["test"] == pytest.approx(at_once["test"], rel=1e-6)


@pytest.mark.parametrize("split", ["tst", None, ["test"]])
def test_a_split_must_be_one_there_is(splits, split):
    ae = kerasae.build("linear", SHAPE, 2)
    for measure in (
        evaluation.reconstruction_errors,
        evaluation.codes,
        evaluation.measure,
        evaluation.linear_check,
        evaluation.sample_quality,
    ):
        with pytest.raises(ValueError, match=r"must be one of 'train', .* Received: split="):
            measure(ae, splits, split=split)


def test_an_empty_split_is_refused():
    splits = kerasae.data.load(np.ones((40, 6), "float32"), test=0)
    ae = kerasae.build("linear", SHAPE, 2)
    for measure in (
        evaluation.reconstruction_errors,
        evaluation.codes,
        evaluation.measure,
        evaluation.linear_check,
        evaluation.sample_quality,
    ):
        with pytest.raises(ValueError, match=r"at least one sample.* Received: split='test'"):
            measure(ae, splits)


def test_an_outlier_costs_wide_data_no_component(splits, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(60, 9)).astype("float32") * np.arange(1, 10)
    rows = rows.astype("float32")
    mean, _ = _statistics.truncated(rows.copy(), 2, 0)
    np.testing.assert_allclose(mean, rows.mean(axis=0, dtype="float64"), atol=1e-6)
    far = rows.copy()
    far[0, 0] = 1e30
    with np.errstate(over="raise", invalid="raise"):
        _, of_far = _statistics.truncated(far, 2, 0)
    assert abs(of_far[0, 0]) == pytest.approx(1)
    assert np.isfinite(of_far).all()
