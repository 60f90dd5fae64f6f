"""What is done with a run after its training: calibrate, sample, measure; all of it kept."""

import json
import os
import shutil

import numpy as np
import pytest

import kerasae
from kerasae import report, runs
from kerasae.exporting import verify
from kerasae.runs import columns as run_columns
from kerasae.runs import data, figures, preparation, publication

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


def state(path):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in path.rglob("*") if p.is_file()}


def drawn(path):
    """The pictures in the index, which are those in the folder."""
    entries = json.loads((path / "figures" / "figures.json").read_text("utf-8"))
    names = {entry["file"] for entry in entries}
    assert names == {p.name for p in (path / "figures").glob("*.png")}
    return names


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
        verify, "in_fresh_process", lambda folder, *rest: verify.verify(str(folder), *rest)
    )
    config = json.loads((run / "config.json").read_text("utf-8"))
    (run / "config.json").write_text(json.dumps({**config, "export": True}), "utf-8")
    assert runs.export(run).name == "1"
    return run


@pytest.fixture
def quick(monkeypatch):
    """Figures take seconds, and only one test looks at them."""
    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])


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
        "false_alarm_rate": 0.05,
        "threshold": found["threshold"],
        "n": found["n"],
        "rate_range": found["rate_range"],
        "data": "validation split",
        "flagged": pytest.approx(flagged),
    }
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
    sentence = "held_out must be"
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
        "linear",
        data=str(tmp_path / "t.csv"),
        out=path,
        epochs=1,
        latent_dim=1,
        verbose=0,
        export=False,
        data_options={"columns": ["a", "b"]},
    )
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
        ((), {"false_alarm_rate": 0.001}, "Received: 150 samples"),
        ((), {"false_alarm_rate": 0}, r"Received: false_alarm_rate=0"),
        ((), {"false_alarm_rate": 1.0}, r"Received: false_alarm_rate=1\.0"),
        ((), {"split": "tset"}, "Received: split='tset'"),
        (("digits",), {}, "held_out must have shape"),
        (("missing.csv",), {}, r"Received: 'missing\.csv'"),
    ],
)
def test_mistakes_leave_the_run_as_it_was(trained, arguments, options, sentence):
    state = {p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()}
    with pytest.raises((ValueError, OSError), match=sentence):
        runs.calibrate(trained, *arguments, **options)
    assert {p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()} == state


def test_what_cannot_be_calibrated(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: path="):
        runs.calibrate(tmp_path / "none")
    kerasae.export(kerasae.load(trained), tmp_path / "saved_model", verify=False)
    with pytest.raises(ValueError, match="Received: run="):
        runs.calibrate(tmp_path / "saved_model")
    with pytest.raises(ValueError, match="Received: run="):
        runs.calibrate(trained / "model.keras")


def test_a_run_on_an_array_is_calibrated_on_a_file(tmp_path):
    x = rows(500, 0)
    path = tmp_path / "run"
    kerasae.train("linear", data=x, out=path, epochs=1, latent_dim=2, export=False, verbose=0)
    with pytest.raises(ValueError, match="Received: run="):
        runs.calibrate(path)
    np.save(tmp_path / "train.npy", x)
    with pytest.raises(ValueError, match="held_out"):
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
        "linear",
        data=str(table),
        out=run,
        epochs=1,
        latent_dim=2,
        verbose=0,
        replace=True,
        export=False,
    )
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
    with pytest.raises(ValueError, match="Received: run="):
        runs.evaluate(run / "model.keras")
    np.save(tmp_path / "wide.npy", np.zeros((20, 7), "float32"))
    with pytest.raises(ValueError, match=r"Received: .*\(7,\)"):
        runs.evaluate(run, tmp_path / "wide.npy")


def test_an_unknown_split_to_measure_on(run):
    with pytest.raises(ValueError, match="Received: split='tset'"):
        runs.evaluate(run, split="tset")


# All or nothing ---------------------------------------------------------------------------


def fail(*args, **options):
    raise RuntimeError("no space left")


