"""Files through a model: columns, rows and messages."""

import errno
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

import kerasae
from kerasae import files, scoring
from kerasae.scoring.answering import VERBS

COLUMNS = ["a", "b", "c", "d"]

HIDDEN = ".kerasae-batch"


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN))


def test_a_bad_row_is_named_and_finished_files_stay(judge, many, tmp_path):
    bad = rows(60, 1)
    bad[41, 2] = np.nan
    pq.write_table(table(bad, id=pa.array(["x"] * 60)), many / "part1.parquet", row_group_size=8)
    with pytest.raises(ValueError, match=r"'part1.parquet' .*row 41 .*column 'c'"):
        scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"])
    assert names_of(tmp_path / "out") == ["part0.parquet"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_without_rows_gives_one_without_rows(judge, tmp_path, verb, suffix):
    (tmp_path / "in").mkdir()
    days = pa.array([1, 2, 3], pa.timestamp("ms"))
    for name, made in (("a", table(rows(3, 0), day=days)), ("b", table(rows(0, 0), day=days[:0]))):
        path = tmp_path / "in" / f"{name}.{suffix}"
        pq.write_table(made, path) if suffix == "parquet" else csv.write_csv(made, path)
    done = scoring.apply(judge, verb, tmp_path / "in", tmp_path / "out", keep=["day"])
    assert (done.rows, done.files) == (3, 2)
    read = pq.read_table if suffix == "parquet" else csv.read_csv
    full, empty = (read(tmp_path / "out" / f"{name}.{suffix}") for name in "ab")
    assert (full.num_rows, empty.num_rows) == (3, 0)
    assert empty.column_names == full.column_names
    if suffix == "parquet":
        assert empty.schema == full.schema


def test_one_file_without_rows_is_no_mistake(model, tmp_path, kerasae_):
    pq.write_table(table(rows(0, 0)), tmp_path / "in.parquet")
    words = ("detect", model, "-i", tmp_path / "in.parquet", "-o", tmp_path / "out.csv")
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    assert out == f"0 rows written to {tmp_path / 'out.csv'}\n"
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == ['"anomaly_score","p_value","is_anomaly"']
    np.save(tmp_path / "in.npy", rows(0, 0))
    assert scoring.apply(model, "encode", tmp_path / "in.npy", tmp_path / "out.npy").rows == 0
    assert np.load(tmp_path / "out.npy").shape == (0, 2)
    lists = pa.array([], pa.list_(pa.float32()))
    pq.write_table(pa.table({"x": lists}), tmp_path / "lists.parquet")
    scoring.apply(model, "reconstruct", tmp_path / "lists.parquet", tmp_path / "out.csv")
    assert csv.read_csv(tmp_path / "out.csv").column_names == [f"x_{i}" for i in range(4)]
    with pytest.raises(ValueError, match="Received: batches="):
        kerasae.data.write(tmp_path / "none.csv", [np.empty((0, 3))])


def test_kept_columns_of_parquet_have_their_types(judge, tmp_path):
    x = rows(40, 3)
    kept = {
        "time": pa.array(np.arange(40) * 1000, pa.timestamp("ms", "UTC")),
        "kind": pa.array(["cat", None, "dog", "dog"] * 10).dictionary_encode(),
        "big": pa.array([2**60 + i for i in range(40)]),
    }
    pq.write_table(table(x, **kept), tmp_path / "in.parquet", row_group_size=7)
    scoring.apply(
        judge,
        "detect",
        tmp_path / "in.parquet",
        tmp_path / "out.parquet",
        keep=[*kept, "b"],
        columns=COLUMNS,
    )
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == [*kept, "b", "anomaly_score", "p_value", "is_anomaly"]
    for name, values in kept.items():
        assert found[name].to_pylist() == values.to_pylist()
        assert found.schema.field(name).type == values.type
    np.testing.assert_array_equal(found["b"].to_numpy(), x[:, 1])
    np.testing.assert_allclose(found["anomaly_score"].to_numpy(), judge.score(x), rtol=1e-5)
    scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.csv", keep=list(kept))
    assert csv.read_csv(tmp_path / "out.csv")["big"].to_pylist() == kept["big"].to_pylist()


def test_kept_columns_of_csv_are_the_same_text(judge, tmp_path):
    x = rows(3, 3)
    texts = ["007", "NA", 'a "b", c']
    lines = ["id,a,b,c,d"]
    for text, row in zip(texts, x, strict=True):
        quoted = text.replace('"', '""')
        lines.append(f'"{quoted}",' + ",".join(repr(float(value)) for value in row))
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    for suffix in (".csv", ".parquet"):
        target = tmp_path / f"out{suffix}"
        scoring.apply(judge, "score", tmp_path / "in.csv", target, keep=["id"])
        if suffix == ".csv":
            text = csv.ConvertOptions(column_types={"id": pa.string()})
            found = csv.read_csv(target, convert_options=text)
        else:
            found = pq.read_table(target)
        assert found["id"].to_pylist() == texts
        np.testing.assert_allclose(found[1].to_numpy(), judge.score(x), rtol=1e-4)


KINDS = {
    "wider": (pa.array([1, 2], pa.int32()), pa.array([2**40, 3]), pa.int64()),
    "whole and broken": (pa.array([2**53, None]), pa.array([0.5, None]), pa.float64()),
    "categories": (pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", None]), pa.string()),
    "nothing": (pa.nulls(2), pa.array(["c", "d"]), pa.string()),
    "finer": (
        pa.array([1, 2], pa.timestamp("s")),
        pa.array([1, 2], pa.timestamp("us")),
        pa.timestamp("us"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kept_columns_of_several_types_become_one_without_loss(judge, tmp_path, kind):
    (tmp_path / "in").mkdir()
    one, two, expected = KINDS[kind]
    for i, column in enumerate((one, two)):
        pq.write_table(table(rows(2, i), k=column), tmp_path / "in" / f"{i}.parquet")
    scoring.apply(judge, "score", tmp_path / "in", tmp_path / "out.parquet", keep=["k"])
    found = pq.read_table(tmp_path / "out.parquet")["k"]
    assert found.type == expected
    assert found.to_pylist()[2:] == two.to_pylist()
    if kind == "finer":
        assert found.cast(pa.int64()).to_pylist() == [10**6, 2 * 10**6, 1, 2]
    else:
        assert found.to_pylist()[:2] == one.to_pylist()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([[1, 2], ["a", "b"]], "'1.parquet' .*Received: keep="),
        ([[1, 2], [0.5, 1.5], [2**53 + 1, 0]], "'2.parquet' has a value in column 'k'"),
        (
            [pa.array([1, 2], pa.decimal128(9, 2)), [0.5, 1.5]],
            "'1.parquet' .*Received: keep=",
        ),
    ],
)
def test_kept_columns_without_a_common_type_are_named(judge, tmp_path, columns, sentence):
    (tmp_path / "in").mkdir()
    for i, column in enumerate(columns):
        made = table(rows(2, i), k=pa.array(column))
        pq.write_table(made, tmp_path / "in" / f"{i}.parquet", row_group_size=1)
    with pytest.raises(ValueError, match=sentence):
        scoring.apply(judge, "score", tmp_path / "in", tmp_path / "out.parquet", keep=["k"])
    assert not (tmp_path / "out.parquet").exists()
    # Outputs of their own keep the types of their files.
    scoring.apply(judge, "score", tmp_path / "in", tmp_path / "out", keep=["k"])
    for i, column in enumerate(columns):
        found = pq.read_table(tmp_path / "out" / f"{i}.parquet")["k"]
        assert found.to_pylist() == pa.array(column).to_pylist()


def test_a_kept_list_goes_to_parquet_only(judge, tmp_path):
    kept = pa.array([[1, 2], None])
    pq.write_table(table(rows(2, 0), k=kept), tmp_path / "in.parquet")
    with pytest.raises(ValueError, match=r"list<.*Received: keep=\['k'\]"):
        scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.csv", keep=["k"])
    scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.parquet", keep=["k"])
    assert pq.read_table(tmp_path / "out.parquet")["k"].to_pylist() == kept.to_pylist()


def test_a_kept_column_of_csv_can_be_read_too(judge, tmp_path):
    (tmp_path / "in.csv").write_text("a,b,c,d\n1,2,3,4.50\n")
    words = {"columns": COLUMNS, "keep": ["d"]}
    scoring.apply(judge, "score", tmp_path / "in.csv", tmp_path / "out.parquet", **words)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["d"].to_pylist() == ["4.50"]
    expected = judge.score(np.array([[1, 2, 3, 4.5]], "float32"))
    np.testing.assert_allclose(found[1].to_numpy(), expected, rtol=1e-5)
    (tmp_path / "in.csv").write_text("a,b,c,d\n1,2,3,4\n1,2,3,x\n")
    with pytest.raises(ValueError, match=r"'in.csv' holds 'x'.* row 3 .*column 'd'"):
        scoring.apply(judge, "score", tmp_path / "in.csv", tmp_path / "out.parquet", **words)


def test_a_kept_column_must_not_clash_with_a_result(judge, tmp_path):
    pq.write_table(table(rows(5, 0), p_value=pa.array(range(5))), tmp_path / "in.parquet")
    with pytest.raises(ValueError, match=r"Received: keep=\['p_value'\]"):
        scoring.apply(
            judge, "detect", tmp_path / "in.parquet", tmp_path / "o.csv", keep=["p_value"]
        )
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("kind", ["float16", "float64", "int32", "bool_"])
def test_numbers_of_every_type_are_read(judge, tmp_path, kind):
    x = np.round(rows(30, 2)).astype(kind)
    pq.write_table(table(x), tmp_path / "in.parquet")
    scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, judge.score(x.astype("float32")), rtol=1e-5)


@pytest.mark.parametrize("odd", [[1.0, 2.0, 3.0], None, [1.0, None, 3.0, 4.0]])
def test_an_odd_list_is_named(judge, tmp_path, odd):
    values = [[1.0, 2.0, 3.0, 4.0]] * 9 + [odd]
    pq.write_table(
        pa.table({"x": pa.array(values, pa.list_(pa.float32()))}), tmp_path / "in.parquet"
    )
    with pytest.raises(ValueError, match=r"'in.parquet' .* row 9 .*column 'x'"):
        scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")


def test_a_null_is_named(judge, tmp_path):
    whole = table(rows(20, 0))
    holes = pa.array([1.0] * 13 + [None] + [2.0] * 6, pa.float32())
    pq.write_table(whole.set_column(1, "b", holes), tmp_path / "in.parquet", row_group_size=6)
    with pytest.raises(ValueError, match=r"'in.parquet' .* row 13 .*column 'b'"):
        scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="trains a run"
)
def test_a_run_remembers_its_columns_and_its_label(tmp_path, kerasae_, monkeypatch):
    from kerasae.runs import figures

    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])
    monkeypatch.chdir(tmp_path)
    x = rows(200, 0)
    kerasae.data.write("t.csv", [np.c_[x, np.arange(200) % 2]], [*COLUMNS, "y"])
    words = ("train", "linear", "-d", "t.csv", "--epochs", 1, "--no-export", "-q")
    assert kerasae_(*words, "--label", "y", "-o", "run")[0] == 0
    assert kerasae_("score", "run", "-i", "t.csv", "-o", "out.npy")[0] == 0
    np.testing.assert_allclose(np.load("out.npy"), kerasae.load("run").score(x), rtol=1e-4)
    more = ("--column", "d", "--column", "a", "-o", "run2")
    assert kerasae_(*words, *more)[0] == 0
    assert kerasae_("score", "run2", "-i", "t.csv", "-o", "out.npy")[0] == 0
    expected = kerasae.load("run2").score(x[:, [3, 0]])
    np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-4)
    assert scoring.trained_names(tmp_path / "run2", (2,)) == ["d", "a"]
    assert scoring.trained_names(tmp_path / "run", (4,)) == COLUMNS
    # Columns are found by their names, in whatever order and among others, or refused.
    kerasae.data.write("u.csv", [x[:, [2, 0, 3, 1, 1]]], ["c", "a", "d", "b", "more"])
    expected = kerasae.load("run").score(x)
    for model in ("run", "run/model.keras"):
        assert kerasae_("score", model, "-i", "u.csv", "-o", "out.npy")[0] == 0
        np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-4)
    kerasae.data.write("w.csv", [x], ["a", "b", "c", "e"])
    status, _, error = kerasae_("score", "run", "-i", "w.csv", "-o", "other.npy")
    assert status == 2
    assert "Received: data='w.csv' without 1 of 4 columns" in error
    assert not (tmp_path / "other.npy").exists()
    # The card of an export knows them, too.
    kerasae_("export", "run", "-o", "served")
    for model in ("served", "served/1"):
        assert kerasae_("score", model, "-i", "u.csv", "-o", "out.npy")[0] == 0
        np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-4)
    # A file without names is read by position.
    np.save("x.npy", x)
    assert kerasae_("score", "run", "-i", "x.npy", "-o", "out.npy")[0] == 0
    np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-4)


