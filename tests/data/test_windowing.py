import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kerasae.data
from kerasae import cli, runs
from kerasae.anomaly import windows
from kerasae.data.rows import SPLITS

STEPS = np.arange(1000, dtype=np.float32)
BLOCKS = {"train": (0, 800), "validation": (800, 900), "test": (900, 1000)}


def steps_of(dataset):
    """Return the windows of a pipeline of numbered steps, in the order of their beginnings."""
    found = np.concatenate(list(dataset.as_numpy_iterator()))[..., 0]
    return found[np.argsort(found[:, 0])]


@pytest.mark.parametrize(("stride", "asked"), [(1, None), (1, 1), (7, 7), (20, 20)])
def test_each_split_is_a_block_of_time_with_all_its_windows(stride, asked):
    splits = kerasae.data.load(STEPS, window=20, stride=asked, batch_size=16)
    assert splits.shape == (20, 1)
    for split, (first, end) in BLOCKS.items():
        expected = windows(STEPS[first:end], 20, stride)
        assert splits.sizes[split] == len(expected)
        np.testing.assert_array_equal(splits.array(split)[..., 0], expected)
        np.testing.assert_array_equal(splits.array(split, limit=2)[..., 0], expected[:2])
        np.testing.assert_array_equal(steps_of(getattr(splits, split)), expected)
        assert splits.labels[split] is None
    assert splits.value_range == (0, 799)
    assert not splits.streamed


def test_windows_are_a_view_of_the_series():
    series = np.random.default_rng(0).normal(size=(5000, 2)).astype("float32")
    splits = kerasae.data.load(series, window=500)
    found = splits.array("train")
    assert found.shape == (3501, 500, 2)
    assert np.shares_memory(found, splits.array("train", limit=3))
    assert found[0].strides == series.strides
    np.testing.assert_array_equal(found[7], series[7:507])
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0, 0] = 1


