import keras
import numpy as np
import pytest
from scipy.linalg import subspace_angles

import kerasae
from kerasae import evaluation
from kerasae.evaluation.linear import decoder_matrix, largest_principal_angle


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) @ rng.normal(size=(6, 6)) + 3
    return kerasae.data.load(x.astype("float32"), batch_size=64)


def linear(**options):
    return kerasae.build("linear", (6,), 2, **options)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (4, 2), (1, 1)])
def test_angle_is_that_of_scipy(m, n):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, m)), rng.normal(size=(8, n))
    expected = np.degrees(subspace_angles(a, b).max())
    assert largest_principal_angle(a, b) == pytest.approx(expected, rel=1e-9)


def test_angle_is_exact_where_it_is_small_and_where_it_is_right():
    a = np.eye(3)[:, :1]
    for angle in (1e-12, 1e-5, 0.5, np.pi / 2 - 1e-9, np.pi / 2):
        b = np.array([[np.cos(angle)], [np.sin(angle)], [0]])
        assert largest_principal_angle(a, b) == pytest.approx(np.degrees(angle), rel=1e-6)
    assert largest_principal_angle(np.eye(3)[:, :2], a) == 0
    assert largest_principal_angle(a, np.eye(3)[:, :2]) == 90
    assert largest_principal_angle(np.c_[a, a], np.eye(3)[:, :2]) == 90  # of rank 1


def test_decoder_matrix_is_the_product_of_the_layers():
    ae = linear(hidden=(4,))
    kernels = [w for w in ae.decoder_network.get_weights() if w.ndim == 2]
    np.testing.assert_allclose(decoder_matrix(ae), (kernels[0] @ kernels[1]).T, atol=1e-6)


def test_pca_weights_give_the_pca_subspace(splits):
    ae = linear(init="pca", scaler="standardize")
    ae.scaler.adapt([splits.array("train")])
    ae.prepare([splits.array("train")])
    found = evaluation.linear_check(ae, splits)
    assert found["largest_principal_angle"] < 1e-3
    assert found["explained_variance"] == pytest.approx(found["pca_explained_variance"], abs=1e-6)

    from sklearn.decomposition import PCA

    x = evaluation.scale(ae, splits.array("train")).astype("float64")
    expected = PCA(2).fit(x).explained_variance_ratio_.sum()
    on_train = evaluation.linear_check(ae, splits, split="train")
    assert on_train["pca_explained_variance"] == pytest.approx(expected, rel=1e-6)
    for data in (splits.array("train"), splits.train):
        same = evaluation.linear_check(ae, data)
        assert same == pytest.approx(on_train, rel=1e-5, abs=1e-3)


def test_a_missed_direction_shows(splits):
    ae = linear()
    x = splits.array("train").astype("float64")
    vectors = np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
    turned = vectors[:, [0, 1]].copy()
    angle = np.radians(30)
    turned[:, 1] = np.cos(angle) * vectors[:, 1] + np.sin(angle) * vectors[:, 5]
    ae.encoder_network.set_weights([turned, -x.mean(axis=0) @ turned])
    ae.decoder_network.set_weights([turned.T, x.mean(axis=0)])
    found = evaluation.linear_check(ae, splits, split="train")
    assert found["largest_principal_angle"] == pytest.approx(30, abs=1e-3)
    centred = x - x.mean(axis=0)
    kept = 1 - np.square(centred - centred @ turned @ turned.T).sum() / np.square(centred).sum()
    assert found["explained_variance"] == pytest.approx(kept, rel=1e-5)
    assert kept < found["pca_explained_variance"]


def test_directions_without_variance_are_not_asked_for():
    x = np.random.default_rng(0).normal(size=(200, 1)) @ np.ones((1, 6))
    ae = linear(init="pca")
    ae.prepare([x])
    decode = ae.decoder_network.get_weights()
    decode[0][1] = np.random.default_rng(1).normal(size=6)  # the second component is free
    ae.decoder_network.set_weights(decode)
    assert evaluation.linear_check(ae, x.astype("float32"))["largest_principal_angle"] < 0.01


def test_refuses_what_is_not_linear(splits):
    ae = kerasae.build("undercomplete", (6,), 2, hidden=(5,))
    ae.decoder_network.set_weights([w + 0.5 for w in ae.decoder_network.get_weights()])
    with pytest.raises(ValueError, match="without activations"):
        evaluation.linear_check(ae, splits)
    with pytest.raises(ValueError, match="unadapted"):
        evaluation.linear_check(linear(scaler="standardize"), splits)
    wide = kerasae.build("linear", (4100,), 2)
    with pytest.raises(ValueError, match="at most 4096"):
        evaluation.linear_check(wide, np.zeros((3, 4100), "float32"))
    keras.utils.clear_session()