def test_generated_tables_have_the_columns_of_the_run(tmp_path, kerasae_):
    ae = kerasae.build("vae", (4,), 2, hidden=(5,), seed=0)
    (tmp_path / "run").mkdir()
    ae.save(tmp_path / "run" / "model.keras")
    record = {"data_options": {"columns": COLUMNS}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    assert kerasae_("generate", tmp_path / "run", "-n", 3, "-o", tmp_path / "new.csv")[0] == 0
    assert csv.read_csv(tmp_path / "new.csv").column_names == COLUMNS


def test_a_loaded_model_is_left_as_it_was(judge, many, tmp_path):
    before = judge._run
    scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"])
    assert judge._run is before
    np.testing.assert_array_equal(judge.score(rows(5, 0)), judge.score(rows(5, 0)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"verb": "scroe"}, "Received: verb='scroe'"),
        ({"false_alarm_rate": 0.1}, "false_alarm_rate .* Received: verb='score'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"resume": True}, "resume .* Received: output="),
        ({"inputs": []}, "input.* Received: none"),
        ({"keep": "id"}, "Received: keep='id'"),
        ({"inputs": ["in", "in"], "output": "o", "resume": True}, "resume .* Received: model"),
        ({"model": 3}, "Received: model=3$"),
        ({"model": None, "inputs": ["in", "in"], "output": "o"}, "Received: model=None$"),
    ],
)
def test_arguments_are_checked(judge, many, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    given = {"verb": "score", "inputs": "in/part0.parquet", "output": "o.npy", **options}
    if "columns" not in given and given["verb"] == "score" and "keep" not in given:
        given["columns"] = COLUMNS
    with pytest.raises(ValueError, match=sentence):
        scoring.apply(**{"model": judge, **given})
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "o.npy").exists()


