"""MLServer over exported models: what is asked for is checked before anything is loaded."""

import asyncio
import contextlib
import http.client
import importlib.util
import json
import logging
import math
import os
import signal
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasae.errors import check_whole, is_real
from kerasae.serving import sources
from kerasae.serving.runtimes import RUNTIMES

if TYPE_CHECKING:
    from mlserver import ModelSettings

    from kerasae.serving.repository import Model

# MLServer's own, whose handlers print it.
logger = logging.getLogger("mlserver")

# Seconds between two looks for new versions.
_INTERVAL = 1.0
# Seconds that requests in flight have when the server stops.
_GRACE = 30.0


def serve(
    paths: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    grpc_port: int = 8081,
    metrics_port: int = 8082,
    runtime: str = "auto",
    workers: int = 0,
    max_batch_size: int = 32,
    max_batch_time: float = 0.001,
    max_request_bytes: int = 32 * 2**20,
    name: str | None = None,
    reload: bool = True,
    allow_model_control: bool = False,
) -> None:
    """Serve exported models by MLServer, until the process is told to stop.

    The protocol is the Open Inference Protocol (KServe V2), over REST and gRPC. Every signature
    is a model of its own: `NAME` reconstructs, and `NAME-encode`, `NAME-decode`, `NAME-score`,
    `NAME-detect`, `NAME-detect-at-rate` and `NAME-generate` are there where the model has them.
    They share one model in memory. Needs `pip install "kerasae[serve]"`.

    Args:
        paths: A folder of versions, a version folder, a run directory, a folder that holds some
            of these, or several paths. A model is named after the folder of its versions, or
            after its run.
        host: Name or IPv4 address to listen at; `"0.0.0.0"` means all of the machine's.
        port: Port of REST; 0 is any free port, for the others, too.
        grpc_port: Port of gRPC.
        metrics_port: Port of the metrics for Prometheus, at `/metrics`.
        runtime: `"tensorflow"`, `"onnx"`, or `"auto"`: ONNX Runtime where it is installed and
            the version has its files, and else TensorFlow. ONNX has no `generate`; `"auto"`
            loads TensorFlow for it at the first such request.
        workers: Processes that run the models, each with all of them; 0 runs them in this one.
        max_batch_size: Largest number of requests that are answered together; 0 or 1 for none.
        max_batch_time: Seconds that a request waits for others, if there are some at that time.
        max_request_bytes: Largest body of a request, and largest answer as raw numbers.
        name: Another name for the model, where there is only one.
        reload: Serve new versions as they appear. With workers, nothing is loaded again.
        allow_model_control: Let clients load and unload models, by the model repository
            extension of the protocol. Otherwise what a client has unloaded is loaded again
            within a second or two, unless `reload` is False.

    Raises:
        FileNotFoundError: There is nothing at a path.
        ModuleNotFoundError: MLServer or the runtime is not installed.
        OSError: A port is taken.
        ValueError: There is no model at a path, it cannot be loaded, or an argument does not
            fit.
    """
    if importlib.util.find_spec("mlserver") is None:
        raise ModuleNotFoundError(
            'Serving needs MLServer; try: pip install "kerasae[serve]". Received: no mlserver'
        )
    if runtime not in ("auto", *RUNTIMES):
        known = " or ".join(map(repr, ("auto", *RUNTIMES)))
        raise ValueError(f"runtime must be {known}. Received: runtime={runtime!r}")
    workers = check_whole("workers", workers, 0)
    extra = {
        "max_batch_size": check_whole("max_batch_size", max_batch_size, 0),
        "max_batch_time": max_batch_time,
        "max_request_bytes": check_whole("max_request_bytes", max_request_bytes),
    }
    if not is_real(max_batch_time) or max_batch_time < 0:
        raise ValueError(f"max_batch_time must be >= 0. Received: max_batch_time={max_batch_time}")
    found = sources.find(_several(paths), name)
    ports = _free_ports(host, port=port, grpc_port=grpc_port, metrics_port=metrics_port)

    import uvloop
    from mlserver import Settings

    from kerasae.serving.repository import Model, Repository

    # Before the server starts, so that what cannot be loaded is said in a sentence. Worker
    # processes load for themselves.
    models = [Model(source, runtime, extra, load=workers == 0) for source in found]
    # MLServer makes folders for environments and metrics, by default in the working directory.
    with tempfile.TemporaryDirectory(prefix="kerasae-serve-") as scratch:
        settings = Settings(
            host=host,
            http_port=ports["port"],
            grpc_port=ports["grpc_port"],
            metrics_port=ports["metrics_port"],
            debug=False,
            server_name="kerasae",
            grpc_max_message_length=extra["max_request_bytes"],
            parallel_workers=workers,
            environments_dir=scratch,
            metrics_dir=scratch,
            model_repository_root=scratch,
            model_repository_implementation=Repository,
            model_repository_implementation_args={"models": models, "control": allow_model_control},
        )
        watched = models if reload and not workers else []
        uvloop.run(_run(settings, models, watched, allow_model_control))


