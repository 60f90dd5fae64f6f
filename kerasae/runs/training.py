"""`train`: a variant and data in, a run directory out."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasae.runs import configuration, determinism, directory, preparation, publication
from kerasae.runs import placement as placing
from kerasae.runs.configuration import TrainConfig
from kerasae.runs.result import Run, resume_command, show

# Seconds between checkpoints: one takes about 50 ms, as long as an epoch of a small data set.
_SAVE_EVERY = 2.0
# Rows to hash at a time, and in all: of more, the first million of an epoch.
_ROWS, _MOST = 2**13, 2**20


class TrainingDiverged(ArithmeticError):
    """A loss became NaN or infinite; the message says which and what to try."""


@configuration.documented
def train(variant: str, **arguments: Any) -> Run:
    """Train an autoencoder and leave a run directory: model, history, metrics, figures, report.

    The same call twice gives the same metrics on one machine. Training stops early when the
    validation loss has not improved for `patience` epochs, and the best weights are kept. A run
    that was killed or interrupted (Ctrl-C, SIGTERM) goes on with `resume=True`, to the same
    result; what is left out is then taken from the run.

    Args:
        variant: Name of a variant.
        **arguments: The other fields of `TrainConfig`, which `help(kerasae.train)` lists, and
            options of the variant.

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
    asked = TrainConfig.of(variant, arguments)
    if asked.machines is not None or asked.machine is not None:
        from kerasae.runs import machines

        return machines.train(train, asked.arguments())
    placing.check(asked.devices, asked.strategy, asked.model_parallel)
    path = asked.path()
    with directory.explained(path):
        directory.settle(path)
        directory.check_target(path, asked.resume, asked.replace)
    asked.check_options()
    begun = configuration.begun(path) if asked.resume else {}
    asked = asked.completed(begun)
    if asked.resume and not begun and asked.verbose:
        print(f"There is no run in {path} to resume; a new one begins.", file=sys.stderr)

    import keras

    with _policy(asked.precision), determinism.deterministic(bool(asked.deterministic)):
        keras.utils.set_random_seed(asked.seed)
        place = placing.place(asked.devices, asked.strategy, asked.model_parallel)
        splits = preparation.load_data(asked)
        place.check(splits)
        with place.scope():
            ae = preparation.build_model(asked, splits)
        config = preparation.describe(asked, path, splits, ae)
        place.settle(config)
        if begun:
            config["command"] = configuration.resumed_command(begun, config, path)
            configuration.check_same(begun, config)
        # More epochs must not change how the first ones were computed.
        config["first_epochs"] = begun.get("first_epochs", begun.get("epochs", config["epochs"]))
        ae.planned_epochs = config["first_epochs"]
        with (
            directory.explained(path),
            directory.opened(path, asked.resume, asked.replace) as replaced,
            _hinted(path, config, asked.verbose),
        ):
            if asked.resume and configuration.begun(path) != begun:
                raise ValueError(
                    "Another training has changed the run meanwhile; try again. "
                    f"Received: out={str(path)!r}"
                )
            directory.write_json(path / directory.CONFIG, config)
            run = _fit(ae, splits, config, path, asked.verbose, place)
            if run.interrupted and replaced and not run.history:
                # There is nothing to resume; the run that was there comes back.
                directory.restore(path)
                run.restored = True
            if not run.interrupted and place.writes:
                metrics = publication.measure(
                    run.model, splits, config["measured_on"], config["seed"]
                )
                run.metrics = {**metrics, **run.metrics}
                publication.publish(path, run.model, splits, config, run.history, run.metrics)
                # They stay until the run is complete: a figure may fail after the training.
                shutil.rmtree(path / directory.CHECKPOINTS, ignore_errors=True)
    if asked.verbose:
        from rich.console import Console

        show(run, Console(highlight=False, soft_wrap=True))
    return run