FAILING = {
    "figures": (figures, "draw"),
    "metrics": (publication.directory, "write_json"),
    "export": (verify, "in_fresh_process"),
    "report": (report, "write_report"),
}


@pytest.mark.parametrize("verb", [runs.calibrate, runs.fit_sampler])
@pytest.mark.parametrize("place", FAILING)
def test_after_a_failure_the_run_is_as_it_was(exported, table, monkeypatch, place, verb):
    np.save(exported / "more.npy", rows(3, 0))
    if place != "figures":
        monkeypatch.setattr(figures, "draw", draw_two)
    before = state(exported)
    monkeypatch.setattr(*FAILING[place], fail)
    with pytest.raises(Exception, match="no space left"):
        verb(exported)
    assert state(exported) == before
    assert sorted(exported.glob(".*")) == []
    assert versions(exported) == ["1"]


def draw_two(*args, **_):
    """Draw one figure anew, and one that was not there."""
    folder = args[-1] / "figures"
    folder.mkdir()
    for name in ("baselines.png", "new.png"):
        (folder / name).write_bytes(b"new")
    index = [{"file": name} for name in ("baselines.png", "new.png")]
    (folder / "figures.json").write_text(json.dumps(index), "utf-8")
    return index


def test_files_put_in_place_one_by_one_are_all_put_back(run, monkeypatch):
    monkeypatch.setattr(figures, "draw", draw_two)
    before, replace = state(run), os.replace

    def failing(source, target):
        if target == run / "model.keras" and source.parent.name == "new":
            fail()
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(RuntimeError, match="no space left"):
        runs.calibrate(run, false_alarm_rate=0.05)
    assert state(run) == before
    monkeypatch.setattr(os, "replace", replace)
    (run / "figures" / "mine.txt").write_text("not of the index")
    runs.calibrate(run, false_alarm_rate=0.05)
    assert drawn(run) == {"baselines.png", "new.png"}
    assert (run / "figures" / "mine.txt").exists()


