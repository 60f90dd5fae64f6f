import json

import keras
import numpy as np
import pytest

import kerasae
from kerasae.evaluation import frechet_distance, precision_recall, sample_quality
from kerasae.evaluation import samples as module


def with_moments(n, mean, covariance, rng):
    """Return n rows whose sample mean and covariance are exactly those given."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(np.atleast_2d(np.cov(x, rowvar=False))))
    return x @ root @ np.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize("width", [1, 2, 7])
def test_frechet_distance_of_gaussians(width):
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(width)
    means = rng.normal(size=(2, width))
    halves = rng.normal(size=(2, width, width))
    one, two = (half @ half.T + 0.1 * np.eye(width) for half in halves)
    closed = np.square(means[0] - means[1]).sum() + np.trace(
        one + two - 2 * np.real(sqrtm(one @ two))
    )
    a = with_moments(300, means[0], one, rng)
    b = with_moments(200, means[1], two, rng)
    assert frechet_distance(a, b) == pytest.approx(closed, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(closed, rel=1e-9)


def test_frechet_distance_by_hand():
    # Covariances diag(4, 1) and diag(1, 9) commute: (2 - 1)^2 + (1 - 3)^2, and 3^2 + 4^2.
    rng = np.random.default_rng(0)
    a = with_moments(50, np.zeros(2), np.diag([4.0, 1.0]), rng)
    b = with_moments(60, np.array([3.0, 4.0]), np.diag([1.0, 9.0]), rng)
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + 25)


def test_frechet_distance_is_zero_for_equal_features_of_any_rank():
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(100, 5)), rng.normal(size=(6, 40)), np.ones((4, 3))):
        assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-12)
    # Large offsets and singular covariances cost no digits.
    x = 1e4 + rng.normal(size=(50, 2)) @ rng.normal(size=(2, 8))
    assert frechet_distance(x, x + 0.5) == pytest.approx(8 * 0.25, rel=1e-6)


def test_precision_and_recall_of_clusters():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 60, 3)) * 0.1
    two = two + 100
    real = np.concatenate([one, two])
    # Only the first kind, well made: nothing wrong, half of it missing.
    half = np.concatenate([one, one])
    assert precision_recall(real, half) == (1.0, 0.5)
    # All kinds, and as much that is nothing.
    wild = rng.normal(size=(120, 3)) - 1000
    precision, recall = precision_recall(real, np.concatenate([real, wild]))
    assert (precision, recall) == (0.5, 1.0)
    assert precision_recall(real, wild) == (0.0, 0.0)
    assert precision_recall(real, real) == (1.0, 1.0)


def test_precision_and_recall_by_hand():
    real = np.array([[0.0], [1.0], [3.0], [6.0]])
    generated = np.array([[-1.5], [5.0], [9.0], [9.5]])
    # Radii with k = 1: real 1, 1, 2, 3 cover [-1, 5] and [3, 9]; generated 6.5, 4, 0.5, 0.5 cover
    # [-8, 5], [1, 9], [8.5, 9.5] and [9, 10].
    assert precision_recall(real, generated, k=1) == (0.5, 1.0)
    # Radii with k = 2: real 3, 2, 3, 5 cover [-3, 11].
    assert precision_recall(real, generated, k=2)[0] == 1.0


def test_precision_and_recall_are_the_same_in_pieces():
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1500, 4)), 1.3 * rng.normal(size=(1300, 4)) + 0.3

    def share(points, by):
        radii = np.sort(cdist(by, by), axis=1)[:, 3]
        return (cdist(points, by) <= radii).any(axis=1).mean()

    assert precision_recall(a, b) == (share(b, a), share(a, b))


@pytest.fixture(scope="module")
def digits():
    return kerasae.data.load("digits")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 80)


def test_real_is_better_than_blurred_is_better_than_noise(digits, short):
    from scipy.ndimage import gaussian_filter

    x = digits.array("train").astype("float32")[:180]
    given = {
        "real": digits.array("validation"),
        "blurred": gaussian_filter(x, (0, 0.7, 0.7, 0)),
        "noise": np.random.default_rng(0).uniform(0, 255, x.shape),
    }
    by_name = {name: sample_quality(values, digits, seeds=[5]) for name, values in given.items()}
    real, blurred, noise = by_name.values()
    assert real["frechet_distance"] < 1.5 * real["reference_distance"]
    assert 3 * real["frechet_distance"] < blurred["frechet_distance"]
    assert 1.3 * blurred["frechet_distance"] < noise["frechet_distance"]
    assert real["reference_distance"] == pytest.approx(noise["reference_distance"], rel=1e-3)
    assert real["precision"] > 0.85
    assert real["recall"] > 0.85
    assert blurred["recall"] < 0.5
    assert noise["precision"] < 0.5
    assert real["classifier_accuracy"] > 0.9
    assert real["feature_space"] == "classifier"
    assert real["frechet_spread"] is None
    assert (real["n"], real["seeds"]) == (180, 1)
    json.dumps(real, allow_nan=False)


def test_a_model_is_asked_for_samples_of_each_seed(digits, short):
    asked = []

    class Model:
        def generate(self, n, seed):
            asked.append((n, seed))
            return digits.array("validation")[:n]

    keras.utils.set_random_seed(3)
    expected = np.random.rand()
    keras.utils.set_random_seed(3)
    quality = sample_quality(Model(), digits, n=100, seeds=2)
    assert asked == [(100, 0), (100, 1)]
    assert quality["frechet_spread"] > 0
    assert np.random.rand() == expected
    again = sample_quality(Model(), digits, n=100, seeds=2)
    assert again["frechet_distance"] == pytest.approx(quality["frechet_distance"], rel=1e-3)
    other = sample_quality(Model(), digits, n=100, seeds=1, seed=7)
    assert asked[-1] == (100, 7)
    assert other["reference_distance"] != pytest.approx(quality["reference_distance"], rel=1e-3)


def test_without_labels_a_random_network_looks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype("float32") @ rng.normal(size=(6, 6)).astype("float32")
    splits = kerasae.data.load(x, test=100)
    ae = kerasae.build("variational", (6,), 2)
    quality = sample_quality(ae, splits, seeds=2)
    assert quality["feature_space"] == "random network"
    assert "classifier_accuracy" not in quality
    assert quality["n"] == min(100, splits.sizes["train"] // 4)
    good = sample_quality(splits.array("validation"), splits, seeds=2)
    assert good["frechet_distance"] < quality["frechet_distance"]


def test_tables_with_labels_and_series(short):
    splits = kerasae.data.load("manifold", limit=1200)
    near = splits.array("validation")
    far = near * np.float32(3)
    one, two = (sample_quality(x, splits, seeds=1) for x in (near, far))
    assert one["frechet_distance"] < two["frechet_distance"]
    assert one["feature_space"] == "classifier"
    series = np.random.default_rng(0).normal(size=(200, 12, 2)).astype("float32")
    splits = kerasae.data.load(series)
    assert sample_quality(splits.array("validation"), splits, seeds=1)["n"] == 20


def test_refuses_what_will_not_do(digits):
    with pytest.raises(ValueError, match=r"shape \(n, 8, 8, 1\).*\(9, 64\)"):
        sample_quality(np.zeros((9, 64)), digits)
    with pytest.raises(ValueError, match="finite"):
        sample_quality(np.full((9, 8, 8, 1), np.nan), digits)
    with pytest.raises(ValueError, match="n must be from 8 to 180"):
        sample_quality(digits.array("test"), digits, n=500)
    with pytest.raises(ValueError, match="at least 8 samples"):
        sample_quality(digits.array("test")[:3], digits)
    with pytest.raises(ValueError, match="seeds must be"):
        sample_quality(digits.array("test"), digits, seeds=0)
    with pytest.raises(ValueError, match=r"generate .*Received: variant="):
        sample_quality(kerasae.build("linear", (8, 8, 1), 2, input_dtype="uint8"), digits)
    with pytest.raises(ValueError, match="features_a must be finite"):
        frechet_distance([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"same number of features.*3 and 2"):
        frechet_distance(np.ones((4, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="k must be at least 1 and below"):
        precision_recall(np.ones((3, 2)), np.ones((9, 2)))


def test_columns_in_small_units_count_as_much(monkeypatch):
    x = np.random.default_rng(0).normal(size=(800, 6)).astype("float32")
    x[:, 5] *= 1000
    splits = kerasae.data.load(x, test=150)
    good = splits.array("validation")
    poor = good.copy()
    poor[:, :5] = 0
    one, two = (sample_quality(values, splits, seeds=2) for values in (good, poor))
    assert two["frechet_distance"] > 5 * one["frechet_distance"]
    # Units change nothing.
    other = kerasae.data.load(x * np.float32([1, 10, 0.01, 1, 1e4, 1e-3]), test=150)
    again = sample_quality(other.array("validation"), other, seeds=2)
    assert again["frechet_distance"] == pytest.approx(one["frechet_distance"], rel=1e-3)


def test_scale_by_kind_of_data():
    rng = np.random.default_rng(0)
    images = rng.random((20, 4, 4, 3))
    assert module._scale_of(images) == (images.mean(), images.std())
    series = rng.normal(size=(30, 7, 2)) * [1, 100]
    offset, scale = module._scale_of(series)
    np.testing.assert_allclose(offset, series.mean(axis=(0, 1)))
    np.testing.assert_allclose(scale, series.std(axis=(0, 1)))
    table = np.stack([np.zeros(9), np.full(9, 1e4), np.arange(9)], axis=1)
    np.testing.assert_allclose(module._scale_of(table)[1], [1, 1e4, np.arange(9).std()])


def test_wide_samples_are_compared_in_smaller_numbers(monkeypatch):
    x = np.random.default_rng(0).normal(size=(400, 10)).astype("float32")
    splits = kerasae.data.load(x, test=100)
    assert sample_quality(splits.array("test"), splits, seeds=1)["n"] == 65
    monkeypatch.setattr(module, "_HELD", 30 * 10)
    asked = []

    class Model:
        sample_shape = (10,)

        def generate(self, n, seed, batch_size):
            asked.append((n, batch_size))
            return splits.array("validation")[:n]

    assert sample_quality(Model(), splits, seeds=1)["n"] == 30
    assert asked == [(30, 1024)]


def test_seeds_may_be_numbers_of_numpy(digits, short):
    x = digits.array("validation")[:20]
    one = sample_quality(x, digits, seeds=np.int64(1))
    two = sample_quality(x, digits, seeds=np.array([0]))
    assert one["seeds"] == two["seeds"] == 1
    assert one["reference_distance"] == pytest.approx(two["reference_distance"], rel=1e-3)
    for seeds in (1.5, True, "many", [1.5], [], None, [-1]):
        with pytest.raises(ValueError, match=r"seeds must be .*Received: seeds="):
            sample_quality(x, digits, seeds=seeds)
    with pytest.raises(ValueError, match=r"n must be .*Received: n="):
        sample_quality(x, digits, n=8.5)
