"""Profiles: the parameters a lesson begins with, with and without the network."""

import io

import pytest

import kerasae_lessons as learn
from kerasae_lessons import profiles


def full():
    return {"PROFILE": "full", "DATA": "mnist", "EPOCHS": 8, "SEED": 0}


def test_begin_takes_the_smoke_profile_where_the_data_are_not_available(
    lesson, monkeypatch, capsys
):
    monkeypatch.setattr(profiles, "_available", lambda data: data != "mnist")
    space = full() | {"EPOCHS": 3}
    learn.begin("07", space)
    # EPOCHS was edited by hand and stays.
    assert space == {"PROFILE": "smoke", "DATA": "digits", "EPOCHS": 3, "SEED": 0}
    assert profiles.session.edited == ["EPOCHS"]
    assert learn.bound("C7.1") == 3.0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("mnist is not on this machine and could not be downloaded")


def test_begin_follows_a_profile_chosen_by_hand(lesson):
    space = full() | {"PROFILE": "smoke"}
    learn.begin("07", space)
    assert (space["DATA"], space["EPOCHS"]) == ("digits", 30)


def test_data_are_looked_for_without_a_long_wait(monkeypatch):
    def fails(*_, **__):
        raise OSError("no network")

    def never(*_, **__):
        raise AssertionError("TFDS tries for minutes")

    assert profiles._available("digits")
    assert profiles._available(None)
    monkeypatch.setattr(profiles, "_prepared", lambda data: data == "here")
    monkeypatch.setattr(profiles.socket, "create_connection", fails)
    monkeypatch.setattr("kerasae.data.load", never)
    assert profiles._available("here")
    assert not profiles._available("mnist")
    monkeypatch.setattr(profiles.socket, "create_connection", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr("kerasae.data.load", fails)
    assert not profiles._available("mnist")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"PROFILE": "full"}, "DATA, EPOCHS, SEED"),
        (full() | {"PROFILE": "smok"}, "'smoke'.* Received: profile='smok'"),
    ],
)
def test_begin_refuses_other_parameters(lesson, space, said):
    before = dict(space)
    with pytest.raises(ValueError, match=said):
        learn.begin("07", space)
    assert space == before


def test_profiles_must_have_the_same_parameters(lesson):
    with pytest.raises(ValueError, match="Received: lesson='08'"):
        profiles.read("08")
    file = lesson / "lesson_07.toml"
    file.write_text(file.read_text().replace("EPOCHS = 30", "EPOCH = 30"))
    with pytest.raises(ValueError, match="EPOCH, EPOCHS"):
        profiles.read("07")
    file.write_text(file.read_text().replace("limit_s = 9\n", "", 1))
    with pytest.raises(ValueError, match="limit_s"):
        profiles.read("07")