# Columns by name --------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path):
    """A run on columns of very different units, and what belongs to them."""
    scale = np.array([1, 1000, 10, 0.1], "float32")
    kerasae.data.write(tmp_path / "train.csv", [rows(600, 0) * scale], ["a", "b", "c", "d"])
    kerasae.train(
        "linear",
        data=str(tmp_path / "train.csv"),
        out=tmp_path / "run",
        epochs=1,
        latent_dim=2,
        verbose=0,
        export=False,
    )
    return tmp_path / "run", rows(200, 5) * scale


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_found_by_their_names(mixed, tmp_path, suffix, quick):
    run, x = mixed
    wide = np.concatenate([x[:, [2, 0]], np.full((200, 1), 7.0), x[:, [3, 1]]], axis=1)
    kerasae.data.write(tmp_path / f"same{suffix}", [x], ["a", "b", "c", "d"])
    kerasae.data.write(tmp_path / f"other{suffix}", [wide], ["c", "a", "extra", "d", "b"])
    found = [
        runs.evaluate(run, tmp_path / f"{name}{suffix}", sample_quality=False)["test"]["mse"]
        for name in ("same", "other")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    runs.calibrate(run, tmp_path / f"other{suffix}", false_alarm_rate=0.05)
    ae = kerasae.load(run)
    np.testing.assert_allclose(ae.calibration.scores, np.sort(ae.score(x)), rtol=1e-4)
    kerasae.data.write(tmp_path / f"less{suffix}", [wide], ["c", "a", "extra", "d", "bb"])
    for verb in (runs.evaluate, runs.calibrate):
        with pytest.raises(ValueError, match=r"no column 'b'.*'bb'"):
            verb(run, tmp_path / f"less{suffix}")
    # Asked for by the user, they are taken as they come.
    found = runs.calibrate(
        run, tmp_path / f"less{suffix}", columns=["a", "bb", "c", "d"], false_alarm_rate=0.05
    )
    assert found["threshold"] == pytest.approx(ae.calibration.threshold, rel=1e-4)


def test_the_columns_of_a_run_are_recorded(trained, tmp_path):
    config = json.loads((trained / "config.json").read_text("utf-8"))
    assert config["columns"] == ["a", "b", "c", "d"]
    assert config["data_options"] == {}  # as it was asked
    kerasae.data.write(tmp_path / "t.csv", [rows(5, 0)], ["a", "b", "c", "d"])
    assert run_columns.of_file(tmp_path / "t.csv", label="b") == ["a", "c", "d"]
    assert run_columns.of_file(tmp_path / "t.csv", ["d", "a"]) == ["d", "a"]
    assert run_columns.of_file(tmp_path) == ["a", "b", "c", "d"]  # a folder of tables
    for source in ("digits", rows(5, 0)):
        assert run_columns.of_file(source) is None


@pytest.mark.parametrize(
    ("config", "names", "expected"),
    [
        ({"columns": ["a", "b"]}, ["b", "z", "a"], ["a", "b"]),
        ({"columns": ["a", "b"]}, ["x0", "x1"], None),
        ({"columns": ["a", "b"]}, ["0", "1"], None),
        ({"columns": ["a", "b"], "data_options": {"label": "y"}}, ["x0", "x1", "y"], None),
        ({"columns": ["x0", "x1"]}, ["u", "v"], None),
        ({"columns": ["x0", "x1"]}, ["x1", "x0"], ["x0", "x1"]),
        ({"columns": None, "data_options": {"columns": ["b", "a"]}}, ["a", "b"], ["b", "a"]),
        ({"data_options": {}}, ["a", "b"], None),
        ({}, ["a", "b"], None),
    ],
)
def test_which_columns_are_read(tmp_path, config, names, expected):
    """Names that only count are no names."""
    kerasae.data.write(tmp_path / "t.csv", [rows(5, 0)[:, : len(names)]], names)
    assert run_columns.to_read(tmp_path / "t.csv", config) == expected
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    assert run_columns.to_read(tmp_path / "bare.csv", {"columns": ["a", "b"]}) is None


def test_the_label_of_a_run_is_left_out_where_a_file_has_it(tmp_path, quick):
    x, names = rows(600, 0), ["a", "b", "c", "d"]
    x[:, 3] = x[:, 3] > 0
    kerasae.data.write(tmp_path / "train.csv", [x], [*names[:3], "kind"])
    run = tmp_path / "run"
    kerasae.train(
        "linear",
        data=str(tmp_path / "train.csv"),
        out=run,
        epochs=1,
        latent_dim=2,
        verbose=0,
        export=False,
        data_options={"label": "kind"},
    )
    config = json.loads((run / "config.json").read_text("utf-8"))
    del config["columns"]  # as older runs, which know the label alone
    (run / "config.json").write_text(json.dumps(config), "utf-8")
    new = rows(200, 3)
    new[:, 3] = new[:, 3] > 0
    kerasae.data.write(tmp_path / "new.csv", [new], [*names[:3], "kind"])
    kerasae.data.write(tmp_path / "bare.csv", [new[:, :3]], names[:3])
    kerasae.data.write(tmp_path / "other.csv", [new], [*names[:3], "type"])
    found = runs.evaluate(run, tmp_path / "new.csv", sample_quality=False)
    assert found["test"]["samples"] == 200
    assert "knn_accuracy" in found["codes"]
    assert "codes" in runs.evaluate(run, tmp_path / "bare.csv", sample_quality=False)
    expected = np.sort(kerasae.load(run).score(new[:, :3]))
    for name, options in (("new", {}), ("bare", {}), ("other", {"label": "type"})):
        runs.calibrate(run, tmp_path / f"{name}.csv", false_alarm_rate=0.05, **options)
        np.testing.assert_allclose(kerasae.load(run).calibration.scores, expected, rtol=1e-4)
    np.savez(tmp_path / "new.npz", x=new[:, :3], kind=new[:, 3].astype(int))
    found = runs.evaluate(run, tmp_path / "new.npz", sample_quality=False)
    assert "knn_accuracy" in found["codes"]


# Where the data are -----------------------------------------------------------------------


def test_own_data_are_found_from_another_folder(tmp_path, monkeypatch, quick):
    (tmp_path / "there").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    kerasae.data.write("train.csv", [rows(600, 0)], ["a", "b", "c", "d"])
    kerasae.train(
        "linear", data="train.csv", out="run", epochs=1, latent_dim=2, verbose=0, export=False
    )
    kerasae.data.write(tmp_path / "elsewhere" / "train.csv", [rows(600, 1)])
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = tmp_path / "there" / "run"
    found = runs.calibrate(run, false_alarm_rate=0.05)
    held = kerasae.data.load(tmp_path / "there" / "train.csv").array("validation")
    ae = kerasae.load(run)
    np.testing.assert_allclose(ae.calibration.scores, np.sort(ae.score(held)), rtol=1e-5)
    assert "flagged" in found
    config = json.loads((run / "config.json").read_text("utf-8"))
    assert config["data"] == "train.csv"
    told = publication.provenance({**config, "data_options": {"data_dir": "/a/b", "limit": 9}})
    assert str(tmp_path) not in json.dumps(told)
    assert told["data_options"] == {"limit": 9}
    # Runs of before know no more than what was typed.
    del config["data_path"]
    (run / "config.json").write_text(json.dumps(config), "utf-8")
    monkeypatch.chdir(tmp_path / "there")
    assert runs.calibrate(run, false_alarm_rate=0.05) == found


def test_the_folder_of_named_sets_is_known_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = preparation.places("mnist", {"data_dir": "sets"})
    assert places == {"data_path": None, "data_dir": str(tmp_path / "sets"), "columns": None}
    asked = {}
    monkeypatch.setattr(kerasae.data, "load", lambda source, **kept: asked.update(kept) or kept)
    config = {
        "command": ["kerasae"],
        "data": "mnist",
        "batch_size": 8,
        "seed": 0,
        **places,
        "data_options": {"data_dir": "sets", "limit": 9},
    }
    with pytest.raises(AttributeError):  # what stands for the splits has no shape
        data.own(config, tmp_path)
    assert asked == {"batch_size": 8, "seed": 0, "data_dir": str(tmp_path / "sets"), "limit": 9}


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), ("a,b\n" + "1,2\n3,4\n" * 50, "column"), (None, "no such file")],
)
def test_own_data_that_are_gone_or_changed_are_not_needed(tmp_path, content, said, quick):
    train = tmp_path / "train.csv"
    kerasae.data.write(train, [rows(600, 0)], ["a", "b", "c", "d"])
    run = tmp_path / "run"
    options = {"columns": ["a", "b", "c"]}
    kerasae.train(
        "linear",
        data=str(train),
        out=run,
        epochs=1,
        latent_dim=2,
        verbose=0,
        export=False,
        data_options=options,
    )
    train.unlink() if content is None else train.write_text(content)
    kerasae.data.write(tmp_path / "new.csv", [rows(200, 3)], ["a", "b", "c", "d"])
    with pytest.warns(UserWarning, match=f"own data cannot be used.*{said}"):
        found = runs.calibrate(run, tmp_path / "new.csv", false_alarm_rate=0.05)
    assert metrics(run)["detection"] == found
    assert "flagged" not in found
    with pytest.raises((OSError, ValueError), match=said):
        runs.calibrate(run)


