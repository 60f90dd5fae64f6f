import numpy as np
import pytest

import kerasae.data
from kerasae.data.rows import SPLITS


def save(path, x):
    np.save(path, x)
    return path


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


def rows(array) -> list[tuple]:
    """Rows as a multiset."""
    return sorted(map(tuple, array.reshape(len(array), -1).tolist()))


def test_npy_in_memory_and_streamed_hold_the_same_rows(tmp_path, x):
    path = save(tmp_path / "x.npy", x)
    memory = kerasae.data.load(path)
    stream = kerasae.data.load(path, memory_budget=1000, batch_size=7)
    assert not memory.streamed
    assert stream.streamed
    for splits in (memory, stream):
        assert rows(np.concatenate([splits.array(split) for split in SPLITS])) == rows(x)
        trained = np.concatenate(list(splits.train.as_numpy_iterator()))
        assert rows(trained) == rows(splits.array("train"))
    assert sum(stream.sizes.values()) == 300
    assert 10 < stream.sizes["test"] < 60
    assert stream.value_range == (x.min(), x.max())


def test_streamed_order_is_a_function_of_seed_and_epoch(tmp_path, x):
    path = save(tmp_path / "x.npy", x)

    def epochs(splits, count):
        return [np.concatenate(list(splits.train.as_numpy_iterator())) for _ in range(count)]

    first = epochs(kerasae.data.load(path, memory_budget=2000, batch_size=16), 3)
    resumed = kerasae.data.load(path, memory_budget=2000, batch_size=16)
    resumed.set_epoch(1)
    again = epochs(resumed, 2)
    np.testing.assert_array_equal(first[1], again[0])
    np.testing.assert_array_equal(first[2], again[1])
    assert not np.array_equal(first[0], first[1])
    steps = -(-resumed.sizes["train"] // 16)
    assert int(resumed.train.cardinality()) == steps == len(list(resumed.train))


def test_streamed_validation_is_in_file_order_and_array_takes_the_first(tmp_path):
    x = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    splits = kerasae.data.load(save(tmp_path / "x.npy", x), memory_budget=500)
    held_out = np.concatenate(list(splits.validation.as_numpy_iterator()))
    np.testing.assert_array_equal(held_out, splits.array("validation"))
    assert (np.diff(held_out[:, 0]) > 0).all()
    np.testing.assert_array_equal(splits.array("validation", limit=5), held_out[:5])


def test_a_limit_that_fits_is_read_into_memory_exactly(tmp_path, x):
    path = save(tmp_path / "x.npy", x)
    splits = kerasae.data.load(path, memory_budget=1600, limit=50)
    assert not splits.streamed
    assert splits.sizes == {"train": 40, "validation": 5, "test": 5}
    kept = rows(np.concatenate([splits.array(split) for split in SPLITS]))
    assert set(kept) <= set(rows(x))
    large = kerasae.data.load(path, memory_budget=1600, limit=200)
    assert large.streamed
    assert 150 < sum(large.sizes.values()) < 250


def test_images_and_series_keep_their_shape(tmp_path):
    for shape in ((28, 28), (140,), (6, 5, 3)):
        path = save(tmp_path / "x.npy", np.zeros((20, *shape), np.uint8))
        splits = kerasae.data.load(path)
        assert splits.shape == shape
        assert splits.dtype == "uint8"


def test_npz_finds_samples_and_labels(tmp_path, x):
    path = tmp_path / "a.npz"
    labels = np.arange(300) % 3
    np.savez(path, x=x, y=labels, other=np.zeros(2))
    splits = kerasae.data.load(path)
    by_row = dict(zip(map(tuple, x.tolist()), labels, strict=True))
    for split in SPLITS:
        expected = [by_row[tuple(row)] for row in splits.array(split).tolist()]
        np.testing.assert_array_equal(splits.labels[split], expected)
    np.savez(path, data=x)
    assert kerasae.data.load(path).sizes["train"] == 240
    np.savez(path, X=x, kind=np.where(labels == 0, "b", "a"))
    splits = kerasae.data.load(path, label="kind")
    assert splits.class_names == ["a", "b"]


def test_npz_with_splits_keeps_the_test(tmp_path, x):
    path = tmp_path / "a.npz"
    np.savez(
        path,
        x_train=x[:200],
        x_test=x[200:],
        y_train=np.zeros(200, int),
        y_test=np.ones(100, int),
    )
    splits = kerasae.data.load(path)
    assert splits.sizes == {"train": 180, "validation": 20, "test": 100}
    np.testing.assert_array_equal(splits.array("test"), x[200:])
    assert set(splits.labels["validation"]) == {0}
    assert set(splits.labels["test"]) == {1}
    with pytest.raises(ValueError, match=r"test=0\.2"):
        kerasae.data.load(path, test=0.2)
    np.testing.assert_array_equal(np.concatenate(list(kerasae.data.batches(path, 50))), x)


def test_npz_labels_may_be_floats_and_other_floats_are_no_labels(tmp_path, x):
    labels = np.arange(300) % 3
    np.savez(tmp_path / "a.npz", X=x, y=labels.astype("float64"))
    splits = kerasae.data.load(tmp_path / "a.npz")
    assert set(splits.labels["train"]) == {0, 1, 2}
    assert splits.labels["train"].dtype == np.int64
    np.savez(tmp_path / "a.npz", x=x, y=labels + 0.5)
    assert kerasae.data.load(tmp_path / "a.npz").labels["train"] is None
    with pytest.raises(ValueError, match="whole numbers or text"):
        kerasae.data.load(tmp_path / "a.npz", label="y")


def test_npz_that_will_not_do(tmp_path, x):
    path = tmp_path / "a.npz"
    np.savez(path, first=x, second=x)
    with pytest.raises(ValueError, match=r"'first', 'second'.*Received: source="):
        kerasae.data.load(path)
    with pytest.raises(ValueError, match=r"Did you mean 'second'.*label='secnd'"):
        kerasae.data.load(path, label="secnd")
    np.savez(path, x=x, y=np.zeros(7))
    with pytest.raises(ValueError, match=r"300 samples .* 7 labels.*Received: source="):
        kerasae.data.load(path)
    np.savez(path, x_train=x, x_test=x[:, :2])
    with pytest.raises(ValueError, match=r"'a\.npz' has .*\(2,\)"):
        kerasae.data.load(path)
    np.savez(path, x_train=x, x_test=x, y_train=np.zeros(300))
    with pytest.raises(ValueError, match="'x_test' and 0 labels"):
        kerasae.data.load(path)
    np.savez(path, x=np.array([{}, 1], object))
    with pytest.raises(ValueError, match=r"'a\.npz' .*Python objects"):
        kerasae.data.load(path)
    np.savez(path)
    with pytest.raises(ValueError, match=r"'a\.npz' holds nothing"):
        kerasae.data.load(path)
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=x)
    path.write_bytes(whole.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"'a\.npz'"):
        kerasae.data.load(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "'x.npy' holds nan in row 1, column 1"),
        (np.zeros((4, 3, 2)) / [1, -1] + [0, np.inf], r"holds inf in row 0, column \(0, 1\)"),
        (np.array(3.0), r"shape \(\)"),
        (np.zeros((0, 2)), "must not be empty|cannot be read"),
        (np.array([["a", "b"]]), "holds text"),
        (np.array([[1, None]], object), "'x.npy' cannot be read.*[Oo]bject"),
        (b"nonsense", "'x.npy' cannot be read.*magic"),
        (b"", "'x.npy' cannot be read"),
    ],
)
def test_npy_that_will_not_do(tmp_path, content, sentence):
    path = tmp_path / "x.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.load(path)
    with pytest.raises(ValueError, match=sentence):
        list(kerasae.data.batches(path))


def test_nan_in_a_streamed_file_is_named_by_its_row_in_the_file(tmp_path):
    x = np.zeros((3_000_000, 2), np.float32)
    x[2_500_000, 1] = np.nan
    with pytest.raises(ValueError, match="row 2500000, column 1"):
        kerasae.data.load(save(tmp_path / "x.npy", x), memory_budget=1000)
