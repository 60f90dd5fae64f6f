"""The commands calibrate, detect, evaluate and generate --sampler, on files."""

import csv
import json
import os

import numpy as np
import pytest

import kerasae

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="runs are exported on the TensorFlow backend",
)

COLUMNS = ["a", "b", "c", "d"]
KINDS = {"anomaly_score": "float", "p_value": "double", "is_anomaly": "uint8"}


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """Figures take seconds; tests of runs look at them."""
    from kerasae.runs import figures

    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table of 1,200 rows and a run on it, not to be changed."""
    path = tmp_path_factory.mktemp("judging")
    kerasae.data.write(path / "table.csv", [rows(1200, 0)], COLUMNS)
    kerasae.train(
        "undercomplete",
        data=str(path / "table.csv"),
        out=path / "run",
        epochs=1,
        latent_dim=2,
        hidden=[5],
        export=False,
        verbose=0,
    )
    return path


@pytest.fixture
def run(folder, tmp_path):
    """A copy of the run, to change."""
    import shutil

    return shutil.copytree(folder / "run", tmp_path / "run")


@pytest.fixture(scope="module")
def judge(folder):
    """A file with a calibrated model of the same columns, not to be changed."""
    ae = kerasae.load(folder / "run")
    ae.calibrate(rows(300, 5), 0.05)
    ae.save(folder / "judge.keras")
    return folder / "judge.keras"


# calibrate --------------------------------------------------------------------------------


def test_calibrate_says_what_it_found(run, kerasae_):
    status, out, err = kerasae_("calibrate", run, "--false-alarm-rate", "0.05")
    assert (status, err) == (0, "")
    found = json.loads((run / "metrics.json").read_text("utf-8"))["detection"]
    lines = out.splitlines()
    assert lines[0].split() == ["threshold", f"{found['threshold']:.6g}"]
    assert lines[1].split() == ["false-alarm", "rate", "0.05"]
    low, high = found["rate_range"]
    assert lines[2].split(None, 3)[3] == f"{low:.2g} to {high:.2g}, nine times out of ten"
    assert low < 0.05 < high
    assert lines[3].split(None, 2)[2] == "120 samples, validation split"
    assert lines[4].split(None, 1)[1] == f"{found['flagged']:.2%} of the run's test split"
    assert lines[5] == f"Now: kerasae detect {run} --input FILE --output FILE"
    assert kerasae.load(run).calibration.threshold == found["threshold"]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".parquet"])
def test_calibrate_refuses_a_file_of_training_rows(folder, tmp_path, kerasae_, suffix):
    trained = kerasae.data.load(folder / "table.csv").array("train")
    kerasae.data.write(tmp_path / f"train{suffix}", [trained[:200]])
    words = (
        "calibrate",
        folder / "run",
        "--data",
        tmp_path / f"train{suffix}",
        "--false-alarm-rate",
        "0.05",
    )
    status, out, err = kerasae_(*words)
    assert (status, out) == (2, "")
    assert "not trained on" in err
    assert err.endswith("Received: of 200 rows compared, 200 are training rows\n")
    assert kerasae.load(folder / "run").calibration is None


def test_calibrate_takes_training_rows_on_request_only(run, folder, kerasae_):
    words = ("calibrate", run, "--split", "train", "--false-alarm-rate", 0.05)
    assert kerasae_(*words)[0] == 2
    status, out, _ = kerasae_(*words, "--allow-training-rows")
    assert status == 0
    assert "960 samples, train split" in out


def test_calibrate_leaves_the_label_out(run, tmp_path, kerasae_):
    x = rows(300, 6)
    labelled = np.concatenate([np.zeros((300, 1)), x[:, ::-1]], axis=1)
    kerasae.data.write(tmp_path / "new.csv", [labelled], ["kind", "d", "c", "b", "a"])
    words = (
        "calibrate",
        run,
        "--data",
        tmp_path / "new.csv",
        "--label",
        "kind",
        "--false-alarm-rate",
        "0.05",
    )
    status, _, err = kerasae_(*words)
    assert (status, err) == (0, "")
    ae = kerasae.load(run)
    np.testing.assert_allclose(ae.calibration.scores, np.sort(ae.score(x)), rtol=1e-4)


def test_calibrate_says_no_range_of_a_series(series_judge, tmp_path, kerasae_):
    series = np.random.default_rng(1).normal(size=(400, 2)).astype("float32")
    kerasae.data.write(tmp_path / "in.csv", [series], ["u", "v"])
    words = (
        "calibrate",
        tmp_path / "series.keras",
        "--data",
        tmp_path / "in.csv",
        "--stride",
        "2",
        "--false-alarm-rate",
        "0.05",
    )
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    assert "of this threshold" not in out
    assert f"400 time steps, {tmp_path / 'in.csv'}" in out


# detect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rate", [None, 0.2])
def test_detect_writes_three_columns_that_equal_python(judge, tmp_path, kerasae_, suffix, rate):
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    x = rows(500, 9)
    x[::50] *= 10
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    kerasae.data.write(source, [x], COLUMNS)
    words = ["detect", judge, "-i", source, "-o", target, "--batch-size", 2]  # chunks of 128 rows
    words += [] if rate is None else ["--false-alarm-rate", rate]
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    expected = kerasae.load(judge).detect(x, false_alarm_rate=rate)
    count = expected["is_anomaly"].sum()
    assert 10 <= count < 200
    assert out == f"500 rows written to {target}, {count} of them anomalies ({count / 500:.2%})\n"
    table = (arrow_csv.read_csv if suffix == ".csv" else parquet.read_table)(target)
    assert table.column_names == list(KINDS)
    if suffix == ".parquet":
        assert {f.name: str(f.type) for f in table.schema} == KINDS
    else:
        with target.open(newline="") as file:
            assert {row["is_anomaly"] for row in csv.DictReader(file)} == {"0", "1"}
    for name, values in expected.items():
        np.testing.assert_allclose(table[name].to_numpy(), values, rtol=1e-5)


def test_detect_takes_an_export_too(judge, tmp_path, kerasae_):
    """Where neither Keras nor kerasae's models are wanted."""
    kerasae.export(kerasae.load(judge), tmp_path / "saved", verify=False)
    kerasae.data.write(tmp_path / "in.csv", [rows(60, 9)], COLUMNS)
    outputs = {}
    for name, model in (("keras", judge), ("saved", tmp_path / "saved")):
        words = ("detect", model, "-i", tmp_path / "in.csv", "-o", tmp_path / f"{name}.parquet")
        status, _, err = kerasae_(*words)
        assert (status, err) == (0, "")
        outputs[name] = next(kerasae.data.batches(tmp_path / f"{name}.parquet"))
    np.testing.assert_allclose(outputs["saved"], outputs["keras"], rtol=1e-5)


