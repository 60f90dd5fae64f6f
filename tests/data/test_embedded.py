import numpy as np
import pytest

import kerasae.data
from kerasae.data.embedded import manifold
from kerasae.data.rows import SPLITS


def test_digits_are_sixteenths_within_half_a_level():
    from sklearn.datasets import load_digits

    splits = kerasae.data.load("digits", validation=0, test=0)
    assert splits.shape == (8, 8, 1)
    assert splits.dtype == "uint8"
    assert splits.class_names == [str(digit) for digit in range(10)]
    images = splits.array("train")
    assert (images.min(), images.max()) == (0, 255)
    error = np.abs(images[..., 0] / 255 - load_digits().images / 16)
    assert error.max() <= 0.5 / 255


def test_two_principal_components_keep_half_of_the_sheet():
    for seed in range(3):
        x = manifold(seed).x.astype(np.float64)
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        variances = np.linalg.svd(z, compute_uv=False) ** 2
        assert variances[:2].sum() / variances.sum() == pytest.approx(0.53, abs=0.01)


def test_the_sheet_is_two_dimensional_up_to_noise():
    splits = kerasae.data.load("manifold", seed=1)
    assert splits.shape == (10,)
    assert splits.dtype == "float32"
    u, v = splits.extras["coordinates"]["train"].T
    assert np.abs([u, v]).max() <= 1
    x = splits.array("train")
    expected = np.stack([u, 20 * v, 5 * np.sin(np.pi * u), 100 * np.exp(u - 0.5 * v)], axis=1)
    error = x[:, [0, 1, 2, 9]] - expected
    np.testing.assert_allclose(error.std(axis=0) / expected.std(axis=0), 0.01, rtol=0.1)


def test_the_sheet_has_clusters_and_is_drawn_from_the_seed():
    splits = kerasae.data.load("manifold", seed=1)
    labels = splits.labels["train"]
    assert len(splits.class_names) == 5
    centers = [splits.extras["coordinates"]["train"][labels == k].mean(axis=0) for k in range(5)]
    expected = [[-0.6, -0.6], [-0.6, 0.6], [0.6, -0.6], [0.6, 0.6], [0, 0]]
    np.testing.assert_allclose(centers, expected, atol=0.05)
    np.testing.assert_array_equal(manifold(1).x, manifold(1).x)
    assert not np.array_equal(manifold(1).x, manifold(2).x)


@pytest.mark.parametrize(("name", "size"), [("photos", 16), ("photos8", 8)])
def test_photos_share_no_pixel_between_splits(name, size):
    splits = kerasae.data.load(name, seed=3)
    assert splits.shape == (size, size, 1)
    assert splits.dtype == "uint8"
    assert splits.class_names == ["china", "flower"]
    seen = np.zeros((len(SPLITS), 2, 427, 640), bool)
    for number, split in enumerate(SPLITS):
        for photo, top, left in splits.extras["position"][split]:
            seen[number, photo, top : top + size, left : left + size] = True
    assert seen.any(axis=(1, 2, 3)).all()
    assert seen.sum(axis=0).max() == 1


def test_photos_are_the_luma_of_the_photographs():
    from sklearn.datasets import load_sample_images

    splits = kerasae.data.load("photos", seed=3)
    photo, top, left = splits.extras["position"]["test"][5]
    patch = load_sample_images().images[photo][top : top + 16, left : left + 16].astype(float)
    luma = 0.299 * patch[..., 0] + 0.587 * patch[..., 1] + 0.114 * patch[..., 2]
    assert np.abs(splits.array("test")[5, ..., 0] - luma).max() <= 0.5 + 1e-9
    assert splits.labels["test"][5] == photo


def test_held_out_strips_depend_on_the_seed():
    a, b = (kerasae.data.load("photos8", seed=seed).extras["position"]["test"] for seed in (0, 1))
    assert not np.array_equal(a, b)