def test_pipelines_hold_the_series_and_not_its_windows():
    # 8 MB of series, 16 GB of windows. A process of its own, for its peak.
    code = """
import resource
import numpy as np
import kerasae.data

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

list(kerasae.data.load(np.zeros((100, 2))).train)
before = peak()
splits = kerasae.data.load(np.zeros(2_000_000, "float32"), window=2000, batch_size=32)
assert splits.sizes["train"] == 1_598_001
assert next(iter(splits.train)).shape == (32, 2000, 1)
assert splits.array("train").shape == (1_598_001, 2000, 1)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 500


def test_the_order_is_a_function_of_seed_and_epoch():
    def epochs(splits, count):
        return [
            np.concatenate(list(splits.train.as_numpy_iterator()))[:, 0, 0] for _ in range(count)
        ]

    one, two = (kerasae.data.load(STEPS, window=10, seed=3) for _ in range(2))
    first = epochs(one, 3)
    assert not np.array_equal(first[0], first[1])
    two.set_epoch(2)
    np.testing.assert_array_equal(epochs(two, 1)[0], first[2])


def test_files_of_every_kind_give_the_same_windows(tmp_path):
    series = np.random.default_rng(0).normal(size=(400, 3)).astype("float32")
    expected = kerasae.data.load(series, window=25, stride=5)
    np.save(tmp_path / "a.npy", series)
    np.savez(tmp_path / "a.npz", x=series, y=np.zeros(7))
    kerasae.data.write(tmp_path / "a.csv", [series], ["u", "v", "w"])
    kerasae.data.write(tmp_path / "a.parquet", [series], ["u", "v", "w"])
    for suffix in (".npy", ".npz", ".csv", ".parquet"):
        splits = kerasae.data.load(tmp_path / f"a{suffix}", window=25, stride=5)
        assert splits.sizes == expected.sizes
        for split in SPLITS:
            np.testing.assert_allclose(splits.array(split), expected.array(split), rtol=1e-6)
    for suffix in (".csv", ".parquet"):
        splits = kerasae.data.load(tmp_path / f"a{suffix}", window=25, columns=["w", "u"])
        assert splits.shape == (25, 2)
        np.testing.assert_allclose(splits.array("train")[0], series[:25, [2, 0]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["uint8", "int64", "float64", "bool"])
def test_single_values_of_every_type(tmp_path, kind):
    series = (np.arange(300) % 2).astype(kind)
    np.save(tmp_path / "a.npy", series)
    np.savez(tmp_path / "a.npz", series)
    for source in (series, tmp_path / "a.npy", tmp_path / "a.npz"):
        splits = kerasae.data.load(source, window=10)
        assert splits.shape == (10, 1)
        assert splits.dtype == ("uint8" if kind == "uint8" else "float32")
        assert splits.value_range == ((0, 255) if kind == "uint8" else (0, 1))
        np.testing.assert_array_equal(splits.array("train")[3, :, 0], series[3:13])


def test_splits_of_an_archive_are_series_of_their_own(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=STEPS[:200], x_test=STEPS[500:600])
    splits = kerasae.data.load(tmp_path / "a.npz", window=20)
    assert {split: splits.array(split)[[0, -1]][:, [0, -1], 0].tolist() for split in SPLITS} == {
        "train": [[0, 19], [160, 179]],
        "validation": [[180, 199], [180, 199]],
        "test": [[500, 519], [580, 599]],
    }
    with pytest.raises(ValueError, match=r"has its own test split.*test=0.3"):
        kerasae.data.load(tmp_path / "a.npz", window=20, test=0.3)


def test_shares_are_counted_in_time_steps():
    splits = kerasae.data.load(STEPS, window=20, validation=50, test=0)
    assert splits.sizes == {"train": 931, "validation": 31, "test": 0}
    assert splits.array("test").shape == (0, 20, 1)
    assert splits.array("validation")[0, 0, 0] == 950


def test_a_limit_thins_every_split():
    splits = kerasae.data.load(STEPS, window=20, limit=100)
    assert sum(splits.sizes.values()) == 100
    for split, (first, end) in BLOCKS.items():
        found = splits.array(split)
        assert len(found) == splits.sizes[split] > 5
        assert found.min() >= first
        assert found.max() < end
        np.testing.assert_array_equal(steps_of(getattr(splits, split)), found[..., 0])


@pytest.mark.parametrize("kind", ["threshold", "static", "dynamic"])
def test_a_series_is_binarized_before_it_is_cut(kind):
    series = np.random.default_rng(0).random(600).astype("float32")
    splits = kerasae.data.load(series, window=20, binarize=kind)
    found = splits.array("train")
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_array_equal(found[0, 1:], found[1, :-1])
    batch = next(iter(splits.train)).numpy()
    assert batch.shape == (128, 20, 1)
    assert set(np.unique(batch)) == {0, 1}


@pytest.mark.parametrize(
    ("source", "arguments", "sentence"),
    [
        (STEPS, {"window": 1}, "window=1$"),
        (STEPS, {"window": 2.5}, "window=2.5"),
        (STEPS, {"window": True}, "window=True"),
        (STEPS, {"stride": 5}, "window.*stride=5"),
        (STEPS, {"window": 20, "stride": 0}, "from 1 to 20.*stride=0"),
        (STEPS, {"window": 20, "stride": 21}, "stride=21"),
        (STEPS, {"window": 20, "stride": 2.5}, "stride=2.5"),
        (STEPS, {"window": 101}, r"1,000 time steps of .array. validation has 100;.*window=101"),
        (STEPS, {"window": 101, "validation": 0}, r"test has 100;.*window=101"),
        (STEPS, {"window": 900, "validation": 0, "test": 10}, r"test has 10;"),
        (STEPS, {"window": 20, "validation": 990, "test": 0}, r"train has 10;"),
        (STEPS, {"window": 20, "validation": 9990}, r"train has 0;"),
        (STEPS, {"window": 20, "label": "y"}, "label='y'"),
        (np.zeros((50, 4, 3)), {"window": 5}, r"one long series.*samples of shape \(4, 3\)"),
        (np.zeros((0, 3)), {"window": 5}, "must not be empty"),
        (np.array(["a", "b"]), {"window": 2}, "holds text"),
        (np.array([1, np.nan, 3]), {"window": 2}, r"row 1, column 0.*fill it or drop the row"),
        ("digits", {"window": 4}, r"`window` cuts one long series.*'digits' is not.*window=4"),
        ("mnist", {"window": 4}, r"`window` cuts one long series.*'mnist' is not"),
    ],
)
def test_what_cannot_be_cut(source, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.load(source, **arguments)


def test_files_that_cannot_be_cut(tmp_path):
    kerasae.data.write(tmp_path / "images", [np.zeros((5, 8, 8, 1), "uint8")])
    with pytest.raises(ValueError, match=r"one long series.*samples of shape \(8, 8, 1\)"):
        kerasae.data.load(tmp_path / "images", window=2)
    np.save(tmp_path / "long.npy", STEPS)
    with pytest.raises(ValueError, match=r"1,000 steps of .*`memory_budget`.*memory_budget=3999"):
        kerasae.data.load(tmp_path / "long.npy", window=10, memory_budget=3999)
    assert kerasae.data.load(tmp_path / "long.npy", window=10, memory_budget=4000).shape == (10, 1)
    (tmp_path / "t.csv").write_text("time,v\n" + "Monday,1\n" * 50)
    with pytest.raises(ValueError, match=r"'Monday'.*column 'time'"):
        kerasae.data.load(tmp_path / "t.csv", window=4)
    assert kerasae.data.load(tmp_path / "t.csv", window=4, columns=["v"]).shape == (4, 1)
    table = pa.table({"time": ["Monday"] * 50, "v": np.zeros(50)})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"'time'.*string values.*--column"):
        kerasae.data.load(tmp_path / "t.parquet", window=4)


@pytest.mark.parametrize("suffix", [".npy", ".npz", None])
def test_a_long_array_without_a_window_is_told_of_it(tmp_path, suffix):
    source = STEPS
    if suffix:
        source = tmp_path / f"long{suffix}"
        (np.save if suffix == ".npy" else np.savez)(source, STEPS)
    with pytest.raises(ValueError, match=r"\(1000,\).*window=100 \(--window 100\)"):
        kerasae.data.load(source)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_of_single_values_are_read_in_batches_as_one_column(tmp_path, suffix):
    path = tmp_path / f"long{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, STEPS)
    batches = list(kerasae.data.batches(path, 300))
    assert [batch.shape for batch in batches] == [(300, 1)] * 3 + [(100, 1)]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], STEPS)


def test_a_run_remembers_its_windows(tmp_path, monkeypatch):
    from kerasae.runs import figures

    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])
    rng = np.random.default_rng(0)
    series = np.sin(np.arange(3000) / 5) + 0.1 * rng.normal(size=3000)
    np.save(tmp_path / "series.npy", series[:2000])
    words = [
        "train",
        "linear",
        "-d",
        tmp_path / "series.npy",
        "--window",
        20,
        "--window-stride",
        4,
        "--latent-dim",
        3,
        "--epochs",
        2,
        "--no-export",
        "-q",
        "-o",
        tmp_path / "run",
    ]
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(word) for word in words])
    assert exit_.value.code == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["input_shape"] == [20, 1]
    assert config["data_options"] == {"window": 20, "stride": 4}
    assert config["samples"] == {"train": 396, "validation": 46, "test": 46}
    assert "--window 20 --window-stride 4" in " ".join(config["command"])
    assert runs.evaluate(tmp_path / "run")["test"]["samples"] == 46
    with pytest.raises(ValueError, match="are training rows"):
        runs.calibrate(tmp_path / "run", tmp_path / "series.npy", stride=4)
    np.save(tmp_path / "held_out.npy", series[2000:])
    found = runs.calibrate(tmp_path / "run", tmp_path / "held_out.npy", stride=4)
    assert (found["n"], found["stride"]) == (1000, 4)
    series[2500] += 5
    scores = kerasae.load(tmp_path / "run").detect(series[2000:, None])["anomaly_score"]
    assert scores.argmax() == 500
