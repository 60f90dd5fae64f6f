"""Which outputs are made of which inputs."""

import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

import kerasae
from kerasae import scoring

COLUMNS = ["a", "b", "c", "d"]

HIDDEN = ".kerasae-batch"


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN))


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
    words = (
        "detect",
        model,
        "-i",
        many / "*.parquet",
        "-o",
        tmp_path / "out",
        "--format",
        "csv",
        "--keep",
        "id",
    )
    status, out, err = kerasae_(*words)
    assert (status, err) == (0, "")
    flagged = sum(
        int(kerasae.load(model).detect(rows(50 + 10 * i, i))["is_anomaly"].sum()) for i in range(3)
    )
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-i", "in/*.csv", "-o", "out"], "Received: 'in/*.csv'"),
        (
            ["-i", "in/part0.parquet", "-i", "in/none.parquet", "-o", "out"],
            "'in/none.parquet'",
        ),
        (["-i", "in/*.parquet", "-o", "out.csv"], "output='out.csv' for 3 inputs"),
        (
            ["-i", "in/part0.parquet", "-o", "out.csv", "--format", "csv"],
            "for 1 inputs",
        ),
        (["-i", "in", "-o", "in"], "Received: output='in'"),
        (
            ["-i", "in", "-i", "in2/part1.parquet", "-o", "out"],
            "Received: output='out'",
        ),
        (["-i", "in", "-o", "out", "--format", "cvs"], "Received: format='cvs'"),
        (["-i", "in/part0.parquet", "-o", "out.csv", "--resume"], "Received: output='out.csv'"),
        (["-i", "in", "-o", "out", "--keep", "ID"], "Received: keep=['ID']"),
        (["-i", "in", "-o", "out"], "column 'id' of 'part0.parquet'"),
        (["-i", "in/part0.parquet", "-o", "out.npy", "--keep", "id"], "Received: output='out.npy'"),
        (["-i", "x.npy", "-o", "out.csv", "--keep", "id"], "Received: keep=['id']"),
        (["-i", "in", "-o", "out", "--keep", "id", "--keep", "a"], "--keep"),
        (["-i", "in", "-o", "file"], "Received: output='file'"),
        (["-i", "in/part0.parquet", "-o", "o.xlsx", "--keep", "ID"], "o.xlsx"),
        (["-i", "in/part0.parquet", "-o", "o", "--keep", "ID"], "Received: output='o'"),
        (["-i", "in/part0.parquet", "-o", "no/o.csv", "--keep", "ID"], "no/o.csv"),
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


def test_a_folder_of_several_kinds_is_refused(model, many, tmp_path, kerasae_):
    csv.write_csv(table(rows(5, 0)), many / "late.csv")
    (many / "README.txt").write_text("")
    for output, way_out in (("out", "part*.parquet"), ("out.csv", "a folder of its own")):
        status, _, err = kerasae_("score", model, "-i", many, "-o", tmp_path / output)
        assert status == 2
        assert "'late.csv' and 'part0.parquet'" in err
        assert way_out.removeprefix("part") in err
        assert not (tmp_path / output).exists()
    (many / "late.csv").rename(many / "late.csv.gz")
    with pytest.raises(ValueError, match=r"'late\.csv\.gz' and 'part0\.parquet'"):
        scoring.apply(model, "score", many, tmp_path / "out")
    with pytest.raises(ValueError, match=r"late\.csv\.gz' is .* Received: input="):
        scoring.apply(model, "score", many / "late.csv.gz", tmp_path / "out.csv")
    done = scoring.apply(model, "score", many / "*.parquet", tmp_path / "out", keep=["id"])
    assert done.files == 3


def test_an_output_never_takes_the_place_of_its_input(judge, many, tmp_path):
    path = many / "part0.parquet"
    before = path.read_bytes()
    (tmp_path / "link.parquet").symlink_to(path)
    for output in (path, tmp_path / "link.parquet"):
        with pytest.raises(ValueError, match="Received: output="):
            scoring.apply(judge, "score", path, output, keep=["id"])
    with pytest.raises(ValueError, match="Received: output="):
        scoring.apply(judge, "score", many, many / "all.csv", keep=["id"])
    with pytest.raises(ValueError, match="Received: output="):
        scoring.apply(judge, "score", many, many, keep=["id"], format="csv")
    (tmp_path / "out").mkdir()
    os.link(path, tmp_path / "out" / "part0.parquet")
    with pytest.raises(ValueError, match="Received: output="):
        scoring.apply(judge, "score", many, tmp_path / "out", keep=["id"], replace=True)
    assert path.read_bytes() == before


def test_outputs_among_the_inputs_are_not_read(model, many):
    words = {"keep": ["id"], "format": "parquet"}
    pattern = str(many / "**" / "part*.parquet")
    scoring.apply(model, "score", pattern, many / "out", **words)
    assert names_of(many / "out") == [f"part{i}.parquet" for i in range(3)]
    done = scoring.apply(model, "score", pattern, many / "out", resume=True, **words)
    assert (done.files, done.skipped) == (3, 3)
