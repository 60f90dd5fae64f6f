"""Trainings that are killed, stopped and starved of disk, and what is left of them.

A program that has imported everything forks a process for each training, which is then killed.
`KERASAE_KILLS=20 pytest tests/test_resume.py` kills each case twenty times.
"""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = int(os.environ.get("KERASAE_KILLS", "2"))
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
TRAINED = {"data": "digits", "data_options": {"limit": 200}, "hidden": [16], "latent_dim": 4,
           "export": False, "epochs": 6, "patience": 5}  # fmt: skip
SMALL = {**TRAINED, "batch_size": 64, "epochs": 3, "verbose": 0}
# Ten full batches make chunks of steps on TensorFlow, two go step by step.
CASES = [
    ("tensorflow", "denoising", 16), ("tensorflow", "variational", 16),
    ("tensorflow", "variational", 64), ("jax", "denoising", 16), ("jax", "variational", 64),
]  # fmt: skip
if KILLS > 2:
    CASES += [("tensorflow", "denoising", 64), ("jax", "variational", 16)]


# The program that is run -------------------------------------------------------------------------


def serve():
    """Fork a process for each task on standard input and tell how it ended."""
    import h5py  # noqa: F401
    import keras  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import tensorflow  # noqa: F401

    if BACKEND == "jax":
        import jax  # noqa: F401
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os._exit(_child(task, writing))
        os.close(writing)
        if "signals" in task and os.read(reading, 1):
            for number, seconds in task["signals"]:
                time.sleep(seconds)
                os.kill(process, number)
        _, status = os.waitpid(process, 0)
        os.close(reading)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(task, writing):
    log = os.open(task["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        if "killed_write" in task:
            _kill_at_write(task["out"], task["killed_write"])
        if "largest_file" in task:
            resource.setrlimit(resource.RLIMIT_FSIZE, (task["largest_file"],) * 2)
        {"train": _train, "replace": _replace}[task["do"]](task, writing)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


def _kill_at_write(folder, number):
    """Kill this process when it is about to touch a file of a folder for the n-th time."""
    left = [number]

    def hook(event, args):
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") or (
            event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        ):
            left[0] -= str(args[0]).startswith(folder)
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _train(task, writing):
    import kerasae
    from kerasae import evaluation
    from kerasae.acceleration import chunks
    from kerasae.runs import callbacks, figures, training

    training._SAVE_EVERY = task["every"]
    chunks._WORTH = 0  # chunks, though the training is short
    figures.draw = lambda *_, **__: []
    measured = {"test": {"mse": 1.0, "samples": 1}, "baselines": {"pca": {"mse": 1.0}}}
    evaluation.measure = lambda *_, **__: measured
    original, times = callbacks.EpochOrder.on_epoch_begin, []

    def begin(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch >= task.get("from_epoch", 0) and not times:
            times.append(time.monotonic())
            os.write(writing, b".")

    callbacks.EpochOrder.on_epoch_begin = begin
    asked = dict(task["asked"])
    if asked["variant"] == "variational":
        asked["kl_weight"] = kerasae.schedules.Warmup(1.0, 40)
    run = kerasae.train(out=task["out"], verbose=1, resume=True, **asked)
    result = {
        "seconds": time.monotonic() - (times or [0])[0],
        "signal": run.signal,
        "state": state(run),
    }
    Path(task["result"]).write_text(json.dumps(result))


def state(run):
    """Return all that training changes, as words that differ where one bit does."""
    import hashlib

    from keras import ops

    variables = [*run.model.variables, *run.model.optimizer.variables]
    values = [np.asarray(ops.convert_to_numpy(variable)) for variable in variables]
    words = [hashlib.sha256(value.tobytes()).hexdigest()[:16] for value in values]
    return [*words, (run.path / "history.csv").read_text()]


def _replace(task, writing):
    from kerasae.runs import directory

    path = Path(task["out"], "run")
    with directory.opened(path, False, True):
        (path / directory.CONFIG).write_text("new")
        (path / directory.MODEL).write_text("new")


class Trials:
    """The program, and the files of its trainings."""

    def __init__(self, folder, backend):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "KERAS_BACKEND": backend}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def run(self, out, do="train", **task):
        """Run a task to its end, and return its exit status, what it printed and its result."""
        log, result = self.folder / "log", self.folder / "result"
        for file in (log, result):
            file.unlink(missing_ok=True)
        task |= {"do": do, "out": str(out), "log": str(log), "result": str(result)}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return status, log.read_text(), json.loads(result.read_text()) if result.exists() else {}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    started = {}

    def get(backend):
        if backend not in started:
            started[backend] = Trials(tmp_path_factory.mktemp(backend), backend)
        return started[backend]

    yield get
    for one in started.values():
        one.process.kill()
        one.process.communicate()


# Killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "variant", "batch_size"), CASES)
def test_a_run_killed_at_any_moment_ends_bit_equal(trials, tmp_path, backend, variant, batch_size):
    """Noise, warm-up, order, optimizer, early stopping and history, though epochs were raised."""
    trials = trials(backend)
    asked = {**TRAINED, "variant": variant, "batch_size": batch_size}
    status, log, whole = trials.run(tmp_path / "whole", asked=asked, every=2.0)
    assert status == 0, log
    rng = random.Random(f"{backend} {variant} {batch_size} {KILLS}")
    killed = went_on = runs = 0
    out = tmp_path / "run-0"
    while killed < KILLS:
        how = {"killed_write": rng.randrange(1, 40)}
        if killed % 2:
            how = {"signals": [(signal.SIGKILL, rng.uniform(0, whole["seconds"]))]}
        fewer = {**asked, "epochs": rng.choice((4, 6)) if went_on == 0 else 6}
        status, log, _ = trials.run(out, asked=fewer, every=rng.choice((0.0, 0.2)), **how)
        assert status in (0, -signal.SIGKILL), log
        killed += status != 0
        went_on += 1
        # It is over, before the moment came or just then; or it was killed often enough.
        if (out / "metrics.json").exists():
            assert whole["state"][-1].startswith((out / "history.csv").read_text())
        elif went_on == 4 or killed == KILLS:
            _finish(trials, out, asked, whole)
        else:
            continue
        runs += 1
        out, went_on = tmp_path / f"run-{runs}", 0


def _finish(trials, out, asked, whole):
    """Resume a run to its end, and compare it with one that nothing happened to."""
    status, log, result = trials.run(out, asked=asked, every=2.0)
    assert status == 0, log
    assert result["state"] == whole["state"]
    assert not [file.name for file in out.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_signals_stop_after_the_batch_and_twice_at_once(trials, tmp_path, backend, numbers):
    trials = trials(backend)
    asked = {**TRAINED, "variant": "denoising", "batch_size": 8, "epochs": 20000, "patience": 20000}
    out = tmp_path / "run"
    signals = [(number, 0.0) for number in numbers]
    status, log, result = trials.run(out, asked=asked, every=0.0, signals=signals, from_epoch=2)
    state = json.loads((out / "checkpoints/state.json").read_text())
    rows = (out / "history.csv").read_text().splitlines()[1:]
    assert state["epoch"] >= 2
    assert [row.split(",")[0] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert "--resume" in log or "resume=True" in log
    if len(numbers) == 1:
        assert (status, result["signal"]) == (0, numbers[0]), log
        assert f"interrupted after {len(rows)} epoch" in log
        assert (out / "model.keras").exists()
    else:
        assert status == 1
        assert "KeyboardInterrupt" in log
        assert not (out / "model.keras").exists()
    epochs = state["epoch"] + 1
    status, log, _ = trials.run(out, asked={**asked, "epochs": epochs}, every=0.0)
    assert status == 0, log
    assert len((out / "history.csv").read_text().splitlines()) == epochs + 1


def test_a_disk_that_is_full_stops_the_run_and_breaks_nothing(trials, tmp_path):
    """The limit lets the checkpoints be written, and cuts the model short."""
    trials = trials("tensorflow")
    asked = {**TRAINED, "variant": "denoising", "batch_size": 64}
    whole = trials.run(tmp_path / "whole", asked=asked, every=0.0)[2]
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "whole").iterdir()}
    out = tmp_path / "run"
    limit = sizes["model.keras"] - 1000
    status, log, _ = trials.run(out, asked=asked, every=0.0, largest_file=limit)
    assert status == 1
    assert "OSError: The disk is full; what was saved before is as it was. Make room" in log
    assert "Traceback" not in log
    assert not (out / "model.keras").exists()
    assert trials.run(out, asked=asked, every=0.0)[2]["state"] == whole["state"]
    # Less room than a checkpoint takes: nothing was saved, and nothing is left.
    status, log, _ = trials.run(tmp_path / "none", asked=asked, every=0.0, largest_file=8192)
    assert status == 1
    assert "The disk is full" in log
    assert not (tmp_path / "none").exists()


def test_a_replacement_killed_at_any_write_leaves_the_run_that_was_there(trials, tmp_path):
    from kerasae import files
    from kerasae.runs import directory

    trials = trials("tensorflow")
    path = tmp_path / "runs" / "run"
    old = dict.fromkeys((directory.CONFIG, directory.MODEL, directory.METRICS), "old")
    new = dict.fromkeys((directory.CONFIG, directory.MODEL), "new")
    outcomes = []
    for number in range(1, 100):
        path.mkdir(parents=True, exist_ok=True)
        for name, text in old.items():
            (path / name).write_text(text)
        status, log, _ = trials.run(path.parent, "replace", killed_write=number)
        assert status in (0, -signal.SIGKILL), log
        files._swept.clear()
        directory.settle(path)
        found = {file.name: file.read_text() for file in path.iterdir() if file.name != ".lock"}
        assert found in (old, new)
        assert [file.name for file in path.parent.iterdir()] == ["run"]
        outcomes.append(found == new)
        if status == 0:
            break
    assert outcomes == sorted(outcomes)
    assert outcomes.count(False) > 5
    assert outcomes.count(True) > 1


# In one run directory -----------------------------------------------------------------------------


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
    from kerasae.runs import configuration

    original = configuration.load_data

    def load(asked):
        (cut / "metrics.json").write_text("{}")
        return original(asked)

    monkeypatch.setattr(configuration, "load_data", load)
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
        with pytest.raises(ValueError, match=r"config\.json must .* Received: '.*config.json'"):
            kerasae.train("denoising", out=cut, resume=True, **SMALL)


def test_what_a_killed_process_left_is_swept(cut, monkeypatch):
    import kerasae
    from kerasae import files

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "getpid", lambda: ended.pid)
        left = files.temporary_name(cut / "publishing")
    left.mkdir()
    (left / "new.png").write_text("half")
    files._swept.clear()
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
    with pytest.raises(FileNotFoundError, match=f"removed while .* Received: out='{cut}'"):
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
    with pytest.raises(PermissionError, match=r"can be written to\. Received: out='.*/a/b'$"):
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
    asked = {"data": x, "out": tmp_path / "run", "verbose": 0, "export": False, "hidden": [6],
             "latent_dim": 2, "epochs": 5, "batch_size": 10, **asked}  # fmt: skip
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


if __name__ == "__main__":
    serve()
