import subprocess
import sys
from csv import writer as csv_writer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kerasae.data
from kerasae.data import files, tables
from kerasae.data.rows import SPLITS


def parquet(path, x, row_group_size=None, **columns):
    table = pa.table({**{f"c{j}": x[:, j] for j in range(x.shape[1])}, **columns})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def csv(path, text):
    path.write_text(text)
    return path


def multiset(array) -> list[tuple]:
    return sorted(map(tuple, array.tolist()))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)


def as_csv(x, labels=None) -> str:
    lines = [",".join(repr(float(value)) for value in row) for row in x]
    if labels is not None:
        lines = [f"{line},{label}" for line, label in zip(lines, labels, strict=True)]
    header = ",".join(f"c{j}" for j in range(x.shape[1])) + (",kind" if labels is not None else "")
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_streamed_and_in_memory_hold_the_same_rows_with_their_labels(tmp_path, x, suffix):
    kinds = np.array(["ant", "bee", "cat"])[np.random.default_rng(1).integers(3, size=500)]
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        csv(path, as_csv(x, kinds))
    else:
        parquet(path, x, row_group_size=64, kind=pa.array(kinds))
    number = {"ant": 0, "bee": 1, "cat": 2}
    known = {tuple(row): number[kind] for row, kind in zip(x.tolist(), kinds, strict=True)}
    for budget in (2**20, 1000):
        splits = kerasae.data.load(path, label="kind", memory_budget=budget, batch_size=32)
        assert splits.streamed == (budget == 1000)
        assert splits.class_names == ["ant", "bee", "cat"]
        parts = [splits.array(split) for split in SPLITS]
        assert multiset(np.concatenate(parts)) == multiset(x)
        for split, part in zip(SPLITS, parts, strict=True):
            labels = [known[tuple(row)] for row in part.tolist()]
            np.testing.assert_array_equal(splits.labels[split], labels)
        trained = np.concatenate(list(splits.train.as_numpy_iterator()))
        assert multiset(trained) == multiset(parts[0])
        assert splits.sizes["train"] == len(parts[0])
    assert splits.value_range == (x.min(), x.max())


def test_streamed_parquet_order_mixes_row_groups(tmp_path):
    x = np.arange(4000, dtype=np.float32)[:, None]
    path = parquet(tmp_path / "t.parquet", x, row_group_size=100)
    splits = kerasae.data.load(path, memory_budget=4000, batch_size=50, validation=0, test=0)
    first, second = (np.concatenate(list(splits.train.as_numpy_iterator())) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first[:, 0]), x[:, 0])
    # A window holds 250 rows of row groups from anywhere, so its mean is not its position's.
    means = first[:, 0].reshape(-1, 250).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(16))[0, 1]) < 0.7
    assert first[:250, 0].std() > 100


