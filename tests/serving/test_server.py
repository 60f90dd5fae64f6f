"""What `serve` refuses before anything listens."""

import importlib.util
import socket

import pytest

pytest.importorskip("mlserver")

from kerasae import serving


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"runtime": "onx"}, ValueError, "runtime.*Received: runtime='onx'"),
        ({"workers": -1}, ValueError, "Received: workers=-1"),
        ({"max_batch_size": 2.5}, ValueError, "Received: max_batch_size=2.5"),
        ({"max_batch_time": float("nan")}, ValueError, "Received: max_batch_time=nan"),
        ({"max_request_bytes": 0}, ValueError, "Received: max_request_bytes=0"),
        ({"grpc_port": 99999}, ValueError, "Received: grpc_port=99999"),
        ({"port": -1}, ValueError, "Received: port=-1"),
        ({"host": "192.0.2.1"}, OSError, "Received: host='192.0.2.1'"),
        ({"host": "::1"}, ValueError, "Received: host='::1'"),
        ({"name": "a/b"}, ValueError, "Received: name='a/b'"),
    ],
)
def test_refuses_to_start(digits, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        serving.serve(digits[1], **arguments)


@pytest.mark.parametrize("paths", [None, 3, [None], b"models", []])
def test_refuses_what_is_no_path(paths):
    with pytest.raises(ValueError, match=r"paths .*Received: paths="):
        serving.serve(paths)


def test_refuses_ports_that_are_taken(digits):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"Received: host='127.0.0.1', port={port}"):
            serving.serve(digits[1], port=port)
    with pytest.raises(OSError, match=f"grpc_port={port}"):
        serving.serve(digits[1], port=port, grpc_port=port)


def test_refuses_a_model_that_cannot_be_loaded(tmp_path):
    (tmp_path / "1" / "onnx").mkdir(parents=True)
    with pytest.raises(ValueError, match="Received: path="):
        serving.serve(tmp_path, port=0, grpc_port=0, metrics_port=0)


def test_names_the_extra_that_is_missing(digits, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "kerasae\[serve\]"'):
        serving.serve(digits[1])
