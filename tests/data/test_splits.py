import numpy as np
import pytest

import kerasae.data
from kerasae.data.rows import SPLITS


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
    with pytest.raises(ValueError, match=r"one of 'train', 'validation', 'test'.*split='trian'"):
        splits.array("trian")
    with pytest.raises(ValueError, match=r"at least 0.*epoch=-1"):
        splits.set_epoch(-1)
    with pytest.raises(ValueError, match="limit=-1"):
        splits.array("train", limit=-1)
