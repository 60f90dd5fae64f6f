import os
from types import SimpleNamespace

import pytest

import kerasae
from kerasae.runs import placement

on_tensorflow = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="tf.distribute is of the TensorFlow backend",
)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"devices": 64}, "devices=64"),
        ({"devices": 0}, "devices=0"),
        ({"devices": True}, "devices=True"),
        ({"devices": "gpu"}, "devices='gpu'"),
        ({"devices": 2, "strategy": object()}, "devices=2, model_parallel=None"),
        ({"strategy": "mirrored"}, "strategy='mirrored'"),
        ({"model_parallel": 0}, "model_parallel=0"),
    ],
)
def test_what_does_not_work_is_a_sentence(tmp_path, asked, words):
    with pytest.raises(ValueError, match=f"Received: {words}"):
        kerasae.train("linear", out=tmp_path / "run", data="digits", verbose=0, **asked)
    assert not (tmp_path / "run").exists()


@on_tensorflow
def test_model_parallel_names_the_backend_that_can(tmp_path):
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=jax\. Received: backend='tensorflow'"):
        kerasae.train("linear", out=tmp_path / "run", model_parallel=2, verbose=0)


def test_all_devices_of_a_machine_with_one_are_that_one():
    place = placement.place("all", None, None)
    assert place.writes
    assert type(place) is placement.Placement


def test_groups_of_devices_must_fit_the_machines_and_the_batches(monkeypatch):
    monkeypatch.setattr(placement, "_distribution", lambda *_: None)
    names = [f"cpu:{i}" for i in range(6)]
    with pytest.raises(ValueError, match="Received: model_parallel=2 for 3 devices"):
        placement.Meshed(names, 2, 0, 2)
    place = placement.Meshed(names, 3, 0, 2)
    splits = SimpleNamespace(batch_size=33, sizes={"train": 99, "validation": 0})
    with pytest.raises(ValueError, match=r"such as 32\. Received: batch_size=33"):
        place.check(splits)


def test_every_device_needs_a_sample():
    place = placement.Divided(4)
    with pytest.raises(ValueError, match="Received: 3 samples"):
        place.check(SimpleNamespace(sizes={"train": 99, "validation": 3}))
    place.check(SimpleNamespace(sizes={"train": 99, "validation": 0}))
