"""The report says honestly what was trained and how well, and trusts nothing it reads."""

import pytest

from kerasae.report import write_report


def test_it_says_in_one_sentence_what_was_trained_and_how_well(page):
    assert (
        "A denoising autoencoder with a code of 32 values, trained on mnist for 3 epochs, "
        "reconstructs the test split with a mean squared error of 0.01023, 49% below PCA at the "
        "same code size (0.02), and raises noisy input from 6.0 to 20.3 dB (+14.3 dB)."
    ) in page.text


@pytest.mark.parametrize(
    ("mse", "words"),
    [
        (0.024, "20% above PCA at the same"),
        (0.02002, "equal within half a percent to PCA"),
        (0.01, "50% below PCA"),
        (0.04, "100% above PCA at the same"),
        (0.05, "2.5 times PCA's at the same code size (0.02)"),
        (0.836, "42 times PCA's at the same code size (0.02)"),
    ],
)
def test_comparison_with_pca_is_honest(mse, words, make_run, read):
    metrics = {"test": {"mse": mse}, "baselines": {"pca": {"mse": 0.02}}}
    assert words in read(make_run(metrics=metrics)).text


def test_the_tile_of_a_bad_model_says_times_too(make_run, read):
    page = read(make_run(metrics={"test": {"mse": 0.836}, "baselines": {"pca": {"mse": 0.02}}}))
    assert "42 times" in [text for tag, text in page.texts if tag == "dd"]
    assert "%" not in page.text.split("Error next to PCA")[1].split("PCA at the")[0]


@pytest.mark.parametrize(
    ("mse", "fitted_on", "said"),
    [
        (0.5, "train split", "Worse than the mean of the training data: train longer, or look at"),
        (0.5, "the measured samples", "Worse than the mean of the measured data: train longer"),
        (0.05, "train split", None),
        (float("nan"), "train split", None),
    ],
)
def test_a_model_worse_than_none_gets_a_word(mse, fitted_on, said, make_run, read):
    baselines = {"mean": {"mse": 0.0671}, "pca": {"mse": 0.02}}
    metrics = {"test": {"mse": mse}, "baselines": baselines, "baselines_fitted_on": fitted_on}
    text = read(make_run(metrics=metrics)).text
    assert said in text if said else "Worse than" not in text


METRICS = {
    "test": {"mse": 0.02, "mae": 0.1, "bce": 0.3, "bce_floor": 0.2, "psnr": 17.0, "ssim": 0.8},
    "baselines": {
        "pca": {"mse": 0.03, "mae": 0.05, "bce": 0.4, "psnr": 15.2, "ssim": 0.7},
        "linear_denoiser": {"mse": 0.025},
    },
    "noisy": {"mse": 0.2, "psnr": 7.0},
    "clipped": {"mse": 0.1, "psnr": 10.0},
    "clean": {"mse": 0.001, "psnr": 30.0, "bce": 0.25},
}


def rows_of(page) -> dict[str, list[str]]:
    """Row name -> its cells, of the first table."""
    rows: dict[str, list[str]] = {}
    for tag, text in page.texts:
        if tag == "h2" and text != "Results" and rows:
            break
        if tag == "th":
            rows[text] = []
        elif tag in ("data", "td", "span") and rows:
            list(rows.values())[-1].append(text)
    return rows


def test_every_row_has_a_plain_name_and_its_numbers(make_run, read):
    rows = rows_of(read(make_run(metrics=METRICS)))
    assert rows["this model"][-1] == "1.00"
    assert "0.001" in rows["this model on clean input"]
    assert "0.1" in rows["noisy input, clipped to the range"]
    assert "0.2" in rows["noisy input, as it is"]
    assert "0.025" in rows["best linear denoiser"]
    assert "0.2" in rows["lowest possible"]


def test_clean_input_and_the_floor_are_not_ranked(make_run):
    text = write_report(make_run(metrics=METRICS)).read_text("utf-8")
    best = [part.split('"')[1] for part in text.split(">best</span><data value=")[1:]]
    assert best == ["0.02", "0.3", "17.0", "0.8", "0.05"]  # row by row; MAE is PCA's


def test_units_and_meaning_are_said_for_what_is_there_only(make_run, read):
    page = read(make_run(metrics=METRICS))
    assert "BCE, nats" in page.text
    assert "the structural similarity of two images" in page.text
    page = read(make_run("other", metrics={"test": {"mse": 0.5}, "baselines": {}}))
    assert "SSIM" not in page.text
    assert "lowest possible" not in page.text


def test_numbers_are_those_of_the_metrics(page):
    values = [float(attributes["value"]) for attributes in page.all("data")]
    for number in (0.0123456789, 0.0113456789, 0.0102345678, 20.3456, 0.02, 0.0671, 0.25, 6.0206):
        assert number in values
    shown = [text for tag, text in page.texts if tag == "data"]
    assert "0.01023" in shown
    assert "20.35" in shown


def test_best_is_a_word_and_follows_the_direction_of_each_quantity(make_run):
    metrics = {
        "test": {"mse": 0.03, "psnr": 15.0},
        "baselines": {"pca": {"mse": 0.02, "psnr": 17.0}, "mean": {"mse": 0.07, "psnr": 11.0}},
    }
    text = write_report(make_run(metrics=metrics)).read_text("utf-8")
    assert text.count(">best</span>") == 2
    assert '>best</span><data value="0.02">' in text
    assert '>best</span><data value="17.0">' in text


