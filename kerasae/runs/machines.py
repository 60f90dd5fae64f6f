"""One training on several machines: JAX brings them together, here they agree on what to do.

Machine 0 alone writes the run directory, which lies on a disk that all machines share. The others
train in a temporary folder, which begins with a copy of the run to resume.
"""

import atexit
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.errors import check_whole
from kerasae.files import read_json
from kerasae.runs import directory
from kerasae.runs.placement import Meshed

# Seconds to wait for the machines to come; on a cluster one may be pulling an image.
_WAIT, _WAIT_VARIABLE = "300", "KERASAE_MACHINES_TIMEOUT"
# Seconds without a sign of life until JAX takes a machine for lost.
_SILENCE = 60
# Seconds that machine 0 waits before it ends where something went wrong.
_PAUSE = 3
# Variables for the address of machine 0, the number of machines and that of this one.
_ENVIRONMENTS = (
    (
        "KERAS_DISTRIBUTION_JOB_ADDRESSES",
        "KERAS_DISTRIBUTION_NUM_PROCESSES",
        "KERAS_DISTRIBUTION_PROCESS_ID",
    ),
    ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
)
# Words of JAX where a machine cannot be reached.
_LOST = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED")


class MachineLost(ConnectionError):
    """A machine of the training ended, or cannot be reached any more."""


def find(machines: Any, machine: Any) -> dict[str, Any]:
    """Return the arguments of `jax.distributed.initialize` that say who the machines are.

    Args:
        machines: Addresses separated by commas or in a list, the first with a port; or `"auto"`,
            which reads them from the environment.
        machine: Number of this machine, counted from 0; None with `"auto"`.

    Returns:
        The arguments; empty where JAX is to detect the cluster itself.

    Raises:
        ValueError: They do not make sense.
    """
    if machines == "auto":
        if machine is not None:
            raise ValueError(
                "machines='auto' finds the number of this machine in the environment, too; leave "
                f"machine out. Received: machine={machine!r}"
            )
        for names in _ENVIRONMENTS:
            if names[0] in os.environ:
                addresses = os.environ[names[0]].split(",")
                count, index = (_of_environment(name) for name in names[1:])
                return _arguments(addresses[0], count, index)
        return {}
    if machines is None:
        raise ValueError(
            "machine (--machine) is the number of this machine among machines (--machines). "
            f"Received: machine={machine!r} without machines"
        )
    listed = machines.split(",") if isinstance(machines, str) else machines
    if not isinstance(listed, (list, tuple)) or not all(isinstance(a, str) for a in listed):
        raise _bad_machines(machines)
    listed = [address.strip() for address in listed]
    if len(listed) < 2 or not all(listed) or len(set(listed)) < len(listed):
        raise _bad_machines(machines)
    return _arguments(listed[0], len(listed), machine)


def _arguments(address: str, count: int, index: Any) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise _bad_machines(address)
    return {
        "coordinator_address": address,
        # JAX itself would listen on all interfaces.
        "coordinator_bind_address": os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", address),
        "num_processes": count,
        "process_id": check_whole("machine", index, 0, count - 1),
    }


def _bad_machines(machines: Any) -> ValueError:
    return ValueError(
        "machines (--machines) must be 'auto' or the addresses of at least two machines, the "
        f"first with a port: 'host0:4000,host1:4000'. Received: machines={machines!r}"
    )


def _of_environment(name: str, default: str = "") -> int:
    value = os.environ.get(name, default)
    if not value.isdecimal():
        raise ValueError(f"{name} must be a whole number. Received: {name}={value!r}")
    return int(value)


