"""Files through a model: many at a time, resumed, with columns passed through."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

import kerasae
from kerasae import cli, files, scoring
from kerasae.scoring.answering import VERBS

COLUMNS = ["a", "b", "c", "d"]
HIDDEN = ".kerasae-batch"


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


@pytest.fixture(scope="module")
def judge():
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=0)
    ae.calibrate(rows(300, 5), 0.05)
    return ae


@pytest.fixture(scope="module")
def model(judge, tmp_path_factory):
    """The path of a calibrated model, not to be changed."""
    path = tmp_path_factory.mktemp("model") / "judge.keras"
    judge.save(path)
    return path


@pytest.fixture
def many(tmp_path):
    """A folder of three Parquet files of 50, 60 and 70 rows."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        n = 50 + 10 * i
        ids = pa.array([f"{i}-{j}" for j in range(n)])
        pq.write_table(table(rows(n, i), id=ids), folder / f"part{i}.parquet")
    return folder


@pytest.fixture
def kerasae_(capsys, monkeypatch):
    """Run the command line in this process; return exit status, standard output and error."""
    monkeypatch.delenv("KERASAE_DEBUG", raising=False)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN))


# Many files -------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["folder", "pattern", "list"])
def test_every_input_gets_an_output_of_its_name(judge, many, tmp_path, given, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = {
        "folder": many,
        "pattern": "in/*.parquet",
        "list": [many / "part0.parquet", many / "part1.parquet", "in/part[2-9].parquet"],
    }[given]
    done = scoring.apply(judge, "score", inputs, tmp_path / "new" / "out", keep=["id"])
    assert done == scoring.Applied(rows=180, files=3, skipped=0, anomalies=None)
    assert names_of(tmp_path / "new" / "out") == [f"part{i}.parquet" for i in range(3)]
    for i in range(3):
        found = pq.read_table(tmp_path / "new" / "out" / f"part{i}.parquet")
        assert found.column_names == ["id", "reconstruction_error"]
        assert found["id"].to_pylist() == [f"{i}-{j}" for j in range(50 + 10 * i)]
        expected = judge.score(rows(50 + 10 * i, i))
        np.testing.assert_allclose(found[1].to_numpy(), expected, rtol=1e-5)


def test_a_folder_of_tables_is_one_table_where_the_output_is_a_file(judge, many, tmp_path):
    done = scoring.apply(judge, "encode", many, tmp_path / "out.csv", keep=["id"])
    assert (done.rows, done.files) == (180, 1)
    found = csv.read_csv(tmp_path / "out.csv")
    assert found.column_names == ["id", "code_0", "code_1"]
    assert found["id"][50].as_py() == "1-0"
    expected = judge.encode(rows(60, 1))
    np.testing.assert_allclose(found["code_1"].to_numpy()[50:110], expected[:, 1], rtol=1e-4)


def test_the_format_of_outputs_can_be_chosen(model, many, tmp_path, kerasae_):
    words = ("detect", model, "-i", many / "*.parquet", "-o", tmp_path / "out", "--format", "csv",
             "--keep", "id")  # fmt: skip
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    flagged = sum(int(kerasae.load(model).detect(rows(50 + 10 * i, i))["is_anomaly"].sum())
                  for i in range(3))  # fmt: skip
    assert out == (
        f"180 rows of 3 files written to {tmp_path / 'out'}, {flagged} of them anomalies "
        f"({flagged / 180:.2%})\n"
    )
    assert names_of(tmp_path / "out") == ["part0.csv", "part1.csv", "part2.csv"]


def test_a_folder_of_images_stays_one_input(tmp_path):
    ae = kerasae.build("undercomplete", (4, 4, 1), 2, hidden=(5,), input_dtype="uint8", seed=0)
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype("uint8")
    kerasae.data.write(tmp_path / "images", [images])
    assert scoring.apply(ae, "score", tmp_path / "images", tmp_path / "out.csv").rows == 6
    found = csv.read_csv(tmp_path / "out.csv")["reconstruction_error"].to_numpy()
    np.testing.assert_allclose(found, ae.score(images), rtol=1e-5)


# Resume -----------------------------------------------------------------------------------


def test_resume_makes_only_what_is_missing_or_has_changed(model, many, tmp_path, kerasae_):
    out = tmp_path / "out"
    words = ("score", model, "-i", many, "-o", out)
    assert kerasae_(*words, "--keep", "id")[0] == 0
    status, _, err = kerasae_(*words, "--keep", "id")
    assert status == 2
    assert "3 of 3 outputs exist, such as 'part0.parquet'" in err
    assert "--resume" in err
    assert "--replace" in err
    (out / "part1.parquet").unlink()
    pq.write_table(table(rows(9, 7), id=pa.array(["x"] * 9)), many / "part2.parquet")
    states = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    status, said, err = kerasae_(*words, "--keep", "id", "--resume")
    assert (status, err) == (0, "")
    assert said == f"119 rows of 3 files written to {out}; 1 of the files were there already\n"
    assert (out / "part0.parquet").stat().st_mtime_ns == states["part0.parquet"]
    assert (out / "part2.parquet").stat().st_mtime_ns != states["part2.parquet"]
    assert pq.read_metadata(out / "part2.parquet").num_rows == 9
    assert pq.read_metadata(out / "part1.parquet").num_rows == 60


def test_resume_refuses_another_model_and_other_options(model, many, tmp_path, kerasae_):
    out = tmp_path / "out"
    own = tmp_path / "own.keras"
    own.write_bytes(model.read_bytes())
    assert kerasae_("score", own, "-i", many, "-o", out, "--keep", "id")[0] == 0
    (out / "part1.parquet").unlink()
    state = {path: path.read_bytes() for path in out.iterdir()}
    for words, sentence in (
        (["score", own, "--resume"], "made with keep=['id']"),
        (["encode", own, "--keep", "id", "--resume"], "made with verb='score'"),
        (["score", own, "--keep", "id", "--resume", "--replace"], "exclude each other"),
        (["score", "changed", "--keep", "id", "--resume"], "by another model"),
    ):
        if words[1] == "changed":
            kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=1).save(own)
            words[1] = own
        status, _, err = kerasae_(*words, "-i", many, "-o", out)
        assert status == 2
        assert sentence in err
        assert {path: path.read_bytes() for path in out.iterdir()} == state
    assert kerasae_("encode", own, "-i", many, "-o", out, "--replace", "--keep", "id")[0] == 0
    assert pq.read_schema(out / "part0.parquet").names == ["id", "code_0", "code_1"]


