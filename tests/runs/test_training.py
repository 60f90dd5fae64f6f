import json
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasae
from kerasae import evaluation
from kerasae.runs import TrainingDiverged, callbacks, figures, preparation, training

SMALL = {
    "data": "digits",
    "data_options": {"limit": 200},
    "hidden": [16],
    "verbose": 0,
    "export": False,
    "batch_size": 64,
}


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])


@pytest.fixture
def unmeasured(monkeypatch, no_figures):
    """Leave out what takes half the time, where a test is about the directory only."""
    measured = {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
    monkeypatch.setattr(evaluation, "measure", lambda *_, **__: measured)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One denoising run with everything on."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return kerasae.train("denoising", out=path, epochs=3, latent_dim=4, seed=7, **SMALL)


def state_of(model):
    return [np.array(v) for v in model.get_weights()]


def crash_in_epoch(monkeypatch, number):
    """Let training fail at the end of an epoch, counted from 1, as a power cut would."""
    original = callbacks.EventLog.on_epoch_end

    def fail(self, epoch, logs=None):
        if epoch + 1 == number:
            raise RuntimeError("power cut")
        original(self, epoch, logs)

    monkeypatch.setattr(callbacks.EventLog, "on_epoch_end", fail)


def press_ctrl_c_in_epoch(monkeypatch, number):
    def press(self, epoch, logs=None):
        if epoch + 1 == number:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(callbacks.EventLog, "on_epoch_begin", press, raising=False)


def test_run_directory_is_complete(finished):
    found = {path.relative_to(finished.path).as_posix() for path in finished.path.rglob("*")}
    assert {"config.json", "metrics.json", "history.csv", "model.keras", "report.html"} <= found
    assert {"figures/figures.json", "figures/reconstructions.png", "logs/train"} <= found
    assert "checkpoints" not in found
    assert not [name for name in found if "part" in name or "tmp" in name]
    for entry in json.loads((finished.path / "figures/figures.json").read_text()):
        assert (finished.path / "figures" / entry["file"]).is_file()
        assert entry["title"]
        assert entry["alt"]


def test_run_holds_what_its_files_hold(finished):
    assert json.loads((finished.path / "metrics.json").read_text()) == finished.metrics
    config = json.loads((finished.path / "config.json").read_text())
    assert config == finished.config
    assert config["options"] == {"hidden": [16]}
    assert (config["latent_dim"], config["network"], config["input_dtype"]) == (4, "dense", "uint8")
    assert finished.history["epoch"] == [1, 2, 3]
    assert {"loss", "reconstruction_loss", "val_loss"} <= set(finished.history)
    assert finished.metrics["training"]["epochs"] == 3


def test_saved_model_is_the_best_epoch(finished):
    x = kerasae.data.load("digits", limit=200, seed=7, batch_size=64)
    loaded = kerasae.load(finished.path)
    np.testing.assert_array_equal(
        loaded.reconstruct(x.array("test")), finished.model.reconstruct(x.array("test"))
    )
    losses = finished.history["val_loss"]
    assert finished.metrics["training"]["best_epoch"] == 1 + int(np.argmin(losses))
    again = loaded.evaluate(x.validation, return_dict=True, verbose=0)
    assert again["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_metrics_compare_on_one_test_split(finished):
    metrics = finished.metrics
    assert set(metrics["baselines"]) == {"pca", "mean", "linear_denoiser"}
    assert metrics["test"]["samples"] == 20
    for values in (metrics["test"], metrics["noisy"], *metrics["baselines"].values()):
        assert values["psnr"] == pytest.approx(-10 * np.log10(values["mse"]))
    # The model's loss is its MSE on another draw of the noise.
    assert metrics["test"]["loss"] == pytest.approx(metrics["test"]["mse"], rel=0.1)


def test_summary_lists_model_and_baselines_best_first(finished):
    table = finished.summary().split("PSNR, dB\n")[1].split("\n\n")[0]
    errors = [float(line.split()[-2]) for line in table.splitlines()]
    assert len(errors) == 5
    assert errors == sorted(errors)
    assert "PCA, 4 components" in finished.summary()
    assert str(finished.path / "report.html") in finished.summary()


def test_recorded_command_asks_for_the_same_run(finished):
    words = finished.config["command"]
    assert words[:5] == ["kerasae", "train", "denoising", "--data", "digits"]
    assert words[-2:] == ["--out", finished.path.as_posix()]
    pairs = list(zip(words[5::2], words[6::2], strict=False))
    assert ("--epochs", "3") in pairs
    assert ("--limit", "200") in pairs
    assert ("--set", "hidden=[16]") in pairs


def test_same_command_gives_the_same_metrics(finished, tmp_path, no_figures):
    again = kerasae.train("denoising", out=tmp_path / "b", epochs=3, latent_dim=4, seed=7, **SMALL)
    timeless = [dict(run.metrics, training=None) for run in (finished, again)]
    assert timeless[0] == timeless[1]
    assert finished.history == again.history


@pytest.mark.parametrize(("variant", "every"), [("denoising", 3600.0), ("variational", 0.0)])
def test_killed_run_resumes_to_the_same_result(variant, every, tmp_path, monkeypatch, no_figures):
    """Noise, order, optimizer, early stopping and history go on as if nothing had happened."""
    monkeypatch.setattr(training, "_SAVE_EVERY", every)
    asked = {"epochs": 5, "latent_dim": 4, **SMALL}
    whole = kerasae.train(variant, out=tmp_path / "whole", **asked)
    with monkeypatch.context() as patch:
        crash_in_epoch(patch, 4)
        with pytest.raises(RuntimeError, match="power cut"):
            kerasae.train(variant, out=tmp_path / "cut", **asked)
    keras.utils.set_random_seed(12345)
    resumed = kerasae.train(variant, out=tmp_path / "cut", resume=True, **asked)
    assert resumed.history == whole.history
    for a, b in zip(state_of(whole.model), state_of(resumed.model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert dict(resumed.metrics, training=0) == dict(whole.metrics, training=0)


def test_failure_after_training_is_resumed_without_training(tmp_path, monkeypatch):
    asked = {"out": tmp_path / "run", "epochs": 2, "latent_dim": 4, **SMALL}
    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw", _disk_full)
        with pytest.raises(OSError, match="disk full"):
            kerasae.train("undercomplete", **asked)
    before = state_of(kerasae.load(tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EpochOrder, "on_epoch_begin", lambda *_: pytest.fail("trained"))
        run = kerasae.train("undercomplete", resume=True, **asked)
    assert run.metrics["training"]["epochs"] == 2
    for a, b in zip(before, state_of(run.model), strict=True):
        np.testing.assert_array_equal(a, b)


def _disk_full(*_, **__):
    raise OSError("disk full")


def test_interrupted_run_is_usable_and_resumes(tmp_path, monkeypatch, unmeasured, capsys):
    asked = {"epochs": 4, "latent_dim": 4, **SMALL}
    handler = signal.getsignal(signal.SIGINT)
    whole = kerasae.train("denoising", out=tmp_path / "whole", **asked)
    with monkeypatch.context() as patch:
        press_ctrl_c_in_epoch(patch, 3)
        path = tmp_path / "run"
        run = kerasae.train("denoising", out=path, **{**asked, "verbose": 1})
    assert run.interrupted
    assert run.history["epoch"] == [1, 2]
    assert signal.getsignal(signal.SIGINT) is handler
    out = capsys.readouterr().out
    assert "interrupted after 2 epochs" in out
    assert f"--out {path} --resume" in out.replace("\n", " ")
    x = kerasae.data.load("digits", limit=200, batch_size=64)
    usable = kerasae.load(path)
    assert usable.evaluate(x.validation, return_dict=True, verbose=0)["loss"] == pytest.approx(
        min(run.history["val_loss"]), rel=1e-5
    )
    assert "interrupted" in (path / "report.html").read_text()
    resumed = kerasae.train("denoising", out=path, resume=True, **asked)
    assert not resumed.interrupted
    assert resumed.history == whole.history


def test_interrupt_in_the_first_epoch_leaves_a_model(tmp_path, monkeypatch, unmeasured):
    press_ctrl_c_in_epoch(monkeypatch, 1)
    run = kerasae.train("undercomplete", out=tmp_path / "run", epochs=4, **SMALL)
    assert run.interrupted
    assert run.history == {}
    assert kerasae.load(tmp_path / "run").count_params() == run.model.count_params()
    assert "unfinished first epoch" in run.summary()


def test_existing_run_is_refused_resumed_or_replaced(tmp_path, no_figures):
    asked = {"out": tmp_path / "run", "epochs": 1, **SMALL}
    first = kerasae.train("undercomplete", **asked)
    with pytest.raises(ValueError, match="Received: out=") as caught:
        kerasae.train("undercomplete", **asked)
    assert f"Received: out={str(tmp_path / 'run')!r}" in str(caught.value)
    with pytest.raises(ValueError, match="nothing to resume"):
        kerasae.train("undercomplete", resume=True, **asked)
    with pytest.raises(ValueError, match="exclude each other"):
        kerasae.train("undercomplete", resume=True, replace=True, **asked)
    second = kerasae.train("undercomplete", replace=True, seed=5, **asked)
    assert second.metrics["test"]["mse"] != first.metrics["test"]["mse"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for how in ({}, {"replace": True}, {"resume": True}):
        with pytest.raises(ValueError, match="holds something else"):
            kerasae.train("undercomplete", out=tmp_path, **how, **SMALL)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_failed_replacement_leaves_the_run_that_was_there(tmp_path, monkeypatch, unmeasured):
    asked = {"out": tmp_path / "run", "epochs": 1, **SMALL}
    kerasae.train("undercomplete", **asked)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    for bad in ({"latent_dim": 99}, {"data": "digits", "nonsense": 1}):
        with pytest.raises(ValueError, match=r"latent_dim|nonsense"):
            kerasae.train("undercomplete", replace=True, **{**asked, **bad})
    with monkeypatch.context() as patch:
        press_ctrl_c_in_epoch(patch, 1)
        run = kerasae.train("undercomplete", replace=True, **asked)
    assert run.restored
    assert "as it was before" in run.summary()
    crash_in_epoch(monkeypatch, 1)
    with pytest.raises(RuntimeError, match="power cut"):
        kerasae.train("undercomplete", replace=True, **asked)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(RuntimeError, match="power cut"):
        kerasae.train("undercomplete", **{**asked, "out": tmp_path / "new"})
    assert not (tmp_path / "new").exists()


def test_resuming_with_other_settings_is_refused(tmp_path, monkeypatch):
    asked = {"out": tmp_path / "run", "epochs": 3, "latent_dim": 4, **SMALL}
    with monkeypatch.context() as patch:
        crash_in_epoch(patch, 2)
        with pytest.raises(RuntimeError, match="power cut"):
            kerasae.train("undercomplete", **asked)
    for name, value in (("latent_dim", 5), ("seed", 1), ("learning_rate", 0.1)):
        with pytest.raises(ValueError, match=f"Received: {name}={value}"):
            kerasae.train("undercomplete", resume=True, **{**asked, name: value})


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """An unfinished run with settings of its own."""
    table = np.random.default_rng(0).uniform(size=(90, 5)).astype("float32")
    kerasae.data.write(tmp_path / "t.csv", [table], list("abcde"))
    monkeypatch.chdir(tmp_path)
    asked = {
        "data": "t.csv",
        "data_options": {"columns": ["b", "a", "d"], "limit": 80},
        "epochs": 4,
        "batch_size": 16,
        "latent_dim": 2,
        "seed": 3,
        "learning_rate": 0.01,
        "patience": 7,
        "hidden": [6],
        "kl_weight": 0.5,
        "verbose": 0,
        "export": False,
    }
    with monkeypatch.context() as patch:
        press_ctrl_c_in_epoch(patch, 3)
        assert kerasae.train("vae", out="run", **asked).interrupted
    return asked


@pytest.mark.parametrize("elsewhere", [False, True])
def test_resuming_takes_what_is_left_out_from_the_run(
    cut, elsewhere, tmp_path, monkeypatch, unmeasured
):
    whole = kerasae.train("variational", out="whole", **cut)
    before = json.loads(Path("run/config.json").read_text())
    if elsewhere:
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
    run = kerasae.train("variational", out=tmp_path / "run", resume=True, verbose=0)
    assert run.history == whole.history
    for a, b in zip(state_of(whole.model), state_of(run.model), strict=True):
        np.testing.assert_array_equal(a, b)
    path = {"data": str(tmp_path / "t.csv")} if elsewhere else {}
    assert {**run.config, "command": 0} == {**before, **path, "command": 0}
    if not elsewhere:
        assert run.config["command"][:-1] == before["command"][:-1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"latent_dim": 3}, r"latent_dim was 2\. Received: latent_dim=3"),
        ({"seed": 0}, r"seed was 3\. Received: seed=0"),
        ({"batch_size": 128}, r"batch_size was 16\. Received: batch_size=128"),
        ({"hidden": [7]}, r"hidden was \[6\]\. Received: hidden=\[7\]"),
        ({"free_bits": 0.1}, r"free_bits was None\. Received: free_bits=0\.1"),
        ({"data_options": {"limit": 70}}, r"limit was 80\. Received: limit=70"),
        ({"data": "digits"}, r"data was 't\.csv'\. Received: data='digits'"),
        ({"data": Path("u.csv")}, r"data was 't\.csv'\. Received: data='u\.csv'"),
        ({"variant": "linear"}, r"variant was 'variational'\. Received: variant='linear'"),
    ],
)
def test_resuming_names_only_what_was_given(cut, given, sentence):
    variant = given.pop("variant", "variational")
    with pytest.raises(ValueError, match=f"{sentence}$"):
        kerasae.train(variant, out="run", resume=True, verbose=0, **given)


def test_resuming_with_more_epochs_records_them(cut, unmeasured):
    run = kerasae.train("vae", out="run", resume=True, verbose=0, epochs=5, data="./t.csv")
    assert run.history["epoch"] == [1, 2, 3, 4, 5]
    words = run.config["command"]
    assert words[words.index("--epochs") + 1] == "5"
    assert run.config["patience"] == 7


def test_resuming_asks_for_what_a_file_cannot_hold(tmp_path, monkeypatch, unmeasured):
    x = np.random.default_rng(0).uniform(size=(90, 5)).astype("float32")
    warmup = kerasae.schedules.Warmup(1.0, 10)
    asked = {"out": tmp_path / "run", "verbose": 0}
    objects = {"data": x, "kl_weight": warmup, "epochs": 3, "export": False, "name": "Mine"}
    with monkeypatch.context() as patch:
        press_ctrl_c_in_epoch(patch, 2)
        kerasae.train("vae", **asked, **objects)
    with pytest.raises(ValueError, match="Received: data=None"):
        kerasae.train("vae", resume=True, kl_weight=warmup, **asked)
    with pytest.raises(ValueError, match="Received: no kl_weight"):
        kerasae.train("vae", resume=True, data=x, **asked)
    run = kerasae.train("vae", resume=True, data=x, kl_weight=warmup, **asked)
    assert run.history["epoch"] == [1, 2, 3]
    assert run.model.name == "Mine"


def test_a_run_that_is_not_there_is_begun_and_said_so(tmp_path, unmeasured, capsys):
    asked = {**SMALL, "epochs": 1}
    for verbose in (0, 1):
        path = tmp_path / f"run{verbose}"
        kerasae.train(
            "linear", out=path, resume=True, **{**asked, "hidden": [], "verbose": verbose}
        )
        sentence = f"There is no run in {path} to resume; a new one begins.\n"
        assert capsys.readouterr().err == sentence * verbose


def test_ctrl_c_while_an_epoch_is_saved_is_an_interruption(tmp_path, monkeypatch, unmeasured):
    original = callbacks.EventLog.on_epoch_end

    def press(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    asked = {"out": tmp_path / "run", "epochs": 4, **SMALL}
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EventLog, "on_epoch_end", press)
        run = kerasae.train("undercomplete", **asked)
    assert run.interrupted
    assert run.history["epoch"] == [1, 2]
    resumed = kerasae.train("undercomplete", resume=True, **asked)
    assert resumed.history["epoch"] == [1, 2, 3, 4]


def test_diverging_run_keeps_good_weights_and_says_what_to_try(tmp_path, monkeypatch, unmeasured):
    def poison(self, epoch, logs=None):
        if epoch == 2:
            self.model.trainable_variables[2].assign(np.full((16, 16), np.nan))

    monkeypatch.setattr(callbacks.EventLog, "on_epoch_begin", poison, raising=False)
    with pytest.raises(TrainingDiverged) as caught:
        kerasae.train("contractive", out=tmp_path / "run", epochs=9, **SMALL)
    message = str(caught.value)
    assert "in epoch 3" in message
    assert "smaller learning_rate (it was 0.001)" in message
    assert "smaller jacobian_weight" in message
    x = kerasae.data.load("digits", limit=200).array("test")
    assert np.isfinite(kerasae.load(tmp_path / "run").reconstruct(x)).all()


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"out": 3}, "Received: out=3"),
        ({"out": ""}, "Received: out=''"),
        ({"epochs": 0}, "Received: epochs=0"),
        ({"batch_size": 1.5}, "Received: batch_size=1.5"),
        ({"seed": -1}, "Received: seed=-1"),
        ({"learning_rate": 0}, "Received: learning_rate=0"),
        ({"precision": "bf16"}, "'bfloat16'.* Received: precision='bf16'"),
        ({"data": "digit"}, "'digits'"),
        ({"epoch": 3}, "'epochs'.* Received: epoch=3"),
        ({"latent_size": 3}, "'latent_dim'.* Received: latent_size=3"),
        ({"epocs": 3}, "'epochs'.* Received: epocs=3"),
        ({"hiden": 3}, "'hidden'.* Received: hiden=3"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(bad, sentence, tmp_path):
    asked = {key: value for key, value in SMALL.items() if key != "data_options"}
    with pytest.raises(ValueError, match=sentence):
        kerasae.train("undercomplete", **{"out": tmp_path / "run", **asked, **bad})
    assert not (tmp_path / "run").exists()


def test_what_a_killed_process_left_of_its_first_file_stops_no_run(tmp_path):
    from kerasae import files
    from kerasae.runs import directory

    out = tmp_path / "run"
    out.mkdir()
    (out / files.LOCK).write_text("process 1 on host")
    files.temporary_name(out / directory.CONFIG, suffix=".json").write_text('{"var')
    for resume, replace in ((False, False), (True, False), (False, True)):
        directory.check_target(out, resume, replace)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        directory.check_target(out, True, False)


def test_unknown_variant_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="'denoising'"):
        kerasae.train("denoisng", out=tmp_path / "run", **SMALL)


def test_precision_is_the_models_and_not_the_worlds(tmp_path, no_figures):
    run = kerasae.train(
        "undercomplete", out=tmp_path / "run", epochs=1, precision="mixed_bfloat16", **SMALL
    )
    assert run.model.encoder_network.layers[-1].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert np.isfinite(run.metrics["test"]["mse"])


def test_float_tables_are_standardized_and_unit_data_are_not(tmp_path, no_figures):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(90, 5)) * [1, 10, 100, 1000, 1e4]).astype("float32")
    asked = {"epochs": 1, "verbose": 0, "export": False}
    wide = kerasae.train("undercomplete", data=x, out=tmp_path / "wide", **asked)
    assert wide.config["scaler"] == "Standardize"
    assert wide.metrics["baselines"]["mean"]["mse"] < 5  # in standard deviations
    unit = rng.uniform(size=(90, 5)).astype("float32")
    unit = kerasae.train("undercomplete", data=unit, out=tmp_path / "unit", **asked)
    assert unit.config["scaler"] is None
    assert unit.config["data"] == "array"


