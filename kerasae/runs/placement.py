"""One device, several, or several machines: what a training does there that is special."""

import contextlib
import functools
import zlib
from typing import Any

import numpy as np

from kerasae.runs import directory

# Units from which a dense layer is divided over devices.
_WIDE = 512


class Placement:
    """One device: the model and the data are as they are."""

    # Whether this process writes the run directory.
    writes = True

    def scope(self) -> Any:
        """Return the context in which the model is built and compiled."""
        return contextlib.nullcontext()

    def settle(self, config: dict[str, Any], splits: Any) -> None:
        """Note in the configuration where the training computes; refuse what cannot be so."""

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

    def settle(self, config: dict[str, Any], splits: Any) -> None:
        config["devices"] = self.devices
        if config["command"]:
            config["command"] = [*config["command"][:-2], *self.words, *config["command"][-2:]]
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
        link: The `Link` to the other processes, or None.
        stop: Ends what JAX keeps running between processes.
    """

    def __init__(
        self, devices: list[str], model_parallel: int = 1, index: int = 0, count: int = 1,
        link: Any = None, stop: Any = None,
    ):  # fmt: skip
        if len(devices) // count % model_parallel:
            raise ValueError(
                "model_parallel must divide the number of devices of a machine, which share the "
                f"wide layers. Received: model_parallel={model_parallel} for "
                f"{len(devices) // count} devices"
            )
        super().__init__(len(devices) // model_parallel)
        self.model_parallel = model_parallel
        self.index, self.count, self.writes = index, count, index == 0
        self.link, self.stop = link, stop
        self.distribution = _distribution(devices, model_parallel)

    def scope(self) -> Any:
        return self.distribution.scope()

    def settle(self, config: dict[str, Any], splits: Any) -> None:
        super().settle(config, splits)
        size = splits.batch_size
        if size % self.devices:
            fitting = max(1, round(size / self.devices)) * self.devices
            shared = f"groups of {self.model_parallel} " if self.model_parallel > 1 else ""
            raise ValueError(
                f"batch_size counts the samples on all {self.devices} {shared}devices together "
                f"and must be a multiple of {self.devices}, such as {fitting}. "
                f"Received: batch_size={size}"
            )
        if self.link is not None:
            self.link.agree(_alike(splits, config))

    def fitting(self, ae: Any, splits: Any) -> Any:
        # What looks at all training data does so before they are divided.
        with self.distribution.scope():
            if not getattr(ae.scaler, "adapted", True):
                ae.scaler.adapt(splits.train)
            if getattr(ae, "init", None) == "pca":
                ae.initialize_from_pca(splits.train)
        _make_readable([*ae.variables, *ae.optimizer.variables])
        return self.distribution.scope()

    def batches(self, splits: Any, split: str) -> Any:
        import tensorflow as tf

        def part(batch: Any) -> Any:
            each = tf.shape(batch)[0] // self.devices * (self.devices // self.count)
            return batch[self.index * each : (self.index + 1) * each]

        return super().batches(splits, split).map(part).prefetch(2)

    def release(self, run: Any) -> None:
        if self.link is not None:
            if run.interrupted:
                self.link.leave("it was interrupted")
            else:
                self.link.finish()
            self.link.close(self.stop)
        super().release(run)


def _distribution(devices: list[str], model_parallel: int) -> Any:
    import keras

    api = keras.distribution
    if model_parallel == 1:
        return api.DataParallel(devices=devices, auto_shard_dataset=False)

    class WideLayers(keras.distribution.ModelParallel):
        """Divides the units of wide dense layers, and repeats all else."""

        def get_variable_layout(self, variable: Any) -> Any:
            shape, name = tuple(variable.shape), variable.path.rpartition("/")[2]
            wide = len(shape) == {"kernel": 2, "bias": 1}.get(name) and shape[-1] >= _WIDE
            known = getattr(variable, "_layout", None) is not None
            if wide and not known and shape[-1] % model_parallel == 0:
                axes = (*(None,) * (len(shape) - 1), "model")
                return api.TensorLayout(axes, self.device_mesh)
            return super().get_variable_layout(variable)

    mesh = api.DeviceMesh(
        (len(devices) // model_parallel, model_parallel), ("batch", "model"), devices
    )
    return WideLayers(
        layout_map=api.LayoutMap(mesh), batch_dim_name="batch", auto_shard_dataset=False
    )


def _make_readable(variables: list[Any]) -> None:
    """Let NumPy read the variables that are divided, where JAX knows parts in other processes.

    JAX refuses to read such an array, though a machine has all parts of it. A variable becomes
    one that is put together from the parts that are here: for early stopping, for the
    checkpoints and for Keras's own files alike. Nothing is sent, and no device holds the whole.
    """
    for variable in variables:
        array = variable.value
        if not array.is_fully_addressable and not array.is_fully_replicated:
            kind: Any = type(variable)
            variable.__class__ = _readable(kind)


@functools.cache
def _readable(kind: Any) -> Any:
    def whole(self: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
        array = self.value
        parts = {str(shard.index): shard for shard in array.addressable_shards}.values()
        if sum(shard.data.size for shard in parts) != array.size:
            raise RuntimeError(
                "A variable can be read only where all of its parts are. "
                f"Received: {self.path} in {len(parts)} parts"
            )
        read = np.empty(array.shape, array.dtype)
        for shard in parts:
            read[shard.index] = shard.data
        return read if dtype is None else read.astype(dtype)

    return type(kind.__name__, (kind,), {"__array__": whole})


def _alike(splits: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same on all machines: the settings, and the data."""
    own = ("command", "data", "data_dir", "data_path", "device", "versions", "export")
    first = np.ascontiguousarray(splits.array("train", 64))
    return {
        **{name: value for name, value in config.items() if name not in own},
        "data_options": {k: v for k, v in config["data_options"].items() if k != "data_dir"},
        "the beginning of the data": zlib.crc32(first.tobytes()),
    }
