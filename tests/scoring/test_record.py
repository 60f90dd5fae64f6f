"""Resuming, replacing, and several commands in one folder."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

import kerasae
from kerasae import files, scoring

COLUMNS = ["a", "b", "c", "d"]

HIDDEN = ".kerasae-batch"


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN))


def test_resume_makes_only_what_is_missing_or_has_changed(model, many, tmp_path, kerasae_):
    out = tmp_path / "out"
    words = ("score", model, "-i", many, "-o", out)
    assert kerasae_(*words, "--keep", "id")[0] == 0
    status, _, err = kerasae_(*words, "--keep", "id")
    assert status == 2
    assert f"Received: output={str(out)!r}" in err
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
        (["score", own, "--resume"], "Received: keep=[]"),
        (["encode", own, "--keep", "id", "--resume"], "Received: verb='encode'"),
        (["score", own, "--keep", "id", "--resume", "--replace"], "resume and replace"),
        (["score", "changed", "--keep", "id", "--resume"], "Received: model="),
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
    with pytest.raises(ValueError, match="Received: verb='score'"):
        scoring.apply(model, "score", one, out, **words)
    assert names_of(out) == ["part1.parquet", "part2.parquet"]
    with pytest.raises(ValueError, match="Received: verb='score'"):
        scoring.apply(model, "score", one, out, **words)
    # One that is replaced while it runs stops, and leaves the others' outputs alone.
    meanwhile(
        monkeypatch,
        "part0.parquet",
        lambda: scoring.apply(model, "score", many, out, replace=True, **words),
    )
    with pytest.raises(ValueError, match=r"Another command.* Received: output="):
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
    with pytest.raises(ValueError, match=r"Another command.* Received: output="):
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
    with pytest.raises(ValueError, match=r"no record.* Received: output="):
        scoring.apply(model, "score", many, out, resume=True, **words)
    (out / scoring.RECORD).write_text("{")
    with pytest.raises(ValueError, match=r"no record.* Received: output="):
        scoring.apply(model, "score", many, out, resume=True, **words)
    (out / "part1.parquet").unlink()
    scoring.apply(model, "score", [many / "part1.parquet", many / "part1.*"], out, **words)
    assert json.loads((out / scoring.RECORD).read_text())["command"]["verb"] == "score"
