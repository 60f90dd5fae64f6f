"""One training on several machines: who they are, and that they begin and end together."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kerasae.runs import directory
from kerasae.runs import link as links

# Seconds to wait for the machines to come; on a cluster one may be pulling an image.
_WAIT, _WAIT_VARIABLE = 300.0, "KERASAE_MACHINES_TIMEOUT"
_ENVIRONMENTS = (
    ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES",
     "KERAS_DISTRIBUTION_PROCESS_ID"),
    ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
)  # fmt: skip


def find(machines: Any, machine: Any) -> tuple[str, int, int]:
    """Return the address of machine 0, the number of machines, and that of this one.

    Args:
        machines: Addresses in a row, divided by commas or in a list, the first with a port; or
            `"auto"`, which reads them from the environment.
        machine: Number of this machine, counted from 0; None with `"auto"`.

    Raises:
        ValueError: They do not make sense.
    """
    if machines == "auto":
        if machine is not None:
            raise ValueError(
                "machines='auto' finds the number of this machine in the environment, too; leave "
                f"machine out. Received: machine={machine!r}"
            )
        address, count, index = _of_environment(os.environ)
    else:
        if machines is None:
            raise ValueError(
                "machine (--machine) is the number of this machine among machines (--machines). "
                f"Received: machine={machine!r} without machines"
            )
        listed = machines.split(",") if isinstance(machines, str) else machines
        if not isinstance(listed, (list, tuple)) or not all(isinstance(a, str) for a in listed):
            raise _bad_machines(machines)
        listed = [one.strip() for one in listed]
        if len(listed) < 2 or not all(listed) or len(set(listed)) < len(listed):
            raise _bad_machines(machines)
        address, count, index = listed[0], len(listed), machine
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise ValueError(
            f"machine (--machine) must be the number of this one of {count} machines, from 0 to "
            f"{count - 1}. Received: machine={index!r}"
        )
    _split(address)
    return address, count, index


def _bad_machines(machines: Any) -> ValueError:
    return ValueError(
        "machines (--machines) must be 'auto' or the addresses of at least two machines, the "
        f"first with a port: 'host0:4000,host1:4000'. Received: machines={machines!r}"
    )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise _bad_machines(address)
    return host.strip("[]"), int(port)


def _of_environment(known: Any) -> tuple[str, int, int]:
    """Return address, count and index as Keras, JAX or SLURM name them."""
    for names in _ENVIRONMENTS:
        address, count, index = (known.get(name) for name in names)
        if address is not None:
            count = count if count is not None else len(address.split(","))
            return address.split(",")[0], _whole(names[1], count), _whole(names[2], index)
    if "SLURM_STEP_NODELIST" in known and "SLURM_PROCID" in known:
        # The first of host1,host2 or of host[1-4,7],other.
        first = known["SLURM_STEP_NODELIST"].partition(",")[0]
        head, bracket, rest = first.partition("[")
        first = head + rest.partition("-")[0].rstrip("]") if bracket else first
        # A port that is another for another job, as JAX chooses it.
        port = _whole("SLURM_JOB_ID", known.get("SLURM_JOB_ID")) % 2**12 + 2**16 - 2**12
        count = _whole("SLURM_NTASKS", known.get("SLURM_NTASKS"))
        return f"{first}:{port}", count, _whole("SLURM_PROCID", known["SLURM_PROCID"])
    raise ValueError(
        "machines='auto' (--machines auto) needs the variables KERAS_DISTRIBUTION_JOB_ADDRESSES, "
        "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID, or those of JAX or "
        "of SLURM's srun. Received: none of them"
    )


def _whole(name: str, value: Any) -> int:
    if not str(value).isdigit():
        raise ValueError(f"{name} must be a whole number. Received: {name}={value!r}")
    return int(value)


def train(function: Callable[..., Any], asked: dict[str, Any]) -> Any:
    """Call `train` on this machine as one of several.

    Machine 0 trains in the run directory. The others train in a folder that is removed, which
    begins with what machine 0 has of a run to resume.

    Args:
        function: `kerasae.train`.
        asked: Its arguments.
    """
    from kerasae.runs.placement import Meshed

    machines, machine = asked.pop("machines"), asked.pop("machine")
    address, count, index = find(machines, machine)
    named = machines if isinstance(machines, str) else ",".join(machines)
    words = ("--machines", named) + (("--machine", "0") if machines != "auto" else ())
    options = asked.pop("options")
    for name in ("devices", "strategy"):
        if asked[name] is not None:
            raise ValueError(
                f"On several machines all devices compute; leave {name} out. "
                f"Received: {name}={asked[name]!r}"
            )
    parallel = asked.pop("model_parallel")
    parallel = 1 if parallel is None else parallel
    directory.check_count("model_parallel", parallel)
    if parallel > 1:
        words += ("--model-parallel", str(parallel))
    _check_backend()
    path = _run_directory(asked)
    if index == 0:
        with directory.explained(path):
            directory.settle(path)
            directory.check_target(path, asked["resume"], asked["replace"])
    scratch = None if index == 0 else Path(tempfile.mkdtemp(prefix="kerasae-"))
    try:
        started = {"number of machines": count, "model_parallel": parallel}
        started["resume"] = bool(asked["resume"])
        link = _meet(address, index, started, path, scratch)
        try:
            with _together(link):
                names = _initialize(address, count, index, link)
                place = Meshed(names, parallel, index, count, link, stop_jax)
                place.words = words
                asked |= {
                    "out": path if scratch is None else scratch / "run",
                    "strategy": place,
                    "verbose": asked["verbose"] if index == 0 else 0,
                }
                if index:
                    asked |= {"replace": False, "export": False}
                run = function(**asked, **options)
        finally:
            link.close(stop_jax)
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    if index:
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


def _meet(
    address: str, index: int, started: dict[str, Any], path: Path, scratch: Path | None
) -> links.Link:
    """Return the link to the other machines, once all have come and were started alike."""
    from importlib import metadata

    import kerasae

    count, resume = started["number of machines"], started["resume"]
    started = {**started, **{name: metadata.version(name) for name in ("keras", "jax")}}
    started["kerasae"] = kerasae.__version__
    wait = os.environ.get(_WAIT_VARIABLE, str(_WAIT))
    try:
        seconds = float(wait)
    except ValueError:
        raise ValueError(
            f"{_WAIT_VARIABLE} must be a number of seconds. Received: {wait!r}"
        ) from None
    host, port = _split(address)
    if index == 0:
        with contextlib.closing(links.listen(port)) as server:
            wires = links.gather(server, count, started, seconds)
        begun = _begun(path) if resume else {}
        for wire in wires.values():
            wire.send(files=begun)
        return links.Link(0, wires)
    wire = links.join(host, port, index, started, seconds)
    try:
        message = wire.receive(seconds + 10.0)
    except (OSError, ValueError):
        raise OSError(
            f"Machine 0 at {address} ended the connection before all machines had come; look at "
            f"what it says. Received: machine={index}"
        ) from None
    if message.get("problem"):
        raise ValueError(message["problem"])
    assert scratch is not None
    for name, content in links.unpack(message["files"]).items():
        target = scratch / "run" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return links.Link(index, {0: wire}, lambda: shutil.rmtree(scratch, ignore_errors=True))


def _begun(path: Path) -> dict[str, str]:
    """Return the files of a run that another process needs to go on with it."""
    if not (path / directory.CONFIG).is_file():
        return {}
    names = [directory.CONFIG, directory.HISTORY]
    names += [
        f"{directory.CHECKPOINTS}/{file.name}" for file in (path / directory.CHECKPOINTS).glob("*")
    ]
    names = [name for name in names if (path / name).is_file()]
    return links.pack(lambda name: (path / name).read_bytes(), names)


def _initialize(address: str, count: int, index: int, link: links.Link) -> list[str]:
    """Start JAX on all machines; return the names of all devices, those of machine 0 first."""
    import jax
    import keras

    # Without recoverability JAX aborts the process, with a stack trace, where another is lost.
    for name, value in (
        ("jax_cpu_collectives_implementation", "gloo"), ("jax_enable_recoverability", True),
    ):  # fmt: skip
        if name in jax.config.values:
            jax.config.update(name, value)
    try:
        jax.distributed.initialize(
            address, count, index, initialization_timeout=60, shutdown_timeout_seconds=10
        )
    except RuntimeError as error:
        raise OSError(
            "JAX could not be started on several machines; begin with a fresh process on each. "
            f"Received: {' '.join(str(error).split())[:200]}"
        ) from error
    link.agree({"number of devices": jax.local_device_count()})
    # A machine's devices must follow each other, for they share batches and wide layers.
    named = zip(jax.devices(), keras.distribution.list_devices(), strict=True)
    return [name for _, name in sorted(named, key=lambda pair: pair[0].process_index)]


def stop_jax() -> None:
    """End what JAX keeps running between machines; a second call does nothing."""
    import jax

    with contextlib.suppress(Exception):  # where a machine was lost, it cannot end well
        jax.distributed.shutdown()


@contextlib.contextmanager
def _together(link: links.Link) -> Iterator[None]:
    """Turn what breaks where a machine is lost into a sentence; tell the others what broke here."""
    try:
        yield
    except KeyboardInterrupt:
        link.leave("it was interrupted")
        raise
    except Exception as error:
        foreign = not isinstance(error, (ArithmeticError, OSError)) and _is_of_jax(error)
        why = " ".join(str(error).split())[:300] or type(error).__name__
        # What all machines find is no loss of one.
        if foreign or not (link.lost or "").endswith(why):
            link.check(5.0 if foreign else 0.0)
        link.leave(why)
        raise


def _is_of_jax(error: Exception) -> bool:
    """Tell an error of a collective operation from one of ours."""
    text = str(error)
    return any(word in text for word in ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE", "ABORTED"))
