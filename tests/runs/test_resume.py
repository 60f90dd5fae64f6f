"""A run directory that a training did not leave as it wished: refused, resumed or put back."""

import errno
import os

import numpy as np
import pytest

SMALL = {
    "data": "digits",
    "data_options": {"limit": 200},
    "hidden": [16],
    "latent_dim": 4,
    "export": False,
    "epochs": 3,
    "patience": 5,
    "batch_size": 64,
    "verbose": 0,
}


@pytest.fixture
def unmeasured(monkeypatch):
    from kerasae import evaluation
    from kerasae.runs import figures

    measured = {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
    monkeypatch.setattr(evaluation, "measure", lambda *_, **__: measured)
    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])


@pytest.fixture
def cut(tmp_path, monkeypatch, unmeasured):
    """Return the run directory of a training that failed in its second epoch of three."""
    import kerasae
    from kerasae.runs import callbacks, training

    def fail(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("power cut")

    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EventLog, "on_epoch_end", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            kerasae.train("denoising", out=tmp_path / "run", **SMALL)
    return tmp_path / "run"


def files_of(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_two_trainings_never_share_a_run_directory(cut):
    import kerasae
    from kerasae.files import LOCK, locked

    before = files_of(cut)
    with locked(cut):
        for how in ({"resume": True}, {"replace": True}):
            with pytest.raises(
                ValueError, match=rf"out is being trained by process {os.getpid()} "
            ):
                kerasae.train("denoising", out=cut, **SMALL, **how)
        assert {file: text for file, text in files_of(cut).items() if file.name != LOCK} == before
    assert files_of(cut) == before
    # What a killed process leaves, even one whose number is taken again, stops nobody.
    (cut / LOCK).write_text("process 1 on elsewhere\n")
    run = kerasae.train("denoising", out=cut, resume=True, **SMALL)
    assert run.history["epoch"] == [1, 2, 3]
    assert not (cut / LOCK).exists()


def test_a_run_that_another_finished_meanwhile_is_not_trained_anew(cut, monkeypatch):
    import kerasae
    from kerasae.runs import preparation

    original = preparation.load_data

    def load(asked):
        (cut / "metrics.json").write_text("{}")
        return original(asked)

    monkeypatch.setattr(preparation, "load_data", load)
    with pytest.raises(ValueError, match="The run in out is finished"):
        kerasae.train("denoising", out=cut, resume=True, **SMALL)


@pytest.mark.parametrize("name", ["epoch-1.npz", "best-1.npz", "state.json"])
@pytest.mark.parametrize("how", ["half", "flipped", "gone"])
def test_a_damaged_checkpoint_is_refused_and_stays(cut, name, how):
    import kerasae

    file = cut / "checkpoints" / name
    content = bytearray(file.read_bytes())
    if how == "half":
        file.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 255
        content[2] ^= 255
        file.write_bytes(content)
    elif name == "state.json":
        pytest.skip("without it there is no checkpoint")
    else:
        file.unlink()
    before = files_of(cut)
    with pytest.raises(ValueError, match="checkpoint is damaged") as e:
        kerasae.train("denoising", out=cut, resume=True, **SMALL)
    assert str(e.value).endswith(f"Received: {str(file)!r}")
    assert files_of(cut) == before


def test_a_damaged_configuration_is_refused(cut):
    import kerasae

    for text in ('{"variant": "deno', "[]", '{"variant": "denoising"}'):
        (cut / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"Received: '.*config\.json'"):
            kerasae.train("denoising", out=cut, resume=True, **SMALL)


def test_what_a_killed_process_left_is_swept(cut):
    import kerasae
    from kerasae import files

    # As a process of this host leaves it that is no more.
    files._swept.clear()  # the training before looked a moment ago
    host = files.writer().split(".")[0]
    left = cut / f".publishing.{host}.999999999.{'0' * 12}.part"
    left.mkdir()
    (left / "new.png").write_text("half")
    with (cut / "history.csv").open("a") as file:
        file.write("2")  # the begin of row 2, or of row 20
    kerasae.train("denoising", out=cut, resume=True, **SMALL)
    rows = (cut / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3"]
    assert not [file.name for file in cut.iterdir() if file.name.startswith(".")]


def test_a_run_directory_removed_while_training_is_not_made_again(cut, monkeypatch):
    import shutil

    import kerasae
    from kerasae.runs import callbacks

    monkeypatch.setattr(
        callbacks.EventLog, "on_epoch_begin", lambda *_: shutil.rmtree(cut), raising=False
    )
    with pytest.raises(FileNotFoundError, match=f"Received: out='{cut}'"):
        kerasae.train("denoising", out=cut, resume=True, **SMALL)
    assert not cut.exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk is full"),
        (ArithmeticError("TensorFlow says: No space left on device"), "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "can be written to"),
        (OSError(errno.EROFS, "Read-only file system"), "can be written to"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/of/the/user.npy"), "user.npy"),
        (FileNotFoundError(errno.ENOENT, "No such file", "other"), "other"),
    ],
)
def test_errors_of_the_system_are_said_in_a_sentence(error, sentence, tmp_path):
    from kerasae.runs import directory

    with pytest.raises(Exception, match=sentence), directory.explained(tmp_path):
        raise error


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_data_are_read(
    tmp_path, monkeypatch
):
    import kerasae

    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"Received: out='.*/a/b'$"):
        kerasae.train("denoising", data="not there", out=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_history_and_checkpoint_whole(cut, monkeypatch):
    """The second epoch does not fit: neither its row nor its state."""
    import kerasae
    from kerasae.runs.callbacks import backup

    def full(file, *arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    before = files_of(cut)
    with monkeypatch.context() as patch:
        patch.setattr(backup.np, "savez", full)
        with pytest.raises(OSError, match="disk is full"):
            kerasae.train("denoising", out=cut, resume=True, **SMALL)
    state, history = cut / "checkpoints" / "state.json", cut / "history.csv"
    assert state.read_bytes() == before[state]
    assert history.read_bytes().startswith(before[history][:20])
    run = kerasae.train("denoising", out=cut, resume=True, **SMALL)
    assert run.history["epoch"] == [1, 2, 3]


# No number ---------------------------------------------------------------------------------------


def diverge(tmp_path, **asked):
    import kerasae
    from kerasae.runs import TrainingDiverged

    x = np.random.default_rng(0).uniform(size=(100, 8)).astype("float32")
    asked = {
        "data": x,
        "out": tmp_path / "run",
        "verbose": 0,
        "export": False,
        "hidden": [6],
        "latent_dim": 2,
        "epochs": 5,
        "batch_size": 10,
        **asked,
    }
    with pytest.raises(TrainingDiverged) as caught:
        kerasae.train(asked.pop("variant", "undercomplete"), **asked)
    return str(caught.value), kerasae.load(tmp_path / "run"), x


@pytest.mark.parametrize("precision", [None, "mixed_bfloat16", "mixed_float16"])
def test_a_first_epoch_that_diverges_leaves_the_weights_there_were(tmp_path, unmeasured, precision):
    """In chunks of steps, and step by step; and the optimizer is as good as the weights."""
    message, ae, x = diverge(tmp_path, learning_rate=1e38, precision=precision)
    assert "became NaN or infinite in epoch 1, and training was stopped" in message
    assert "has the weights from before training" in message
    assert "smaller learning_rate (it was 1e+38)" in message
    assert ("precision='float32'" in message) is (precision is not None)
    assert np.isfinite(ae.reconstruct(x)).all()
    ae.optimizer.learning_rate.assign(0.001)
    assert np.isfinite(ae.fit(x, epochs=1, verbose=0).history["loss"]).all()


def test_weights_that_no_loss_has_seen_yet_are_not_taken_for_good(tmp_path, unmeasured):
    """One batch an epoch and no validation: the loss is that of the weights before the step."""
    options = {"validation": 0, "test": 0}
    message, ae, x = diverge(tmp_path, learning_rate=1e39, batch_size=100, data_options=options)
    assert "weights became NaN or infinite in epoch 1" in message
    assert np.isfinite(ae.reconstruct(x)).all()


def test_a_validation_that_is_no_number_names_its_term(tmp_path, unmeasured, monkeypatch):
    from kerasae.runs import callbacks

    original = callbacks.StopOnNonFinite.on_epoch_end

    def spoil(self, epoch, logs=None):
        # What weights give on validation data that the training data do not resemble.
        logs = {**logs, "val_kl_loss": np.inf, "val_loss": np.inf} if epoch == 1 else logs
        original(self, epoch, logs)

    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_epoch_end", spoil)
    message, ae, x = diverge(tmp_path, variant="variational")
    assert message.startswith("val_kl_loss became NaN or infinite in epoch 2, and training")
    assert "has the weights of epoch 1" in message
    assert "a smaller kl_weight" in message
    assert np.isfinite(ae.reconstruct(x)).all()
