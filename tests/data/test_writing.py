import errno
import os

import numpy as np
import pytest

import kerasae.data
from kerasae import files


def halves(x):
    yield x[:7]
    yield x[7:]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_what_is_written_is_read_back(tmp_path, suffix, dtype):
    x = (np.random.default_rng(0).normal(size=(20, 3)) * 40 + 100).astype(dtype)
    path = tmp_path / f"out{suffix}"
    assert kerasae.data.write(path, halves(x)) == 20
    back = np.concatenate(list(kerasae.data.batches(path, batch_size=6)))
    np.testing.assert_array_equal(back, x)
    assert back.dtype == (np.float32 if suffix == ".csv" else dtype)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_images_are_read_back(tmp_path):
    for channels in ((), (1,), (3,)):
        shape = (12, 5, 4, *channels)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        folder = tmp_path / f"images{len(channels)}{channels[0] if channels else 0}"
        assert kerasae.data.write(folder, halves(images)) == 12
        back = np.concatenate(list(kerasae.data.batches(folder)))
        np.testing.assert_array_equal(back.reshape(shape), images)


def test_float_images_are_rounded_and_clipped(tmp_path):
    image = np.array([[[-3.0, 0.4], [254.6, 300.0]]], np.float32)
    kerasae.data.write(tmp_path / "out", [image])
    (back,) = kerasae.data.batches(tmp_path / "out")
    np.testing.assert_array_equal(back[0, ..., 0], [[0, 0], [255, 255]])


def test_higher_arrays_keep_their_shape_in_npy_and_are_flattened_in_tables(tmp_path):
    x = np.arange(2 * 3 * 2, dtype=np.float64).reshape(2, 3, 2)
    kerasae.data.write(tmp_path / "a.npy", [x])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), x)
    kerasae.data.write(tmp_path / "a.csv", [x])
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == '"x0","x1","x2","x3","x4","x5"'
    np.testing.assert_array_equal(next(kerasae.data.batches(tmp_path / "a.csv")), x.reshape(2, 6))


def test_one_value_per_row_with_its_name(tmp_path):
    assert kerasae.data.write(tmp_path / "s.csv", [np.ones(2), np.zeros(1)], names=["score"]) == 3
    assert (tmp_path / "s.csv").read_text() == '"score"\n1\n1\n0\n'
    kerasae.data.write(tmp_path / "b.csv", [np.array([True, False])])
    np.testing.assert_array_equal(next(kerasae.data.batches(tmp_path / "b.csv")), [[1], [0]])