def _fit(ae: Any, splits: Any, config: dict[str, Any], path: Path, verbose: int, place: Any) -> Run:
    """Train, or go on training, and save the model with the best weights."""
    import keras

    from kerasae import report
    from kerasae.runs import callbacks

    fed = preparation.fed(ae, splits)
    validation = place.batches(fed, "validation") if splits.sizes["validation"] else None
    monitor = "loss" if validation is None else "val_loss"
    stopping = keras.callbacks.EarlyStopping(
        monitor, patience=config["patience"], mode="min", restore_best_weights=True
    )
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
    shown: list[Any] = [] if progress is None else [progress]
    savers = [stopping, callbacks.HistoryFile(path / directory.HISTORY), events, backup]
    diverged = None
    try:
        with place.fitting(ae, splits):
            ae.fit(
                place.batches(fed, "train"),
                validation_data=validation,
                epochs=config["epochs"],
                verbose=0,
                callbacks=[*guards, *shown, *savers],
            )
    except KeyboardInterrupt:
        # A second Ctrl-C leaves at once, with what was saved before.
        if interrupt.at_once or not interrupt.interrupted:
            raise
    except callbacks.NonFiniteLoss as error:
        diverged = error
    finally:
        for opened in [interrupt, events, *shown]:
            opened.close()
    # Ctrl-C while an epoch was saved ends the training after it, and is no error.
    interrupted = interrupt.interrupted
    if (interrupted or diverged) and stopping.best_weights is not None:
        ae.set_weights(stopping.best_weights)
    _remember(ae, splits)
    directory.save_model(ae, path / directory.MODEL)
    history = report.Run.read(path).history
    best = None if stopping.best_weights is None else int(stopping.best_epoch) + 1
    trained = {
        "epochs": len(history.get("epoch", [])),
        "seconds": round(backup.seconds, 3),
        "best_epoch": best,
    }
    metrics = {"training": trained}
    run = Run(path, ae, history, metrics, config, interrupted, signal=interrupt.signal)
    place.release(run)
    if diverged is not None:
        shutil.rmtree(path / directory.CHECKPOINTS, ignore_errors=True)
        report.write_report(path)
        raise TrainingDiverged(_advice(diverged, ae, config, best)) from diverged
    if interrupted:
        report.write_report(path)
    return run


@contextlib.contextmanager
def _hinted(path: Path, config: dict[str, Any], verbose: int) -> Iterator[None]:
    """Print how to continue a run that a second Ctrl-C ends at once."""
    try:
        yield
    except KeyboardInterrupt:
        if verbose and directory.is_begun(path):
            print(f"\nContinue with: {resume_command(config)}", file=sys.stderr)
        raise


def _remember(ae: Any, splits: Any) -> None:
    """Record the training rows in the model, so that it is not calibrated on them."""
    batches = [getattr(splits, split).rebatch(_ROWS) for split in ("train", "validation")]
    if not splits.sizes["validation"]:
        batches.pop()
    ae.training_rows = None
    ae.remember_training_rows(*(batch.take(_MOST // _ROWS) for batch in batches))


@contextlib.contextmanager
def _policy(precision: str | None) -> Iterator[None]:
    """Set a Keras dtype policy, and restore the previous one afterwards."""
    import keras

    before = keras.config.dtype_policy()
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _advice(error: Any, ae: Any, config: dict[str, Any], best: int | None) -> str:
    """Return a sentence on the term that diverged and what to try."""
    from kerasae.models.variants import registry

    options = registry.options_of(config["variant"])
    weights = [f"{t.removeprefix('val_').removesuffix('_loss')}_weight" for t in error.terms]
    tries = [f"a smaller learning_rate (it was {config['learning_rate']:g})"]
    tries += [f"a smaller {weight}" for weight in weights if weight in options]
    if config["precision"] not in (None, "float32"):
        tries.append("precision='float32'")
    if ae.scaler is None:
        tries.append("scaler='standardize'")
    kept = "from before training" if best is None else f"of epoch {best}"
    return (
        f"{str(error).rstrip('.')}, and training was stopped; model.keras has the weights {kept}. "
        f"Try {', or '.join(dict.fromkeys(tries))}."
    )
