"""Where a training computes: one device, several of this machine, or what the user brings."""

from typing import Any

from kerasae.runs import directory
from kerasae.runs.placement import Meshed, Mirrored, Placement


def check(devices: Any, strategy: Any, model_parallel: int | None) -> None:
    """Refuse arguments of `train` that cannot be, before anything heavy is loaded."""
    counted = isinstance(devices, int) and not isinstance(devices, bool) and devices > 0
    if devices not in (None, "all") and not counted:
        raise ValueError(
            "devices must be 'all' or a number of devices of this machine. "
            f"Received: devices={devices!r}"
        )
    if model_parallel is not None:
        directory.check_count("model_parallel", model_parallel)
    if strategy is not None and (devices is not None or model_parallel is not None):
        raise ValueError(
            "strategy says which devices compute; leave devices and model_parallel out. "
            f"Received: devices={devices!r}, model_parallel={model_parallel!r}"
        )


def place(devices: Any, strategy: Any, model_parallel: int | None) -> Placement:
    """Return where to train.

    Args:
        devices: None, `"all"` or a number of devices of this machine.
        strategy: A `tf.distribute.Strategy`, a `Placement`, or None.
        model_parallel: Devices that share wide layers (JAX), or None.

    Raises:
        ValueError: There are fewer devices, or the backend cannot do it.
    """
    import keras

    if isinstance(strategy, Placement):
        return strategy
    backend = keras.backend.backend()
    if strategy is not None:
        return _of_strategy(strategy, backend)
    if devices is None and model_parallel is None:
        return Placement()
    if backend == "jax":
        names = keras.distribution.list_devices()
        names = names[: _count(devices or "all", len(names), names)]
        return _asked_for(Meshed(names, model_parallel or 1), devices, model_parallel)
    if model_parallel is not None or backend != "tensorflow":
        raise ValueError(
            "model_parallel works on the JAX backend, and devices there and on TensorFlow; set "
            f"KERAS_BACKEND=jax. Received: backend={backend!r}"
        )
    import tensorflow as tf

    names, reduction = [d.name for d in tf.config.list_logical_devices("GPU")], None
    if not names:
        names = [d.name for d in tf.config.list_logical_devices("CPU")]
        # TensorFlow's own choice on CPUs has come out of step: "Shape mismatch in the collective".
        reduction = tf.distribute.ReductionToOneDevice()
    names = names[: _count(devices, len(names), names)]
    strategy = tf.distribute.MirroredStrategy(names, reduction)
    return _asked_for(Mirrored(strategy), devices, None)


def _asked_for(place: Any, devices: Any, model_parallel: int | None) -> Placement:
    """Return a placement that knows its words, or one device where there is no other."""
    if place.devices == 1 and model_parallel in (None, 1):
        return Placement()
    for name, value in (("--devices", devices), ("--model-parallel", model_parallel)):
        if value is not None:
            place.words += (name, str(value))
    return place


def _count(devices: Any, known: int, names: list[str]) -> int:
    if devices != "all" and devices > known:
        listed = ", ".join(name.removeprefix("/device:") for name in names)
        raise ValueError(
            f"There {'is 1 device' if known == 1 else f'are {known} devices'} to train on here, "
            f"{listed}. Received: devices={devices}"
        )
    return known if devices == "all" else devices


def _of_strategy(strategy: Any, backend: str) -> Placement:
    import tensorflow as tf

    if backend != "tensorflow" or not isinstance(strategy, tf.distribute.Strategy):
        raise ValueError(
            "strategy must be a tf.distribute.Strategy, on the TensorFlow backend. "
            f"Received: strategy={strategy!r} on {backend!r}"
        )
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "Keras cannot train over a MultiWorkerMirroredStrategy; set KERAS_BACKEND=jax and "
            f"use machines (--machines) instead. Received: strategy={type(strategy).__name__}"
        )
    return Mirrored(strategy)