def test_own_data_of_another_shape_are_refused(run, tmp_path):
    config = json.loads((run / "config.json").read_text("utf-8"))
    kerasae.data.write(tmp_path / "wide.csv", [np.ones((200, 6))])
    changed = {**config, "data_path": str(tmp_path / "wide.csv")}
    (run / "config.json").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(ValueError, match=r"Received: .*\(6,\)"):
        runs.evaluate(run)


# Splits -----------------------------------------------------------------------------------


def test_named_data_of_another_shape_are_refused(run, trained):
    for path in (run, trained / "model.keras"):
        with pytest.raises(ValueError, match=r"Received: data='digits' with .*\(8, 8, 1\)"):
            runs.evaluate(path, "digits")


def test_a_file_with_splits_of_its_own_is_taken_whole_or_by_split(run, tmp_path, quick):
    x = rows(600, 3)
    file = tmp_path / "splits.npz"
    np.savez(
        file, x_train=x[:400], x_test=x[400:], y_train=np.arange(400) % 3, y_test=np.arange(200) % 3
    )
    ae = kerasae.load(run)
    for split, part, name in (
        (None, x, str(file)),
        ("test", x[400:], f"test split of {file}"),
        ("train", x[:400], f"train split of {file}"),
    ):
        found = runs.evaluate(run, file, split=split, sample_quality=False)
        assert found["test"]["samples"] == len(part)
        scaled = ae.scaler(part)
        error = np.mean((np.asarray(ae.scaler(ae.reconstruct(part))) - scaled) ** 2)
        assert found["test"]["mse"] == pytest.approx(error, rel=1e-3)
        # Beside baselines that the training split of the run gave.
        own = kerasae.data.load(json.loads((run / "config.json").read_text())["data"])
        mean = np.asarray(ae.scaler(own.array("train"))).mean(axis=0)
        assert found["baselines"]["mean"]["mse"] == pytest.approx(
            np.mean((scaled - mean) ** 2), rel=1e-3
        )
        found = runs.calibrate(run, file, split=split, false_alarm_rate=0.05)
        assert (found["n"], found["data"]) == (len(part), name)
        scores = np.sort(ae.score(part))
        np.testing.assert_allclose(kerasae.load(run).calibration.scores, scores, rtol=1e-4)
    for verb in (runs.evaluate, runs.calibrate):
        with pytest.raises(ValueError, match="Received: split='validation'"):
            verb(run, file, split="validation")


