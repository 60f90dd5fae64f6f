import numpy as np

from kerasae.data.splits import assign, uniform_hash
from kerasae.data.rows import SPLITS


def test_assign_is_disjoint_complete_and_exact():
    rows = assign(103, None, {}, 0.1, 0.1, None, seed=0)
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
    first, again, other = (assign(100, None, {}, 0.1, 0.1, None, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first["test"], again["test"])
    assert not np.array_equal(first["test"], other["test"])


def test_assign_gives_every_class_its_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = assign(1000, labels, {}, 0.1, 0.2, None, seed=1)
    np.testing.assert_allclose(np.bincount(labels[rows["test"]]), [120, 60, 20], atol=1)
    np.testing.assert_allclose(np.bincount(labels[rows["validation"]]), [60, 30, 10], atol=1)


def test_assign_takes_numbers_keeps_the_sources_test_and_limits_in_proportion():
    parts = {"train": np.arange(80), "test": np.arange(80, 100)}
    rows = assign(100, None, parts, 8.0, 0.0, None, seed=0)
    np.testing.assert_array_equal(rows["test"], np.arange(80, 100))
    assert (len(rows["train"]), len(rows["validation"])) == (72, 8)
    rows = assign(100, None, parts, 8.0, 0.0, 50, seed=0)
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