class Machines(Meshed):
    """The devices of all machines, which agree on settings and data before they train.

    Args:
        devices: Names of all devices, those of machine 0 first.
        model_parallel: How many devices of a machine share the wide layers between them.
        started: What must be the same on all machines.
    """

    def __init__(self, devices: list[str], model_parallel: int, started: dict[str, Any]):
        import jax

        super().__init__(devices, model_parallel, jax.process_index(), jax.process_count())
        self.writes = self.index == 0
        self.started = started
        self._agreed = self._ended = False

    def check(self, splits: Any) -> None:
        super().check(splits)
        import jax

        parts = jax.tree.leaves(splits.array("train", 64))
        first = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        data = {"the beginning of the data": zlib.crc32(first), "samples": splits.sizes}
        self._agree({**self.started, **data})

    def _agree(self, mine: dict[str, Any]) -> None:
        """Raise on all machines unless all say the same, and none has a problem."""
        said = _gather(mine)
        self._agreed = True
        problem = _problem(said)
        if problem is not None:
            self._end()
            raise ValueError(problem)

    def anywhere(self, here: bool) -> bool:
        return any(_gather(here))

    def release(self, run: Any) -> None:
        self._end()
        super().release(run)

    def _end(self) -> None:
        """Leave JAX's runtime; all machines do it at the same time."""
        import jax

        jax.distributed.shutdown()
        self._ended = True

    def fail(self, error: BaseException) -> None:
        """Tell the other machines of an error, or turn one of theirs into a sentence."""
        lost = isinstance(error, Exception) and any(word in str(error) for word in _LOST)
        if not (self._agreed or lost) and isinstance(error, Exception):
            # The others are waiting for what this machine found.
            with contextlib.suppress(Exception):
                self._agree({"problem": str(error)})
        if self._ended:
            return
        _end_without_jax(130 if isinstance(error, KeyboardInterrupt) else 2, self.writes)
        if lost:
            raise MachineLost(
                "Training stopped, since another machine was lost; start the command on all "
                "machines with --resume to go on from the last checkpoint. Received: machine "
                f"{self.index} of {self.count}, {' '.join(str(error).split())[:200]}"
            ) from error


def _gather(mine: Any) -> list[Any]:
    """Return what each machine says, in their order; values that JSON can hold."""
    from jax.experimental import multihost_utils

    text = np.frombuffer(json.dumps(mine).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(text)] = text
    texts = multihost_utils.process_allgather(padded)
    return [json.loads(text[:n].tobytes()) for text, n in zip(texts, lengths, strict=True)]


def _problem(said: list[dict[str, Any]]) -> str | None:
    """Return the sentence on what keeps machines from training together, or None."""
    for number, theirs in enumerate(said):
        if "problem" in theirs:
            return f"Machine {number} could not begin: {theirs['problem']}"
    for name in dict.fromkeys(name for one in said for name in one):
        for number, theirs in enumerate(said):
            if theirs.get(name) != said[0].get(name):
                return (
                    f"All machines must be started alike, and {name} differs. Received: "
                    f"{name}={said[0].get(name)!r} on machine 0, {theirs.get(name)!r} on "
                    f"machine {number}"
                )
    return None


def _end_without_jax(status: int, first: bool) -> None:
    """See to it that the process ends with a status when Python does.

    JAX would wait for the other machines, and abort the process with a stack trace.
    """

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if first:
            # JAX aborts the others when machine 0 ends; they had better say why first.
            time.sleep(_PAUSE)
        os._exit(status)

    atexit.register(end)