def test_outputs_without_a_record_are_not_taken_for_ours(model, many, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part1.parquet").write_bytes(b"precious")
    for more in ({}, {"resume": True}):
        with pytest.raises(ValueError, match=r"'part1\.parquet'"):
            scoring.apply(model, "score", many, tmp_path / "out", keep=["id"], **more)
    assert (tmp_path / "out" / "part1.parquet").read_bytes() == b"precious"


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_kill_loses_the_current_file_only(model, many, tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        import kerasae
        from kerasae import batch, data
        write = data.write
        def killed(path, batches, names=None, **more):
            def pieces():
                yield from batches
                if path.name == "part1.parquet":
                    assert list(path.parent.glob(".part1.parquet.*.part"))
                    os.kill(os.getpid(), signal.SIGKILL)
            return write(path, pieces(), names, **more)
        data.write = killed
        scoring.apply(*sys.argv[1:2], "score", *sys.argv[2:], keep=["id"])
    """)
    out = tmp_path / "out"
    words = [sys.executable, "-c", script, str(model), str(many), str(out)]
    process = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert process.returncode == -signal.SIGKILL, process.stderr
    left = names_of(out)
    assert left[1:] == ["part0.parquet"]
    assert left[0].startswith(".part1.parquet.")
    done = scoring.apply(model, "score", many, out, keep=["id"], resume=True)
    assert done == scoring.Applied(rows=180, files=3, skipped=1, anomalies=None)
    assert names_of(out) == [f"part{i}.parquet" for i in range(3)]
    journals = sorted(out.glob(f"{HIDDEN}.*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = [json.loads(line) for path in journals for line in path.read_text().splitlines()]
    assert [line["found"]["rows"] for line in lines] == [50, 60, 70]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-i", "in/*.csv", "-o", "out"], "No file matches the pattern"),
        (["-i", "in/part0.parquet", "-i", "in/none.parquet", "-o", "out"], "no such file"),
        (["-i", "in/*.parquet", "-o", "out.csv"], "Several inputs need a folder"),
        (["-i", "in/part0.parquet", "-o", "out.csv", "--format", "csv"], "format is for a folder"),
        (["-i", "in", "-o", "in"], "another folder than that of the inputs"),
        (["-i", "in", "-i", "in2/part1.parquet", "-o", "out"], "would both become 'part1.parquet'"),
        (["-i", "in", "-o", "out", "--format", "cvs"], "Did you mean 'csv'?"),
        (["-i", "in/part0.parquet", "-o", "out.csv", "--resume"], "resume is for several inputs"),
        (["-i", "in", "-o", "out", "--keep", "ID"], "Did you mean 'id'?"),
        (["-i", "in", "-o", "out"], "'id' of 'part0.parquet' holds string values"),
        (["-i", "in/part0.parquet", "-o", "out.npy", "--keep", "id"], ".csv or .parquet"),
        (["-i", "x.npy", "-o", "out.csv", "--keep", "id"], "from CSV and Parquet files only"),
        (["-i", "in", "-o", "out", "--keep", "id", "--keep", "a"], "--keep"),
        (["-i", "in", "-o", "file"], "output must be a folder"),
        (["-i", "in/part0.parquet", "-o", "o.xlsx", "--keep", "ID"], "A file must end in .npy"),
        (["-i", "in/part0.parquet", "-o", "o", "--keep", "ID"], "results are no images"),
        (["-i", "in/part0.parquet", "-o", "no/o.csv", "--keep", "ID"], "no folder to write in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_sentence_and_change_nothing(
    words, sentence, model, many, tmp_path, kerasae_, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in2").mkdir()
    pq.write_table(table(rows(5, 0)), tmp_path / "in2" / "part1.parquet")
    np.save("x.npy", rows(5, 0))
    (tmp_path / "file").write_text("precious")
    state = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status, out, err = kerasae_("score", model, *words)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == state


def test_a_bad_row_is_named_and_finished_files_stay(judge, many, tmp_path):
    bad = rows(60, 1)
    bad[41, 2] = np.nan
    pq.write_table(table(bad, id=pa.array(["x"] * 60)), many / "part1.parquet", row_group_size=8)
    with pytest.raises(ValueError, match=r"'part1.parquet' holds nan.* in row 41 .*column 'c'"):
        scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"])
    assert names_of(tmp_path / "out") == ["part0.parquet"]


@pytest.mark.parametrize("how", ["truncated", "changed"])
def test_resume_does_not_trust_an_output_that_is_not_as_it_was_written(model, many, tmp_path, how):
    out = tmp_path / "out"
    scoring.apply(model, "score", many, out, keep=["id"])
    whole = (out / "part1.parquet").read_bytes()
    (out / "part1.parquet").write_bytes(whole[:-100] if how == "truncated" else whole[::-1])
    done = scoring.apply(model, "score", many, out, keep=["id"], resume=True)
    assert done.skipped == 2
    assert pq.read_table(out / "part1.parquet").num_rows == 60


@pytest.mark.parametrize("at", ["part0.parquet", "part1.parquet"])
def test_replace_never_mixes_old_and_new(model, many, tmp_path, monkeypatch, at):
    out = tmp_path / "out"
    scoring.apply(model, "score", many, out, keep=["id"])
    (out / "other.txt").write_text("precious")
    write = kerasae.data.write

    def interrupted(path, batches, names=None, **more):
        def pieces():
            yield next(batches)
            if path.name == at:
                raise KeyboardInterrupt
            yield from batches

        return write(path, pieces(), names, **more)

    monkeypatch.setattr(kerasae.data, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scoring.apply(model, "encode", many, out, keep=["id"], replace=True)
    monkeypatch.undo()
    if at == "part0.parquet":  # nothing is new, and all that is old still there
        assert names_of(out) == ["other.txt", *(f"part{i}.parquet" for i in range(3))]
        more = {"verb": "score", "skipped": 3}
    else:
        assert names_of(out) == ["other.txt", "part0.parquet"]
        assert pq.read_schema(out / "part0.parquet").names == ["id", "code_0", "code_1"]
        more = {"verb": "encode", "skipped": 1}
    done = scoring.apply(model, more["verb"], many, out, keep=["id"], resume=True)
    assert (done.files, done.skipped) == (3, more["skipped"])


# Nothing to do ----------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="at least one row to write"):
        kerasae.data.write(tmp_path / "none.csv", [np.empty((0, 3))])


def test_only_files_that_can_be_read_are_suggested(model, many, tmp_path, kerasae_, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mk.py", "load.py", "b.npy", "readings.py", "readings.csv"):
        (tmp_path / name).write_text("x0\n1\n")
    for word, hint in (
        ("x.npy", ""),
        ("nope.npy", ""),
        ("reading.npy", " Did you mean 'readings.csv'?"),
        ("in/prt1.parquet", " Did you mean 'part1.parquet'?"),
    ):
        _, _, err = kerasae_("score", model, "-i", word, "-o", "out.csv")
        assert err == f"There is no such file or folder.{hint} Received: {word!r}\n"


# Columns ----------------------------------------------------------------------------------


def test_kept_columns_of_parquet_have_their_types(judge, tmp_path):
    x = rows(40, 3)
    kept = {
        "time": pa.array(np.arange(40) * 1000, pa.timestamp("ms", "UTC")),
        "kind": pa.array(["cat", None, "dog", "dog"] * 10).dictionary_encode(),
        "big": pa.array([2**60 + i for i in range(40)]),
    }
    pq.write_table(table(x, **kept), tmp_path / "in.parquet", row_group_size=7)
    scoring.apply(
        judge, "detect", tmp_path / "in.parquet", tmp_path / "out.parquet", keep=[*kept, "b"]
    , columns=COLUMNS)  # fmt: skip
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
        pa.array([1, 2], pa.timestamp("s")), pa.array([1, 2], pa.timestamp("us")),
        pa.timestamp("us"),
    ),
}  # fmt: skip


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
        ([[1, 2], ["a", "b"]], "'k' holds string values in '1.parquet' and int64 values in the"),
        ([[1, 2], [0.5, 1.5], [2**53 + 1, 0]], "'k' of '2.parquet' has a value among rows 0 to 0"),
        ([pa.array([1, 2], pa.decimal128(9, 2)), [0.5, 1.5]], "'k' holds double values in '1."),
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
    with pytest.raises(ValueError, match=r"'k' of 'in\.parquet' holds list.* write Parquet"):
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
    with pytest.raises(ValueError, match="holds 'x', which is not a number, in line 3"):
        scoring.apply(judge, "score", tmp_path / "in.csv", tmp_path / "out.parquet", **words)


def test_a_kept_column_must_not_clash_with_a_result(judge, tmp_path):
    pq.write_table(table(rows(5, 0), p_value=pa.array(range(5))), tmp_path / "in.parquet")
    with pytest.raises(ValueError, match="'p_value' cannot be kept"):
        scoring.apply(
            judge, "detect", tmp_path / "in.parquet", tmp_path / "o.csv", keep=["p_value"]
        )  # fmt: skip
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("kind", ["float16", "float64", "int32", "bool_"])
def test_numbers_of_every_type_are_read(judge, tmp_path, kind):
    x = np.round(rows(30, 2)).astype(kind)
    pq.write_table(table(x), tmp_path / "in.parquet")
    scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, judge.score(x.astype("float32")), rtol=1e-5)


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
    with pytest.raises(ValueError, match="read a column of lists alone"):
        scoring.apply(judge, "score", path, target)


@pytest.mark.parametrize("odd", [[1.0, 2.0, 3.0], None, [1.0, None, 3.0, 4.0]])
def test_an_odd_list_is_named(judge, tmp_path, odd):
    values = [[1.0, 2.0, 3.0, 4.0]] * 9 + [odd]
    pq.write_table(
        pa.table({"x": pa.array(values, pa.list_(pa.float32()))}), tmp_path / "in.parquet"
    )
    with pytest.raises(ValueError, match=r"'in.parquet' has no .* in row 9 .*column 'x'"):
        scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")


def test_a_null_is_named(judge, tmp_path):
    whole = table(rows(20, 0))
    holes = pa.array([1.0] * 13 + [None] + [2.0] * 6, pa.float32())
    pq.write_table(whole.set_column(1, "b", holes), tmp_path / "in.parquet", row_group_size=6)
    with pytest.raises(ValueError, match=r"'in.parquet' has no value in row 13 .*column 'b'"):
        scoring.apply(judge, "score", tmp_path / "in.parquet", tmp_path / "out.npy")


# Runs -------------------------------------------------------------------------------------


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
    assert "has no column 'd', which the run was trained on" in error
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


# The engine -------------------------------------------------------------------------------


def test_a_loaded_model_is_left_as_it_was(judge, many, tmp_path):
    before = judge._run
    scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"])
    assert judge._run is before
    np.testing.assert_array_equal(judge.score(rows(5, 0)), judge.score(rows(5, 0)))


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


def test_an_error_while_reading_reaches_the_caller_and_ends_the_thread():
    import threading

    from kerasae.scoring.streaming import ahead

    def pieces():
        yield 1
        raise ValueError("broken")

    with ahead(pieces()) as received:
        assert next(received) == 1
        with pytest.raises(ValueError, match="broken"):
            next(received)

    def endless():
        while True:
            yield 1

    with ahead(endless()) as received:
        assert next(received) == 1
    assert "kerasae-batch-reader" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"verb": "scroe"}, "Did you mean 'score'?"),
        ({"false_alarm_rate": 0.1}, "is for detect"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"resume": True}, "resume is for several inputs"),
        ({"inputs": []}, "at least one input"),
        ({"keep": "id"}, "must be a list of names"),
        ({"inputs": ["in", "in"], "output": "o", "resume": True}, "resume needs a model by its"),
        ({"model": 3}, "model must be a run directory, .* Received: model=3$"),
        ({"model": None, "inputs": ["in", "in"], "output": "o"}, "Received: model=None$"),
    ],
)
def test_arguments_are_checked(judge, many, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    given = {"verb": "score", "inputs": "in/part0.parquet", "output": "o.npy", **options}
    if "columns" not in given and given["verb"] == "score" and "keep" not in given:
        given["columns"] = COLUMNS
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
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


# Series -----------------------------------------------------------------------------------


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
        (ae, "encode", r"windows of it make samples \(kerasae.anomaly.windows\(series, 8\)"),
        (ae, "reconstruct", "its time steps are judged by score and detect, and windows"),
        (plain, "score", "once the run is calibrated on them"),
        (plain, "detect", "kerasae calibrate RUN --data FILE --stride N"),
    ):
        with pytest.raises(ValueError, match=sentence):
            scoring.apply(model, verb, tmp_path / "in.npy", tmp_path / "out.npy")
    np.save(tmp_path / "short.npy", series[:7])
    with pytest.raises(ValueError, match=r"as many time steps as a window, 8.* 7 rows of 'short"):
        scoring.apply(ae, "detect", tmp_path / "short.npy", tmp_path / "out.csv")
    np.save(tmp_path / "wide.npy", np.zeros((20, 3), "float32"))
    with pytest.raises(ValueError, match=r"'wide\.npy' must be a series of 2 channels"):
        scoring.apply(ae, "detect", tmp_path / "wide.npy", tmp_path / "out.csv")
    assert not (tmp_path / "out.npy").exists()
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        served = kerasae.load(kerasae.export(ae, tmp_path / "saved", verify=False))
        for verb in ("score", "detect"):
            with pytest.raises(ValueError, match="an export does not judge; take the run"):
                scoring.apply(served, verb, tmp_path / "in.npy", tmp_path / "out.csv")


# Several at a time ------------------------------------------------------------------------


def meanwhile(monkeypatch, name, others):
    """Let something happen while an output is being written, just before it is whole."""
    write = kerasae.data.write

    def interrupted(path, batches, names=None, **more):
        def pieces():
            yield from batches
            if path.name == name:
                monkeypatch.setattr(kerasae.data, "write", write)
                others()

        return write(path, pieces(), names, **more)

    monkeypatch.setattr(kerasae.data, "write", interrupted)


def test_two_calls_fill_one_folder_and_neither_record_is_lost(model, many, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = {"keep": ["id"]}

    def another():
        scoring.apply(model, "score", many / "part[12].parquet", out, **words)

    meanwhile(monkeypatch, "part0.parquet", another)
    scoring.apply(model, "score", [many / "part0.parquet", many / "part0.*"], out, **words)
    assert len(list(out.glob(f"{HIDDEN}.*.jsonl"))) == 2
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 3
    # The same command, twice at a time: the later output stands, and is known.
    (out / "part1.parquet").unlink()
    meanwhile(
        monkeypatch,
        "part1.parquet",
        lambda: scoring.apply(model, "score", many, out, resume=True, **words),
    )
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 2
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 3
    # A call for other inputs keeps what is known of these.
    pq.write_table(table(rows(5, 9), id=pa.array(["x"] * 5)), many / "part3.parquet")
    scoring.apply(model, "score", [many / "part3.parquet", many / "part3.*"], out, **words)
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 4


def test_two_commands_never_mix_in_one_folder(model, many, tmp_path, monkeypatch):
    out, words = tmp_path / "out", {"keep": ["id"]}
    one = [many / "part0.parquet", many / "part0.*"]

    def another():
        scoring.apply(model, "encode", many / "part[12].parquet", out, **words)

    meanwhile(monkeypatch, "part0.parquet", another)
    with pytest.raises(ValueError, match=r"made with verb='encode'; .*Received: verb='score'"):
        scoring.apply(model, "score", one, out, **words)
    assert names_of(out) == ["part1.parquet", "part2.parquet"]
    with pytest.raises(ValueError, match="made with verb='encode'"):
        scoring.apply(model, "score", one, out, **words)
    # One that is replaced while it runs stops, and leaves the others' outputs alone.
    meanwhile(
        monkeypatch,
        "part0.parquet",
        lambda: scoring.apply(model, "score", many, out, replace=True, **words),
    )
    with pytest.raises(ValueError, match="Another command has replaced"):
        scoring.apply(model, "encode", many, out, resume=True, **words)
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 3
    assert names_of(out) == [f"part{i}.parquet" for i in range(3)]
    # Once its outputs are gone, an old record is in nobody's way.
    for path in out.glob("*.parquet"):
        path.unlink()
    assert scoring.apply(model, "encode", many, out, **words).files == 3
    assert scoring.apply(model, "encode", many, out, resume=True, **words).skipped == 3


def test_an_output_that_gets_its_name_too_late_is_taken_back(model, many, tmp_path, monkeypatch):
    out, words = tmp_path / "out", {"keep": ["id"]}
    scoring.apply(model, "score", many, out, **words)
    (out / "part1.parquet").unlink()
    replace = files.replace

    def late(temporary, path):
        if path.name == "part1.parquet":
            monkeypatch.setattr(files, "replace", replace)
            inputs = [many / "part0.parquet", many / "part2.parquet"]
            scoring.apply(model, "encode", inputs, out, replace=True, **words)
        replace(temporary, path)

    monkeypatch.setattr(files, "replace", late)
    with pytest.raises(ValueError, match="Another command has replaced"):
        scoring.apply(model, "score", many, out, resume=True, **words)
    assert names_of(out) == ["part0.parquet", "part2.parquet"]
    assert pq.read_schema(out / "part0.parquet").names == ["id", "code_0", "code_1"]


def test_a_damaged_record_is_no_record(model, many, tmp_path):
    out, words = tmp_path / "out", {"keep": ["id"]}
    scoring.apply(model, "score", many, out, **words)
    [journal] = out.glob(f"{HIDDEN}.*.jsonl")
    whole = journal.read_text()
    journal.write_text(whole[:-40])  # the last line is cut short
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 2
    journal.write_bytes(b"3\n[1]\nnull\n\xff\n" + whole.encode())
    entry = json.loads(whole.splitlines()[0])
    with journal.open("a") as file:
        for change in ({"name": [1]}, {"name": 1}, {"input": None}, {"found": {}}, {"found": 3}):
            file.write(json.dumps({**entry, **change}) + "\n")
        file.write(json.dumps({"record": entry["record"]}) + "\n" + "[" * 100_000 + "\n")
    assert scoring.apply(model, "score", many, out, resume=True, **words).skipped == 3
    own = json.loads((out / scoring.RECORD).read_text())
    (out / scoring.RECORD).write_text(json.dumps({**own, "model": 3}))
    with pytest.raises(ValueError, match="no record of how"):
        scoring.apply(model, "score", many, out, resume=True, **words)
    (out / scoring.RECORD).write_text("{")
    with pytest.raises(ValueError, match="no record of how"):
        scoring.apply(model, "score", many, out, resume=True, **words)
    (out / "part1.parquet").unlink()
    scoring.apply(model, "score", [many / "part1.parquet", many / "part1.*"], out, **words)
    assert json.loads((out / scoring.RECORD).read_text())["command"]["verb"] == "score"


def test_models_in_memory_are_known_by_their_weights(many, tmp_path):
    one, two = (kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=seed) for seed in (0, 1))
    inputs = [[many / f"part{i}.parquet", many / f"part{i}.*"] for i in range(2)]
    scoring.apply(one, "score", inputs[0], tmp_path / "out", keep=["id"])
    with pytest.raises(ValueError, match="made by another model"):
        scoring.apply(two, "score", inputs[1], tmp_path / "out", keep=["id"])
    scoring.apply(one, "score", inputs[1], tmp_path / "out", keep=["id"])
    assert names_of(tmp_path / "out") == ["part0.parquet", "part1.parquet"]


def test_models_in_memory_are_known_by_their_layers(many, tmp_path):
    one, two = (
        kerasae.build("undercomplete", (4,), 2, hidden=(5,), activation=name, seed=0)
        for name in ("relu", "tanh")
    )
    two.set_weights(one.get_weights())
    inputs = [[many / f"part{i}.parquet", many / f"part{i}.*"] for i in range(3)]
    scoring.apply(one, "score", inputs[0], tmp_path / "out", keep=["id"])
    with pytest.raises(ValueError, match="made by another model"):
        scoring.apply(two, "score", inputs[1], tmp_path / "out", keep=["id"])
    one.compile(optimizer="sgd")  # which no answer depends on
    scoring.apply(one, "score", inputs[1], tmp_path / "out", keep=["id"])


def test_resume_knows_which_columns_a_run_reads(model, many, tmp_path):
    """They are recorded beside the model, which stays as it is."""
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "model.keras").write_bytes(model.read_bytes())
    (run / "config.json").write_text(json.dumps({"columns": COLUMNS}))
    scoring.apply(run, "score", many, out)
    assert scoring.apply(run, "score", many, out, resume=True, columns=COLUMNS).skipped == 3
    (run / "config.json").write_text(json.dumps({"columns": COLUMNS[::-1]}))
    with pytest.raises(ValueError, match=r"made with columns=\['a', 'b', .*\['d', 'c', "):
        scoring.apply(run, "score", many, out, resume=True)


@pytest.mark.parametrize("name", ["config.json", "card.json"])
@pytest.mark.parametrize("text", ["{", "[1]", '{"columns": 3}', '{"data_options": [1]}'])
def test_a_damaged_record_of_a_training_is_a_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name) as caught:
        scoring.recorded(tmp_path)
    assert "Received: " in str(caught.value)
    assert "\n" not in str(caught.value)


# What cannot be read or written -----------------------------------------------------------


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="exports a model"
)
def test_a_number_is_a_version_only_with_a_model_in_it(judge, many, tmp_path):
    kerasae.export(judge, tmp_path / "saved", training={"columns": COLUMNS}, verify=False)
    (tmp_path / "saved" / "20261121").mkdir()
    out = tmp_path / "out"
    assert scoring.recorded(tmp_path / "saved") == {"columns": COLUMNS}
    scoring.apply(tmp_path / "saved", "score", many, out)
    record = json.loads((out / scoring.RECORD).read_text())
    assert record["model"]["path"] == str(tmp_path / "saved" / "1")
    # Without the filter every model had the digest of no file at all.
    with (tmp_path / "saved" / "1" / "saved_model.pb").open("ab") as file:
        file.write(b"\x82\x7d\x00")
    with pytest.raises(ValueError, match="by another model"):
        scoring.apply(tmp_path / "saved", "score", many, out, resume=True)


def test_a_model_that_is_replaced_while_it_is_loaded_is_not_mistaken(
    model, many, tmp_path, monkeypatch
):
    own, load = tmp_path / "own.keras", kerasae.load
    own.write_bytes(model.read_bytes())

    def replaced(path):
        own.write_bytes(model.read_bytes() + b"\0")
        return load(model)

    monkeypatch.setattr(kerasae, "load", replaced)
    with pytest.raises(ValueError, match="replaced while it was loaded"):
        scoring.apply(own, "score", many, tmp_path / "out", keep=["id"])


def test_a_folder_of_several_kinds_is_refused(model, many, tmp_path, kerasae_):
    csv.write_csv(table(rows(5, 0)), many / "late.csv")
    (many / "README.txt").write_text("")
    for output, way_out in (("out", "part*.parquet"), ("out.csv", "a folder of its own")):
        status, _, err = kerasae_("score", model, "-i", many, "-o", tmp_path / output)
        assert status == 2
        assert "several kinds, such as 'late.csv' and 'part0.parquet'" in err
        assert way_out.removeprefix("part") in err
        assert not (tmp_path / output).exists()
    (many / "late.csv").rename(many / "late.csv.gz")
    with pytest.raises(ValueError, match=r"'late\.csv\.gz' and 'part0\.parquet'"):
        scoring.apply(model, "score", many, tmp_path / "out")
    with pytest.raises(ValueError, match=r"'late\.csv\.gz' is compressed"):
        scoring.apply(model, "score", many / "late.csv.gz", tmp_path / "out.csv")
    done = scoring.apply(model, "score", many / "*.parquet", tmp_path / "out", keep=["id"])
    assert done.files == 3


def test_an_output_never_takes_the_place_of_its_input(judge, many, tmp_path):
    path = many / "part0.parquet"
    before = path.read_bytes()
    (tmp_path / "link.parquet").symlink_to(path)
    for output in (path, tmp_path / "link.parquet"):
        with pytest.raises(ValueError, match="another file than the input"):
            scoring.apply(judge, "score", path, output, keep=["id"])
    with pytest.raises(ValueError, match="outside of the input folder"):
        scoring.apply(judge, "score", many, many / "all.csv", keep=["id"])
    with pytest.raises(ValueError, match="another folder than that of the inputs"):
        scoring.apply(judge, "score", many, many, keep=["id"], format="csv")
    (tmp_path / "out").mkdir()
    os.link(path, tmp_path / "out" / "part0.parquet")
    with pytest.raises(ValueError, match="another folder than that of the inputs"):
        scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"], replace=True)
    assert path.read_bytes() == before


def test_outputs_among_the_inputs_are_not_read(model, many):
    words = {"keep": ["id"], "format": "parquet"}
    pattern = str(many / "**" / "part*.parquet")
    scoring.apply(model, "score", pattern, many / "out", **words)
    assert names_of(many / "out") == [f"part{i}.parquet" for i in range(3)]
    done = scoring.apply(model, "score", pattern, many / "out", resume=True, **words)
    assert (done.files, done.skipped) == (3, 3)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(model, tmp_path, kerasae_, monkeypatch):
    pq.write_table(table(rows(5, 0)), tmp_path / "in.parquet")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    target = tmp_path / "out.csv"
    status, _, err = kerasae_("score", model, "-i", tmp_path / "in.parquet", "-o", target)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("'out.csv' cannot be written: No space left on device. Received: path=")
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
    with pytest.raises(ValueError, match=r"'in\.csv' is empty"):
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


def test_no_rows_are_no_share_of_anomalies(tmp_path, capsys, monkeypatch):
    from kerasae.cli import _helpers

    monkeypatch.setattr(scoring, "apply", lambda *_, **__: scoring.Applied(0, 1, 0, 0))
    _helpers.apply("detect", tmp_path, [], tmp_path / "o.csv", keep=None)
    assert capsys.readouterr().out == f"0 rows written to {tmp_path / 'o.csv'}\n"
