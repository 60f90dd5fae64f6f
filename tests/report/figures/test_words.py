"""Numbers and names are shortened for reading."""

import pytest

from kerasae.report import figures
from kerasae.report.figures import words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (1.5, "1.50"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (0.99996, "1.00"),
        (99999, "99,999"),
        (1e-7, "1.00e-07"),
        (-0.25, "-0.250"),
        (float("inf"), "infinite"),
        (float("nan"), "not a number"),
    ],
)
def test_numbers_are_rounded_to_three_digits(value, expected):
    assert words.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0%"), (1, "100%"), (0.123, "12%"), (0.0123, "1.2%"), (0.995, "99.5%"), (1e-5, "0.001%")],
)
def test_shares_keep_two_digits(value, expected):
    assert words.share(value) == expected


def test_long_names_lose_their_middle_and_dollars_are_no_formula(tmp_path):
    assert words.plain("abcdefghij", 10) == "abcdefghij"
    assert words.plain("abcdefghijk", 10) == "abcd\N{HORIZONTAL ELLIPSIS}hijk"
    runs = figures.comparison({"$x^$ " * 40: 1.0, "$": 2.0})
    runs.save(tmp_path / "a.png", dpi=20)
    errors = figures.class_errors([1.0, 2.0], [0, 1], ["$x^$", "y" * 200])
    errors.save(tmp_path / "a.png", dpi=20)
