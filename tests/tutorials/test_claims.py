"""Claims: they hold or raise, and are stored with their outputs."""

import json

import numpy as np
import pytest

import kerasae_lessons as learn
from kerasae_lessons import claims, notebooks, profiles

pytestmark = pytest.mark.usefixtures("lesson")


def test_a_claim_says_that_it_holds(capsys):
    learn.claim("C7.1", "small", np.float32(1.25), "<")
    assert capsys.readouterr().out == "C7.1 HOLDS: small. 1.25 < 2\n"
    entry = profiles.session.claims["C7.1"]
    assert (entry["value"], entry["bound"], entry["kind"]) == (1.25, 2.0, "measured")


@pytest.mark.parametrize("value", [2.0, 2.5, float("nan"), float("inf")])
def test_a_broken_claim_raises_with_its_value(value):
    with pytest.raises(claims.BrokenClaim, match=rf"C7\.1 .*{value:g}"):
        learn.claim("C7.1", "small", value, "<")


@pytest.mark.parametrize(
    ("op", "holding", "broken"),
    [("<", 0, 1), ("<=", 1, 2), (">", 2, 1), (">=", 1, 0), ("==", 1, 2)],
)
def test_every_operator(op, holding, broken):
    learn.claim("C7.2", "x", holding, op, 1)
    with pytest.raises(claims.BrokenClaim):
        learn.claim("C7.2", "x", broken, op, 1)


def test_a_broken_claim_names_what_was_edited():
    learn.begin("07", {"PROFILE": "full", "DATA": "digits", "EPOCHS": 1, "SEED": 0})
    with pytest.raises(claims.BrokenClaim, match="DATA, EPOCHS"):
        learn.claim("C7.1", "small", 9, "<")


def test_a_claim_of_the_other_profile_is_shown_and_not_tested(capsys):
    learn.claim("C7.3", "only there", 5, "<", 1, profile="smoke")
    assert "NOT TESTED" in capsys.readouterr().out
    with pytest.raises(claims.BrokenClaim):
        learn.claim("C7.3", "here", 5, "<", 1, profile="full")


def test_collecting_records_a_broken_claim(capsys):
    profiles.session.collecting = True
    learn.claim("C7.1", "small", 9.0, "<")
    assert profiles.session.claims["C7.1"]["status"] == "broken"
    assert "C7.1 BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (("C8.1", "x", 1, "<", 2), "id='C8.1'"),
        (("C7.1", "x", 1, "!=", 2), "op='!='"),
        (("C7.1", "x", [1, 2], "<", 2), "list"),
        (("C7.5", "x", 1, "<"), "claim='C7.5'"),
    ],
)
def test_invalid_claims_are_refused(arguments, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        learn.claim(*arguments)
    assert profiles.session.claims == {}


def test_claims_come_as_a_table(capsys):
    learn.claim("C7.1", "small", 1, "<")
    learn.claim("C7.2", "yes", True, "==", True)
    capsys.readouterr()
    learn.claims_table()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["claim", "C7.1", "C7.2"]


def test_a_claim_is_in_the_metadata_of_its_output(published):
    learn.claim("C7.10", "small", 1, "<", 2)
    learn.claim("C7.2", "small", 1, "<", 2)
    outputs = [{"data": data, "metadata": metadata} for data, metadata in published]
    found = notebooks.claims({"cells": [{"outputs": outputs}, {}]})
    assert [entry["id"] for entry in found] == ["C7.2", "C7.10"]
    assert (found[0]["value"], found[0]["status"]) == (1, "holds")
    assert json.loads(json.dumps(found)) == found