def test_detect_to_numpy_keeps_the_names(judge, tmp_path, kerasae_):
    np.save(tmp_path / "in.npy", rows(60, 9))
    words = ("detect", judge, "-i", tmp_path / "in.npy", "-o", tmp_path / "out.npy")
    assert kerasae_(*words)[0] == 0
    found = np.load(tmp_path / "out.npy")
    assert found.dtype.names == tuple(KINDS)
    expected = kerasae.load(judge).detect(rows(60, 9))
    np.testing.assert_array_equal(found["is_anomaly"], expected["is_anomaly"])


def test_detect_chooses_columns_by_name(judge, tmp_path, kerasae_):
    x = rows(60, 9)
    wide = np.concatenate([np.arange(60.0)[:, None], x[:, ::-1]], axis=1)
    kerasae.data.write(tmp_path / "in.csv", [wide], ["time", "d", "c", "b", "a"])
    words = ["detect", judge, "-i", tmp_path / "in.csv", "-o", tmp_path / "out.csv"]
    status, _, err = kerasae_(*words)
    assert status == 2
    assert "(samples, 4)" in err
    assert not (tmp_path / "out.csv").exists()
    for name in COLUMNS:
        words += ["--column", name]
    assert kerasae_(*words)[0] == 0
    found = next(kerasae.data.batches(tmp_path / "out.csv"))
    np.testing.assert_allclose(found[:, 0], kerasae.load(judge).score(x), rtol=1e-4)


@pytest.fixture
def series_judge(tmp_path):
    """A model of series of 8 steps, calibrated on the steps of a long one."""
    ae = kerasae.build("sequence", (8, 2), 3, hidden=(4,), seed=0)
    ae.calibrate(np.random.default_rng(0).normal(size=(400, 2)).astype("float32"), 0.05, stride=3)
    ae.save(tmp_path / "series.keras")
    return ae


