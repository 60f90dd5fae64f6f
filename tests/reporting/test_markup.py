"""Numbers are rounded for reading."""

import pytest

from kerasae.report import markup


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(41.2, "41 s"), (99, "99 s"), (120, "2 min"), (7300, "2 h 2 min")],
)
def test_durations(seconds, expected):
    assert markup.duration(seconds) == expected
