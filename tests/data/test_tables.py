import subprocess
import sys
from csv import writer as csv_writer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kerasae.data
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
        with pytest.raises(ValueError, match=r"no column 'c9'.*Did you mean.*columns=\['c9'\]"):
            kerasae.data.load(path, columns=["c9"])
        with pytest.raises(ValueError, match=r"no column 'kin'.*Did you mean 'kind'.*label='kin'"):
            kerasae.data.load(path, label="kin")
        with pytest.raises(ValueError, match="must not contain the label"):
            kerasae.data.load(path, columns=["c0", "kind"], label="kind")
        with pytest.raises(ValueError, match="must be a list"):
            kerasae.data.load(path, columns="c0")
        with pytest.raises(ValueError, match="'c0' is there twice"):
            kerasae.data.load(path, columns=["c0", "c0"])
        with pytest.raises(ValueError, match="no column to read"):
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
        ("0,1\n3,4\n", [[3, 4]]),
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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("a,b\n", "must not be empty"),
        ("a,b\n1,2\n\n3,x\n", "holds 'x', which is not a number, in line 4, column 'b'"),
        ("a,b\n1,2\n3,\n", "has no value in line 3, column 'b'"),
        ("a,b\n1,2\n3,nan\n", "holds 'nan', which is not a finite float32, in line 3, column 'b'"),
        ("a,b\n1,2\n-inf,3\n", "holds '-inf', which is not a finite float32, in line 3"),
        ("a,b\n1,2\n3,1e39\n", "holds '1e39', which is not a finite float32, in line 3"),
        ("a,b\n1,2\n3\n", "has 1 instead of 2 values in line 3"),
        ("a,b\n1,2\n3,4,5\n", "has 3 instead of 2 values in line 3"),
        ("a,a\n1,2\n", "'a' is there twice"),
        ("a\0b\n", "is not a text file"),
    ],
)
@pytest.mark.parametrize("budget", [2**20, 1])
def test_csv_that_will_not_do(tmp_path, text, sentence, budget):
    path = csv(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match=rf"'t\.csv'.*{sentence}|{sentence}.*'t\.csv'"):
        kerasae.data.load(path, memory_budget=budget)


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        ("CUST-0", r"; correct it, or name .*--column.*--label.*--keep"),
        ("", "; fill it or drop the row"),
        ("N/A", "; fill it or drop the row"),
        ("nan", "; fill it or drop the row"),
        ("inf", ""),
    ],
)
def test_a_bad_value_comes_with_the_ways_out(tmp_path, value, way_out):
    path = csv(tmp_path / "t.csv", f"a,b\n1,2\n{value},3\n")
    with pytest.raises(ValueError, match=rf"in line 3, column 'a'{way_out}[^;]*\. Received: so"):
        kerasae.data.load(path)


def test_csv_far_into_the_file(tmp_path):
    lines = ["a,b"] + ["1,2"] * 1_500_000 + ["1,2.5", "oops,2"]
    path = csv(tmp_path / "t.csv", "\n".join(lines))
    with pytest.raises(ValueError, match="'oops', which is not a number, in line 1500003"):
        kerasae.data.load(path, memory_budget=1000)


def test_csv_without_a_label_value(tmp_path):
    path = csv(tmp_path / "t.csv", "a,y\n1,u\n2,\n")
    with pytest.raises(ValueError, match="has no value in line 3, column 'y'"):
        kerasae.data.load(path, label="y")


def test_parquet_that_will_not_do(tmp_path, x):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ValueError, match=r"'t\.parquet' cannot be read as Parquet"):
        kerasae.data.load(path)
    parquet(path, x, kind=pa.array(["a"] * 500))
    with pytest.raises(
        ValueError,
        match=r"column 'kind'.*holds string.*or make it the label with label=... \(--label\)",
    ):
        kerasae.data.load(path)
    holes = pa.array([None if i == 321 else 1.0 for i in range(500)])
    parquet(path, x, row_group_size=100, hole=holes)
    with pytest.raises(
        ValueError, match=r"has no value in row 321.*column 'hole'; fill it or drop"
    ):
        kerasae.data.load(path)
    x[455, 1] = np.nan
    parquet(path, x, row_group_size=100)
    with pytest.raises(ValueError, match=r"holds nan, .*in row 455.*'c1'; fill it or drop the row"):
        kerasae.data.load(path)
    x[455, 1] = 0
    x[456, 2] = np.inf
    parquet(path, x, row_group_size=100)
    with pytest.raises(ValueError, match=r"holds inf, not a finite float32, in row 456.*'c2'"):
        kerasae.data.load(path)
    parquet(path, x[:0])
    with pytest.raises(ValueError, match="must not be empty"):
        kerasae.data.load(path)
    good = parquet(tmp_path / "good.parquet", x[:400], row_group_size=100).read_bytes()
    path.write_bytes(good[:200] + b"\xff" * 300 + good[500:])
    with pytest.raises(ValueError, match=r"'t\.parquet' cannot be read"):
        kerasae.data.load(path)


def test_streaming_needs_less_memory_than_the_rows(tmp_path):
    groups, rows, width = 40, 20_000, 64
    schema = pa.schema([(f"c{j}", pa.float32()) for j in range(width)])
    part = np.random.default_rng(0).normal(size=(width, rows)).astype(np.float32)
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for _ in range(groups):
            writer.write(pa.table(list(part), schema=schema))
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
    from kerasae.data import files

    x = np.random.default_rng(0).random((60_000, 2)).astype("float32")
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv_writer(file)
        writer.writerow(["a", "note", "b"])
        for i, (a, b) in enumerate(x):
            note = "two\nlines" if i > 30_000 else "one"
            writer.writerow([repr(float(a)), "long " * 600_000 if i == 50_000 else note, b])
    stream = files.stream(tmp_path / "in.csv", columns=["a", "b"], keep=["note"])
    pieces = list(stream.pieces())
    np.testing.assert_allclose(np.concatenate([p for p, _ in pieces]), x, rtol=1e-6)
    notes = [note for _, kept in pieces for note in kept.column("note").to_pylist()]
    assert notes[:2] == ["one", "one"]
    assert notes[-1] == "two\nlines"
    assert len(notes[50_000]) == 3_000_000
    # Where a value is bad, Python's reader finds the place past the long cell.
    with (tmp_path / "in.csv").open("a") as file:
        file.write("x,none,1\n")
    with pytest.raises(ValueError, match="holds 'x', which is not a number, in line"):
        list(kerasae.data.batches(tmp_path / "in.csv", columns=["a", "b"]))


def test_many_columns_take_time_in_proportion(tmp_path):
    """No list is searched for every name: 200 names a thousand times over are found at once."""
    from kerasae.data import tables

    class Names(list):
        looked = 0

        def count(self, _):
            raise AssertionError("counts by going through all")

        index = count

        def __contains__(self, name):
            Names.looked += 1
            return super().__contains__(name)

    table = tables.Table(tmp_path / "x.csv", Names(f"c{i}" for i in range(20_000)), [0])
    chosen = tables._choose(tmp_path / "x.csv", table, None, "c7")
    assert len(chosen) == 19_999
    assert Names.looked <= 1