async def _run(settings: Any, models: list["Model"], watched: list["Model"], control: bool) -> None:
    """Serve until a signal."""
    from mlserver import MLServer

    server = MLServer(settings)
    announced = [signature for model in models for signature in model.settings()]
    stopping = asyncio.Event()

    def take_signals() -> None:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            asyncio.get_running_loop().add_signal_handler(sign, stopping.set)

    take_signals()
    serving = asyncio.create_task(server.start(announced))
    await _wait_until_ready(settings, serving, stopping)
    # uvicorn has taken the signals in between, and MLServer stops it once more: what comes twice
    # drops the requests in flight.
    take_signals()
    print(_announcement(settings, announced), flush=True)
    tasks = [asyncio.create_task(_watch(settings, model, control)) for model in watched]
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    # Not SIGINT, at whose second coming uvicorn drops the requests in flight.
    await server.stop(signal.SIGTERM)
    try:
        await asyncio.wait_for(serving, _GRACE)
    except TimeoutError:
        logger.warning(f"Some requests were not answered within {_GRACE:g} seconds.")


async def _wait_until_ready(
    settings: Any, serving: asyncio.Task[None], stopping: asyncio.Event
) -> None:
    """Wait until all ports are open and all models are loaded, or a signal came."""
    while not serving.done():
        with contextlib.suppress(OSError):
            for port in (settings.grpc_port, settings.metrics_port):
                socket.create_connection((_address(settings), port), 5).close()
            if await _request(settings, "GET", "/v2/health/ready") == 200:
                return
        await asyncio.sleep(0.05)
        if stopping.is_set():
            return
    raise ValueError("The server stopped before it was ready; its log says why.")


async def _watch(settings: Any, model: "Model", control: bool) -> None:
    """Keep what MLServer has loaded of a model the same as what is to be served of it."""
    announced: set[str] = set()
    said = ""
    while True:
        try:
            # What a client has unloaded, if it may, is not loaded again.
            await _update(settings, model, announced if control else set())
        # A watch that ends would not see the next version.
        except Exception as error:
            if said != str(error):
                logger.exception(f"The look for versions of {model.source.name} failed.")
            said = str(error)
        announced |= {signature.name for signature in model.settings()}
        await asyncio.sleep(_INTERVAL)