def test_a_run_without_baselines_says_so_and_marks_no_best(make_run, read):
    page = read(make_run(metrics={"test": {"mse": 0.5}}))
    assert "recorded no baselines" in page.text
    assert "best" not in [text for tag, text in page.texts if tag == "span"]


def test_not_a_number_is_said_in_words(make_run, read):
    metrics = '{"test": {"mse": NaN, "psnr": Infinity}, "baselines": {"pca": {"mse": 0.5}}}'
    page = read(make_run(metrics=metrics))
    assert "not a number" in page.text
    assert "nan%" not in page.text


def test_the_split_is_the_one_that_was_measured_on(make_run, read):
    text = read(make_run(config={"measured_on": "validation"})).text
    assert "reconstructs the validation split with" in text
    assert "Means over the validation split," in text
    assert "test split" not in text


def test_loss_terms_have_first_last_and_lowest(page):
    values = [attributes["value"] for attributes in page.all("data")]
    at = values.index("0.5")
    assert values[at : at + 6] == ["0.5", "0.2", "0.2", "0.6", "0.375", "0.125"]
    text = " ".join(page.text.split())
    assert "0.2 epoch 3" in text
    assert "0.125 epoch 2" in text
    assert "The weights kept are those of epoch 2." in text


def test_every_figure_has_alt_text_a_caption_and_its_size(page):
    images = page.all("img")
    assert [image["alt"] for image in images] == ["Ten digits, 17.5 dB.", "A falling curve."]
    assert all((image["width"], image["height"]) == ("2", "1") for image in images)
    assert len(page.all("figcaption")) == 2
    assert {"First figure", "Second figure", "A falling curve."} <= {t for _, t in page.texts}


def test_only_pictures_of_the_figures_folder_are_taken(tmp_path, make_run, read, png):
    (tmp_path / "secret.png").write_bytes(png)
    figures = [{"file": "../../secret.png"}, {"file": "none.png"}, {"file": "figures.json"}, {}]
    page = read(make_run(figures=figures))
    assert page.all("img") == []
    assert page.text.count("is missing or is not a PNG") == 4


HOSTILE = "</title><script>alert(1)</script>\"'&<img src=http://evil.example/x>${body}"


def test_nothing_is_loaded_and_nothing_runs(page):
    assert page.all("script") == page.all("iframe") == []
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:"))
        assert not [name for name in attributes if name.startswith("on")]
    style = "".join(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page.all("meta")[3]["content"]


def test_links_within_the_page_have_their_targets(page):
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = {a["href"].removeprefix("#") for a in page.all("a")}
    assert links
    assert links <= targets
    assert page.all("html")[0]["lang"] == "en"


def test_hostile_strings_stay_text(make_run, read):
    path = make_run(
        config={
            "variant": HOSTILE,
            "data": HOSTILE,
            "latent_dim": HOSTILE,
            "measured_on": HOSTILE,
            "input_shape": [HOSTILE],
            HOSTILE: {HOSTILE: HOSTILE},
            "versions": {HOSTILE: HOSTILE},
            "command": ["kerasae", HOSTILE],
        },
        metrics={
            "test": {"mse": 0.1, "psnr": HOSTILE},
            "baselines": {HOSTILE: {"mse": 0.2}, "pca": HOSTILE},
            "training": {"best_epoch": HOSTILE, "epochs": HOSTILE},
        },
        history=f'epoch,loss,"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n0,1,2\n',
        figures=[{"file": "a.png", "title": HOSTILE, "alt": HOSTILE}, {"file": HOSTILE}, HOSTILE],
    )
    page = read(path)
    assert page.all("script") == []
    images = page.all("img")
    assert [image["alt"] for image in images] == [HOSTILE]
    assert images[0]["src"].startswith("data:image/png;base64,")
    assert HOSTILE in page.text


def test_lone_surrogates_do_not_stop_the_page(make_run):
    config = '{"variant": "denoising", "data": "\\ud800"}'
    assert write_report(make_run(config=config)).read_text("utf-8")


def test_a_run_with_nothing_but_its_configuration_still_has_a_page(make_run, read):
    run = make_run(metrics=None, history=None, figures=None)
    (run / "model.keras").unlink()
    page = read(run)
    assert "Not finished" in page.text
    assert "--resume" in page.text
    assert "A denoising autoencoder with a code of 32 values, trained on mnist." in page.text
    headings = [text for tag, text in page.texts if tag == "h2"]
    assert headings == ["Not finished", "Commands", "Configuration"]


def test_the_page_replaces_the_old_one_whole(make_run):
    run = make_run()
    before = {path.name for path in run.iterdir()}
    (run / "report.html").write_text("old")
    assert write_report(str(run)) == run / "report.html"
    assert {path.name for path in run.iterdir()} == before | {"report.html"}
    assert (run / "report.html").read_bytes() == write_report(run).read_bytes()


def test_a_configuration_nested_very_deep_still_has_a_page(make_run, read):
    config = '{"a":' * 800 + "1" + "}" * 800
    assert '{"a": ' in read(make_run(config=config, metrics=config)).text
