import numpy as np
import pytest
from PIL import Image

import kerasae.data
from kerasae.data.rows import SPLITS


def fill(folder, images, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start):
        Image.fromarray(image).save(folder / f"{number:04d}.png")


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (40, 6, 7), np.uint8)


def test_grey_images_are_exact(tmp_path, grey):
    fill(tmp_path, grey)
    (tmp_path / "readme.txt").write_text("not an image")
    splits = kerasae.data.load(tmp_path, validation=0, test=0)
    assert splits.shape == (6, 7, 1)
    assert splits.dtype == "uint8"
    assert splits.value_range == (0.0, 255.0)
    assert splits.labels["train"] is None
    np.testing.assert_array_equal(splits.array("train")[..., 0], grey)


def test_sub_folders_are_labels(tmp_path, grey):
    fill(tmp_path / "bees", grey[:25])
    fill(tmp_path / "ants", grey[25:])
    splits = kerasae.data.load(tmp_path)
    assert splits.class_names == ["ants", "bees"]
    ants = {image.tobytes() for image in grey[25:]}
    for split in SPLITS:
        for image, label in zip(splits.array(split), splits.labels[split], strict=True):
            assert (image.tobytes() in ants) == (label == 0)
    fill(tmp_path, grey[:1])
    with pytest.raises(ValueError, match=r"'0000\.png' lies beside sub-folders"):
        kerasae.data.load(tmp_path)


def test_one_colour_image_makes_all_colour(tmp_path, grey):
    fill(tmp_path, grey[:5])
    colour = np.random.default_rng(1).integers(0, 256, (1, 6, 7, 3), np.uint8)
    fill(tmp_path, colour, start=5)
    images = np.concatenate(list(kerasae.data.batches(tmp_path)))
    assert images.shape == (6, 6, 7, 3)
    np.testing.assert_array_equal(images[5], colour[0])
    np.testing.assert_array_equal(images[:5], np.repeat(grey[:5, ..., None], 3, axis=-1))


def test_streamed_images_are_the_same(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 300, 500), np.uint8)
    images[:, :, 1:] = 0
    fill(tmp_path, images)
    splits = kerasae.data.load(tmp_path, memory_budget=2**20, batch_size=4)
    assert splits.streamed
    seen = np.concatenate(list(splits.train.as_numpy_iterator()))
    assert seen.dtype == np.uint8
    expected = splits.array("train")
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in expected}
    assert sum(splits.sizes.values()) == 30


def test_images_of_other_sizes_are_refused_or_resized(tmp_path, grey):
    fill(tmp_path, grey[:4])
    fill(tmp_path, [np.full((12, 14), 9, np.uint8)], start=4)
    with pytest.raises(ValueError, match=r"'0004\.png' is 12x14 and '0000\.png' is 6x7.*size="):
        kerasae.data.load(tmp_path)
    splits = kerasae.data.load(tmp_path, size=(6, 7), validation=0, test=0)
    np.testing.assert_array_equal(splits.array("train")[:4, ..., 0], grey[:4])
    np.testing.assert_array_equal(splits.array("train")[4], np.full((6, 7, 1), 9))
    assert kerasae.data.load(tmp_path, size=5, validation=0, test=0).shape[:2] == (5, 5)
    with pytest.raises(ValueError, match=r"size=\(0, 3\)"):
        kerasae.data.load(tmp_path, size=(0, 3))


def test_unreadable_images_are_named(tmp_path, grey):
    fill(tmp_path, grey)
    whole = (tmp_path / "0003.png").read_bytes()
    (tmp_path / "0003.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"'0003\.png' cannot be read as an image"):
        kerasae.data.load(tmp_path)
    (tmp_path / "0003.png").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"'0003\.png' cannot be read as an image"):
        kerasae.data.load(tmp_path)
    Image.fromarray(np.zeros((6, 7), np.uint16)).save(tmp_path / "0003.png")
    with pytest.raises(ValueError, match=r"8 bits per channel, but '0003\.png'"):
        kerasae.data.load(tmp_path)


def test_one_image_can_be_read_in_batches(tmp_path, grey):
    fill(tmp_path, grey[:1])
    (batch,) = kerasae.data.batches(tmp_path / "0000.png")
    np.testing.assert_array_equal(batch[0, ..., 0], grey[0])
