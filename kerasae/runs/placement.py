"""Where a training computes: one device, several of this machine, or those of several machines."""

import contextlib
import functools
from typing import Any

import numpy as np

from kerasae.errors import check_whole
from kerasae.runs import directory

# Units from which a dense layer is divided over devices.
_WIDE = 512


class Placement:
    """One device: the model and the data are as they are."""

    # Whether this process writes the run directory.
    writes = True
    # How many processes train together.
    count = 1

    def anywhere(self, here: bool) -> bool:
        """Return whether something is true in any process; all must ask at the same time."""
        return here

    def scope(self) -> Any:
        """Return the context in which the model is built and compiled."""
        return contextlib.nullcontext()

    def check(self, splits: Any) -> None:
        """Refuse data that cannot be divided, before a model is built."""

    def settle(self, config: dict[str, Any]) -> None:
        """Note in the configuration where the training computes."""

    def fitting(self, ae: Any, splits: Any) -> Any:
        """Return the context in which the model is trained."""
        return contextlib.nullcontext()

    def batches(self, splits: Any, split: str) -> Any:
        """Return the batches of a split that this process trains or validates on."""
        return getattr(splits, split)

    def release(self, run: Any) -> None:
        """Bring the model of a run back to one device."""


class Divided(Placement):
    """Several devices: each has a part of every batch."""

    # How the command line asks for it.
    words: tuple[str, ...] = ()

    def __init__(self, devices: int):
        self.devices = devices

    def settle(self, config: dict[str, Any]) -> None:
        config["devices"] = self.devices
        if config["command"]:
            config["command"] = [*config["command"][:-2], *self.words, *config["command"][-2:]]

    def check(self, splits: Any) -> None:
        for split in ("train", "validation"):
            if 0 < splits.sizes[split] < self.devices:
                raise ValueError(
                    f"The {split} split must have a sample for each of {self.devices} devices. "
                    f"Received: {splits.sizes[split]} samples"
                )

    def batches(self, splits: Any, split: str) -> Any:
        dataset = super().batches(splits, split)
        rest = splits.sizes[split] % splits.batch_size
        if 0 < rest < self.devices:
            # Some device would have none of the last batch.
            dataset = dataset.take(splits.sizes[split] // splits.batch_size)
        return dataset

    def release(self, run: Any) -> None:
        import keras

        run.model = keras.saving.load_model(run.path / directory.MODEL)


class Mirrored(Divided):
    """A `tf.distribute` strategy: the model on every device, gradients summed."""

    def __init__(self, strategy: Any):
        super().__init__(int(strategy.num_replicas_in_sync))
        self.strategy = strategy

    def scope(self) -> Any:
        return self.strategy.scope()


class Meshed(Divided):
    """A `keras.distribution` on JAX, over the devices of this process or of several.

    Args:
        devices: Names of all devices, those of the first process first.
        model_parallel: How many devices share the wide layers between them.
        index: Number of this process.
        count: Number of processes.
    """

    def __init__(self, devices: list[str], model_parallel: int = 1, index: int = 0, count: int = 1):
        if len(devices) // count % model_parallel:
            raise ValueError(
                "model_parallel must divide the number of devices of a machine, which share the "
                f"wide layers. Received: model_parallel={model_parallel} for "
                f"{len(devices) // count} devices"
            )
        super().__init__(len(devices) // model_parallel)
        self.model_parallel = model_parallel
        self.index, self.count = index, count
        self.distribution = _distribution(devices, model_parallel)

    def scope(self) -> Any:
        return self.distribution.scope()

    def check(self, splits: Any) -> None:
        super().check(splits)
        size = splits.batch_size
        if size % self.devices:
            fitting = max(1, round(size / self.devices)) * self.devices
            shared = f"groups of {self.model_parallel} " if self.model_parallel > 1 else ""
            raise ValueError(
                f"batch_size counts the samples on all {self.devices} {shared}devices together "
                f"and must be a multiple of {self.devices}, such as {fitting}. "
                f"Received: batch_size={size}"
            )

    def fitting(self, ae: Any, splits: Any) -> Any:
        # What looks at all training data does so before they are divided.
        with self.distribution.scope():
            ae.prepare(splits.train)
        _make_readable([*ae.variables, *ae.optimizer.variables])
        return self.distribution.scope()

    def batches(self, splits: Any, split: str) -> Any:
        import tensorflow as tf

        def part(batch: Any) -> Any:
            each = tf.shape(batch)[0] // self.devices * (self.devices // self.count)
            return batch[self.index * each : (self.index + 1) * each]

        dataset = super().batches(splits, split)
        return dataset.map(lambda batch: tf.nest.map_structure(part, batch)).prefetch(2)


def _distribution(devices: list[str], model_parallel: int) -> Any:
    import keras

    api = keras.distribution
    if model_parallel == 1:
        return api.DataParallel(devices=devices, auto_shard_dataset=False)

    class WideLayers(keras.distribution.ModelParallel):
        """Divides the units of wide dense layers, and repeats all else."""

        def get_variable_layout(self, variable: Any) -> Any:
            layout = super().get_variable_layout(variable)
            shape, name = tuple(variable.shape), variable.path.rpartition("/")[2]
            wide = len(shape) == {"kernel": 2, "bias": 1}.get(name) and shape[-1] >= _WIDE
            if not wide or any(layout.axes) or shape[-1] % model_parallel:
                return layout
            return api.TensorLayout((*(None,) * (len(shape) - 1), "model"), self.device_mesh)

    mesh = api.DeviceMesh(
        (len(devices) // model_parallel, model_parallel), ("batch", "model"), devices
    )
    return WideLayers(
        layout_map=api.LayoutMap(mesh), batch_dim_name="batch", auto_shard_dataset=False
    )


def _make_readable(variables: list[Any]) -> None:
    """Let NumPy read variables that are divided where JAX has copies of them in other processes.

    JAX refuses to read such an array, although this machine has all of its parts. The class of
    the variable is replaced by one that joins them: for early stopping, checkpoints and Keras's
    own files alike. Nothing is sent, so that no other machine has to read at the same time.
    """
    for variable in variables:
        array = variable.value
        if not array.is_fully_addressable and not array.is_fully_replicated:
            kind: Any = type(variable)
            variable.__class__ = _readable(kind)


@functools.cache
def _readable(kind: Any) -> Any:
    from jax.experimental import multihost_utils

    def joined(self: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
        layout = self.value.sharding
        array = multihost_utils.global_array_to_host_local_array(
            self.value, layout.mesh, layout.spec
        )
        return np.asarray(array, dtype)

    return type(kind.__name__, (kind,), {"__array__": joined})


def check(devices: Any, strategy: Any, model_parallel: int | None) -> None:
    """Refuse arguments of `train` that do not work, before anything heavy is loaded."""
    if devices not in (None, "all"):
        check_whole("devices", devices)
    if model_parallel is not None:
        check_whole("model_parallel", model_parallel)
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
    placed: Divided
    if backend == "jax":
        names = keras.distribution.list_devices()
        placed = Meshed(names[: _count(devices or "all", names)], model_parallel or 1)
    elif backend == "tensorflow" and model_parallel is None:
        placed = _mirrored(devices)
    else:
        raise ValueError(
            "model_parallel works on the JAX backend, and devices there and on TensorFlow; set "
            f"KERAS_BACKEND=jax. Received: backend={backend!r}"
        )
    if placed.devices == 1 and model_parallel in (None, 1):
        return Placement()
    for name, value in (("--devices", devices), ("--model-parallel", model_parallel)):
        if value is not None:
            placed.words += (name, str(value))
    return placed


def _mirrored(devices: Any) -> Mirrored:
    import tensorflow as tf

    names, reduction = [d.name for d in tf.config.list_logical_devices("GPU")], None
    if not names:
        names = [d.name for d in tf.config.list_logical_devices("CPU")]
        # TensorFlow's own choice on CPUs has failed: "Shape mismatch in the collective".
        reduction = tf.distribute.ReductionToOneDevice()
    return Mirrored(tf.distribute.MirroredStrategy(names[: _count(devices, names)], reduction))


def _count(devices: Any, names: list[str]) -> int:
    known = len(names)
    if devices != "all" and devices > known:
        listed = ", ".join(name.removeprefix("/device:") for name in names)
        raise ValueError(
            f"There {'is 1 device' if known == 1 else f'are {known} devices'} to train on here, "
            f"{listed}. Received: devices={devices}"
        )
    return known if devices == "all" else int(devices)


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