def test_a_folder_of_tables_is_one_table(tmp_path, x):
    for suffix in ("csv", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        for number, part in enumerate((x[:200], x[200:])):
            path = folder / f"part{number}.{suffix}"
            csv(path, as_csv(part)) if suffix == "csv" else parquet(path, part)
        np.testing.assert_array_equal(np.concatenate(list(kerasae.data.batches(folder))), x)
        streamed = kerasae.data.load(folder, memory_budget=500)
        assert streamed.streamed
        joined = np.concatenate([streamed.array(split) for split in SPLITS])
        assert multiset(joined) == multiset(x)
    parquet(tmp_path / "parquet" / "part2.parquet", x[:, :2])
    with pytest.raises(ValueError, match=r"'part2\.parquet' has no column 'c2'"):
        kerasae.data.load(tmp_path / "parquet")


def test_columns_are_chosen_and_ordered(tmp_path, x):
    for path in (
        csv(tmp_path / "t.csv", as_csv(x, ["a"] * 500)),
        parquet(tmp_path / "t.parquet", x, kind=pa.array(["a"] * 500)),
    ):
        batch = next(kerasae.data.batches(path, batch_size=500, columns=["c2", "c0"]))
        np.testing.assert_array_equal(batch, x[:, [2, 0]])
        with pytest.raises(ValueError, match=r"Did you mean.*columns=\['c9'\]"):
            kerasae.data.load(path, columns=["c9"])
        with pytest.raises(ValueError, match=r"Did you mean 'kind'.*label='kin'"):
            kerasae.data.load(path, label="kin")
        with pytest.raises(ValueError, match="label='kind'"):
            kerasae.data.load(path, columns=["c0", "kind"], label="kind")
        with pytest.raises(ValueError, match="columns='c0'"):
            kerasae.data.load(path, columns="c0")
        with pytest.raises(ValueError, match="'c0' is there twice"):
            kerasae.data.load(path, columns=["c0", "c0"])
        with pytest.raises(ValueError, match=r"columns=\[\]"):
            kerasae.data.load(path, columns=[])


def test_parquet_of_uint8_stays_uint8(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
    splits = kerasae.data.load(parquet(tmp_path / "t.parquet", x), validation=0, test=0)
    assert splits.dtype == "uint8"
    np.testing.assert_array_equal(splits.array("train"), x)


def test_parquet_takes_integers_booleans_and_decimals(tmp_path):
    from decimal import Decimal

    table = pa.table(
        {
            "i": pa.array([1, 2, 3], pa.int64()),
            "b": [True, False, True],
            "d": [Decimal("1.5"), Decimal("2.5"), Decimal("3.5")],
            "__index_level_0__": [7, 8, 9],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    (batch,) = kerasae.data.batches(tmp_path / "t.parquet")
    np.testing.assert_array_equal(batch, [[1, 1, 1.5], [2, 0, 2.5], [3, 1, 3.5]])


def test_labels_that_are_numbers_stay_numbers(tmp_path):
    path = csv(tmp_path / "t.csv", "a,y\n" + "".join(f"{i},{i % 2 + 4}\n" for i in range(20)))
    splits = kerasae.data.load(path, label="y", validation=0, test=0)
    np.testing.assert_array_equal(splits.labels["train"], np.arange(20) % 2 + 4)
    assert splits.class_names is None
    category = pa.array(["u", "v"] * 10).dictionary_encode()
    path = parquet(tmp_path / "t.parquet", np.zeros((20, 1)), kind=category)
    assert kerasae.data.load(path, label="kind").class_names == ["u", "v"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1,2\n\n3,4", [[1, 2], [3, 4]]),
        ('"1","2"\n3,4\n', [[3, 4]]),
        ('"1","2"\n"3","4"\n', [[1, 2], [3, 4]]),
        ("a;b\n1;2\n", [[1, 2]]),
        ("a\tb\n1\t2\n", [[1, 2]]),
        ("\ufeffa,b\r\n1,2\r\n", [[1, 2]]),
        (",a\n0,5\n1,6\n", [[5], [6]]),
        ('"a, b",c\n1,2', [[1, 2]]),
    ],
)
def test_csv_dialects(tmp_path, text, expected):
    path = csv(tmp_path / "t.csv", text)
    np.testing.assert_array_equal(np.concatenate(list(kerasae.data.batches(path))), expected)


def test_true_and_false_are_numbers_as_in_parquet(tmp_path):
    path = csv(tmp_path / "t.csv", "a,odd\n1,True\n2,False\n3,true\n")
    np.testing.assert_array_equal(next(kerasae.data.batches(path)), [[1, 1], [2, 0], [3, 1]])
    csv(path, "a,odd\n1,True\n2,maybe\n")
    with pytest.raises(ValueError, match=r"'t\.csv' .*column 'odd'"):
        kerasae.data.load(path)


def test_a_header_of_numbers_is_told_from_data(tmp_path):
    """Wavelengths and years name columns; the warning says that a row was taken for names."""
    x = np.random.default_rng(0).random((100, 4)).round(6)
    lines = [",".join(map(str, row)) for row in x]
    path = csv(tmp_path / "t.csv", "\n".join(["400.0,450.5,500.0,550.5", *lines]))
    with pytest.warns(UserWarning, match=r"'t\.csv'"):
        batch = next(kerasae.data.batches(path, columns=["450.5", "400.0"]))
    np.testing.assert_allclose(batch, x[:, [1, 0]], rtol=1e-6)
    with pytest.warns(UserWarning, match=r"'t\.csv'"):
        assert kerasae.data.load(path, validation=0, test=0).sizes["train"] == 100
    for first in (
        "0.4,0.5,0.6,0.7",  # no further away than the rows below
        "400.0,150.0,500.0,550.0",  # an outlier, which does not rise
    ):
        csv(path, "\n".join([first, *lines]))
        assert len(next(kerasae.data.batches(path))) == 101
    rising = np.sort(x, axis=1) + np.arange(100)[:, None]  # data that rise in every row
    csv(path, "\n".join(",".join(map(str, row)) for row in rising))
    assert len(next(kerasae.data.batches(path))) == 100


def test_the_names_of_a_frame_without_names_are_no_data(tmp_path):
    path = csv(tmp_path / "t.csv", "0,1\n3,4\n")
    with pytest.warns(UserWarning, match=r"'t\.csv'"):
        np.testing.assert_array_equal(next(kerasae.data.batches(path)), [[3, 4]])


def test_text_that_is_not_utf8_gets_a_sentence(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("höhe,b\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"'t\.csv' is not UTF-8.*Received: source="):
        kerasae.data.load(path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "'t.csv' is empty"),
        ("a,b\n", "'t.csv' has no rows"),
        ("a,b\n1,2\n3,x\n", "'x'.* row 3 .*column 'b'"),
        ("1,2\n3,x\n", "'x'.* row 2 .*column 'x1'"),
        ("a,b\n1,2\n3,\n", "no value in row 3 .*column 'b'"),
        ("a,b\n1,2\n3,nan\n", "nan.* row 3 .*column 'b'"),
        ("a,b\n1,2\n-inf,3\n", "-inf.* row 3 .*column 'a'"),
        ("a,b\n1,2\n3,1e39\n", "inf.* row 3 .*column 'b'"),
        ("a,b\n1,2\n3\n", "Row #3.*got 1"),
        ("a,b\n1,2\n3,4,5\n", "Row #3.*got 3"),
        ("a,a\n1,2\n", "'a' is there twice"),
        ("a\0b\n", "not a text file"),
    ],
)
@pytest.mark.parametrize("budget", [2**20, 1])
def test_csv_that_will_not_do(tmp_path, text, where, budget):
    path = csv(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match=where) as caught:
        kerasae.data.load(path, memory_budget=budget)
    assert "'t.csv'" in str(caught.value)
    assert "Received: source=" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        ("CUST-0", r"--column.*--label.*--keep"),
        ("", "fill it"),
        ("N/A", "fill it"),
        ("?", "fill it"),
        ("nan", "fill it"),
        ("inf", ""),
    ],
)
def test_a_bad_value_comes_with_the_ways_out(tmp_path, value, way_out):
    path = csv(tmp_path / "t.csv", f"a,b\n1,2\n{value},3\n")
    with pytest.raises(ValueError, match=rf"row 3 .*column 'a'.*{way_out}") as caught:
        kerasae.data.load(path)
    assert ("fill it" in str(caught.value)) == (way_out == "fill it")


def test_csv_far_into_the_file(tmp_path):
    lines = ["a,b"] + ["1,2"] * 1_500_000 + ["1,2.5", "oops,2"]
    path = csv(tmp_path / "t.csv", "\n".join(lines))
    with pytest.raises(ValueError, match=r"'oops'.* row 1500003 .*column 'a'"):
        kerasae.data.load(path, memory_budget=1000)


def test_csv_without_a_label_value(tmp_path):
    path = csv(tmp_path / "t.csv", "a,y\n1,u\n2,\n")
    with pytest.raises(ValueError, match=r"row 3 .*column 'y'"):
        kerasae.data.load(path, label="y")


def test_one_csv_is_opened_once_for_one_reading(tmp_path, monkeypatch):
    path, opened = csv(tmp_path / "t.csv", "a,b\n1,2\n3,4\n"), []
    OSFile = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", lambda name: opened.append(name) or OSFile(name))
    hooked = [True]
    sys.addaudithook(
        lambda event, what: (
            opened.append(what[0]) if hooked and event == "open" and what[0] == str(path) else None
        )
    )
    stream = files.stream(path, keep=["b"])
    [(x, kept)] = stream.pairs()
    hooked.clear()
    assert opened == [str(path)]
    np.testing.assert_array_equal(x, [[1], [3]])
    assert kept["b"].to_pylist() == ["2", "4"]


def test_parquet_that_will_not_do(tmp_path, x):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ValueError, match=r"'t\.parquet' .*Received: source="):
        kerasae.data.load(path)
    parquet(path, x, kind=pa.array(["a"] * 500))
    with pytest.raises(
        ValueError,
        match=r"column 'kind' of 't\.parquet' .*--label",
    ):
        kerasae.data.load(path)
    holes = pa.array([None if i == 321 else 1.0 for i in range(500)])
    parquet(path, x, row_group_size=100, hole=holes)
    with pytest.raises(ValueError, match=r"row 321 .*column 'hole'; fill it"):
        kerasae.data.load(path)
    x[455, 1] = np.nan
    parquet(path, x, row_group_size=100)
    with pytest.raises(ValueError, match=r"nan.* row 455.*'c1'; fill it"):
        kerasae.data.load(path)
    x[455, 1] = 0
    x[456, 2] = np.inf
    parquet(path, x, row_group_size=100)
    with pytest.raises(ValueError, match=r"inf.* row 456.*'c2'"):
        kerasae.data.load(path)
    parquet(path, x[:0])
    with pytest.raises(ValueError, match="must not be empty"):
        kerasae.data.load(path)
    good = parquet(tmp_path / "good.parquet", x[:400], row_group_size=100).read_bytes()
    path.write_bytes(good[:200] + b"\xff" * 300 + good[500:])
    with pytest.raises(ValueError, match=r"'t\.parquet' cannot be read"):
        kerasae.data.load(path)