def test_a_file_is_replaced_only_when_complete(tmp_path):
    def failing():
        yield np.ones((3, 2))
        raise RuntimeError("stop")

    for suffix in (".npy", ".npz", ".csv", ".parquet"):
        path = tmp_path / f"x{suffix}"
        kerasae.data.write(path, [np.zeros((4, 2))])
        before = path.read_bytes()
        with pytest.raises(RuntimeError, match="stop"):
            kerasae.data.write(path, failing())
        assert path.read_bytes() == before
        kerasae.data.write(path, [np.ones((5, 2))])
        assert len(next(kerasae.data.batches(path))) == 5
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_is_replaced_only_if_it_holds_nothing_else(tmp_path):
    folder = tmp_path / "out"
    kerasae.data.write(folder, [np.zeros((3, 2, 2), np.uint8)])
    kerasae.data.write(folder, [np.zeros((1, 2, 2), np.uint8)])
    assert [entry.name for entry in folder.iterdir()] == ["000000.png"]
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'diary\.txt', which would be lost"):
        kerasae.data.write(folder, [np.zeros((1, 2, 2), np.uint8)])
    assert (folder / "diary.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_came_to_a_folder_while_writing_is_not_lost(tmp_path):
    folder = tmp_path / "out"
    kerasae.data.write(folder, [np.zeros((1, 2, 2), np.uint8)])

    def late():
        yield np.ones((3, 2, 2), np.uint8)
        (folder / "diary.txt").write_text("mine")

    with pytest.raises(ValueError, match=r"holds 'diary\.txt', which would be lost"):
        kerasae.data.write(folder, late())
    assert sorted(entry.name for entry in folder.iterdir()) == ["000000.png", "diary.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "batches", "names", "sentence"),
    [
        ("x.xls", [np.ones((1, 1))], None, r"must end in \.npy, \.npz, \.csv, \.parquet"),
        ("x.npy", [], None, "at least one row"),
        ("x.npy", [np.ones((0, 3))], None, "at least one row"),
        ("x.npy", [np.ones((1, 3)), np.ones((1, 2))], None, r"rows of shape \(3,\).*shape=\(2,\)"),
        ("x.npy", [np.ones((1, 3)), np.ones((1, 3), np.uint8)], None, "type float64.*'uint8'"),
        ("x.npy", [np.array(["a"])], None, "arrays of numbers"),
        ("x.csv", [np.ones((1, 3))], ["a"], r"3 different column names.*names=\['a'\]"),
        ("x.csv", [np.ones((1, 2))], ["a", "a"], "2 different column names"),
        ("images", [np.ones((1, 3))], None, r"images \(n, height, width\)"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, batches, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.write(tmp_path / name, batches, names)
    assert list(tmp_path.iterdir()) == []


def test_places_that_will_not_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder to write in"):
        kerasae.data.write(tmp_path / "no" / "x.npy", [np.ones((1, 1))])
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(ValueError, match=r"'d\.npy' exists and is a folder"):
        kerasae.data.write(tmp_path / "d.npy", [np.ones((1, 1))])
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="'file' exists and is a file"):
        kerasae.data.write(tmp_path / "file", [np.ones((1, 2, 2))])


# Structured arrays ------------------------------------------------------------------------

FIELDS = [("score", "f4"), ("p", "f8"), ("odd", "?"), ("count", "u1"), ("big", "i8")]


def records(n=20, seed=0):
    rng = np.random.default_rng(seed)
    found = np.empty(n, FIELDS)
    found["score"], found["p"] = rng.normal(size=n), rng.random(n)
    found["odd"], found["count"] = rng.random(n) < 0.5, rng.integers(0, 256, n)
    found["big"] = rng.integers(-(2**53), 2**53, n)
    return found


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("names", [None, ["a", "b", "c", "d", "e"]])
def test_each_field_is_a_column_of_its_own_type(tmp_path, suffix, names):
    from pyarrow import csv, parquet

    x, path = records(), tmp_path / f"out{suffix}"
    assert kerasae.data.write(path, halves(x), names) == 20
    table = (csv.read_csv if suffix == ".csv" else parquet.read_table)(path)
    titles = names or [name for name, _ in FIELDS]
    assert table.column_names == titles
    if suffix == ".parquet":
        types = [str(field.type) for field in table.schema]
        assert types == ["float", "double", "uint8", "uint8", "int64"]
    for title, (name, kind) in zip(titles, FIELDS, strict=True):
        values = table[title].to_numpy()
        # CSV holds the shortest digits that give the same number of the type.
        np.testing.assert_array_equal(values.astype("u1" if kind == "?" else kind), x[name])


def test_records_are_read_back_as_rows_of_numbers(tmp_path):
    x = records()[["score", "odd"]]
    kerasae.data.write(tmp_path / "out.csv", [x])
    back = next(kerasae.data.batches(tmp_path / "out.csv"))
    np.testing.assert_array_equal(back, np.stack([x["score"], x["odd"]], axis=1))
    back = next(kerasae.data.batches(tmp_path / "out.csv", columns=["odd"]))
    np.testing.assert_array_equal(back[:, 0], x["odd"])


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_records_stay_records_in_numpy_files(tmp_path, suffix):
    x, path = records(), tmp_path / f"out{suffix}"
    kerasae.data.write(path, halves(x))
    back = np.load(path) if suffix == ".npy" else np.load(path)["x"]
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize(
    ("name", "batches", "names", "sentence"),
    [
        ("x.csv", [np.zeros(2, [("a", "U3")])], None, "arrays of numbers"),
        ("x.csv", [np.zeros(2, [("a", "f4", (3,))])], None, "arrays of numbers"),
        ("x.csv", [np.zeros(2, [("a", "f4"), ("b", "M8[s]")])], None, "arrays of numbers"),
        ("x.csv", [records()], ["a"], "5 different column names"),
        ("x.csv", [records(), records()[["score", "p"]]], None, "must have rows of shape"),
        ("x.csv", [records(), np.zeros((2, 5))], None, "must have rows of shape"),
        ("images", [records()], None, r"images \(n, height, width\)"),
    ],
)
def test_records_that_cannot_be_written_leave_nothing(tmp_path, name, batches, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.write(tmp_path / name, batches, names)
    assert list(tmp_path.iterdir()) == []


def test_records_in_a_matrix_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received"):
        kerasae.data.write(tmp_path / "x.csv", [records().reshape(10, 2)])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_the_disk_does_not_take_replaces_nothing(tmp_path, monkeypatch, number):
    path = tmp_path / "x.npy"
    kerasae.data.write(path, [np.zeros((4, 2))])
    before = path.read_bytes()

    def failing(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(OSError, match=r"'x\.npy' cannot be written: .* Received: path=") as found:
        kerasae.data.write(path, [np.ones((4, 2))])
    assert found.value.errno == number
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_and_permissions_outlive_a_replacement(tmp_path):
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "scores"
    real.write_text("old")
    real.chmod(0o600)
    (tmp_path / "out.csv").symlink_to(real)
    kerasae.data.write(tmp_path / "out.csv", [np.ones((1, 1))], ["score"])
    assert (tmp_path / "out.csv").is_symlink()
    assert real.read_text() == '"score"\n1\n'
    assert real.stat().st_mode & 0o777 == 0o600


def test_what_is_ready_can_still_be_refused(tmp_path):
    seen = []

    def refuse(temporary):
        seen.append(np.load(temporary).tolist())
        raise ValueError("not now")

    np.save(tmp_path / "x.npy", [0.0])
    with pytest.raises(ValueError, match="not now"):
        kerasae.data.write(tmp_path / "x.npy", [np.ones(2)], ready=refuse)
    assert seen == [[1.0, 1.0]]
    assert np.load(tmp_path / "x.npy").tolist() == [0.0]
    assert len(list(tmp_path.iterdir())) == 1
