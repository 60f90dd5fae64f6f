"""`train`: a variant and data in, a run directory out."""

import contextlib
import inspect
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasae.runs import configuration, determinism, directory, finishing, resuming
from kerasae.runs import placement as placing
from kerasae.runs.result import Run, resume_command, show

# Seconds between checkpoints: one takes about 50 ms, as long as an epoch of a small data set.
_SAVE_EVERY = 2.0
# Rows to hash at a time, and in all: of more, the first million of an epoch.
_ROWS, _MOST = 2**13, 2**20
_ADVICE = {
    "kl_loss": "a smaller kl_weight",
    "sparsity_loss": "a smaller sparsity_weight",
    "jacobian_loss": "a smaller jacobian_weight",
}


class TrainingDiverged(ArithmeticError):
    """A loss became NaN or infinite; the message says which and what to try."""


def train(
    variant: str,
    *,
    data: Any = None,
    out: str | os.PathLike | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    latent_dim: int | None = None,
    network: str | None = None,
    seed: int | None = None,
    precision: str | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    deterministic: bool | None = None,
    data_options: dict[str, Any] | None = None,
    resume: bool = False,
    replace: bool = False,
    export: bool | None = None,
    devices: int | str | None = None,
    strategy: Any = None,
    machines: str | Sequence[str] | None = None,
    machine: int | None = None,
    model_parallel: int | None = None,
    verbose: int = 1,
    **options: Any,
) -> Run:
    """Train an autoencoder and leave a run directory: model, history, metrics, figures, report.

    The same call twice gives the same metrics on one machine. Training stops early when the
    validation loss has not improved for `patience` epochs, and the best weights are kept. A run
    that was killed or interrupted (Ctrl-C, SIGTERM) goes on with `resume=True`, to the same
    result; what is left out is then taken from the run.

    Args:
        variant: Name of a variant, see `kerasae.variants()`.
        data: Source for `kerasae.data.load`: a name, a path or an array; or its `Splits`.
            `"digits"` by default.
        out: The run directory; `runs/VARIANT-DATA` by default.
        epochs: Largest number of epochs. By default as many as give about 12,000 steps, at
            least 20 and at most 300.
        batch_size: Samples per step, on all devices together; 128 by default.
        latent_dim: Size of the code; by default the variant's choice.
        network: `"dense"`, `"conv"` or `"sequence"`; by default the variant's choice.
        seed: Seed of weights, noise, splits and order; 0 by default.
        precision: Keras dtype policy for the model, such as `"mixed_bfloat16"`.
        learning_rate: Learning rate of Adam; 0.001 by default.
        patience: Epochs without improvement before training stops; by default a tenth of
            `epochs`, at least 5.
        deterministic: Whether to use only kernels that give the same bits in every process, on a
            GPU too; False by default. It is slower, see `docs/guides/training.md`.
        data_options: Further arguments of `kerasae.data.load`, such as `label` or `limit`.
        resume: Continue the unfinished run in `out`, or begin it. The options that are given
            must be those of the run; only `epochs`, `patience` and `export` may be others.
        replace: Replace the run in `out`. It stays as it was if the new one fails before its
            first epoch is done.
        export: Whether to write a SavedModel too, verified, to `saved_model/1`; by default
            on the TensorFlow backend.
        devices: `"all"` or a number of devices of this machine, GPUs where there are some, which
            share every batch. By default the first.
        strategy: A `tf.distribute.Strategy` instead, on the TensorFlow backend.
        machines: Addresses of several machines, machine 0 first and with a port, or `"auto"`
            to read them from the environment; on the JAX backend. `train` is called on each.
        machine: Number of this machine among them, from 0. Machine 0 writes the run.
        model_parallel: Devices of a machine that divide the dense layers of 512 and more units
            between them, on the JAX backend. By default each has all of the model.
        verbose: 1 shows progress and a summary, 0 nothing.
        **options: Options of the variant, see `kerasae.build`. `scaler` is `"standardize"` by
            default for float data that leaves [0, 1].

    Returns:
        The `Run`.

    Raises:
        ValueError: An argument does not work, or `out` exists.
        OSError: The data cannot be had.
        TrainingDiverged: A loss became NaN or infinite. The run directory keeps the best
            weights until then.

    Example:
        ```python
        run = kerasae.train("denoising", data="digits", epochs=50, latent_dim=16)
        print(run.summary())
        run.model.reconstruct(x)
        ```
    """
    if machines is not None or machine is not None:
        asked = dict(locals())
        from kerasae.runs import machines as several_machines

        return several_machines.train(train, asked)
    placing.check(devices, strategy, model_parallel)
    asked = {
        "variant": variant, "data": data, "epochs": epochs, "batch_size": batch_size,
        "latent_dim": latent_dim, "network": network, "seed": seed, "precision": precision,
        "learning_rate": learning_rate, "patience": patience,
        "deterministic": deterministic, "options": options,
        "data_options": data_options or {}, "export": export,
    }  # fmt: skip
    named = configuration.default_name(variant, resuming.DEFAULTS["data"] if data is None else data)
    path = directory.run_directory(out, Path("runs") / named)
    with directory.explained(path):
        directory.settle(path)
        directory.check_target(path, resume, replace)
    configuration.check_names(variant, options, inspect.signature(train).parameters)
    begun = resuming.begun(path) if resume else {}
    asked = resuming.complete(asked, begun)
    configuration.check(asked)
    if resume and not begun and verbose:
        print(f"There is no run in {path} to resume; a new one begins.", file=sys.stderr)

    import keras

    with _policy(asked["precision"]), determinism.deterministic(asked["deterministic"]):
        keras.utils.set_random_seed(asked["seed"])
        place = placing.place(devices, strategy, model_parallel)
        splits = configuration.load_data(asked)
        place.check(splits)
        with place.scope():
            ae = configuration.build_model(asked, splits)
        config = configuration.resolve(asked, path, splits, ae)
        place.settle(config)
        if begun:
            config["command"] = resuming.command(begun, config, path)
            resuming.check_same(begun, config)
        # More epochs must not change how the first ones were computed.
        config["first_epochs"] = begun.get("first_epochs", begun.get("epochs", config["epochs"]))
        ae.planned_epochs = config["first_epochs"]
        with (
            directory.explained(path), directory.opened(path, resume, replace) as replaced,
            _hinted(path, config, verbose),
        ):  # fmt: skip
            if resume and resuming.begun(path) != begun:
                raise ValueError(
                    "Another training has changed the run meanwhile; try again. "
                    f"Received: out={str(path)!r}"
                )
            directory.write_json(path / directory.CONFIG, config)
            run = _fit(ae, splits, config, path, verbose, place)
            if run.interrupted and replaced and not run.history:
                # There is nothing to resume; the run that was there comes back.
                directory.restore(path)
                run.restored = True
            if not run.interrupted and place.writes:
                _finish(run, splits)
    if verbose:
        from rich.console import Console

        show(run, Console(highlight=False, soft_wrap=True))
    return run


