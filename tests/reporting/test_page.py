"""The page is one whole file that trusts nothing it reads."""

from kerasae.report import write_report

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
