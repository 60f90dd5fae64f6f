"""Figures of a run take a few rows at a time, and leave out what has no finite score."""

import json
import re

import numpy as np
import pytest

import kerasae
from kerasae import evaluation
from kerasae.evaluation import passes
from kerasae.runs import figures


def drawn(ae, splits, path, metrics=None, split="test", **options):
    path.mkdir(exist_ok=True)
    metrics = metrics or {"test": {"mse": 1.0}, "baselines": {"mean": {"mse": 2.0}}}
    figures.draw(ae, splits, split, {}, metrics, path, **options)
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
        "test": {"mse": 1.0},
        "baselines": {"mean": {"mse": np.inf}, "pca": {"mse": 2.0}},
        "codes": {"covariance_spectrum": [np.inf, 1.0]},
        "variational": {"kl_per_dimension": [np.nan, 1.0]},
    }
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
    monkeypatch.setattr(passes, "NUMBERS", 64 * 7)
    in_passes = drawn(ae, splits, tmp_path / "b")
    assert max(seen) == 7
    assert in_passes["reconstructions.png"] == at_once["reconstructions.png"]
    monkeypatch.setattr(passes, "KEPT", 64 * 4 * 50)
    assert "Map of 50 codes" in drawn(ae, splits, tmp_path / "c")["code_map.png"]


NAMES = ["age", "pay", "height", "weight", "steps", "sleep"]


def test_samples_are_named_by_their_row_of_the_split_and_columns_by_name(table, tmp_path):
    ae = kerasae.build("undercomplete", (6,), 2, seed=0)
    ae.calibrate(table.validation, 0.1)
    told = drawn(ae, table, tmp_path / "run", columns=NAMES)
    scores = ae.score(table.array("test"))
    worst = np.argsort(np.where(np.isfinite(scores), scores, -1))[::-1][0]
    feature = NAMES[ae.feature_scores(table.array("test")[worst : worst + 1])[0].argmax()]
    first = told["feature_scores.png"].split("the largest of each: ")[1]
    assert first.startswith(f"test sample {worst}: ")
    assert f" at {feature}, " in first.split(";")[0]
    assert "Rows are counted from 0." in first
    assert re.search(
        rf"The largest error is in sample \d+ \(\d, test sample {worst}\)\.",
        told["reconstructions.png"],
    )
    assert "Columns: age, pay, height, weight, steps, sleep." in told["reconstructions.png"]


@pytest.mark.parametrize("columns", [None, NAMES[:2]])
def test_names_that_are_unknown_or_do_not_fit_are_left_out(columns, table, tmp_path):
    ae = kerasae.build("undercomplete", (6,), 2, seed=0)
    ae.calibrate(table.validation, 0.1)
    told = drawn(ae, table, tmp_path / "run", columns=columns)
    assert " at feature " in told["feature_scores.png"]
    assert "Columns" not in told["reconstructions.png"]


def test_tables_are_ranked_by_the_number_that_is_printed(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 6)) * [1e-2, 1, 1, 1, 1, 1e5]
    splits = kerasae.data.load(x.astype("float32"))
    ae = kerasae.build("undercomplete", (6,), 2, seed=0, scaler="standardize")
    ae.scaler.adapt(splits.array("train"))
    told = drawn(ae, splits, tmp_path / "run")["reconstructions.png"]
    scores = ae.score(splits.array("test"))
    low, high = (as_printed(value) for value in (scores.min(), scores.max()))
    assert f"Scaled MSE of the reconstruction: {low} to {high}, median" in told
    assert f"The largest error is in sample 4 (test sample {scores.argmax()})." in told


def as_printed(value):
    from kerasae.report.figures.words import number

    return number(value)


def test_class_errors_of_a_denoising_model_are_of_the_inputs_of_its_headline(tmp_path):
    x = np.random.default_rng(0).normal(size=(2000, 6)).astype("float32")
    np.savez(tmp_path / "x.npz", x=x, y=np.zeros(2000, int))
    splits = kerasae.data.load(tmp_path / "x.npz", test=1500)
    ae = kerasae.build("denoising", (6,), 2, seed=0)
    told = drawn(ae, splits, tmp_path / "run")["class_errors.png"]
    assert told.startswith("Scaled mean squared error with corrupted input of 1,500 samples")
    entries = json.loads((tmp_path / "run" / "figures" / "figures.json").read_text())
    titles = {entry["file"]: entry["title"] for entry in entries}
    assert titles["class_errors.png"] == "Error of each class, of corrupted inputs"
    rerun = figures._Rerun(ae, splits.array("test"))
    errors = rerun.errors(1500)
    headline = evaluation.measure(ae, splits)["test"]["mse"]
    assert errors.mean() == pytest.approx(headline, rel=0.02)
    assert f"0 ({as_printed(np.median(errors))})" in told
    clean = np.median(ae.score(splits.array("test")))
    assert f"0 ({as_printed(clean)})" not in told
