import subprocess
import sys

import numpy as np
import pytest

import kerasae.data


def test_the_named_sources_load_and_are_described():
    described = kerasae.data.sources()
    assert list(described) == ["digits", "manifold", "photos", "photos8"]
    for name, line in described.items():
        splits = kerasae.data.load(name)
        assert splits.name == name
        assert f"{sum(splits.sizes.values()):,}" in line


def test_loading_and_arrays_need_no_tensorflow():
    code = """
import sys
import kerasae.data
splits = kerasae.data.load("manifold")
splits.set_epoch(1)
assert splits.array("train").shape == (2400, 10)
assert not {"tensorflow", "keras", "tensorflow_datasets"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_known_name_is_not_taken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert kerasae.data.load("digits").shape == (8, 8, 1)
    with pytest.raises(ValueError, match="'digits' holds none"):
        kerasae.data.load("./digits")
    np.save("digits.npy", np.zeros((5, 2)))
    assert kerasae.data.load("digits.npy").shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": True}, "seed=True"),
        ({"limit": 0}, "limit=0"),
        ({"memory_budget": 0}, "memory_budget=0"),
        ({"validation": 1.5}, "validation=1.5"),
        ({"validation": -0.1}, "validation=-0.1"),
        ({"test": float("nan")}, "test=nan"),
        ({"test": float("inf")}, "test=inf"),
        ({"test": "half"}, "test='half'"),
        ({"validation": 0.6, "test": 0.6}, "too few to set some aside"),
        ({"validation": 10}, "too few to set some aside"),
        ({"columns": ["a"]}, "columns="),
        ({"label": "a"}, "label='a'"),
        ({"size": (2, 2)}, "size="),
    ],
)
def test_arguments_that_will_not_do(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.load(np.zeros((10, 2)), **arguments)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "must not be empty"),
        (3, "source='int'"),
        ([[1.0]], "source='list'"),
        (np.zeros((1, 2)), "'array' has 1 training samples"),
        (np.zeros((0, 2)), "must not be empty"),
        (np.array([[1.0, np.nan]]), "row 0, column 1"),
    ],
)
def test_sources_that_will_not_do(source, sentence):
    with pytest.raises(ValueError, match=sentence):
        kerasae.data.load(source)


def test_a_number_of_validation_samples():
    splits = kerasae.data.load(np.zeros((10, 2)), validation=3, test=0)
    assert splits.sizes == {"train": 7, "validation": 3, "test": 0}
    splits = kerasae.data.load(np.zeros((10, 2)), limit=5)
    assert sum(splits.sizes.values()) == 5
