import contextlib
import csv
import io
import json
import signal

import keras
import numpy as np
import pytest

from kerasae.runs import callbacks
from kerasae.runs.callbacks import backup as backup_module
from kerasae.runs.callbacks import stopping as stopping_module


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    return model


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


class Order:
    def __init__(self):
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


class At(keras.callbacks.Callback):
    """Calls `action` at the end of one epoch, or of one batch of it."""

    def __init__(self, action, epoch, batch=None):
        super().__init__()
        self.action, self.epoch, self.batch, self.now = action, epoch, batch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            self.action()

    def on_epoch_end(self, epoch, logs=None):
        if self.batch is None and epoch == self.epoch:
            self.action()


def crash():
    raise RuntimeError("power cut")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_epoch_order_sets_every_epoch(x):
    order = Order()
    small_model().fit(
        x, x, initial_epoch=2, epochs=5, verbose=0, callbacks=[callbacks.EpochOrder(order)]
    )
    assert order.epochs == [2, 3, 4]


def test_history_file_holds_what_fit_returns(x, tmp_path):
    path = tmp_path / "history.csv"
    history = (
        small_model()
        .fit(
            x,
            x,
            validation_data=(x, x),
            epochs=3,
            verbose=0,
            callbacks=[callbacks.HistoryFile(path)],
        )
        .history
    )
    rows = rows_of(path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name in ("loss", "val_loss"):
        assert [float(row[name]) for row in rows] == history[name]


def test_history_file_drops_epochs_that_are_repeated(x, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n1,11\n2,12\n3,13\n")
    small_model().fit(
        x, x, initial_epoch=2, epochs=3, verbose=0, callbacks=[callbacks.HistoryFile(path)]
    )
    rows = rows_of(path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["loss"] for row in rows[:2]] == ["11", "12"]
    assert float(rows[2]["loss"]) < 11


def test_event_log_is_read_back_by_tensorflow(x, tmp_path):
    import tensorflow as tf

    history = (
        small_model()
        .fit(
            x,
            x,
            validation_data=(x, x),
            epochs=2,
            verbose=0,
            callbacks=[callbacks.EventLog(tmp_path)],
        )
        .history
    )
    for split, name in (("train", "loss"), ("validation", "val_loss")):
        (file,) = (tmp_path / split).iterdir()
        found = {}
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
        expected = {("epoch_loss", i): np.float32(v) for i, v in enumerate(history[name])}
        assert found == expected


@pytest.mark.parametrize("min_seconds", [0.0, 3600.0])
def test_resumed_training_equals_an_uninterrupted_one(x, tmp_path, min_seconds):
    def fit(model, *more):
        stopping = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
        backup = callbacks.Backup(tmp_path / "state", stopping, False, min_seconds)
        model.fit(x, x, epochs=6, shuffle=False, verbose=0, callbacks=[stopping, backup, *more])
        return stopping

    whole = small_model()
    whole.fit(x, x, epochs=6, shuffle=False, verbose=0)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(small_model(), At(crash, 3))
    # With the long interval only the first epoch was saved; the others are trained again.
    assert callbacks.Backup(tmp_path / "state").read()["epoch"] == (4 if min_seconds == 0 else 1)
    resumed = small_model(seed=99)
    fit(resumed)
    for expected, weight in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations)


def test_backup_keeps_best_weights_and_patience(x, tmp_path):
    """The best epoch lies before the crash, and stopping after it counts the epochs before."""

    class Scripted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = [5.0, 1.0, 2.0, 3.0, 4.0, 5.0][epoch]
            self.weights = {**getattr(self, "weights", {}), epoch: self.model.get_weights()}

    def fit(model, *more):
        stopping = keras.callbacks.EarlyStopping(
            "score", patience=3, mode="min", restore_best_weights=True
        )
        backup = callbacks.Backup(tmp_path / "state", stopping)
        order = [*more[:1], stopping, backup, *more[1:]]
        history = model.fit(x, x, epochs=6, shuffle=False, verbose=0, callbacks=order)
        return stopping, history

    script = Scripted()
    with pytest.raises(RuntimeError):
        fit(small_model(), script, At(crash, 2))
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "best-2.npz",
        "epoch-3.npz",
        "state.json",
    ]
    model = small_model(seed=99)
    stopping, history = fit(model, Scripted())
    assert history.epoch == [3, 4]
    assert (stopping.best_epoch, stopping.stopped_epoch) == (1, 4)
    for expected, weight in zip(script.weights[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert not (tmp_path / "state").exists()


def test_backup_of_a_stopped_training_runs_no_epoch(x, tmp_path):
    def fit(model):
        stopping = keras.callbacks.EarlyStopping(
            "loss", patience=1, min_delta=10, restore_best_weights=True
        )
        backup = callbacks.Backup(tmp_path / "state", stopping, delete_checkpoint=False)
        return model.fit(
            x, x, epochs=9, shuffle=False, verbose=0, callbacks=[stopping, backup]
        ).epoch

    first = small_model()
    assert fit(first) == [0, 1]
    again = small_model(seed=99)
    assert fit(again) == []
    for expected, weight in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    # The restored epoch must not leak into a later `fit` without this callback.
    assert again.fit(x, x, epochs=2, verbose=0).epoch == [0, 1]


def test_backup_killed_while_writing_leaves_the_previous_state(x, tmp_path, monkeypatch):
    backup = callbacks.Backup(tmp_path, delete_checkpoint=False)
    small_model().fit(x, x, epochs=2, verbose=0, callbacks=[backup])
    before = json.loads((tmp_path / "state.json").read_text())
    model = small_model()
    with monkeypatch.context() as patch:
        patch.setattr(backup_module.os, "replace", lambda *_: crash())
        with pytest.raises(RuntimeError, match="power cut"):
            model.fit(x, x, epochs=4, verbose=0, callbacks=[callbacks.Backup(tmp_path)])
    assert json.loads((tmp_path / "state.json").read_text()) == before
    again = callbacks.Backup(tmp_path)
    assert small_model().fit(x, x, epochs=4, verbose=0, callbacks=[again]).epoch == [2, 3]


def test_non_finite_loss_stops_with_the_weights_of_the_last_good_epoch(x):
    model = small_model()
    good = []

    def poison():
        good.extend(model.get_weights())
        model.layers[0].bias.assign([np.nan] * 4)

    guard = callbacks.StopOnNonFinite()
    seen = Order()
    with pytest.raises(callbacks.NonFiniteLoss) as caught:
        model.fit(
            x,
            x,
            validation_data=(x, x),
            batch_size=10,
            epochs=9,
            verbose=0,
            callbacks=[guard, At(poison, 1), callbacks.EpochOrder(seen)],
        )
    assert (caught.value.terms, caught.value.epoch) == (["loss"], 3)
    assert seen.epochs == [0, 1, 2]
    for expected, weight in zip(good, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_non_finite_loss_brings_the_optimizer_back_too(x):
    model = small_model()

    def poison():
        model.layers[0].bias.assign([np.nan] * 4)

    with pytest.raises(callbacks.NonFiniteLoss):
        model.fit(
            x,
            x,
            batch_size=10,
            epochs=9,
            verbose=0,
            callbacks=[callbacks.StopOnNonFinite(), At(poison, 1)],
        )
    assert int(model.optimizer.iterations) == 8
    assert np.isfinite(model.fit(x, x, epochs=1, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_backup_holds_half_precision_and_loss_scaling(x, tmp_path, policy):
    """NumPy's format has no bfloat16, and a loss-scaling optimizer wraps another one."""

    def fit(model, epochs):
        stopping = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
        backup = callbacks.Backup(tmp_path, stopping, delete_checkpoint=False)
        model.fit(x, x, epochs=epochs, shuffle=False, verbose=0, callbacks=[stopping, backup])
        return [np.array(keras.ops.convert_to_numpy(v)) for v in backup_module._variables(model)]

    keras.config.set_dtype_policy(policy)
    try:
        before, after = fit(small_model(), 2), fit(small_model(seed=99), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(before) == len(after) > 9
    for expected, value in zip(before, after, strict=True):
        assert value.tobytes() == expected.tobytes()


def test_backup_keeps_the_learning_rate_that_a_callback_set(x, tmp_path):
    def fit(model, *more):
        model.fit(
            x,
            x,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=[*more, callbacks.Backup(tmp_path, delete_checkpoint=False)],
        )
        return float(model.optimizer.learning_rate)

    first = small_model()
    halve = At(lambda: first.optimizer.learning_rate.assign(0.25), 2)
    assert fit(first, halve) == fit(small_model()) == 0.25


def test_sigterm_stops_as_ctrl_c_does(x):
    before = signal.getsignal(signal.SIGTERM)
    guard = callbacks.StopOnInterrupt()
    press = At(lambda: signal.raise_signal(signal.SIGTERM), 0, batch=1)
    with pytest.raises(KeyboardInterrupt):
        small_model().fit(x, x, batch_size=10, epochs=2, verbose=0, callbacks=[guard, press])
    guard.close()
    assert guard.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_interrupt_that_keras_swallows_is_raised_again(x):
    """Keras on JAX catches everything while it reads the losses of a batch."""

    def press_twice():
        for _ in range(2):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    guard, batches = callbacks.StopOnInterrupt(), []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: batches.append(b))
    press = At(press_twice, 0, batch=0)
    try:
        with pytest.raises(KeyboardInterrupt):
            small_model().fit(x, x, batch_size=10, verbose=0, callbacks=[press, guard, count])
    finally:
        guard.close()
    assert guard.at_once
    assert batches == []


def test_history_file_is_whole_on_a_full_disk(x, tmp_path, monkeypatch):
    path = tmp_path / "history.csv"
    history = callbacks.HistoryFile(path)
    history.on_epoch_end(0, {"loss": 1.0})
    before = path.read_bytes()

    class Full(io.FileIO):
        def write(self, content):
            return super().write(content[:3])

    monkeypatch.setattr(type(path), "open", lambda self, *_, **__: Full(self, "r+"))
    with pytest.raises(OSError, match="No space left"):
        history.on_epoch_end(1, {"loss": 2.0})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("logs", "terms"),
    [
        ({"loss": np.nan, "kl_loss": np.inf, "reconstruction_loss": 1.0}, ["kl_loss"]),
        ({"loss": np.nan, "kl_loss": 1.0}, ["loss"]),
        ({"loss": 1.0, "val_loss": np.nan, "val_kl_loss": np.nan}, ["val_kl_loss"]),
        ({"loss": 1.0}, []),
    ],
)
def test_the_term_to_blame_is_named(logs, terms):
    assert stopping_module._not_finite(logs) == terms


def test_interrupt_ends_the_epoch_early_and_hides_it_from_later_callbacks(x, tmp_path):
    model = small_model()
    said = []
    guard = callbacks.StopOnInterrupt(lambda: said.append("stopping"))
    path = tmp_path / "history.csv"
    before = signal.getsignal(signal.SIGINT)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: batches.append(b))
    press = At(lambda: signal.raise_signal(signal.SIGINT), 1, batch=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x,
            x,
            validation_data=(x, x),
            batch_size=10,
            epochs=9,
            verbose=0,
            callbacks=[guard, press, count, callbacks.HistoryFile(path)],
        )
    guard.close()
    assert said == ["stopping"]
    assert batches == [0, 1, 2, 3, 0, 1]
    assert [row["epoch"] for row in rows_of(path)] == ["1"]
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_raises_at_once(x):
    def press_twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one did not raise")

    guard = callbacks.StopOnInterrupt()
    with pytest.raises(KeyboardInterrupt):
        small_model().fit(x, x, epochs=2, verbose=0, callbacks=[guard, At(press_twice, 0, 0)])
    guard.close()


@pytest.mark.parametrize("here", [True, False])
def test_processes_that_train_together_stop_after_a_whole_epoch(x, tmp_path, here):
    """Whether the signal comes to this process or to another one."""
    asked = []

    def anywhere(interrupted):
        asked.append(interrupted)
        return interrupted or (not here and len(asked) == 2)

    guard = callbacks.StopOnInterrupt(anywhere=anywhere)
    path = tmp_path / "history.csv"
    presses = [At(lambda: signal.raise_signal(signal.SIGTERM), 1, batch=1)] if here else []
    small_model().fit(
        x,
        x,
        batch_size=10,
        epochs=5,
        verbose=0,
        callbacks=[guard, *presses, callbacks.HistoryFile(path)],
    )
    assert guard.interrupted
    assert guard.signal == (signal.SIGTERM if here else signal.SIGINT)
    assert asked == [False, here]
    assert [row["epoch"] for row in rows_of(path)] == ["1", "2"]


def test_interrupt_is_given_back_after_training(x):
    before = signal.getsignal(signal.SIGINT)
    small_model().fit(x, x, epochs=1, verbose=0, callbacks=[callbacks.StopOnInterrupt()])
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_prints_few_lines_with_all_terms(x):
    out = io.StringIO()
    small_model().fit(
        x,
        x,
        validation_data=(x, x),
        epochs=20,
        verbose=0,
        callbacks=[callbacks.Progress(lines=4, file=out)],
    )
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/20", "5/20", "10/20", "15/20", "20/20"]
    assert all("loss " in line and "(val " in line and "best epoch" in line for line in lines)


def test_progress_shows_one_term_once_and_the_sum_first():
    progress = callbacks.Progress()
    progress._best, progress._terms = None, {}
    one = progress._line({"loss": 0.5, "reconstruction_loss": 0.5})
    assert one == "reconstruction loss 0.5"
    terms = {"kl_loss": 2.0, "loss": 3.0, "val_kl_loss": 4.0, "val_loss": 5.0}
    assert progress._line(terms) == "loss 3 (val 5), kl loss 2 (val 4)"
