"""MNIST, where TFDS_DATA_DIR has it: the numbers that the package must reach."""

import keras
import numpy as np
import pytest

import kerasae

pytestmark = [
    pytest.mark.mnist,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the numbers are those of TensorFlow"
    ),
]
PCA_32 = 0.016828  # test MSE of PCA-32 fitted on the training images
LINEAR_DENOISER = 17.57  # dB, best linear denoiser at sigma = .5, clipped


@pytest.fixture(scope="module")
def mnist():
    return kerasae.data.load("mnist", validation=0)


def mean_score(ae, x):
    return float(ae.score(x).mean())


def test_pca_has_its_golden_value(mnist):
    train, test = (mnist.array(s).reshape(-1, 784) / 255.0 for s in ("train", "test"))
    assert (train.shape, test.shape) == ((60000, 784), (10000, 784))
    mean = train.mean(axis=0)
    components = np.linalg.eigh(np.cov(train.T))[1][:, -32:]
    residual = test - mean - (test - mean) @ components @ components.T
    assert (residual**2).mean() == pytest.approx(PCA_32, abs=5e-7)


def test_seed_example_falls_from_five_to_one_hundredth(mnist):
    x = mnist.array("train").reshape(-1, 784).astype("float32") / 255
    ae = kerasae.build("undercomplete", (784,), 32, hidden=(128, 64), output_activation="sigmoid")
    ae.compile()
    loss = ae.fit(x, epochs=5, batch_size=128, verbose=0).history["loss"]
    assert 0.04 < loss[0] < 0.06
    assert loss[-1] < 0.015


def test_linear_reaches_pca_within_one_percent(mnist):
    ae = kerasae.build("linear", (28, 28, 1), 32, input_dtype="uint8")
    ae.compile()
    ae.fit(mnist.train, epochs=8, verbose=0)
    error = mean_score(ae, mnist.test)
    # It cannot beat PCA on the training images; on the test images that holds but for noise.
    assert 0.999 * PCA_32 < error < 1.01 * PCA_32


def test_undercomplete_beats_pca(mnist):
    ae = kerasae.build("undercomplete", (28, 28, 1), 32, input_dtype="uint8")
    ae.compile()
    ae.fit(mnist.train, epochs=6, verbose=0)
    assert mean_score(ae, mnist.test) < 0.8 * PCA_32


def test_denoiser_beats_the_best_linear_one(mnist):
    ae = kerasae.build("denoising", (28, 28, 1), input_dtype="uint8", corruption_level=0.5)
    ae.compile()
    ae.fit(mnist.train, epochs=5, verbose=0)
    clean = mnist.array("test").astype("float32") / 255
    noisy = keras.ops.convert_to_numpy(ae.corruption.corrupt(clean, seed=1))
    assert 10 * np.log10(1 / np.mean((noisy - clean) ** 2)) == pytest.approx(9.37, abs=0.01)
    evaluated = ae.evaluate(mnist.test, verbose=0, return_dict=True)["loss"]
    assert 10 * np.log10(1 / evaluated) > LINEAR_DENOISER + 0.3
