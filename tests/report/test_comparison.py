"""Runs side by side: the same numbers as in each, and what keeps them from being compared."""

import json

import pytest

from kerasae.report import Run, compare_rows, differences, write_comparison


@pytest.fixture
def runs(make_run):
    """Two runs on the same samples; the second is better."""
    config = {
        "variant": "sparse_kl",
        "data": "digits",
        "seed": 0,
        "network": "dense",
        "latent_dim": 8,
        "parameters": 1234,
        "scaler": "UnitScale",
        "samples": {"test": 180},
    }
    trained = {"epochs": 3, "seconds": 41.5, "best_epoch": 2}
    first = make_run(
        "first",
        config=config,
        metrics={"test": {"mse": 0.04}, "baselines": {"pca": {"mse": 0.02}}, "training": trained},
    )
    second = make_run(
        "second",
        config={**config, "latent_dim": 16},
        metrics={
            "test": {"mse": 0.01, "psnr": 20.0},
            "codes": {"probe_accuracy": 0.9},
            "baselines": {"pca": {"mse": 0.02}},
            "training": trained,
        },
    )
    return [first, second]


def test_rows_are_plain_numbers_lowest_error_first(runs):
    rows = compare_rows(runs)
    assert rows == [
        {
            "name": "second",
            "variant": "sparse kl",
            "data": "digits",
            "network": "dense",
            "latent_dim": 16,
            "parameters": 1234,
            "epochs": 3,
            "seconds": 41.5,
            "mse": 0.01,
            "pca_mse": 0.02,
            "beside_pca": -0.5,
            "psnr": 20.0,
            "probe_accuracy": 0.9,
        },
        {
            "name": "first",
            "variant": "sparse kl",
            "data": "digits",
            "network": "dense",
            "latent_dim": 8,
            "parameters": 1234,
            "epochs": 3,
            "seconds": 41.5,
            "mse": 0.04,
            "pca_mse": 0.02,
            "beside_pca": 1.0,
            "psnr": None,
            "probe_accuracy": None,
        },
    ]
    assert json.dumps(rows)
    assert compare_rows([Run.read(run) for run in runs]) == rows


def test_unfinished_runs_come_last_and_numbers_nobody_has_are_left_out(runs, make_run):
    config = json.loads((runs[0] / "config.json").read_text())
    bare = make_run("bare", config=config, metrics=None, history=None)
    rows = compare_rows([bare, runs[0]])
    assert [row["name"] for row in rows] == ["first", "bare"]
    assert rows[1]["mse"] is None
    assert "ssim" not in rows[0]


def test_runs_of_one_name_are_told_apart(runs, make_run):
    other = make_run("elsewhere/first", config=json.loads((runs[0] / "config.json").read_text()))
    names = [row["name"] for row in compare_rows([runs[0], runs[0]])]
    assert len(set(names)) == 2
    with pytest.warns(UserWarning, match="same input"):
        names = [row["name"] for row in compare_rows([runs[0], other])]
    assert set(names) == {str(runs[0]), str(other)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"data": "mnist"},
            "Runs on different data cannot be compared by their errors "
            "(first: digits; second: mnist).",
        ),
        ({"measured_on": "validation"}, "not measured on the same samples"),
        ({"samples": {"test": 90}}, "second: test split of 90 samples"),
        ({"data_options": {"limit": 500}}, "test split of 180 samples, limit=500"),
        ({"seed": 1}, "different seeds"),
        ({"scaler": None}, "(first: UnitScale; second: no scaler)."),
    ],
)
def test_what_differs_is_said_in_a_sentence_and_warned_of(
    change, sentence, runs, tmp_path, take_apart
):
    assert differences(runs) == []
    config = json.loads((runs[1] / "config.json").read_text()) | change
    (runs[1] / "config.json").write_text(json.dumps(config))
    (said,) = differences(runs)
    assert sentence in said
    with pytest.warns(UserWarning, match="(differ|same)"):
        compare_rows(runs)
    page = take_apart(write_comparison(runs, tmp_path / "page.html"))
    assert "Compare with care" in page.text
    assert said in page.text


def test_data_are_the_same_by_their_place_and_not_by_what_was_typed(runs):
    def differ(first, second):
        for run, change in zip(runs, (first, second), strict=True):
            config = json.loads((run / "config.json").read_text()) | change
            (run / "config.json").write_text(json.dumps(config))
        return differences(runs)

    (said,) = differ(
        {"data": "t.csv", "data_path": "/a/t.csv"}, {"data": "t.csv", "data_path": "/b/t.csv"}
    )
    assert "(first: /a/t.csv; second: /b/t.csv)" in said
    assert differ({"data_path": "/b/t.csv"}, {"data": "../b/t.csv"}) == []


def test_corrupted_input_is_another_task(runs):
    metrics = json.loads((runs[1] / "metrics.json").read_text()) | {"noisy": {"mse": 0.3}}
    (runs[1] / "metrics.json").write_text(json.dumps(metrics))
    assert "first: clean input; second: corrupted input" in differences(runs)[0]


def test_the_page_has_table_figure_and_words_and_loads_nothing(runs, tmp_path, take_apart):
    path = write_comparison(runs, tmp_path)
    assert path == tmp_path / "comparison.html"
    page = take_apart(path)
    assert "Compare with care" not in page.text
    assert "second has the lowest error on digits: a mean squared error of 0.01." in page.text
    assert {0.01, 0.04, 20.0, -0.5, 1.0, 0.9} <= {float(a["value"]) for a in page.all("data")}
    (image,) = page.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"].startswith("Mean squared error of 2 runs, best first: second 0.0100 (PCA")
    assert int(image["width"]) > 300
    assert page.all("script") == []
    assert all(a["href"].startswith("#") for a in page.all("a"))


def test_hostile_names_stay_text(make_run, tmp_path, take_apart):
    hostile = "<script>alert(1)<\\script>&"
    config = {"variant": hostile, "data": hostile, "network": hostile, "latent_dim": hostile}
    runs = [make_run(f"{hostile}{i}", config=config) for i in range(2)]
    page = take_apart(write_comparison(runs, tmp_path / "page.html"))
    assert page.all("script") == []
    assert f"{hostile}0" in page.text


def test_runs_without_results_have_a_page_without_figure(make_run, tmp_path, take_apart):
    run = make_run(metrics=None, history=None)
    page = take_apart(write_comparison([run], tmp_path / "new" / "page.html"))
    assert page.all("img") == []
    assert "1 run side by side" in page.text


def test_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least one run .*Received: runs=\[\]"):
        compare_rows([])
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        write_comparison([tmp_path], tmp_path / "page.html")
