import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import kerasae.data

PREPARED = os.environ.get("TFDS_DATA_DIR", "")


def needs(name: str):
    found = bool(PREPARED) and (Path(PREPARED) / name).is_dir()
    return pytest.mark.skipif(not found, reason=f"TFDS_DATA_DIR holds no prepared {name}")


@pytest.fixture
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@needs("mnist")
@pytest.mark.mnist
def test_mnist_keeps_its_test_and_lends_a_tenth_to_validation():
    splits = kerasae.data.load("mnist", seed=1)
    assert splits.name == "mnist"
    assert splits.shape == (28, 28, 1)
    assert splits.dtype == "uint8"
    assert splits.sizes == {"train": 54000, "validation": 6000, "test": 10000}
    assert splits.class_names == [str(digit) for digit in range(10)]
    # Class counts of the published MNIST test set.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(splits.labels["test"]).tolist() == counts
    whole = np.bincount(splits.labels["train"]) + np.bincount(splits.labels["validation"])
    np.testing.assert_allclose(np.bincount(splits.labels["validation"]), whole / 10, atol=1)
    assert splits.array("train", limit=1000).mean() == pytest.approx(33.3, abs=2)


@needs("mnist")
@pytest.mark.mnist
def test_a_limit_shortens_all_splits_in_proportion(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR")
    splits = kerasae.data.load("mnist", limit=700, data_dir=PREPARED)
    assert splits.sizes == {"train": 540, "validation": 60, "test": 100}
    with pytest.raises(ValueError, match="has its own test split"):
        kerasae.data.load("mnist", limit=700, data_dir=PREPARED, test=0.1)
    with pytest.raises(ValueError, match=r"'mnist' needs 0.1 GiB.*memory_budget=1000"):
        kerasae.data.load("mnist", data_dir=PREPARED, memory_budget=1000)


@needs("fashion_mnist")
def test_fashion_mnist_has_names():
    splits = kerasae.data.load("fashion_mnist", limit=70)
    assert splits.class_names[:2] == ["T-shirt/top", "Trouser"]


def test_an_unknown_name_is_answered_with_the_nearest(tfds):
    for wrong, near in (("digit", "digits"), ("mnistt", "mnist"), ("cifar_10", "cifar10")):
        with pytest.raises(ValueError, match=f"Did you mean '{near}'.*source='{wrong}'"):
            kerasae.data.load(wrong)


def test_a_set_that_cannot_be_had_is_named(tfds, monkeypatch, tmp_path):
    class Builder:
        def is_prepared(self):
            return False

        def download_and_prepare(self):
            raise ConnectionError("no route\nto host")

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(
        OSError, match=r"'cifar10' is not prepared in .*: no route; .*TFDS_DATA_DIR"
    ):
        kerasae.data.load("cifar10")


def test_a_set_without_images_of_one_size_is_refused(tfds, monkeypatch):
    def builder(features, splits=("train",)):
        sizes = {split: SimpleNamespace(num_examples=5) for split in splits}
        info = SimpleNamespace(features=features, splits=sizes)
        return SimpleNamespace(is_prepared=lambda: True, info=info)

    kinds = tfds.features
    cases = [
        (builder({"text": kinds.Text()}), "has no image feature"),
        (builder({"image": kinds.Image(shape=(None, None, 3))}), "must have one size"),
        (builder({"image": kinds.Image(shape=(2, 2, 3))}, ["all"]), "'train' split.*'all'"),
    ]
    for fake, sentence in cases:
        monkeypatch.setattr(tfds, "builder", lambda name, data_dir, fake=fake: fake)
        with pytest.raises(ValueError, match=sentence):
            kerasae.data.load("cifar10")
