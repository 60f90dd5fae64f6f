import numpy as np
import pytest

import kerasae
from kerasae import evaluation

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
    metrics = evaluation.measure(ae, splits)
    train, test = (splits.array(name).astype("float64") for name in ("train", "test"))
    assert metrics["baselines"]["pca"]["mse"] == pytest.approx(pca_error(train, test, 2), rel=1e-6)
    expected = np.square(test - train.mean(axis=0)).mean()
    assert metrics["baselines"]["mean"]["mse"] == pytest.approx(expected, rel=1e-6)
    expected = np.square(test - ae.reconstruct(splits.array("test"))).mean()
    assert metrics["test"]["mse"] == pytest.approx(expected, rel=1e-5)
    assert set(metrics) == {"test", "baselines"}
    assert "psnr" not in metrics["test"]  # the range of the data is not known


def test_linear_at_the_optimum_equals_the_pca_baseline(splits):
    ae = kerasae.build("linear", SHAPE, 3, init="pca", scaler="standardize")
    ae.compile()
    ae.fit(splits.train, epochs=1, steps_per_epoch=1, verbose=0)
    ae.initialize_from_pca([splits.array("train")])
    metrics = evaluation.measure(ae, splits)
    assert metrics["test"]["mse"] == pytest.approx(metrics["baselines"]["pca"]["mse"], rel=1e-4)


def test_a_code_as_large_as_the_input_loses_nothing(splits):
    metrics = evaluation.measure(kerasae.build("sparse_l1", SHAPE, 12), splits)
    assert metrics["baselines"]["pca"] == {"mse": 0.0}


def test_wide_data_are_measured_without_a_covariance_matrix(splits, monkeypatch):
    ae = kerasae.build("undercomplete", SHAPE, 2)
    exact = evaluation.measure(ae, splits)
    monkeypatch.setattr(evaluation, "_EXACT", 5)
    assert evaluation.measure(ae, splits)["baselines"]["pca"]["mse"] == pytest.approx(
        exact["baselines"]["pca"]["mse"], rel=1e-3
    )


def test_denoising_compares_everything_on_the_same_noisy_input():
    x = np.random.default_rng(0).integers(0, 256, size=(300, 4, 4, 1)).astype("uint8")
    splits = kerasae.data.load(x, batch_size=50, test=0.5)
    ae = kerasae.build(
        "denoising", (4, 4, 1), 4, input_dtype="uint8", corruption="masking", corruption_level=1.0
    )
    metrics = evaluation.measure(ae, splits)
    test = splits.array("test") / 255
    # Everything is masked: the noisy input is zero, and no map of it can beat the mean.
    power = np.square(test).mean()
    assert metrics["noisy"]["mse"] == pytest.approx(power, rel=1e-5)
    assert metrics["noisy"]["psnr"] == pytest.approx(-10 * np.log10(power), rel=1e-5)
    mean = metrics["baselines"]["mean"]["mse"]
    assert metrics["baselines"]["linear_denoiser"]["mse"] == pytest.approx(mean, rel=1e-4)
    model = evaluation.reconstruction_model(ae)
    blind = model.predict(np.zeros((1, 4, 4, 1), "float32"), verbose=0)
    assert metrics["test"]["mse"] == pytest.approx(np.square(test - blind).mean(), rel=1e-5)
    clean = ae.reconstruct(splits.array("test")) / 255
    assert metrics["clean"]["mse"] == pytest.approx(np.square(test - clean).mean(), rel=1e-4)


def test_linear_denoiser_is_the_wiener_filter():
    """For Gaussian data of known covariance the best linear map has a closed form."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    splits = kerasae.data.load(
        (rng.normal(size=(40_000, 6)) @ root.T).astype("float32"), batch_size=1000
    )
    ae = kerasae.build("denoising", SHAPE, 2, corruption="gaussian", corruption_level=2.0)
    error = evaluation.measure(ae, splits)["baselines"]["linear_denoiser"]["mse"]
    gain = covariance @ np.linalg.inv(covariance + 4 * np.eye(6))
    expected = np.trace(covariance - gain @ covariance) / 6
    assert error == pytest.approx(expected, rel=0.03)


def test_corruption_depends_on_the_seed_only():
    ae = kerasae.build("denoising", SHAPE, 2)
    x = np.zeros((5, 6), "float32")
    np.testing.assert_array_equal(evaluation.corrupt(ae, x, 3), evaluation.corrupt(ae, x, 3))
    assert np.abs(evaluation.corrupt(ae, x, 3) - evaluation.corrupt(ae, x, 4)).max() > 0.1


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_baselines_are_the_published_ones():
    splits = kerasae.data.load("mnist", batch_size=1000, validation=1)
    ae = kerasae.build("denoising", (28, 28, 1), 32, input_dtype="uint8")
    metrics = evaluation.measure(ae, splits)
    assert metrics["noisy"]["psnr"] == pytest.approx(9.37, abs=0.01)
    assert metrics["baselines"]["linear_denoiser"]["psnr"] == pytest.approx(17.57, abs=0.02)
    ae = kerasae.build("undercomplete", (28, 28, 1), 32, input_dtype="uint8")
    pca = evaluation.measure(ae, splits)["baselines"]["pca"]["mse"]
    assert pca == pytest.approx(0.016828, abs=2e-6)