@pytest.mark.parametrize("verb", [runs.evaluate, runs.calibrate])
def test_a_split_of_a_file_that_has_none_is_refused(run, tmp_path, verb):
    kerasae.data.write(tmp_path / "f.csv", [rows(200, 3)], ["a", "b", "c", "d"])
    for held in (tmp_path / "f.csv", str(tmp_path / "f.csv"), rows(200, 3)):
        for split in ("validation", "train"):
            with pytest.raises(ValueError, match=f"Received: split='{split}'"):
                verb(run, held, split=split)


@pytest.mark.parametrize("verb", [runs.evaluate, runs.calibrate])
def test_an_unknown_split_is_refused_before_anything_is_read(verb, tmp_path):
    with pytest.raises(ValueError, match="Received: split='tset'"):
        verb(tmp_path / "none", "none.csv", split="tset")


# What is written down ---------------------------------------------------------------------


def test_an_array_is_called_one(run, quick):
    held = rows(1200, 4)
    found = runs.calibrate(run, held, false_alarm_rate=0.05)
    assert found["data"] == metrics(run)["detection"]["data"] == "an array of 1,200 samples"


@pytest.fixture
def waves(tmp_path):
    """A run on windows of a series, without an export."""
    x = np.sin(np.arange(3000) / 5) + np.random.default_rng(0).normal(0, 0.1, 3000)
    np.save(tmp_path / "windows.npy", x[:2400].reshape(-1, 8, 1).astype("float32"))
    kerasae.data.write(tmp_path / "series.csv", [x[2400:, None]], ["value"])
    run = tmp_path / "waves"
    kerasae.train(
        "sequence",
        data=str(tmp_path / "windows.npy"),
        out=run,
        epochs=1,
        latent_dim=2,
        hidden=[4],
        verbose=0,
        export=False,
    )
    return run


def test_a_series_has_no_range_of_rates_and_no_old_threshold(waves, tmp_path):
    runs.calibrate(waves, false_alarm_rate=0.1)
    assert "rate_range" in metrics(waves)["detection"]
    before = drawn(waves)
    assert "scores.png" in before
    found = runs.calibrate(waves, tmp_path / "series.csv", stride=2, false_alarm_rate=0.05)
    assert found == {
        "false_alarm_rate": 0.05,
        "threshold": kerasae.load(waves).calibration.threshold,
        "n": 600,
        "data": str(tmp_path / "series.csv"),
        "stride": 2,
    }
    assert metrics(waves)["detection"] == found
    page = (waves / "report.html").read_text("utf-8")
    assert "nine times out of ten" not in page
    # What the old threshold says is gone, and the rest stays.
    assert drawn(waves) == before - {"scores.png", "feature_scores.png"}
    with pytest.raises(ValueError, match="Received: split='test'"):
        runs.calibrate(waves, tmp_path / "series.csv", stride=2, split="test")


