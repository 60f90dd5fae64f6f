"""Tables and figures are those of the run."""

from kerasae.report import write_report


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
