"""The configuration of nginx in the guide, in front of a server."""

import contextlib
import gzip
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlserver")
grpc = pytest.importorskip("grpc")
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None, reason="nginx or openssl is not installed"
)

from mlserver.grpc import dataplane_pb2 as pb  # noqa: E402
from mlserver.grpc import model_repository_pb2 as old  # noqa: E402
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub  # noqa: E402
from mlserver.grpc.model_repository_pb2_grpc import ModelRepositoryServiceStub  # noqa: E402

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "serving.md"
# What surrounds a server in /etc/nginx/nginx.conf, in a folder of the test.
AROUND = """
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


class Proxy:
    """nginx with the configuration of the guide, and a certificate of its own."""

    def __init__(self, folder, server):
        self.port = server.free_ports(1)[0]
        self.certificate = folder / "models.crt"
        key = folder / "models.key"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
        files = ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(
            [*command.split(), "subjectAltName=DNS:localhost", *files],
            check=True,
            capture_output=True,
        )
        [block] = re.findall(r"^```nginx\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S)
        for old_text, new_text in (
            ("listen 443", f"listen 127.0.0.1:{self.port}"),
            ("/etc/ssl/models.crt", str(self.certificate)),
            ("/etc/ssl/models.key", str(key)),
            ("127.0.0.1:8080", f"127.0.0.1:{server.port}"),
            ("127.0.0.1:8081", f"127.0.0.1:{server.grpc_port}"),
            ("client_max_body_size 32m", "client_max_body_size 200k"),
        ):
            assert old_text in block
            block = block.replace(old_text, new_text)
        user = "user root;" if os.getuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(AROUND.format(user=user, folder=folder, server=block))
        self.errors = folder / "errors"
        self.process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config)])
        end = time.monotonic() + 30
        while not self.answers():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)

    def answers(self):
        with contextlib.suppress(OSError):
            return self.call("GET", "/v2/health/ready")[0] == 200
        return False

    def call(self, method, path, body=None, headers=None):
        """Return the status and the body of an answer."""
        context = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def channel(self):
        credentials = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        return grpc.secure_channel(f"localhost:{self.port}", credentials)


@pytest.fixture(scope="module")
def proxy(start, digits, tmp_path_factory):
    server = start(digits[1], "--runtime", "onnx")
    proxy = Proxy(tmp_path_factory.mktemp("nginx"), server)
    yield proxy
    proxy.process.terminate()
    proxy.process.wait(30)


X = np.random.default_rng(3).integers(0, 256, (2, 8, 8, 1)).astype("uint8")
INFER = "/v2/models/digits-encode/infer"


def body_of(**changes):
    given = {"name": "x", "shape": X.shape, "datatype": "UINT8", "data": X.ravel().tolist()}
    return json.dumps({"inputs": [{**given, **changes}]}).encode()


def test_answers_rest_and_grpc(proxy, digits):
    expected = digits[0].encode(X)
    # curl -d names no JSON.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in (INFER, INFER.replace("/infer", "/versions/1/infer")):
        status, body = proxy.call("POST", path, body_of(), headers)
        assert status == 200, body
        found = np.reshape(json.loads(body)["outputs"][0]["data"], expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert proxy.call("POST", INFER, body_of(shape=[2, 64]))[0] == 400
    assert json.loads(proxy.call("GET", "/v2/models/digits")[1])["versions"] == ["1"]
    request = pb.ModelInferRequest(model_name="digits-encode", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="UINT8", shape=X.shape)
    with proxy.channel() as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    found = np.frombuffer(answer.raw_output_contents[0], "float32").reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_bounds_a_body_before_it_is_read(proxy):
    assert proxy.call("POST", INFER, b" " * 300_000)[0] == 413
    chunks = iter([b" " * 100_000] * 3)
    assert proxy.call("POST", INFER, chunks)[0] == 413  # chunked: no length is named
    packed = {"Content-Encoding": "gzip"}
    assert proxy.call("POST", INFER, gzip.compress(b" " * 10**8), packed)[0] == 415


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/models/digits/unload",
        "/v2/repository/models/digits/load",
        "/v2/repository/index",
        "/v2/models/../repository/models/digits/unload",
        "/v2/models/digits/%2e%2e/%2e%2e/repository/models/digits/unload",
        "//v2//repository/models/digits/unload",
        "/v2/models/other/infer",
        "/v2/models/digits/infer_stream",
        "/metrics",
    ],
)
def test_lets_nobody_control_the_models(proxy, path):
    assert proxy.call("POST", path, b"{}")[0] == 404
    assert proxy.call("GET", "/v2/models/digits/ready")[0] == 200


def test_lets_nobody_control_the_models_by_grpc(proxy):
    with proxy.channel() as channel:
        for stub, messages in (
            (GRPCInferenceServiceStub(channel), pb),
            (ModelRepositoryServiceStub(channel), old),
        ):
            for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
                request = getattr(messages, f"{name}Request")(model_name="digits-encode")
                with pytest.raises(grpc.RpcError) as raised:
                    getattr(stub, name)(request, timeout=30)
                assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert proxy.call("GET", "/v2/models/digits-encode/ready")[0] == 200