def test_a_terminal_gets_a_bar(judge, many, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"], progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "files, " in shown.err
    assert "rows/s" in shown.err


def test_a_full_disk_is_a_sentence_and_leaves_nothing(model, tmp_path, kerasae_, monkeypatch):
    pq.write_table(table(rows(5, 0)), tmp_path / "in.parquet")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    target = tmp_path / "out.csv"
    status, _, err = kerasae_("score", model, "-i", tmp_path / "in.parquet", "-o", target)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("'out.csv' ")
    assert "No space left on device. Received: path=" in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_text_without_rows_gives_a_table_without_rows(judge, tmp_path, end):
    path = tmp_path / "in.csv"
    for header, keep in (("a,b,c,d,id", ["id"]), ("", ["id"]), ("", [])):
        path.write_text(header + end)
        for verb, names in (
            ("detect", ["anomaly_score", "p_value", "is_anomaly"]),
            ("encode", ["code_0", "code_1"]),
        ):
            done = scoring.apply(judge, verb, path, tmp_path / "out.parquet", keep=keep)
            assert done.rows == 0
            found = pq.read_table(tmp_path / "out.parquet")
            assert found.column_names == [*keep, *names]
    with pytest.raises(ValueError, match="Received: input="):
        scoring.apply(judge, "reconstruct", path, tmp_path / "out.csv")
    scoring.apply(judge, "reconstruct", path, tmp_path / "out.csv", columns=COLUMNS)
    assert csv.read_csv(tmp_path / "out.csv").column_names == COLUMNS
    # In a folder that is one table, it adds no row.
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.csv").write_text("a,b,c,d" + end)
    (tmp_path / "in" / "1.csv").write_text("a,b,c,d\n1,2,3,4")
    assert scoring.apply(judge, "score", tmp_path / "in", tmp_path / "out.csv").rows == 1


@pytest.mark.parametrize("groups", [0, 1])
def test_parquet_without_row_groups_or_rows(judge, tmp_path, groups):
    with pq.ParquetWriter(tmp_path / "in.parquet", table(rows(1, 0)).schema) as writer:
        for _ in range(groups):
            writer.write_table(table(rows(0, 0)))
    assert pq.read_metadata(tmp_path / "in.parquet").num_row_groups == groups
    words = {"keep": ["a"], "columns": COLUMNS}
    done = scoring.apply(judge, "detect", tmp_path / "in.parquet", tmp_path / "out.csv", **words)
    assert (done.rows, done.anomalies) == (0, None)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == ['"a","anomaly_score","p_value","is_anomaly"']
