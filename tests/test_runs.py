"""What is done with a run after its training: calibrate, sample, measure; all of it kept."""

import json
import os
import shutil

import numpy as np
import pytest

import kerasae
from kerasae import _verify, runs
from kerasae.training import figures

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="runs are exported on the TensorFlow backend",
)


def rows(n, seed):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + rng.normal(size=(n, 4))).astype(
        "float32"
    )


def metrics(path):
    return json.loads((path / "metrics.json").read_text("utf-8"))


def versions(path):
    return sorted(p.name for p in (path / "saved_model").iterdir())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file of 1,500 rows."""
    path = tmp_path_factory.mktemp("runs") / "table.csv"
    kerasae.data.write(path, [rows(1500, 0)], ["a", "b", "c", "d"])
    return path


@pytest.fixture(scope="module")
def trained(table):
    """A run on that file."""
    path = table.parent / "trained"
    kerasae.train(
        "linear", data=str(table), out=path, epochs=2, latent_dim=2, verbose=0, export=False
    )
    return path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, to change."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def exported(run, monkeypatch):
    """A copy that has an export, which is compared in this process: that takes no seconds."""
    monkeypatch.setattr(
        _verify, "in_fresh_process", lambda folder, *rest: _verify.verify(str(folder), *rest)
    )
    config = json.loads((run / "config.json").read_text("utf-8"))
    (run / "config.json").write_text(json.dumps({**config, "export": True}), "utf-8")
    assert runs.export(run).name == "1"
    return run


@pytest.fixture
def quick(monkeypatch):
    """Figures take seconds, and only one test looks at them."""
    monkeypatch.setattr(figures, "draw", lambda *_: [])


def splits_of(table):
    return kerasae.data.load(table)  # seed 0, as the run


# Calibration ------------------------------------------------------------------------------


def test_calibrating_makes_a_new_export_and_keeps_the_old_one(exported, table):
    run = exported
    before = metrics(run)
    old = kerasae.load(run / "saved_model" / "1")
    found = runs.calibrate(run, false_alarm_rate=0.05)
    splits = splits_of(table)
    ae = kerasae.load(run)
    assert ae.calibration.n == found["n"] == splits.sizes["validation"]
    assert ae.calibration.threshold == found["threshold"]
    np.testing.assert_allclose(
        ae.calibration.scores, np.sort(ae.score(splits.array("validation"))), rtol=1e-5
    )
    flagged = ae.detect(splits.array("test"))["is_anomaly"].mean()
    assert found == {
        "false_alarm_rate": 0.05, "threshold": found["threshold"], "n": found["n"],
        "rate_range": found["rate_range"],
        "data": "validation split", "flagged": pytest.approx(flagged),
    }  # fmt: skip
    # Everything else of the run is as it was, and everything new is in it.
    after = metrics(run)
    assert after.pop("detection") == found
    assert after == before
    assert versions(run) == ["1", "2"]
    assert "detect" not in kerasae.load(run / "saved_model" / "1").signatures
    assert old.info["calibration"] is None
    served = kerasae.load(run / "saved_model")
    assert served.path.name == "2"
    x = splits.array("test")
    for name, value in ae.detect(x).items():
        np.testing.assert_allclose(served.detect(x)[name], value, rtol=1e-5)
    drawn = json.loads((run / "figures" / "figures.json").read_text("utf-8"))
    assert "scores.png" in [entry["file"] for entry in drawn]
    assert all((run / "figures" / entry["file"]).is_file() for entry in drawn)
    assert "threshold" in (run / "report.html").read_text("utf-8").lower()


def test_calibrating_once_more_takes_the_place_of_the_first(exported, quick):
    run = exported
    found = runs.calibrate(run, false_alarm_rate=0.05)
    again = runs.calibrate(run, false_alarm_rate=0.1)
    assert again["threshold"] < found["threshold"]
    assert metrics(run)["detection"] == again
    assert versions(run) == ["1", "2", "3"]


def test_the_test_split_can_be_calibrated_on_but_is_then_no_test(run, quick):
    found = runs.calibrate(run, false_alarm_rate=0.05, split="test")
    assert found["data"] == "test split"
    assert "flagged" not in found


def test_calibrating_on_training_rows_is_refused(run, table, tmp_path, quick):
    splits = splits_of(table)
    state = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    sentence = "held_out must be samples the model was not trained on"
    with pytest.raises(ValueError, match=sentence):
        runs.calibrate(run, split="train")
    with pytest.raises(ValueError, match=sentence):
        runs.calibrate(run, str(table))  # the file that it was trained on, whole
    train, test = splits.array("train"), splits.array("test")
    np.save(tmp_path / "train.npy", train[:200])
    kerasae.data.write(tmp_path / "tenth.csv", [np.concatenate([test, train[:16]])])
    kerasae.data.write(tmp_path / "train.parquet", [train.astype("float64")])
    for name in ("train.npy", "tenth.csv", "train.parquet"):
        with pytest.raises(ValueError, match=sentence):
            runs.calibrate(run, tmp_path / name, false_alarm_rate=0.05)
    # Nothing was written.
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == state
    np.save(tmp_path / "test.npy", test)
    found = runs.calibrate(run, tmp_path / "test.npy", false_alarm_rate=0.05)
    assert found["n"] == len(test)
    assert found["data"] == str(tmp_path / "test.npy")


@pytest.mark.parametrize("name", ["new.csv", "new.npy", "new.parquet"])
def test_calibrating_on_a_file_takes_all_of_it(trained, tmp_path, name):
    """Of a .keras file, which stays one file."""
    model = tmp_path / "model.keras"
    model.write_bytes((trained / "model.keras").read_bytes())
    held = rows(300, 7)
    kerasae.data.write(tmp_path / name, [held])
    found = runs.calibrate(model, tmp_path / name, false_alarm_rate=0.02)
    assert found["n"] == 300
    assert "flagged" not in found
    ae = kerasae.load(model)
    expected = np.sort(kerasae.load(trained).score(held))
    np.testing.assert_allclose(ae.calibration.scores, expected, rtol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.keras", name]


def test_columns_are_those_the_run_was_trained_on(tmp_path, quick):
    kerasae.data.write(tmp_path / "t.csv", [rows(400, 0)], ["time", "b", "c", "a"])
    path = tmp_path / "run"
    kerasae.train(
        "linear", data=str(tmp_path / "t.csv"), out=path, epochs=1, latent_dim=1, verbose=0,
        export=False, data_options={"columns": ["a", "b"]},
    )  # fmt: skip
    held = rows(200, 7)
    kerasae.data.write(tmp_path / "new.csv", [held], ["time", "b", "c", "a"])
    runs.calibrate(path, tmp_path / "new.csv", false_alarm_rate=0.05)
    ae = kerasae.load(path)
    expected = np.sort(ae.score(held[:, [3, 1]]))
    np.testing.assert_allclose(ae.calibration.scores, expected, rtol=1e-4)
    assert not (path / "saved_model").exists()  # it was trained without


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((), {"false_alarm_rate": 0.001}, r"needs at least 999 .* Received: 150 samples"),
        ((), {"false_alarm_rate": 0}, r"Received: false_alarm_rate=0"),
        ((), {"false_alarm_rate": 1.0}, r"Received: false_alarm_rate=1\.0"),
        ((), {"split": "tset"}, "Received: split='tset'"),
        (("digits",), {}, r"held_out must have shape \(samples, 4\)"),
        (("missing.csv",), {}, r"no such file or folder.* Received: 'missing\.csv'"),
    ],
)
def test_mistakes_leave_the_run_as_it_was(trained, arguments, options, sentence):
    state = {p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()}
    with pytest.raises((ValueError, OSError), match=sentence):
        runs.calibrate(trained, *arguments, **options)
    assert {p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()} == state


def test_what_cannot_be_calibrated(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder to load"):
        runs.calibrate(tmp_path / "none")
    kerasae.export(kerasae.load(trained), tmp_path / "saved_model", verify=False)
    with pytest.raises(ValueError, match="an exported model cannot be changed"):
        runs.calibrate(tmp_path / "saved_model")
    with pytest.raises(ValueError, match=r"name data with a file\. Received: run="):
        runs.calibrate(trained / "model.keras")


def test_a_run_on_an_array_is_calibrated_on_a_file(tmp_path):
    x = rows(500, 0)
    path = tmp_path / "run"
    kerasae.train("linear", data=x, out=path, epochs=1, latent_dim=2, export=False, verbose=0)
    with pytest.raises(ValueError, match=r"cannot be had by name; name data with a file"):
        runs.calibrate(path)
    np.save(tmp_path / "train.npy", x)
    with pytest.raises(ValueError, match="not trained on"):
        runs.calibrate(path, tmp_path / "train.npy", false_alarm_rate=0.05)
    np.save(tmp_path / "new.npy", rows(200, 1))
    before = (path / "figures" / "figures.json").read_text("utf-8")
    found = runs.calibrate(path, tmp_path / "new.npy", false_alarm_rate=0.05)
    assert metrics(path)["detection"] == found
    assert (path / "figures" / "figures.json").read_text("utf-8") == before
    assert kerasae.load(path).calibration.n == 200


def test_training_goes_on_without_the_calibration(run, table, quick):
    runs.calibrate(run, false_alarm_rate=0.05)
    kerasae.train(
        "linear", data=str(table), out=run, epochs=1, latent_dim=2, verbose=0, replace=True,
        export=False,
    )  # fmt: skip
    assert kerasae.load(run).calibration is None
    assert "detection" not in metrics(run)


# Samplers ---------------------------------------------------------------------------------


def test_a_sampler_is_kept_in_model_and_export(exported, table, quick):
    run = exported
    runs.calibrate(run, false_alarm_rate=0.05)
    runs.fit_sampler(run, "mixture", seed=1)
    ae = kerasae.load(run)
    assert ae.sampler.kind == "mixture"
    assert ae.calibration is not None
    assert versions(run) == ["1", "2", "3"]
    served = kerasae.load(run / "saved_model")
    np.testing.assert_allclose(served.generate(9, 3), ae.generate(9, 3), rtol=1e-4, atol=1e-4)
    assert "detect" in served.signatures
    assert metrics(run)["detection"]["n"] == 150
    # The mean of a mixture is that of the codes it was fitted to: those of the training split.
    weights = np.diff([0, *ae.sampler.arrays["edges"], 1])
    mean = ae.encode(splits_of(table).array("train")).mean(axis=0)
    np.testing.assert_allclose(weights @ ae.sampler.arrays["means"], mean, atol=1e-4)


# Evaluation -------------------------------------------------------------------------------


def test_own_data_are_measured_anew_and_the_rest_is_kept(exported, quick):
    run = exported
    runs.calibrate(run, false_alarm_rate=0.05)
    before = metrics(run)
    found = runs.evaluate(run, sample_quality=False)
    after = metrics(run)
    for part in ("training", "detection"):
        assert after[part] == before[part]
    assert found["test"]["mse"] == pytest.approx(before["test"]["mse"], rel=1e-5)
    assert found["baselines"]["pca"]["mse"] == pytest.approx(before["baselines"]["pca"]["mse"])
    assert versions(run) == ["1", "2"]
    assert kerasae.load(run).calibration is not None


def test_another_file_is_measured_whole_and_nothing_is_written(run, tmp_path):
    state = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    new = rows(333, 5)
    kerasae.data.write(tmp_path / "new.csv", [new])
    found = runs.evaluate(run, tmp_path / "new.csv", sample_quality=False)
    ae = kerasae.load(run)
    assert found["test"]["samples"] == 333
    scaled = np.asarray(ae.scaler(new)) if ae.scaler else new
    by_hand = np.mean((np.asarray(ae.scaler(ae.reconstruct(new))) - scaled) ** 2)
    assert found["test"]["mse"] == pytest.approx(by_hand, rel=1e-3)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == state


def test_a_file_is_measured_whole_without_a_run_too(trained, tmp_path):
    """The docstring: a file is measured as a whole."""
    kerasae.data.write(tmp_path / "new.csv", [rows(400, 5)])
    found = runs.evaluate(trained / "model.keras", tmp_path / "new.csv", sample_quality=False)
    assert found["test"]["samples"] == 400


def test_mistakes_of_evaluate(run, tmp_path):
    with pytest.raises(ValueError, match="name data with a file"):
        runs.evaluate(run / "model.keras")
    np.save(tmp_path / "wide.npy", np.zeros((20, 7), "float32"))
    with pytest.raises(ValueError, match=r"samples of shape \(4,\).*Received: .*\(7,\)"):
        runs.evaluate(run, tmp_path / "wide.npy")


def test_an_unknown_split_to_measure_on(run):
    with pytest.raises(ValueError, match="Received: split='tset'"):
        runs.evaluate(run, split="tset")
