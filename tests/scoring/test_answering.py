"""The answers of a model to one input."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

import kerasae
from kerasae import scoring
from kerasae.scoring.answering import ahead

COLUMNS = ["a", "b", "c", "d"]


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("inner", ["float32", "float64", "uint8"])
def test_a_column_of_lists_holds_samples(judge, tmp_path, fixed, inner):
    x = np.abs(np.round(rows(50, 2))).astype(inner)
    kind = pa.list_(pa.from_numpy_dtype(inner), 4 if fixed else -1)
    lists = pa.array(x.tolist(), kind)
    path = tmp_path / "in.parquet"
    pq.write_table(
        pa.table({"id": range(50), "pixels": lists, "n": range(50)}), path, row_group_size=20
    )
    target = tmp_path / "out.parquet"
    scoring.apply(judge, "reconstruct", path, target, columns=["pixels"], keep=["id"])
    found = pq.read_table(target)
    assert found.column_names == ["id", *(f"pixels_{i}" for i in range(4))]
    expected = judge.reconstruct(x.astype("float32"))
    values = np.stack([column.to_numpy() for column in found.columns[1:]], axis=1)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"column 'pixels' of 'in.parquet'"):
        scoring.apply(judge, "score", path, target)


def test_small_row_groups_and_batches_make_no_difference(judge, tmp_path):
    x = rows(3000, 4)
    pq.write_table(table(x), tmp_path / "in.parquet", row_group_size=10)
    scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.parquet", batch_size=7)
    assert pq.read_metadata(tmp_path / "out.parquet").num_row_groups == 1
    found = pq.read_table(tmp_path / "out.parquet")[0].to_numpy()
    np.testing.assert_allclose(found, judge.score(x), rtol=1e-5)


def test_an_export_answers_as_the_model_does(judge, model, many, tmp_path):
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("exports are made on the TensorFlow backend")
    kerasae.export(judge, tmp_path / "saved", verify=False)
    for path, name in ((model, "keras"), (tmp_path / "saved", "saved")):
        scoring.apply(path, "detect", many, tmp_path / name, keep=["id"])
        done = scoring.apply(path, "detect", many, tmp_path / name, keep=["id"], resume=True)
        assert done.skipped == 3
    for i in range(3):
        ours, theirs = (
            pq.read_table(tmp_path / name / f"part{i}.parquet") for name in ("keras", "saved")
        )
        np.testing.assert_allclose(ours[1].to_numpy(), theirs[1].to_numpy(), rtol=1e-5)
        assert ours["is_anomaly"] == theirs["is_anomaly"]


def test_pieces_are_read_ahead_in_order_and_an_error_reaches_the_caller():
    read = []

    def pieces():
        for piece in range(5):
            read.append(piece)
            yield piece
        raise ValueError("broken")

    with ThreadPoolExecutor(1) as reader:
        received = ahead(pieces(), reader)
        assert next(received) == 0
        assert [next(received) for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(ValueError, match="broken"):
            next(received)
    with ThreadPoolExecutor(1) as reader:
        received = ahead(itertools.count(), reader)
        assert next(received) == 0
    assert list(ahead(iter(()), ThreadPoolExecutor(1))) == []


@pytest.fixture(scope="module")
def waves():
    """A model of windows of 8 steps of 2 channels, calibrated on steps, and a long series."""
    ae = kerasae.build("undercomplete", (8, 2), 2, hidden=(5,), seed=0)
    series = np.random.default_rng(0).normal(size=(203, 2)).astype("float32")
    ae.calibrate(series, 0.05, stride=3)
    return ae, series


def test_a_long_series_is_judged_by_time_steps(waves, tmp_path):
    ae, series = waves
    columns = {"time": pa.array(range(203)), "p": series[:, 0], "q": series[:, 1]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=50)
    expected = ae.detect(series)
    words = {"keep": ["time"], "batch_size": 7}
    done = scoring.apply(ae, "detect", tmp_path / "in.parquet", tmp_path / "out.parquet", **words)
    assert (done.rows, done.anomalies) == (203, expected["is_anomaly"].sum())
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["time"].to_pylist() == list(range(203))
    np.testing.assert_allclose(found["anomaly_score"], expected["anomaly_score"], rtol=1e-5)
    np.testing.assert_allclose(found["p_value"], expected["p_value"], atol=1.5 / 204)
    scoring.apply(ae, "score", tmp_path / "in.parquet", tmp_path / "out.parquet", keep=["time"])
    scores = pq.read_table(tmp_path / "out.parquet")["reconstruction_error"]
    np.testing.assert_allclose(scores, expected["anomaly_score"], rtol=1e-5)
    # Windows are samples, as ever.
    windows = kerasae.anomaly.windows(series, 8, 5)
    np.save(tmp_path / "windows.npy", windows)
    scoring.apply(ae, "score", tmp_path / "windows.npy", tmp_path / "out.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), ae.score(windows), rtol=1e-5)


def test_what_does_not_judge_a_long_series_says_what_does(waves, tmp_path):
    ae, series = waves
    np.save(tmp_path / "in.npy", series)
    plain = kerasae.build("undercomplete", (8, 2), 2, hidden=(5,), seed=0)
    for model, verb, sentence in (
        (ae, "encode", "encode"),
        (ae, "reconstruct", "reconstruct"),
        (plain, "score", "score"),
        (plain, "detect", "detect"),
    ):
        with pytest.raises(ValueError, match=sentence):
            scoring.apply(model, verb, tmp_path / "in.npy", tmp_path / "out.npy")
    np.save(tmp_path / "short.npy", series[:7])
    with pytest.raises(ValueError, match=r"Received: 7 rows of 'short"):
        scoring.apply(ae, "detect", tmp_path / "short.npy", tmp_path / "out.csv")
    np.save(tmp_path / "wide.npy", np.zeros((20, 3), "float32"))
    with pytest.raises(ValueError, match=r"'wide\.npy'.*Received: rows of shape \(3,\)"):
        scoring.apply(ae, "detect", tmp_path / "wide.npy", tmp_path / "out.csv")
    assert not (tmp_path / "out.npy").exists()
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        served = kerasae.load(kerasae.export(ae, tmp_path / "saved", verify=False))
        for verb in ("score", "detect"):
            with pytest.raises(ValueError, match=f"Received: {verb} for model="):
                scoring.apply(served, verb, tmp_path / "in.npy", tmp_path / "out.csv")
