"""How a server is started: what is asked for, checked before anything is loaded."""

import asyncio
import contextlib
import importlib.util
import math
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerasae.serving import _sources

# What MLServer answers by; it names them one by one, without saying where they come from.
_NEEDED = ("mlserver", "grpc", "fastapi", "uvicorn", "starlette", "pydantic")


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
        paths: A path or several: a folder of versions, a version folder, a run directory, or a
            folder that holds some of these. One that is given twice is served once. A
            model is named after the folder of its versions, or after its run.
        host: Address to listen at; `"0.0.0.0"` means all of the machine's.
        port: Port of REST, from 0 to 65535; 0 is any free port, for the others, too.
        grpc_port: Port of gRPC.
        metrics_port: Port of the metrics for Prometheus, at `/metrics`.
        runtime: `"tensorflow"`, `"onnx"`, or `"auto"`: ONNX Runtime where it is installed and
            the version has its files, and else TensorFlow. ONNX has no `generate`; `"auto"`
            loads TensorFlow for it at the first such request.
        workers: Processes that run the models, each with all of them; 0 runs them in this one.
        max_batch_size: Largest number of requests that are answered together; 0 or 1 for none.
        max_batch_time: Seconds that a request waits for others, if there are some at that time.
        max_request_bytes: Largest body of a request in bytes. No answer is larger either, as
            raw numbers: a request may have as many samples as fit.
        name: Another name for the model, where there is one only.
        reload: Serve new versions as they appear. With workers, nothing is loaded again.
        allow_model_control: Let every client load and unload models, by the model repository
            extension of the protocol.

    Raises:
        FileNotFoundError: There is nothing at a path.
        ModuleNotFoundError: MLServer or the runtime is not installed.
        OSError: A port is taken.
        ValueError: There is no model at a path, it cannot be loaded, or an argument does not
            fit.
    """
    _check(runtime, workers, max_batch_size, max_batch_time, max_request_bytes)
    several = _several(paths)
    if not several:
        raise ValueError("paths must name a model, or several. Received: paths=[]")
    sources = _sources.find(several, name)
    ports = {"port": port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    _check_ports(host, ports)
    port, grpc_port, metrics_port = _chosen_ports(host, ports)

    from mlserver import Settings

    from kerasae.serving._repository import Repository

    batched = max_batch_size > 1 and max_batch_time > 0
    # MLServer makes folders for environments and metrics, by default in the working directory.
    scratch = tempfile.mkdtemp(prefix="kerasae-serve-")
    try:
        arguments: dict[str, Any] = {
            "sources": sources,
            "runtime": runtime,
            "workers": workers,
            "extra": {
                "max_batch_size": max_batch_size if batched else 0,
                "max_batch_time": max_batch_time if batched else 0.0,
                "max_request_bytes": max_request_bytes,
            },
        }
        repository = Repository(scratch, **arguments)
        # Before the server is there, so that what cannot be loaded is said in a sentence. Worker
        # processes load for themselves.
        load = repository.describe if workers else repository.newest
        models = [settings for source in sources for settings in load(source)]
        settings = Settings(
            host=host, http_port=port, grpc_port=grpc_port, metrics_port=metrics_port,
            debug=False, server_name="kerasae", grpc_max_message_length=max_request_bytes,
            parallel_workers=workers, environments_dir=scratch, metrics_dir=scratch,
            model_repository_implementation=Repository, model_repository_root=scratch,
            model_repository_implementation_args=arguments,
        )  # fmt: skip
        options = {"reload": reload and workers == 0, "control": allow_model_control}
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(settings, sources, models, repository, options))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _run(
    settings: Any,
    sources: list[_sources.Source],
    models: Any,
    repository: Any,
    options: dict[str, bool],
) -> None:
    from kerasae.serving._server import Server

    await Server(settings, sources, **options).run(models, repository)


def _several(paths: Any) -> list[Path]:
    found = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found = list(found) if isinstance(found, Iterable) else [found]
    if not all(isinstance(path, (str, os.PathLike)) for path in found):
        raise ValueError(f"paths must be a path, or several. Received: paths={paths!r}")
    return [Path(path) for path in found]


def _loop_factory() -> Any:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _check(
    runtime: str, workers: int, batch_size: int, batch_time: float, request_bytes: int
) -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'Serving needs {" and ".join(missing)}; try: pip install "kerasae[serve]". '
            f"Received: no {missing[0]}"
        )
    if runtime not in _sources.RUNTIME_NAMES:
        raise ValueError(
            f"runtime must be {' or '.join(map(repr, _sources.RUNTIME_NAMES))}. "
            f"Received: runtime={runtime!r}"
        )
    for name, value, least in (
        ("workers", workers, 0),
        ("max_batch_size", batch_size, 0),
        ("max_batch_time", batch_time, 0),
        ("max_request_bytes", request_bytes, 1),
    ):
        if not math.isfinite(value) or value < least:
            raise ValueError(f"{name} must be {least} or more. Received: {name}={value!r}")


def _check_ports(host: str, ports: dict[str, int]) -> None:
    """Raise if a port is none or taken; MLServer would end without a sentence."""
    for name, port in ports.items():
        if not 0 <= port <= 65535:
            raise ValueError(f"{name} must be from 0 to 65535. Received: {name}={port}")
    given = [port for port in ports.values() if port]
    if len(set(given)) < len(given):
        raise ValueError(f"The ports must differ. Received: {_listed(ports.items())}")
    for name, port in ports.items():
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, OverflowError) as error:
            raise OSError(
                f"The server cannot listen there: {error}. "
                f"Received: {_listed([('host', host), (name, port)])}"
            ) from error


def _chosen_ports(host: str, ports: dict[str, int]) -> list[int]:
    """Return the ports, with a free one for each 0: what listens must be known beforehand."""
    with contextlib.ExitStack() as stack:
        chosen = []
        for port in ports.values():
            if not port:
                family, kind, _, _, address = socket.getaddrinfo(
                    host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )[0]
                probe = stack.enter_context(socket.socket(family, kind))
                probe.bind(address)
                port = probe.getsockname()[1]
            chosen.append(port)
        return chosen


def _listed(arguments: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments)