async def _update(settings: Any, model: "Model", leave: set[str]) -> None:
    """Look for a new version, and tell MLServer by its own API to load and unload signatures.

    It asks our `Repository` what that means.

    Args:
        settings: Of MLServer.
        model: The model.
        leave: Names that stay unloaded if they are.
    """
    from kerasae.serving.mlserver import loaded

    is_new = await asyncio.to_thread(model.renew)
    wanted = {signature.name: signature.parameters.uri for signature in model.settings()}
    present = {
        name: signature.settings.parameters.uri
        for name, signature in loaded.items()
        if name in model.source.names()
    }
    verbs = dict.fromkeys(present.keys() - wanted.keys(), "unload")
    for name, folder in wanted.items():
        if present.get(name) != folder and (name in present or name not in leave):
            verbs[name] = "load"
    for name, verb in verbs.items():
        status = await _request(settings, "POST", f"/v2/repository/models/{name}/{verb}")
        if status != 200:
            raise RuntimeError(f"MLServer does not {verb} {name}: status {status}")
    if is_new and model.version:
        logger.info(f"Version {model.version.folder.name} of {model.source.name} is served.")


async def _request(settings: Any, method: str, path: str) -> int:
    """Return the status that the server answers a request of its own with."""

    def ask() -> int:
        connection = http.client.HTTPConnection(_address(settings), settings.http_port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().status

    return await asyncio.to_thread(ask)


def _address(settings: Any) -> str:
    """Return the host to call a server at."""
    return "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host


def _several(paths: Any) -> list[Path]:
    found = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found = list(found) if isinstance(found, Iterable) else [found]
    if not found or not all(isinstance(path, (str, os.PathLike)) for path in found):
        raise ValueError(f"paths must name a model, or several. Received: paths={paths!r}")
    return [Path(path) for path in found]


def _free_ports(host: str, **ports: int) -> dict[str, int]:
    """Return the ports, with a free one for each 0.

    Raises:
        OSError: One is taken, also by another of them; MLServer would end without a sentence.
        ValueError: One is no port, or the host is an IPv6 address, which MLServer's gRPC lacks.
    """
    if ":" in host:
        raise ValueError(f"host must be a name or an IPv4 address. Received: host={host!r}")
    chosen = {}
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            port = check_whole(name, port, 0, 65535)
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except OSError as error:
                raise OSError(
                    f"The server cannot listen there: {error}. "
                    f"Received: host={host!r}, {name}={port!r}"
                ) from error
            chosen[name] = probe.getsockname()[1]
    return chosen


def _announcement(settings: Any, announced: list["ModelSettings"]) -> str:
    """Return what is printed when all models are ready."""
    host = _address(settings)
    address = f"http://{host}:{settings.http_port}"
    width = max(len(signature.name) for signature in announced)
    lines = ["", "Ready. Models, each at /v2/models/NAME/infer:"]
    for signature in announced:
        inputs = ", ".join(f"{t.name} {t.datatype} {t.shape}" for t in signature.inputs)
        outputs = ", ".join(output.name for output in signature.outputs)
        runtime = "ONNX Runtime" if signature.platform.startswith("onnx") else "TensorFlow"
        lines.append(f"  {signature.name:<{width}}  {inputs} -> {outputs}  ({runtime})")
    return "\n".join(
        [
            *lines,
            "",
            f"  REST     {address}",
            f"  gRPC     {host}:{settings.grpc_port}",
            f"  metrics  {address.rpartition(':')[0]}:{settings.metrics_port}/metrics",
            "",
            _example(address, announced[0]),
            "",
            "Ctrl-C stops the server.",
        ]
    )


def _example(address: str, signature: "ModelSettings") -> str:
    """Return a command that sends zeros to a signature."""
    tensors = []
    for tensor in signature.inputs:
        shape = [abs(size) for size in tensor.shape]  # a batch of one
        zeros = f"$(yes 0 | head -n {math.prod(shape)} | paste -sd,)"
        given = {"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": [zeros]}
        tensors.append(json.dumps(given).replace(f'"{zeros}"', zeros))
    body = f'{{"inputs": [{", ".join(tensors)}]}}'.replace('"', '\\"')
    url = f"{address}/v2/models/{signature.name}/infer"
    return f'curl {url} -H "Content-Type: application/json" -d "{body}"'
