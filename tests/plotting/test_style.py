"""Drawing leaves no trace, files are replaced whole, numbers are rounded for reading."""

import subprocess
import sys

import matplotlib
import pytest

from kerasae.report import figures
from kerasae.report.figures import style


def test_neither_pyplot_nor_global_settings_are_touched(tmp_path):
    code = (
        "import sys, matplotlib\n"
        # Reading all of rcParams as a dict would itself look for a backend.
        "before = matplotlib.rcParams.copy()\n"
        "from kerasae import plotting\n"
        f"figures.save(figures.baselines({{'model': 1.0}}), r'{tmp_path}/a.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_style_leaves_settings_as_they_were():
    before = matplotlib.rcParams["font.size"]
    with pytest.raises(ValueError, match="images must have"):
        figures.image_grid([0, 0, 0])
    assert matplotlib.rcParams["font.size"] == before


def test_save_replaces_the_file_whole_and_gives_the_same_bytes_twice(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    assert figures.save(figures.baselines({"model": 1.0, "mean": 2.0}), path) == path
    first = path.read_bytes()
    figures.save(figures.baselines({"model": 1.0, "mean": 2.0}), path)
    assert first.startswith(b"\x89PNG")
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    ax = figures.baselines({"model": 1.0})

    def full(temporary, **_):
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(ax.figure, "savefig", full)
    with pytest.raises(OSError, match="disk full"):
        figures.save(ax, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


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
    assert style.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0%"), (1, "100%"), (0.123, "12%"), (0.0123, "1.2%"), (0.995, "99.5%"), (1e-5, "0.001%")],
)
def test_shares_keep_two_digits(value, expected):
    assert style.share(value) == expected


def test_long_names_lose_their_middle_and_dollars_are_no_formula(tmp_path):
    assert style.plain("abcdefghij", 10) == "abcdefghij"
    assert style.plain("abcdefghijk", 10) == "abcd\N{HORIZONTAL ELLIPSIS}hijk"
    ax = figures.comparison({"$x^$ " * 40: {"mse": 1.0}, "$": {"mse": 2.0}})
    figures.save(ax, tmp_path / "a.png", dpi=20)
    errors = figures.class_errors([1.0, 2.0], [0, 1], ["$x^$", "y" * 200])
    figures.save(errors, tmp_path / "a.png", dpi=20)
