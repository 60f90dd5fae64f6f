"""A server of a model in a process of its own."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest


class Server:
    """`kerasae serve` in a process, on ports that were free."""

    def __init__(self, log, *arguments):
        self.log = log
        self.port, self.grpc_port, self.metrics_port = free_ports(3)
        self.process = None
        ports = {"port": self.port, "grpc-port": self.grpc_port, "metrics-port": self.metrics_port}
        options = [f"--{name}={port}" for name, port in ports.items()]
        self.arguments = [*map(str, arguments), *options]

    def start(self, until="Ctrl-C stops the server."):
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kerasae", "serve", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
            )
        self.wait(until)
        return self

    def wait(self, text, seconds=120):
        end = time.monotonic() + seconds
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)

    def said(self):
        return self.log.read_text()

    def stop(self, sign=signal.SIGTERM):
        self.process.send_signal(sign)
        return self.process.wait(60)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def call(self, path, body=None, headers=None, port=None):
        """Return status and JSON of a GET, or of a POST if there is a body."""
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}", data, headers
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, read(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, read(error)

    def infer(self, model, *inputs, **more):
        return self.call(f"/v2/models/{model}/infer", {"inputs": list(inputs), **more})

    def outputs(self, model, *inputs, **more):
        """Return the arrays that a model answers with."""
        status, answer = self.infer(model, *inputs, **more)
        assert status == 200, answer
        dtypes = {"FP32": "float32", "BOOL": "bool"}
        return {
            o["name"]: np.array(o["data"], dtypes[o["datatype"]]).reshape(o["shape"])
            for o in answer["outputs"]
        }

    @staticmethod
    def tensor(name, array, datatype=None):
        datatypes = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64", "float64": "FP64"}
        array = np.asarray(array)
        return {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype or datatypes[array.dtype.name],
            "data": array.ravel().tolist(),
        }

    free_ports = staticmethod(lambda count: free_ports(count))


def read(response):
    text = response.read().decode()
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Start servers, and end them after the tests."""
    pytest.importorskip("mlserver")
    servers = []

    def started(*arguments, **more):
        server = Server(tmp_path_factory.mktemp("server") / "log", *arguments)
        servers.append(server)
        return server.start(**more)

    yield started
    for server in servers:
        server.kill()
