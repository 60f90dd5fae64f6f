"""Cost of an answer over the network: `kerasae serve` next to the plain call in Python.

A dense model of 28x28 images, one image in a request; `kerasae serve` with TensorFlow and with
ONNX Runtime, over REST (JSON) and gRPC (raw contents). MLServer does not take the binary tensors
of REST. Clients wait for an answer before they ask again. All take turns, on the same machine as
the servers; medians over the repeats.

    python benchmarks/serving.py [--repeats 5] [--seconds 2] [--clients 1 4 16] [--batch-size 32]
    python benchmarks/serving.py --soak 10 [--runtime onnx]    # mixed with bad requests; memory

The memory is the resident set of the server, from /proc.
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import numpy as np

from kerasae.serving import Served

SHAPE = (28, 28, 1)
RUNTIMES = ("tensorflow", "onnx")
Ask = Callable[[], Awaitable[None]]


def export(folder: Path) -> Path:
    """Export an untrained model, whose answers take as long as those of a trained one."""
    path = folder / "mnist"
    ae = kerasae.build("undercomplete", SHAPE, 32, input_dtype="uint8", hidden=(128, 64), seed=0)
    kerasae.export(ae, path, also=["onnx"], verify=False)
    return path


class Server:
    """`kerasae serve` in a process of its own.

    Args:
        model: Folder of the versions.
        runtime: `"tensorflow"` or `"onnx"`.
        options: More options of the command.
        log: File for what it says.
    """

    def __init__(self, model: Path, runtime: str, options: list[str], log: Path):
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.socket()) for _ in range(3)]
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            self.port, self.grpc_port, metrics_port = (p.getsockname()[1] for p in probes)
        command = [sys.executable, "-m", "kerasae", "serve", str(model), f"--runtime={runtime}"]
        command += [f"--port={self.port}", f"--grpc-port={self.grpc_port}"]
        command += [f"--metrics-port={metrics_port}", *options]
        self.name = model.name
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until the models are ready."""
        while "Ctrl-C stops" not in self.log.read_text():
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.1)

    def memory(self) -> float:
        """Return the resident set in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """Stop the server."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextlib.contextmanager
def serving(model: Path, runtimes: tuple[str, ...], options: list[str]) -> Iterator[list[Server]]:
    """Start a server for each runtime, and stop them in the end."""
    scratch = tempfile.TemporaryDirectory()
    logs = Path(scratch.name)
    servers = [Server(model, runtime, options, logs / runtime) for runtime in runtimes]
    try:
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.stop()
        scratch.cleanup()