@pytest.mark.parametrize(("groups", "rows"), [(40, 20_000), (1, 800_000)])
def test_streaming_needs_less_memory_than_the_rows(tmp_path, groups, rows):
    width = 64
    schema = pa.schema([(f"c{j}", pa.float32()) for j in range(width)])
    part = np.random.default_rng(0).normal(size=(width, rows)).astype(np.float32)
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for _ in range(groups):
            writer.write(pa.table(list(part), schema=schema), row_group_size=rows)
    megabytes = groups * rows * width * 4 / 2**20
    # A process of its own: the peak of this one belongs to whatever ran before.
    code = f"""
import resource
import numpy as np
import pyarrow.parquet
import kerasae.data

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

list(kerasae.data.load(np.zeros((100, 2))).train)
before = peak()
splits = kerasae.data.load({str(tmp_path / "t.parquet")!r}, memory_budget=2**23)
assert splits.streamed
assert sum(splits.sizes.values()) == {groups * rows}
assert sum(len(batch) for batch in splits.train.as_numpy_iterator()) == splits.sizes["train"]
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # About 60 MB on Linux, most of it the pools of pyarrow and TensorFlow, for 195 MB of rows.
    assert float(done.stdout) < 0.6 * megabytes


# Text that is awkward --------------------------------------------------------------------


def test_cells_with_line_breaks_and_long_cells_are_passed_over(tmp_path):
    """The reader of blocks meets them somewhere in the middle, after rows were given out."""
    x = np.random.default_rng(0).random((60_000, 2)).astype("float32")
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv_writer(file)
        writer.writerow(["a", "note", "b"])
        for i, (a, b) in enumerate(x):
            note = "two\nlines" if i > 30_000 else "one"
            writer.writerow([repr(float(a)), "long " * 600_000 if i == 50_000 else note, b])
    stream = files.stream(tmp_path / "in.csv", columns=["a", "b"], keep=["note"])
    pieces = list(stream.pairs())
    np.testing.assert_allclose(np.concatenate([p for p, _ in pieces]), x, rtol=1e-6)
    notes = [note for _, kept in pieces for note in kept.column("note").to_pylist()]
    assert notes[:2] == ["one", "one"]
    assert notes[-1] == "two\nlines"
    assert len(notes[50_000]) == 3_000_000
    # Where a value is bad, Python's reader finds the place past the long cell.
    with (tmp_path / "in.csv").open("a") as file:
        file.write("x,none,1\n")
    with pytest.raises(ValueError, match=r"'x'.* row 60002 .*column 'a'"):
        list(kerasae.data.batches(tmp_path / "in.csv", columns=["a", "b"]))


def test_many_columns_take_time_in_proportion(tmp_path):
    """No list is searched for every name."""

    class Names(list):
        looked = 0

        def count(self, _):
            raise AssertionError("counts by going through all")

        index = count

        def __contains__(self, name):
            Names.looked += 1
            return super().__contains__(name)

    path = csv(tmp_path / "x.csv", ",".join(f"c{i}" for i in range(20_000)) + "\n")
    table = tables.Table(path, [path])
    table.names = Names(table.names)
    assert len(table.choose(None, "c7")) == 19_999
    assert Names.looked <= 1
