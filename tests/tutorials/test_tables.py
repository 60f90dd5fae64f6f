"""Numbers as text, tables, and guesses."""

import numpy as np
import pytest

import kerasae_lessons as learn
from kerasae_lessons import tables


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (12345, "12,345"),
        (0.5, "0.5"),
        (1 / 3, "0.3333"),
        (0.0, "0"),
        (1.5e-5, "1.50e-05"),
        (np.float32(2.25), "2.25"),
        (123456.7, "123,457"),
        ("a", "a"),
        (True, "True"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_as_text(value, text):
    assert tables.number(value) == text


def test_a_table_in_text(capsys):
    learn.table([["a|b", 1.5], ["c", 20]], ["name", "value"], "Two.")
    assert capsys.readouterr().out == "Two.\nname  value\na|b   1.5\nc     20\n"
    with pytest.raises(ValueError, match="Received: a row of 1"):
        learn.table([[1]], ["a", "b"])


def test_a_table_in_markdown(published):
    learn.table([["a|b", 1.5]], ["name", "value"], "One.")
    assert published[0][0]["text/markdown"] == (
        "*One.*\n\n| name | value |\n|---|---:|\n| a\\|b | 1.5 |"
    )


def test_a_guess_next_to_the_answer(capsys):
    learn.reveal(None, 0.5, "share")
    learn.reveal(0.75, 0.5, "share")
    learn.reveal("many", 0.5, "share")
    assert capsys.readouterr().out.splitlines() == [
        "share: 0.5 (no guess)",
        "share: 0.5 (your guess: 0.75, off by 0.25)",
        "share: 0.5 (your guess: many)",
    ]
