"""A run directory is read whole, or the broken file is named."""

import math

import pytest

from kerasae.report import Run, write_report


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json.* Received: run="):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config", "{", r"config\.json must be JSON"),
        ("config", "[]", r"config\.json must hold a JSON object"),
        ("metrics", "nothing", r"metrics\.json must be JSON"),
        ("figures", "{}", r"figures\.json must hold a JSON list"),
        ("history", "epoch,loss\n0,high\n", r"history\.csv must"),
        ("history", "epoch,loss\n0,1,2\n", r"history\.csv must"),
        ("history", "epoch,loss\n0,\x00\n", r"history\.csv must"),
        ("history", "epoch,loss\n0\n", r"history\.csv must"),
    ],
)
def test_a_broken_file_is_named_and_the_old_page_stays(name, content, message, make_run):
    run = make_run(**{name: content})
    (run / "report.html").write_text("old")
    with pytest.raises(ValueError, match=rf"{message}.* Received: "):
        write_report(run)
    assert (run / "report.html").read_text() == "old"


def test_a_history_without_rows_is_empty_and_a_gap_is_not_a_number(make_run):
    assert Run.read(make_run("names", history="epoch,loss\n")).history == {}
    assert Run.read(make_run("nothing", history="")).history == {}
    history = Run.read(make_run("gap", history="epoch,loss\n0,\n1,0.5\n")).history
    assert history["epoch"] == [0, 1]
    assert math.isnan(history["loss"][0])
