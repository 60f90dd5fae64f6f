"""What the commands that put files through a model say when they are done."""

import pytest

from kerasae import scoring


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (scoring.Applied(0, 1, 0, 0), "0 rows written to {}"),
        (scoring.Applied(1000, 1, 0, 25), "1,000 rows written to {}, 25 of them anomalies (2.50%)"),
        (scoring.Applied(9, 2, 1, None), "9 rows written to {}; 1 of the files were there already"),
    ],
)
def test_the_last_line_tells_rows_and_anomalies(done, said, tmp_path, kerasae_, monkeypatch):
    given = {}
    monkeypatch.setattr(scoring, "apply", lambda *a, **o: given.update(o, verb=a[1]) or done)
    output = tmp_path / "o.csv"
    words = ("detect", tmp_path, "-i", "a.csv", "-o", output, "--false-alarm-rate", 0.1)
    assert kerasae_(*words) == (0, said.format(output) + "\n", "")
    assert (given["verb"], given["false_alarm_rate"], given["keep"]) == ("detect", 0.1, ())


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (("encode",), "encode"),
        (("reconstruct",), "reconstruct"),
        (("score",), "score"),
        (("score", "--per-feature"), "feature_scores"),
    ],
)
def test_every_verb_takes_the_options_of_files(words, verb, tmp_path, kerasae_, monkeypatch):
    given = {}
    done = scoring.Applied(1, 1, 0, None)
    monkeypatch.setattr(scoring, "apply", lambda *a, **o: given.update(o, args=a) or done)
    command, *more = words
    status, _, err = kerasae_(
        *(command, tmp_path, *more, "-i", "a.csv", "-i", "b.csv", "-o", tmp_path / "o"),
        *("--column", "x", "--keep", "id", "--format", "npy", "--batch-size", 3, "--resume"),
    )
    assert (status, err) == (0, "")
    assert given.pop("args") == (tmp_path, verb, ["a.csv", "b.csv"], tmp_path / "o")
    assert given == {
        "columns": ["x"],
        "keep": ["id"],
        "format": "npy",
        "batch_size": 3,
        "resume": True,
        "replace": False,
        "progress": True,
    }