def _fit(ae: Any, splits: Any, config: dict[str, Any], path: Path, verbose: int, place: Any) -> Run:
    """Train, or go on training, and save the model with the best weights."""
    import keras

    from kerasae import report
    from kerasae.runs import callbacks

    validation = place.batches(splits, "validation") if splits.sizes["validation"] else None
    monitor = "loss" if validation is None else "val_loss"
    stopping = keras.callbacks.EarlyStopping(
        monitor, patience=config["patience"], mode="min", restore_best_weights=True
    )
    # The state stays until the run is complete; training may be done and a figure fail.
    backup = callbacks.Backup(
        path / directory.CHECKPOINTS, stopping, delete_checkpoint=False, min_seconds=_SAVE_EVERY
    )
    progress = callbacks.Progress(monitor) if verbose else None
    when = "batch" if place.count == 1 else "epoch"
    interrupt = callbacks.StopOnInterrupt(
        lambda: print(f"\nStopping after this {when} ...") if verbose else None,
        None if place.count == 1 else place.anywhere,
    )
    events = callbacks.EventLog(path / directory.LOGS)
    guards = [interrupt, callbacks.StopOnNonFinite(), callbacks.EpochOrder(splits)]
    shown = [] if progress is None else [progress]
    savers = [stopping, callbacks.HistoryFile(path / directory.HISTORY), events, backup]
    diverged = None
    try:
        with place.fitting(ae, splits):
            ae.fit(
                place.batches(splits, "train"), validation_data=validation,
                epochs=config["epochs"], verbose=0, callbacks=[*guards, *shown, *savers],
            )  # fmt: skip
    except KeyboardInterrupt:
        # A second Ctrl-C leaves at once, with what was saved before.
        if interrupt.at_once or not interrupt.interrupted:
            raise
    except callbacks.NonFiniteLoss as error:
        diverged = error
    finally:
        interrupt.close()
        events.close()
        if progress is not None:
            progress.close()
    # Ctrl-C while an epoch was saved ends the training after it, and is no error.
    interrupted = interrupt.interrupted
    if (interrupted or diverged) and stopping.best_weights is not None:
        ae.set_weights(stopping.best_weights)
    _remember(ae, splits)
    directory.save_model(ae, path / directory.MODEL)
    history = report.Run.read(path).history
    best = None if stopping.best_weights is None else int(stopping.best_epoch) + 1
    trained = {"epochs": len(history.get("epoch", [])), "seconds": round(backup.seconds, 3),
               "best_epoch": best}  # fmt: skip
    run = Run(
        path, ae, history, {"training": trained}, config, interrupted, signal=interrupt.signal
    )
    place.release(run)
    if diverged is not None:
        shutil.rmtree(path / directory.CHECKPOINTS, ignore_errors=True)
        report.write_report(path)
        raise TrainingDiverged(_advice(diverged, ae, config, best)) from diverged
    if interrupted:
        report.write_report(path)
    return run