def train(function: Callable[..., Any], asked: dict[str, Any]) -> Any:
    """Call `train` on this machine as one of several.

    Args:
        function: `kerasae.train`.
        asked: Its arguments.
    """
    machines, options = asked.pop("machines"), asked.pop("options")
    found = find(machines, asked.pop("machine"))
    for name in ("devices", "strategy"):
        value = asked.pop(name)
        if value is not None:
            raise ValueError(
                f"On several machines all devices compute; leave {name} out. "
                f"Received: {name}={value!r}"
            )
    parallel = asked.pop("model_parallel")
    parallel = 1 if parallel is None else check_whole("model_parallel", parallel)
    _check_backend()
    path = _run_directory(asked)
    started = {**_settings(asked, options), "model_parallel": parallel}
    place = Machines(_initialize(found, asked["verbose"]), parallel, started)
    place.words = _words(machines, parallel)
    with tempfile.TemporaryDirectory(prefix="kerasae-") as folder:
        out = path if place.writes else Path(folder) / "run"
        try:
            if not place.writes:
                asked |= {"replace": False, "export": False, "verbose": 0}
                if asked["resume"] and path.is_dir():
                    unneeded = (directory.LOGS, directory.FIGURES, directory.MODEL, ".*")
                    shutil.copytree(path, out, ignore=shutil.ignore_patterns(*unneeded))
            state = out / directory.CHECKPOINTS / "state.json"
            begun = asked["resume"] and state.is_file()
            place.started["epochs in out"] = read_json(state).get("epoch") if begun else None
            run = function(**asked | {"out": out, "strategy": place}, **options)
        except BaseException as error:
            place.fail(error)
            raise
    run.path = path
    return run


def _run_directory(asked: dict[str, Any]) -> Path:
    from kerasae.runs.configuration import TrainConfig

    return TrainConfig(asked["variant"], data=asked["data"], out=asked["out"]).path()


def _check_backend() -> None:
    import keras

    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            "Training on several machines runs on the JAX backend: set KERAS_BACKEND=jax on each "
            f"of them; the model can be used and exported on any. Received: backend={backend!r}"
        )


def _settings(asked: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the versions and arguments that must be the same on all machines."""
    import kerasae

    own = ("data", "data_options", "export", "out", "replace", "verbose")
    settings = {name: value for name, value in asked.items() if name not in own}
    settings |= {k: v for k, v in (asked["data_options"] or {}).items() if k != "data_dir"}
    versions = {name: metadata.version(name) for name in ("keras", "jax")}
    found = {"kerasae": kerasae.__version__, **versions, **settings, **options}
    # Objects are told apart by their class only.
    return json.loads(json.dumps(found, default=lambda value: type(value).__name__))


def _words(machines: Any, parallel: int) -> tuple[str, ...]:
    """Return the options of the command line of machine 0."""
    named = machines if isinstance(machines, str) else ",".join(machines)
    words = ("--machines", named) + (("--machine", "0") if machines != "auto" else ())
    return words + (("--model-parallel", str(parallel)) if parallel > 1 else ())


def _initialize(found: dict[str, Any], verbose: int) -> list[str]:
    """Start JAX on all machines; return the names of all devices, those of machine 0 first."""
    import jax
    import keras

    seconds = _of_environment(_WAIT_VARIABLE, _WAIT)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if hasattr(jax.config, "jax_enable_preemption_service"):
        # With it SIGTERM would be ignored until training begins.
        jax.config.update("jax_enable_preemption_service", False)
    if verbose:
        print(f"Waiting up to {seconds} seconds for the other machines.", file=sys.stderr)
    try:
        jax.distributed.initialize(
            **found, initialization_timeout=seconds, heartbeat_timeout_seconds=_SILENCE
        )
    except ValueError as error:
        raise ValueError(
            "machines='auto' (--machines auto) needs a cluster that JAX detects, such as SLURM's "
            "srun, or the variables KERAS_DISTRIBUTION_JOB_ADDRESSES, "
            "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID. "
            f"Received: {error}"
        ) from error
    except RuntimeError as error:
        raise OSError(
            "JAX could not be started on several machines; begin with a fresh process on each, and "
            f"with a free port on machine 0. Received: {' '.join(str(error).split())[:200]}"
        ) from error
    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        jax.distributed.shutdown()
        raise ValueError(
            "All machines must have the same number of devices. "
            f"Received: {[counts[i] for i in sorted(counts)]}"
        )
    # A machine's devices must follow each other, for they share batches and wide layers.
    named = zip(jax.devices(), keras.distribution.list_devices(), strict=True)
    return [name for _, name in sorted(named, key=lambda pair: pair[0].process_index)]
