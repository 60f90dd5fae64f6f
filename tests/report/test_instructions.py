"""Commands can be copied as they stand."""


def test_a_recorded_command_is_used_without_its_old_flags(make_run, read):
    config = {"command": ["kerasae", "train", "vae", "--out", "a b", "--resume"]}
    text = read(make_run("unfinished", config=config, metrics=None)).text
    assert "kerasae train vae --out 'a b' --replace" in text
    assert "kerasae train vae --out 'a b' --resume" in text


def test_a_finished_run_is_not_to_be_resumed(make_run, read):
    text = read(make_run()).text
    assert "--replace" in text
    assert "resume" not in text


def test_a_run_that_no_command_can_name_is_continued_from_python(
    make_run, read, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    text = read(make_run(config={"command": None}, metrics=None)).text
    assert 'kerasae.train(..., out="run", replace=True)' in text
    assert 'kerasae.train(..., out="run", resume=True)' in text
    assert "kerasae train" not in text


def test_use_names_the_model_and_the_newest_export(tmp_path, monkeypatch, make_run, read):
    monkeypatch.chdir(tmp_path)
    run = make_run()
    assert "saved_model" not in read(run).text
    for version in ("2", "10"):
        (run / "saved_model" / version).mkdir(parents=True)
        (run / "saved_model" / version / "saved_model.pb").write_bytes(b"")
    text = read(run).text
    assert 'kerasae.load("run/model.keras")' in text
    assert "(n, 28, 28, 1)" in text
    assert 'tf.saved_model.load("run/saved_model/10")' in text
    assert '--model_base_path="$PWD"/run/saved_model' in text


def test_what_a_model_can_do_is_shown_and_nothing_else(make_run, read):
    text = read(make_run()).text
    assert "ae.generate" not in text
    assert "detect" not in text
    config = {"can_generate": True, "code_kind": "indices"}
    metrics = {"test": {"mse": 0.5}, "detection": {"threshold": 0.25}}
    text = read(make_run("able", config=config, metrics=metrics)).text
    assert "ae.generate(16, seed=0)" in text
    assert "ae.encode(x)  # whole numbers" in text
    assert "ae.detect(x)" in text
    assert "kerasae detect" in text
