"""The table of results names every row and ranks only what can be ranked."""

from kerasae.report import write_report

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
    assert rows["this model"][-1] == "1"
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
