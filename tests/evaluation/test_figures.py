"""Figures of a run take a few rows at a time, and leave out what has no finite score."""

import json

import numpy as np
import pytest

import kerasae
from kerasae import evaluation
from kerasae.evaluation import _passes
from kerasae.training import figures


def drawn(ae, splits, path, metrics=None, split="test"):
    path.mkdir(exist_ok=True)
    metrics = metrics or {"test": {"mse": 1.0}, "baselines": {"mean": {"mse": 2.0}}}
    figures.draw(ae, splits, split, {}, metrics, path)
    entries = json.loads((path / "figures" / "figures.json").read_text())
    return {entry["file"]: entry["alt"] for entry in entries}


@pytest.fixture
def table(tmp_path):
    """300 rows in three classes; a test row and no other is far out of range."""
    x = np.random.default_rng(0).normal(size=(300, 6)).astype("float32")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(300) % 3)
    test = kerasae.data.load(tmp_path / "x.npz").array("test")
    x[np.flatnonzero((x == test[3]).all(axis=1))[0], 0] = 1e22
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(300) % 3)
    return kerasae.data.load(tmp_path / "x.npz")


@pytest.mark.parametrize("variant", ["undercomplete", "denoising", "variational", "contractive"])
def test_a_row_far_out_of_range_is_left_out_and_counted(variant, table, tmp_path):
    ae = kerasae.build(variant, (6,), 2, seed=0)
    ae.calibrate(table.validation, 0.1)
    assert np.isinf(ae.score(table.array("test"))).sum() == 1
    metrics = evaluation.measure(ae, table)
    assert metrics["test"]["mse"] > 1e30
    told = drawn(ae, table, tmp_path / "run", metrics)
    total = table.sizes["test"] - 1
    for file in ("reconstructions.png", "class_errors.png", "scores.png", "code_map.png"):
        assert "1 sample without a finite score or code is not shown." in told[file]
    assert f"{total} test samples: median" in told["scores.png"]
    assert "normal" not in told["scores.png"]
    assert "not shown" not in told["baselines.png"]


def test_errors_that_are_infinite_are_named_instead_of_drawn(table, tmp_path):
    ae = kerasae.build("linear", (6,), 2)
    metrics = {
        "test": {"mse": 1.0}, "baselines": {"mean": {"mse": np.inf}, "pca": {"mse": 2.0}},
        "codes": {"covariance_spectrum": [np.inf, 1.0]},
        "variational": {"kl_per_dimension": [np.nan, 1.0]},
    }  # fmt: skip
    told = drawn(ae, table, tmp_path / "run", metrics)
    assert told["baselines.png"].endswith("and not shown: mean of the training data.")
    assert not {"code_spectrum.png", "kl_per_dimension.png"} & set(told)
    metrics["test"]["mse"] = np.inf
    assert "baselines.png" not in drawn(ae, table, tmp_path / "run", metrics)


def test_without_a_finite_score_there_is_little_to_draw(tmp_path):
    splits = kerasae.data.load(np.full((40, 6), 1e30, "float32"))
    told = drawn(kerasae.build("undercomplete", (6,), 2, seed=0), splits, tmp_path / "run")
    assert set(told) == {"baselines.png"}


def test_baselines_of_the_measured_samples_are_called_so(table, tmp_path):
    metrics = {"test": {"mse": 1.0}, "baselines": {"mean": {"mse": 2.0}}}
    ae = kerasae.build("linear", (6,), 2)
    told = drawn(ae, table, tmp_path / "a", metrics, split="train")
    assert "mean of the training data" in told["baselines.png"]
    metrics["baselines_fitted_on"] = "the measured samples"
    told = drawn(ae, table, tmp_path / "a", metrics, split="train")
    assert "mean of the measured data" in told["baselines.png"]


def test_wide_samples_go_through_the_network_a_few_at_a_time(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((200, 8, 8, 1), dtype="float32")
    splits = kerasae.data.load(x, test=100)
    ae = kerasae.build("undercomplete", (8, 8, 1), 3, seed=0)
    at_once = drawn(ae, splits, tmp_path / "a")
    seen = []
    reconstruct = evaluation.reconstruct

    def watched(model, rows):
        seen.append(len(rows))
        return reconstruct(model, rows)

    monkeypatch.setattr(evaluation, "reconstruct", watched)
    monkeypatch.setattr(_passes, "NUMBERS", 64 * 7)
    in_passes = drawn(ae, splits, tmp_path / "b")
    assert max(seen) == 7
    assert in_passes["reconstructions.png"] == at_once["reconstructions.png"]
    monkeypatch.setattr(_passes, "KEPT", 64 * 4 * 50)
    assert "Map of 50 codes" in drawn(ae, splits, tmp_path / "c")["code_map.png"]
