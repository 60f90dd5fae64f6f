"""A run directory is read whole, or the broken file is named."""

import pytest

from kerasae.report import write_report


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
        ("history", "epoch,loss\n0,high\n", r"history\.csv must hold numbers, column 'loss'"),
        ("history", "epoch,loss\n0,1,2\n", r"history\.csv must have as many values as names"),
        ("history", "epoch,loss\n0\n", r"history\.csv must have as many values as names"),
    ],
)
def test_a_broken_file_is_named_and_the_old_page_stays(name, content, message, make_run):
    run = make_run(**{name: content})
    (run / "report.html").write_text("old")
    with pytest.raises(ValueError, match=rf"{message}.* Received: "):
        write_report(run)
    assert (run / "report.html").read_text() == "old"
