import numpy as np
import pytest

import kerasae.data
from kerasae.data.rows import SPLITS
from kerasae.data.splits import assign, uniform_hash


def numbered(count: int) -> np.ndarray:
    """Rows that say their own number."""
    return np.stack([np.arange(count), -np.arange(count)], axis=1).astype(np.float32)


def order(dataset) -> list[int]:
    return [int(row) for batch in dataset.as_numpy_iterator() for row in batch[:, 0]]


def test_facts_about_an_array():
    splits = kerasae.data.load(numbered(100), seed=2)
    assert splits.shape == (2,)
    assert splits.dtype == "float32"
    assert splits.sizes == {"train": 80, "validation": 10, "test": 10}
    assert splits.labels == {"train": None, "validation": None, "test": None}
    assert splits.class_names is None
    assert not splits.streamed
    assert splits.batch_size == 128
    assert splits.seed == 2
    train = splits.array("train")
    assert splits.value_range == (train.min(), train.max())
    assert repr(splits) == (
        "<Splits 'array': (2,) float32, train 80, validation 10, test 10, in memory>"
    )


def test_array_is_in_file_order_and_limited():
    splits = kerasae.data.load(numbered(50))
    rows = splits.array("train")[:, 0]
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(splits.array("train", limit=3)[:, 0], rows[:3])
    assert splits.array("test", limit=0).shape == (0, 2)


def test_labels_stay_with_their_rows():
    splits = kerasae.data.load("digits")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    known = {
        image.tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for split in SPLITS:
        images = splits.array(split)[..., 0]
        assert len(splits.labels[split]) == len(images)
        for image, label in zip(images, splits.labels[split], strict=True):
            assert known[np.rint(image * (16 / 255)).tobytes()] == label


def test_order_is_a_function_of_seed_and_epoch():
    one, two = (kerasae.data.load(numbered(100), batch_size=16, seed=7) for _ in range(2))
    epochs = [order(one.train) for _ in range(3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(one.array("train")[:, 0])
    assert epochs[0] != epochs[1] != epochs[2]
    two.set_epoch(2)
    assert order(two.train) == epochs[2]
    two.set_epoch(0)
    assert order(two.train) == epochs[0]
    other = kerasae.data.load(numbered(100), batch_size=16, seed=8)
    other.set_epoch(0)
    assert order(other.train) != epochs[0]


def test_looking_at_other_splits_leaves_the_epoch_alone():
    one, two = (kerasae.data.load(numbered(60), batch_size=16) for _ in range(2))
    order(one.validation)
    one.array("train")
    assert order(one.train) == order(two.train)


def test_unknown_split_and_bad_epoch_are_refused():
    splits = kerasae.data.load(numbered(20))
    with pytest.raises(ValueError, match="split='trian'"):
        splits.array("trian")
    with pytest.raises(ValueError, match="epoch=-1"):
        splits.set_epoch(-1)
    with pytest.raises(ValueError, match="limit=-1"):
        splits.array("train", limit=-1)


def test_assign_is_disjoint_complete_and_exact():
    rows = assign(103, None, {}, {"validation": 0.1, "test": 0.1}, None, seed=0)
    assert {split: len(rows[split]) for split in SPLITS} == {
        "train": 83,
        "validation": 10,
        "test": 10,
    }
    joined = np.concatenate([rows[split] for split in SPLITS])
    np.testing.assert_array_equal(np.sort(joined), np.arange(103))
    for split in SPLITS:
        assert (np.diff(rows[split]) > 0).all()


def test_assign_depends_on_the_seed_only():
    first, again, other = (
        assign(100, None, {}, {"validation": 0.1, "test": 0.1}, None, seed=s) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first["test"], again["test"])
    assert not np.array_equal(first["test"], other["test"])


def test_assign_gives_every_class_its_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = assign(1000, labels, {}, {"validation": 0.1, "test": 0.2}, None, seed=1)
    np.testing.assert_allclose(np.bincount(labels[rows["test"]]), [120, 60, 20], atol=1)
    np.testing.assert_allclose(np.bincount(labels[rows["validation"]]), [60, 30, 10], atol=1)


def test_assign_takes_numbers_keeps_the_sources_test_and_limits_in_proportion():
    parts = {"train": np.arange(80), "test": np.arange(80, 100)}
    rows = assign(100, None, parts, {"validation": 8.0, "test": 0.0}, None, seed=0)
    np.testing.assert_array_equal(rows["test"], np.arange(80, 100))
    assert (len(rows["train"]), len(rows["validation"])) == (72, 8)
    rows = assign(100, None, parts, {"validation": 8.0, "test": 0.0}, 50, seed=0)
    assert [len(rows[split]) for split in SPLITS] == [36, 4, 10]
    assert set(rows["test"]) <= set(range(80, 100))


def test_uniform_hash_is_uniform_and_local():
    rows = np.arange(100_000, dtype=np.uint64)
    u = uniform_hash(rows, seed=5)
    counts, _ = np.histogram(u, bins=20, range=(0, 1))
    # 5,000 +- 5 standard deviations of a binomial count.
    assert np.abs(counts - 5000).max() < 5 * np.sqrt(100_000 * 0.05 * 0.95)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.02
    np.testing.assert_array_equal(uniform_hash(rows[777:900], seed=5), u[777:900])
    assert abs(np.corrcoef(u, uniform_hash(rows, seed=6))[0, 1]) < 0.02


def test_labels_come_with_the_samples_of_their_batch():
    splits = kerasae.data.load("digits", batch_size=50)
    labelled = splits.with_labels("condition")
    batch = next(iter(labelled.test))
    assert set(batch) == {"x", "condition"}
    np.testing.assert_array_equal(batch["x"], splits.array("test", 50))
    np.testing.assert_array_equal(batch["condition"], splits.labels["test"][:50])
    # The order of an epoch is that of the splits themselves.
    splits.set_epoch(3)
    plain = next(iter(splits.train))
    splits.set_epoch(3)
    np.testing.assert_array_equal(next(iter(labelled.train))["x"], plain)
    known = {
        x.tobytes(): label
        for x, label in zip(splits.array("train"), splits.labels["train"], strict=True)
    }
    for batch in labelled.train:
        for x, label in zip(batch["x"].numpy(), batch["condition"].numpy(), strict=True):
            assert known[x.tobytes()] == label


def test_labels_as_an_input_need_labels():
    splits = kerasae.data.load(np.zeros((30, 4), "float32"))
    with pytest.raises(ValueError, match="labels"):
        splits.with_labels("condition")
