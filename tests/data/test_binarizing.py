import numpy as np
import pytest

import kerasae.data

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def grey():
    """Rows of rising grey; the last value says the row's own number, up to 1."""
    x = np.random.default_rng(0).random((3000, 12)).astype("float32")
    x[:, :4] = [0.0, 0.25, 0.75, 1.0]
    return x


def load(grey, streamed, tmp_path, **options):
    if not streamed:
        return kerasae.data.load(grey, **options)
    np.save(tmp_path / "grey.npy", grey)
    splits = kerasae.data.load(tmp_path / "grey.npy", memory_budget=40_000, **options)
    assert splits.streamed
    return splits


def whole(dataset):
    return np.concatenate(list(dataset.as_numpy_iterator()))


def as_set(rows):
    return sorted(row.tobytes() for row in rows)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["threshold", "static"])
def test_a_fixed_draw_is_one_for_all_readings(grey, streamed, kind, tmp_path):
    splits = load(grey, streamed, tmp_path, binarize=kind, seed=4)
    assert splits.dtype == "float32"
    assert splits.value_range == (0.0, 1.0)
    for split in SPLITS:
        x = splits.array(split)
        assert x.dtype == np.float32
        assert set(np.unique(x)) == {0.0, 1.0}
        if split == "train":
            for _ in range(2):
                assert as_set(whole(splits.train)) == as_set(x)
        else:
            np.testing.assert_array_equal(whole(getattr(splits, split)), x)
    again = load(grey, streamed, tmp_path, binarize=kind, seed=4)
    np.testing.assert_array_equal(again.array("train"), splits.array("train"))


def test_threshold_cuts_in_the_middle(grey):
    plain, cut = kerasae.data.load(grey), kerasae.data.load(grey, binarize="threshold")
    for split in SPLITS:
        np.testing.assert_array_equal(cut.array(split), plain.array(split) >= 0.5)
    whole_numbers = np.array([[0, 127, 128, 255]] * 10, "uint8")
    cut = kerasae.data.load(whole_numbers, binarize="threshold", validation=0, test=0)
    assert cut.array("train")[0].tolist() == [0, 0, 1, 1]


def test_a_static_draw_has_grey_for_its_mean(grey):
    plain, drawn = (
        kerasae.data.load(grey, binarize=b, validation=0, test=0) for b in (None, "static")
    )
    x, p = drawn.array("train"), plain.array("train")
    error = np.sqrt((p * (1 - p)).sum(axis=0)) / len(p)
    assert (np.abs(x.mean(axis=0) - p.mean(axis=0)) <= 4 * error).all()
    # Draws of different places say nothing of each other.
    left = x - p
    correlation = (left[:, 4:].T @ left[:, 4:]) / np.sum(p[:, 4:] * (1 - p[:, 4:]), axis=0)
    assert np.abs(correlation - np.diag(np.diag(correlation))).max() < 5 / np.sqrt(len(p))
    other = kerasae.data.load(grey, binarize="static", seed=1, validation=0, test=0)
    assert 0.2 < (other.array("train")[:, 4:] != x[:, 4:]).mean() < 0.45


def test_a_static_draw_is_alike_in_memory_and_streamed(grey, tmp_path):
    number = np.arange(3000, dtype="float32")[:, None] / 3000
    x = np.concatenate([grey, number], axis=1)
    streamed = load(x, True, tmp_path, binarize="static", validation=0, test=0)
    resident = kerasae.data.load(x, binarize="static", validation=0, test=0)
    np.testing.assert_array_equal(streamed.array("train"), resident.array("train"))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_dynamic_draw_is_new_in_every_epoch_and_repeats_by_epoch(grey, streamed, tmp_path):
    splits = load(grey, streamed, tmp_path, binarize="dynamic", seed=3)
    static = load(grey, streamed, tmp_path, binarize="static", seed=3)
    for split in SPLITS:
        np.testing.assert_array_equal(splits.array(split), static.array(split))
    np.testing.assert_array_equal(whole(splits.test), static.array("test"))
    np.testing.assert_array_equal(whole(splits.validation), whole(splits.validation))
    assert int(splits.train.cardinality()) == len(list(splits.train))
    splits.set_epoch(0)
    epochs = [whole(splits.train) for _ in range(3)]
    assert {len(rows) for rows in epochs} == {splits.sizes["train"]}
    assert as_set(epochs[0]) != as_set(epochs[1])
    for rows in epochs:
        assert rows.dtype == np.float32
        assert set(np.unique(rows)) == {0.0, 1.0}
        assert (rows[:, 0] == 0).all()
        assert (rows[:, 3] == 1).all()
        assert rows[:, 1:3].mean(axis=0) == pytest.approx([0.25, 0.75], abs=0.05)
    fresh = load(grey, streamed, tmp_path, binarize="dynamic", seed=3)
    fresh.set_epoch(2)
    np.testing.assert_array_equal(whole(fresh.train), epochs[2])
    splits.set_epoch(1)
    np.testing.assert_array_equal(whole(splits.train), epochs[1])
    other = load(grey, streamed, tmp_path, binarize="dynamic", seed=4)
    assert as_set(whole(other.train)) != as_set(epochs[0])


def test_the_mean_over_epochs_is_the_grey_value():
    x = np.tile(np.linspace(0, 255, 16).round().astype("uint8"), (300, 1))
    x = x.reshape(300, 4, 4, 1)
    splits = kerasae.data.load(x, binarize="dynamic", validation=0, test=0)
    drawn = np.mean([whole(splits.train).mean(axis=0) for _ in range(8)], axis=0)
    p = x[0] / 255
    assert (np.abs(drawn - p) <= 4 * np.sqrt(p * (1 - p) / 2400) + 1e-6).all()


def test_labels_and_splits_stay_as_they_were():
    plain, drawn = (kerasae.data.load("digits", binarize=b) for b in (None, "static"))
    for split in SPLITS:
        np.testing.assert_array_equal(plain.labels[split], drawn.labels[split])
        certain = np.isin(plain.array(split), (0, 255))
        np.testing.assert_array_equal(
            drawn.array(split)[certain], plain.array(split)[certain] / 255
        )


def test_refuses_what_is_not_grey(grey, tmp_path):
    with pytest.raises(ValueError, match=r"`binarize` must be None or one of threshold.*'on'"):
        kerasae.data.load(grey, binarize="on")
    for streamed in (False, True):
        with pytest.raises(ValueError, match=r"values in \[0, 1\].*from 0 to 2"):
            load(grey * 2, streamed, tmp_path, binarize="static")
    with pytest.raises(ValueError, match="uint8 as 0 to 255"):
        kerasae.data.load((grey > 0.5).astype("uint8"), binarize="static")