def _finish(run: Run, splits: Any) -> None:
    """Measure, draw, export and report a trained model; then the checkpoints may go."""
    config = run.config
    measured = finishing.measure(run.model, splits, config["measured_on"], config["seed"])
    run.metrics = {**measured, **run.metrics}
    finishing.publish(run.path, run.model, splits, config, run.history, run.metrics)
    shutil.rmtree(run.path / directory.CHECKPOINTS, ignore_errors=True)


@contextlib.contextmanager
def _hinted(path: Path, config: dict[str, Any], verbose: int) -> Iterator[None]:
    """Say how a run goes on that Ctrl-C ends at once."""
    try:
        yield
    except KeyboardInterrupt:
        if verbose and directory.is_begun(path):
            print(f"\nContinue with: {resume_command(config)}", file=sys.stderr)
        raise


def _remember(ae: Any, splits: Any) -> None:
    """Let the model know its training rows, so that it is not calibrated on them."""
    batches = [getattr(splits, split).rebatch(_ROWS) for split in ("train", "validation")]
    if not splits.sizes["validation"]:
        batches.pop()
    ae.training_rows = None
    ae.remember_training_rows(*(batch.take(_MOST // _ROWS) for batch in batches))


@contextlib.contextmanager
def _policy(precision: str | None) -> Iterator[None]:
    """Build and train under a Keras dtype policy, and leave the global one as it was."""
    import keras

    before = keras.config.dtype_policy()
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _advice(error: Any, ae: Any, config: dict[str, Any], best: int | None) -> str:
    """Say which term went bad and what to try."""
    tries = [f"a smaller learning_rate (it was {config['learning_rate']:g})"]
    tries += [_ADVICE[t.removeprefix("val_")] for t in error.terms
              if t.removeprefix("val_") in _ADVICE]  # fmt: skip
    if config["precision"] not in (None, "float32"):
        tries.append("precision='float32'")
    if ae.scaler is None:
        tries.append("scaler='standardize'")
    kept = "from before training" if best is None else f"of epoch {best}"
    return (
        f"{str(error).rstrip('.')}, and training was stopped; model.keras has the weights {kept}. "
        f"Try {', or '.join(dict.fromkeys(tries))}."
    )
