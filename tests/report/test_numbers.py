"""Numbers are rounded for reading and kept for machines."""

import pytest

from kerasae.report import numbers


@pytest.mark.parametrize(
    ("seconds", "expected"), [(41.2, "41 s"), (99, "99 s"), (120, "2 min"), (7300, "2 h 2 min")]
)
def test_durations(seconds, expected):
    assert numbers.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (0.0123456, "", "0.01235"),
        (-90.5, ".2f", "\N{MINUS SIGN}90.50"),
        (0.0312, "percent", "3.1%"),
        (0.5, "percent", "50.0%"),
        (0.9951, "percent", "99.5%"),
        (float("nan"), ".2f", "not a number"),
        (float("-inf"), "percent", "minus infinite"),
    ],
)
def test_numbers_are_rounded_and_the_exact_one_is_kept(value, form, expected):
    number = numbers.number(value, form)
    assert number.text == expected
    assert number.value is value