def http_request(name: str, body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def json_body(x: np.ndarray) -> bytes:
    """Return the inference request for an array of samples."""
    data = {"name": "x", "shape": x.shape, "datatype": "UINT8", "data": x.ravel().tolist()}
    return json.dumps({"inputs": [data]}, separators=(",", ":")).encode()


class Rest:
    """A client that keeps its connection, and looks at the status alone.

    Args:
        server: Whom to ask.
        body: What to ask.
        expected: The status of the answer.
    """

    def __init__(self, server: Server, body: bytes, expected: int = 200):
        self._port = server.port
        self._request = http_request(server.name, body)
        self._expected = expected
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """Send a request and read the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        status = int(head.split()[1])
        if status != self._expected:
            raise RuntimeError(f"Status {status} instead of {self._expected}")

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()


class Grpc:
    """A client that sends bytes made once, and does not parse the answer.

    Args:
        server: Whom to ask.
        x: Samples.
        expected: Name of the status of the answer.
    """

    def __init__(self, server: Server, x: np.ndarray, expected: str = "OK"):
        from mlserver.grpc import dataplane_pb2 as messages

        request = messages.ModelInferRequest(
            model_name=server.name, raw_input_contents=[x.tobytes()]
        )
        request.inputs.add(name="x", datatype="UINT8", shape=x.shape)
        self._request = request.SerializeToString()
        self._address = f"127.0.0.1:{server.grpc_port}"
        self._expected = expected
        self._channel = None

    async def ask(self) -> None:
        """Send a request and wait for the answer."""
        import grpc

        if self._channel is None:
            # Clients of one process would otherwise share a connection.
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channel = grpc.aio.insecure_channel(self._address, options=options)
            self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        status = "OK"
        try:
            await self._infer(self._request)
        except grpc.aio.AioRpcError as error:
            status = error.code().name
        if status != self._expected:
            raise RuntimeError(f"Status {status} instead of {self._expected}")

    async def close(self) -> None:
        """Hang up."""
        if self._channel is not None:
            await self._channel.close()


async def load(clients: list[Rest | Grpc], seconds: float) -> tuple[list[float], float]:
    """Let the clients ask for a while; return the latencies and the requests per second."""
    latencies: list[float] = []

    async def drive(client: Rest | Grpc) -> None:
        await client.ask()
        while time.perf_counter() < end:
            start = time.perf_counter()
            await client.ask()
            latencies.append(time.perf_counter() - start)

    start = time.perf_counter()
    end = start + seconds
    await asyncio.gather(*map(drive, clients))
    rate = len(latencies) / (time.perf_counter() - start)
    for client in clients:
        await client.close()
    return latencies, rate


def plain(served: Served, x: np.ndarray, seconds: float) -> tuple[list[float], float]:
    """Return the same of calls in this process."""
    latencies: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        start = time.perf_counter()
        served.reconstruct(x)
        latencies.append(time.perf_counter() - start)
    return latencies, len(latencies) / (time.perf_counter() - begin)


def compare(model: Path, arguments: argparse.Namespace) -> None:
    """Let all ways to ask take turns, and print a table."""
    x = np.random.default_rng(0).integers(0, 256, (1, *SHAPE)).astype("uint8")
    body = json_body(x)
    models = {runtime: Served(model, runtime) for runtime in RUNTIMES}
    # The garbage collector would stop the clients for what TensorFlow has made.
    gc.collect()
    gc.freeze()
    rows: dict[tuple[str, str, int], list[tuple[float, float, float]]] = {}
    options = ["--max-batch-size", str(arguments.batch_size)]
    options += ["--max-batch-time", str(arguments.batch_time)]
    with serving(model, RUNTIMES, options) as servers:
        before = [server.memory() for server in servers]
        for _ in range(arguments.repeats):
            for runtime, server in zip(RUNTIMES, servers, strict=True):
                models[runtime].reconstruct(x)
                results = {(runtime, "call", 1): plain(models[runtime], x, arguments.seconds)}
                for count in arguments.clients:
                    for way, make in (
                        ("REST, JSON", lambda s: Rest(s, body)),
                        ("gRPC", lambda s: Grpc(s, x)),
                    ):
                        clients = [make(server) for _ in range(count)]
                        results[runtime, way, count] = asyncio.run(load(clients, arguments.seconds))
                for key, (latencies, rate) in results.items():
                    p50, p99 = np.percentile(latencies, [50, 99])
                    rows.setdefault(key, []).append((1000 * p50, 1000 * p99, rate))
        after = [server.memory() for server in servers]
    print("| runtime | way | clients | p50, ms | p99, ms | requests per second |")
    print("|---|---|---|---|---|---|")
    for (runtime, way, count), values in sorted(rows.items()):
        p50, p99, rate = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {runtime} | {way} | {count} | {p50:.2f} | {p99:.2f} | {rate:,.0f} |")
    for runtime, first, last in zip(RUNTIMES, before, after, strict=True):
        print(f"\nMemory of the server with {runtime}: {first:.0f} MiB, then {last:.0f} MiB.")


async def abuse(server: Server, end: float, counts: dict[str, int]) -> None:
    """Send what is not a request, names that are not there, and hang up in the middle."""
    number = 0
    x = json_body(np.zeros((1, *SHAPE), "uint8"))
    bad = [(body, 422) for body in (b"", b"{", b"[]", b"\xff" * 1000, b"[" * 10_000)]
    bad += [(body, 400) for body in (b'{"inputs": []}', x.replace(b"UINT8", b"FP32"))]
    bad += [(json_body(np.zeros(shape, "uint8")), 400) for shape in ((1, 5), (0, *SHAPE))]
    while time.perf_counter() < end:
        number += 1
        await once(Rest(server, *bad[number % len(bad)]))
        await once(Grpc(server, np.zeros((1, 5), "uint8"), "INVALID_ARGUMENT"))
        # One name, since MLServer keeps counters for every name that is asked for.
        unknown = Rest(server, x, 404)
        unknown._request = http_request("unknown", x)
        await once(unknown)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(http_request(server.name, b" " * 100_000)[:50_000])
        await writer.drain()
        writer.close()
        counts["refused"] += 4
        if number % 100 == 0:
            await once(Rest(server, x + b" " * (33 * 2**20), 413))
        await asyncio.sleep(0.02)


async def once(client: Rest | Grpc) -> None:
    """Ask, and hang up."""
    await client.ask()
    await client.close()


async def soak(server: Server, minutes: float, every: float) -> None:
    """Ask for some minutes; print the memory over time, and how fast it grows in the end."""
    rng = np.random.default_rng(0)
    sizes = [1, 1, 3, 20]
    arrays = [rng.integers(0, 256, (n, *SHAPE)).astype("uint8") for n in sizes]
    clients = [*(Rest(server, json_body(x)) for x in arrays), *(Grpc(server, x) for x in arrays)]
    begin = time.perf_counter()
    end = begin + 60 * minutes
    counts = {"answered": 0, "refused": 0}

    async def drive(client: Rest | Grpc) -> None:
        while time.perf_counter() < end:
            await client.ask()
            counts["answered"] += 1

    async def look() -> list[tuple[float, float]]:
        seen = []
        print("| minutes | MiB | answered | refused |\n|---|---|---|---|")
        while True:
            passed = (time.perf_counter() - begin) / 60
            seen.append((passed, server.memory()))
            cells = f"{seen[-1][1]:.1f} | {counts['answered']:,} | {counts['refused']:,}"
            print(f"| {passed:.2f} | {cells} |", flush=True)
            if passed >= minutes:
                return seen
            await asyncio.sleep(min(every, max(0.05, end - time.perf_counter())))

    seen = (await asyncio.gather(look(), abuse(server, end, counts), *map(drive, clients)))[0]
    for client in clients:
        await client.close()
    # The first half fills caches and pools. Large bodies stay for a moment, so a median.
    half = [pair for pair in seen if pair[0] >= minutes / 2]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(half, 2)]
    slope = statistics.median(slopes) if slopes else float("nan")
    print(f"\nMemory in the second half: {slope:+.2f} MiB per minute, the median of all pairs.")


def main() -> None:
    """Compare the ways to ask, or soak a server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of every measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batch-size", type=int, default=32, help="as of kerasae serve")
    parser.add_argument("--batch-time", type=float, default=0.001, help="as of kerasae serve")
    parser.add_argument("--model", type=Path, help="folder of versions of 28x28x1 uint8 images")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="drive one server instead")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between looks; soak")
    parser.add_argument("--runtime", choices=RUNTIMES, default="onnx", help="for the soak")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model or export(Path(scratch))
        if arguments.soak is None:
            compare(model, arguments)
            return
        options = ["--max-batch-size", str(arguments.batch_size)]
        with serving(model, (arguments.runtime,), options) as (server,):
            asyncio.run(soak(server, arguments.soak, arguments.every))


if __name__ == "__main__":
    main()