def test_a_series_may_be_an_array_or_named_columns(waves, tmp_path, quick):
    x = next(kerasae.data.batches(tmp_path / "series.csv"))
    expected = runs.calibrate(waves, x, stride=2, false_alarm_rate=0.05)
    assert expected["data"] == "an array of 600 samples"
    config = json.loads((waves / "config.json").read_text("utf-8"))
    for known in ({"columns": ["value"]}, {"data_options": {"label": "time"}}):
        (waves / "config.json").write_text(json.dumps({**config, **known}), "utf-8")
        wide = np.concatenate([np.arange(600)[:, None], x], axis=1)
        kerasae.data.write(tmp_path / "wide.csv", [wide], ["time", "value"])
        found = runs.calibrate(waves, tmp_path / "wide.csv", stride=2, false_alarm_rate=0.05)
        assert found["threshold"] == pytest.approx(expected["threshold"], rel=1e-4)


def test_samples_of_another_sampler_are_no_longer_told_of(run, quick, monkeypatch):
    from kerasae import evaluation

    monkeypatch.setattr(evaluation, "sample_quality", lambda *_, **__: {"precision": 0.5})
    runs.fit_sampler(run, "gaussian")
    runs.evaluate(run)
    measured = metrics(run)
    assert measured["generation"] == {"sampler": "gaussian", "precision": 0.5}
    runs.calibrate(run, false_alarm_rate=0.05)
    assert metrics(run)["generation"] == measured["generation"]
    runs.fit_sampler(run, "neighbour")
    after = metrics(run)
    assert "generation" not in after
    assert after["test"] == measured["test"]
    assert runs.evaluate(run)["generation"]["sampler"] == "neighbour"


def test_samples_of_a_prior_are_told_of_as_such(tmp_path, monkeypatch, quick):
    from kerasae import evaluation

    monkeypatch.setattr(evaluation, "sample_quality", lambda *_, **__: {"precision": 0.5})
    np.save(tmp_path / "x.npy", rows(200, 0))
    kerasae.train(
        "vae",
        data=str(tmp_path / "x.npy"),
        out=tmp_path / "run",
        epochs=1,
        latent_dim=2,
        hidden=[4],
        verbose=0,
        export=False,
    )
    assert runs.evaluate(tmp_path / "run")["generation"]["sampler"] == "prior"


def test_a_run_on_windows_goes_on_with_another_series(tmp_path, monkeypatch):
    from kerasae.runs import figures

    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(3000) / 6).astype("float32") + rng.normal(0, 0.1, 3000).astype("f4")
    np.save(tmp_path / "train.npy", wave[:2000])
    np.save(tmp_path / "other.npy", wave[2000:])
    run = kerasae.train(
        "undercomplete",
        data=str(tmp_path / "train.npy"),
        epochs=2,
        latent_dim=4,
        data_options={"window": 20, "stride": 5},
        out=tmp_path / "run",
        export=False,
        verbose=0,
    )
    assert run.model.sample_shape == (20, 1)
    # Windows overlap, so that nothing is promised of one threshold's rate.
    assert "rate_range" not in runs.calibrate(run.path, false_alarm_rate=0.05)
    other = runs.evaluate(run.path, str(tmp_path / "other.npy"))
    assert other["test"]["samples"] == (1000 - 20) // 5 + 1
    found = runs.calibrate(run.path, str(tmp_path / "other.npy"), false_alarm_rate=0.05, stride=5)
    assert found["n"] == 1000
    answers = kerasae.load(run.path).detect(wave[2000:])
    assert answers["is_anomaly"].shape == (1000,)
