import numpy as np
import pytest

import kerasae
from kerasae import evaluation


def identity(size, seed=0):
    """A linear model whose code is its input."""
    ae = kerasae.build("undercomplete", (size + 1,), size, hidden=())
    weights = [np.eye(size + 1, size), np.zeros(size), np.eye(size, size + 1), np.zeros(size + 1)]
    ae.set_weights(weights)
    return ae


@pytest.fixture(scope="module")
def blobs():
    """Three far clusters, with their labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, size=600)
    centres = np.array([[0, 0, 9, 0], [0, 9, 0, 0], [9, 0, 0, 0]])
    x = centres[labels] + rng.normal(size=(600, 4))
    x[:, 3] = 0
    return x.astype("float32"), labels


@pytest.fixture(scope="module")
def splits(blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, x=blobs[0], y=blobs[1])
    return kerasae.data.load(path, batch_size=32, test=0.3)


def test_what_is_known_of_three_blobs(splits):
    found = evaluation.codes(identity(3), splits)
    code = splits.array("test")[:, :3].astype("float64")
    np.testing.assert_allclose(found["mean_activation"], code.mean(axis=0), rtol=1e-5)
    expected = np.linalg.svd(code - code.mean(axis=0), compute_uv=False) ** 2 / len(code)
    np.testing.assert_allclose(found["covariance_spectrum"], expected, rtol=1e-4)
    assert (found["active_units"], found["dead_units"]) == (3, 0)
    # Input and code differ by a constant only, so no neighbour is a wrong one.
    assert found["trustworthiness"] == 1
    for key in ("probe_accuracy", "knn_accuracy", "nmi", "ari", "clustering_accuracy"):
        assert found[key] == 1
    assert found["reference"]["input"] == {"probe_accuracy": 1, "knn_accuracy": 1}
    assert found["reference"]["pca"] == {"probe_accuracy": 1, "knn_accuracy": 1}
    assert found == evaluation.codes(identity(3), splits)


def test_dead_units_are_those_that_stay_the_same(splits):
    ae = identity(3)
    weights = ae.get_weights()
    weights[0][:, 1] = 0  # a constant 5
    weights[1][1] = 5
    ae.set_weights(weights)
    found = evaluation.codes(ae, splits)
    assert (found["active_units"], found["dead_units"]) == (2, 1)
    assert found["mean_activation"][1] == 5
    assert found["covariance_spectrum"][2] == pytest.approx(0, abs=1e-9)
    code = ae.encode(splits.array("test")).astype("float64")
    ratio = np.abs(code).sum(axis=1) / np.sqrt(np.square(code).sum(axis=1))
    expected = np.mean((np.sqrt(3) - ratio) / (np.sqrt(3) - 1))
    assert found["hoyer_sparsity"] == pytest.approx(expected, rel=1e-5)


def test_a_collapsed_code_is_measured_without_a_warning(splits):
    ae = identity(3)
    ae.set_weights([np.zeros_like(w) for w in ae.get_weights()])
    found = evaluation.codes(ae, splits)
    assert (found["active_units"], found["dead_units"]) == (0, 3)
    assert found["hoyer_sparsity"] == 0
    assert found["nmi"] == 0
    assert all(np.isfinite(found["covariance_spectrum"]))


def test_without_labels_there_is_nothing_to_tell_apart(blobs):
    splits = kerasae.data.load(blobs[0])
    found = evaluation.codes(identity(3), splits, limit=20)
    assert "probe_accuracy" not in found
    assert "nmi" not in found
    assert 0.5 < found["trustworthiness"] <= 1


def test_target_activation_stands_beside_the_mean(splits):
    ae = kerasae.build("sparse_kl", (4,), 6, target_activation=0.2)
    found = evaluation.measure(ae, splits)["codes"]
    assert found["target_activation"] == 0.2
    assert len(found["mean_activation"]) == 6
    assert "pca" not in found["reference"]  # a code larger than the input has none


def test_accuracy_by_assignment():
    labels = np.random.default_rng(0).integers(0, 7, size=200)
    permuted = np.random.default_rng(1).permutation(7)[labels]
    assert evaluation.assignment_accuracy(labels, permuted) == 1
    assert evaluation.assignment_accuracy(["a", "a", "b"], [1, 2, 3]) == pytest.approx(2 / 3)
    assert evaluation.assignment_accuracy([0, 1, 2, 2], [5, 5, 5, 5]) == 0.5


def test_a_sample_is_drawn_by_its_seed(splits):
    from kerasae.evaluation.passes import sample

    x, labels = sample(splits, "train", 50, seed=1)
    assert x.shape == (50, 4)
    whole = splits.array("train")
    rows = [int(np.flatnonzero((whole == row).all(axis=1))[0]) for row in x]
    assert rows == sorted(rows)
    assert rows != list(range(50))
    np.testing.assert_array_equal(splits.labels["train"][rows], labels)
    np.testing.assert_array_equal(sample(splits, "train", 50, seed=1)[0], x)


def test_classifiers_are_not_measured_on_what_they_were_fitted_on(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(2000, 4)).astype("float32"), rng.integers(0, 4, size=2000)
    np.savez(tmp_path / "chance.npz", x=x, y=labels)
    splits = kerasae.data.load(tmp_path / "chance.npz", validation=0, test=0)
    found = evaluation.codes(identity(3), splits, split="train")
    # Four classes by pure chance: 1000 rows tell within 0.06, and known rows would give .5.
    for told in (found, *found["reference"].values()):
        assert told["knn_accuracy"] == pytest.approx(0.25, abs=0.06)
        assert told["probe_accuracy"] == pytest.approx(0.25, abs=0.06)
    # What can be told is told from the other half too.
    np.savez(tmp_path / "clear.npz", x=x + 50 * labels[:, None].astype("float32"), y=labels)
    splits = kerasae.data.load(tmp_path / "clear.npz", validation=0, test=0)
    assert evaluation.codes(identity(3), splits, split="train")["knn_accuracy"] == 1


def test_wide_samples_are_taken_in_parts(splits, monkeypatch):
    from kerasae.evaluation import code_quality, passes

    ae = identity(3)
    expected = evaluation.codes(ae, splits)
    monkeypatch.setattr(passes, "NUMBERS", 4 * 10)
    monkeypatch.setattr(code_quality, "_HELD", 4 * 60)
    flat_rows = []

    def watched(x):
        flat_rows.append(len(x))
        return np.asarray(x, "float64").reshape(len(x), -1)

    monkeypatch.setattr(code_quality, "flat", watched)
    found = evaluation.codes(ae, splits)
    assert max(flat_rows) <= 60
    for key in ("mean_activation", "covariance_spectrum"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5)
    assert found["probe_accuracy"] == expected["probe_accuracy"]
    # PCA codes come from passes; the input itself is too much.
    assert set(found["reference"]) == {"pca"}
    assert found["reference"]["pca"] == expected["reference"]["pca"]


def test_a_sample_takes_a_bounded_number_of_bytes(splits, monkeypatch):
    from kerasae.evaluation import passes

    monkeypatch.setattr(passes, "KEPT", 40 * 16)
    assert len(passes.sample(splits, "train", 5000, seed=0)[0]) == 40
    assert len(passes.sample(splits, "train", 5000, seed=0, least=70)[0]) == 70


def test_samples_without_a_finite_code_are_left_out_and_counted(blobs, tmp_path):
    x, labels = blobs[0].copy(), blobs[1]
    np.savez(tmp_path / "x.npz", x=x, y=labels)
    splits = kerasae.data.load(tmp_path / "x.npz")
    row = np.flatnonzero((x == splits.array("test")[2]).all(axis=1))[0]
    x[row, :2] = 3e38
    np.savez(tmp_path / "x.npz", x=x, y=labels)
    splits = kerasae.data.load(tmp_path / "x.npz")
    ae = identity(3)
    weights = ae.get_weights()
    weights[0] *= 2
    ae.set_weights(weights)
    found = evaluation.codes(ae, splits)
    assert found["left_out"] == 1
    code = ae.encode(splits.array("test"))
    code = code[np.isfinite(code).all(axis=1)]
    np.testing.assert_allclose(found["mean_activation"], code.mean(axis=0), rtol=1e-5)
    assert found["knn_accuracy"] == 1