def test_detect_takes_a_long_series_as_one(series_judge, tmp_path, kerasae_):
    series = np.random.default_rng(1).normal(size=(131, 2)).astype("float32")
    kerasae.data.write(tmp_path / "in.csv", [series], ["u", "v"])
    words = (
        "detect",
        tmp_path / "series.keras",
        "-i",
        tmp_path / "in.csv",
        "-o",
        tmp_path / "out.parquet",
        "--batch-size",
        1,
    )
    status, _, err = kerasae_(*words)
    assert (status, err) == (0, "")
    found = next(kerasae.data.batches(tmp_path / "out.parquet"))
    expected = series_judge.detect(series)["anomaly_score"]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["detect", "run", "-i", "new.csv"], "calibrated"),
        (["detect", "judge.keras", "-i", "wide.csv"], "(samples, 4)"),
        (["detect", "judge.keras", "-i", "text.csv"], "'text.csv'"),
        (["detect", "judge.keras", "-i", "new.csv", "--column", "z"], "has no column 'z'"),
        (["detect", "judge.keras", "-i", "none.csv"], "no such file"),
        (["detect", "none", "-i", "new.csv"], "Received: path="),
        (["detect", "judge.keras", "-i", "new.csv", "--false-alarm-rate", "0"], "between 0 and 1"),
        (["detect", "judge.keras", "-i", "new.csv", "--false-alarm-rate", "1"], "between 0 and 1"),
        (["calibrate", "run", "--false-alarm-rate", "0"], "between 0 and 1"),
        (["calibrate", "run", "--false-alarm-rate", "1"], "between 0 and 1"),
        (["calibrate", "run", "--false-alarm-rate", "2"], "--false-alarm-rate"),
        (["calibrate", "run", "--false-alarm-rate", "0.001"], "999"),
        (["calibrate", "run", "--data", "new.csv", "--false-alarm-rate", "0.01"], "99"),
        (["calibrate", "run", "--data", "wide.csv"], "(samples, 4)"),
        (["calibrate", "run", "--data", "none.csv"], "none.csv"),
        (["calibrate", "run", "--split", "tset"], "Received: split='tset'"),
        (["evaluate", "run", "--split", "tset"], "Received: split='tset'"),
        (
            ["evaluate", "run", "--data", "new.csv", "--split", "validation"],
            "Received: split='validation'",
        ),
        (
            ["calibrate", "run", "--data", "new.csv", "--split", "validation"],
            "Received: split='validation'",
        ),
        (["calibrate", "run", "--data", "new.csv", "--label", "z"], "has no column 'z'"),
        (["evaluate", "run", "--data", "digits"], "samples of shape (4,)"),
        (["calibrate", "judge.keras"], "Received: run="),
        (["calibrate", "none"], "Received: path="),
        (["evaluate", "judge.keras"], "Received: run="),
        (["evaluate", "run", "--data", "wide.csv"], "samples of shape (4,)"),
        (["evaluate", "none"], "Received: path="),
        (["generate", "run", "--sampler", "gausian"], "'gaussian'?"),
        (["generate", "judge.keras", "--sampler", "gaussian"], "Received: run="),
        (["generate", "run"], "ae.fit_sampler(x)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_sentence_and_status_2(
    words, sentence, judge, folder, kerasae_, monkeypatch, request
):
    if not (folder / "wide.csv").exists():
        kerasae.data.write(folder / "new.csv", [rows(50, 8)], COLUMNS)
        kerasae.data.write(folder / "wide.csv", [np.ones((200, 6))])
        (folder / "text.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 200 + "1,2,x,4\n")
    monkeypatch.chdir(folder)
    state = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    more = {"detect": ["-o", "out.csv"], "generate": ["-o", "out.csv"]}.get(words[0], [])
    status, out, err = kerasae_(*words, *more)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == state


# evaluate and generate --------------------------------------------------------------------


def test_evaluate_prints_and_writes_what_it_measured(folder, tmp_path, kerasae_):
    target = tmp_path / "out.json"
    words = ("evaluate", folder / "run", "--no-samples", "-o", target)
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    found = json.loads(target.read_text("utf-8"))
    assert found["test"]["samples"] == 120
    assert f"test.mse {found['test']['mse']:.6g}" in " ".join(out.split())
    assert {"pca", "mean"} <= found["baselines"].keys()
    assert kerasae_(*words, "--quiet")[1] == ""


def test_generate_fits_a_sampler_and_keeps_it(run, tmp_path, kerasae_):
    words = ("generate", run, "-n", 30, "--seed", 2, "-o", tmp_path / "new.npy")
    assert kerasae_(*words)[0] == 2
    status, out, err = kerasae_(*words, "--sampler", "neighbour")
    assert (status, err) == (0, "")
    assert out == f"30 samples written to {tmp_path / 'new.npy'}\n"
    ae = kerasae.load(run)
    assert ae.sampler.kind == "neighbour"
    first = np.load(tmp_path / "new.npy")
    np.testing.assert_array_equal(first, ae.generate(30, seed=2))
    assert kerasae_(*words)[0] == 0  # it is kept
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), first)