def test_default_directory_and_epochs(tmp_path, monkeypatch, unmeasured):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preparation, "_STEPS", 1)
    x = np.random.default_rng(0).uniform(size=(30, 5)).astype("float32")
    np.save("rows.npy", x)
    run = kerasae.train("linear", data="rows.npy", verbose=0, export=False, init="pca")
    assert run.path == Path("runs/linear-rows")
    assert run.config["epochs"] == 20
    assert run.config["patience"] == 5


def test_data_without_test_or_validation_is_measured_on_what_there_is(tmp_path):
    run = kerasae.train(
        "variational",
        out=tmp_path / "run",
        epochs=2,
        latent_dim=2,
        **{**SMALL, "data_options": {"limit": 100, "validation": 0, "test": 0}},
    )
    assert run.config["measured_on"] == "train"
    assert "val_loss" not in run.history
    assert run.metrics["training"]["best_epoch"] == 2
    assert "generated.png" in {path.name for path in (run.path / "figures").iterdir()}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export needs the TensorFlow backend"
)
def test_export_lies_in_the_run_directory(tmp_path):
    run = kerasae.train("linear", out=tmp_path / "run", epochs=1, **{**SMALL, "export": True})
    served = kerasae.load(run.path / "saved_model" / "1")
    x = kerasae.data.load("digits", limit=20).array("test")
    np.testing.assert_allclose(served.reconstruct(x), run.model.reconstruct(x), atol=1e-3)
