"""`kerasae serve` as a process: answers, metadata, health and metrics, and what it refuses."""

import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest

from kerasae.serving import Served

pytest.importorskip("mlserver")
grpc = pytest.importorskip("grpc")

from mlserver.grpc import dataplane_pb2 as pb  # noqa: E402
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub  # noqa: E402

SIGNATURES = ["", "-encode", "-decode", "-score", "-detect", "-detect-at-rate", "-generate"]


def images(n=5, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def close(answer, expected):
    assert answer.shape == expected.shape
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


@pytest.fixture(scope="module", params=["auto", "tensorflow"])
def server(request, start, digits):
    return start(digits[1], "--runtime", request.param)


@pytest.fixture(scope="module")
def onnx_server(start, digits):
    """A server that the tests of refusals share; it also answers everything they leave behind."""
    return start(digits[1], "--runtime", "onnx", "--max-request-bytes", 200_000)


def good(server, digits):
    x = images(2, seed=11)
    close(server.outputs("digits-encode", server.tensor("x", x))["code"], digits[0].encode(x))


def x_of(**changes):
    given = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
    return {"inputs": [{**given, **changes}]}


def grpc_request(model="digits-encode", datatype="UINT8", shape=(1, 8, 8, 1), raw=(bytes(64),)):
    made = pb.ModelInferRequest(model_name=model, raw_input_contents=raw)
    made.inputs.add(name="x", datatype=datatype, shape=shape)
    return made


@pytest.fixture
def stub(onnx_server):
    with grpc.insecure_channel(f"127.0.0.1:{onnx_server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def test_answers_equal_the_model_and_served(server, digits):
    ae, path = digits
    served, x = Served(path), images()
    given = server.tensor("x", x)
    close(server.outputs("digits", given)["reconstruction"], ae.reconstruct(x))
    close(server.outputs("digits", given)["reconstruction"], served.reconstruct(x))
    close(server.outputs("digits-encode", given)["code"], ae.encode(x))
    code = ae.encode(x)
    found = server.outputs("digits-decode", server.tensor("code", code))
    close(found["reconstruction"], ae.decode(code))
    found = server.outputs("digits-score", given)
    close(found["score"], ae.score(x))
    close(found["feature_scores"], served.feature_scores(x))
    rate = server.tensor("false_alarm_rate", np.float32([0.2]))
    found = server.outputs("digits-detect-at-rate", given, rate)
    for name, expected in ae.detect(x, false_alarm_rate=0.2).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, err_msg=name)
    inputs = [server.tensor("n", np.int64([3])), server.tensor("seed", np.int64([2**40 + 7]))]
    close(server.outputs("digits-generate", *inputs)["samples"], served.generate(3, 2**40 + 7))


def test_nested_data_and_chosen_outputs(server, digits):
    x = images(2)
    given = {"name": "x", "shape": [2, 8, 8, 1], "datatype": "UINT8", "data": x.tolist()}
    status, answer = server.infer("digits-score", given, outputs=[{"name": "score"}], id="mine")
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["score"]
    assert (answer["id"], answer["model_version"]) == ("mine", "1")
    close(np.float32(answer["outputs"][0]["data"]), digits[0].score(x))


def test_describes_its_models(server):
    status, found = server.call("/v2/models/digits-score")
    assert status == 200
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "x", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}]
    assert found["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [-1]},
        {"name": "feature_scores", "datatype": "FP32", "shape": [-1, 8, 8, 1]},
    ]
    assert server.call("/v2/models/digits/versions/1")[1]["name"] == "digits"
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"):
        assert server.call(path)[0] == 200
    assert server.call("/v2")[1]["name"] == "kerasae"
    index = server.call("/v2/repository/index", {})[1]
    assert {(m["name"], m["state"]) for m in index} == {(f"digits{s}", "READY") for s in SIGNATURES}


def test_counts_requests_for_prometheus(server):
    server.outputs("digits-encode", server.tensor("x", images(1)))
    status, text = server.call("/metrics", port=server.metrics_port)
    assert status == 200
    counted = re.search(
        r'^model_infer_request_success_total\{model="digits-encode".*\} (.*)$', text, re.M
    )
    assert float(counted[1]) >= 1


def test_500_requests_at_the_same_time_get_their_own_answers(server, digits):
    """Several are answered as one batch; sizes differ, and one in four is refused."""
    ae, x = digits[0], images(502, seed=8)
    expected, wrong = ae.encode(x), []
    # All are connected before the first is sent.
    barrier = threading.Barrier(500)

    def ask(i):
        n = 1 + i % 3
        given = server.tensor("x", x[i : i + n])
        if i % 4 == 3:
            given["data"] = given["data"][:-1]
        barrier.wait(60)
        status, answer = server.infer("digits-encode", given)
        if status != (400 if i % 4 == 3 else 200):
            wrong.append((i, status, answer))
        elif status == 200:
            code = np.reshape(answer["outputs"][0]["data"], (n, 4))
            wrong.extend([] if np.allclose(code, expected[i : i + n], atol=1e-4) else [i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_answers_grpc_clients(server, digits):
    x = images(3)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits"))
        assert metadata.inputs[0].datatype == "UINT8"
        assert list(metadata.inputs[0].shape) == [-1, 8, 8, 1]
        request = pb.ModelInferRequest(model_name="digits-encode")
        given = request.inputs.add(name="x", datatype="UINT8", shape=x.shape)
        given.contents.uint_contents.extend(x.ravel().tolist())
        answer = stub.ModelInfer(request)
        code = np.float32(answer.outputs[0].contents.fp32_contents)
        close(code.reshape(answer.outputs[0].shape), digits[0].encode(x))


# In a process of its own: its messages have the names of MLServer's.
TRITON = """
import sys
import numpy as np
import tritonclient.grpc, tritonclient.http

x = np.load(sys.argv[3])
for module, port, options in (
    (tritonclient.grpc, sys.argv[1], {}),
    (tritonclient.http, sys.argv[2], {"binary_data": False}),
):
    client = module.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_model_ready("digits-score")
    given = module.InferInput("x", x.shape, "UINT8")
    given.set_data_from_numpy(x, **options)
    wanted = [module.InferRequestedOutput("score", **options)]
    headers = {"Content-Type": "application/json"} if options else {}
    answer = client.infer("digits-score", [given], outputs=wanted, headers=headers)
    print(*answer.as_numpy("score"))
    client.close()
"""


def test_answers_the_clients_of_triton(server, digits, tmp_path):
    pytest.importorskip("tritonclient")
    x = images(3)
    np.save(tmp_path / "x.npy", x)
    arguments = [str(server.grpc_port), str(server.port), str(tmp_path / "x.npy")]
    command = [sys.executable, "-c", TRITON, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    for line in process.stdout.splitlines():
        close(np.float32(line.split()), digits[0].score(x))
    assert len(process.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        # These are MLServer's own: they are no requests of the protocol.
        (b"", 422, "detail"),
        (b"{", 422, "detail"),
        (b"\xff\xfe\x00", 422, "detail"),
        (b"[" * 100_000, 422, "detail"),
        (b"[]", 422, "detail"),
        (b"{}", 422, "inputs"),
        ({"inputs": [{"name": "x"}]}, 422, "shape"),
        (x_of(shape=[10**30]), 422, "shape"),
        (x_of(datatype="float"), 422, "datatype"),
        # And these are ours.
        ({"inputs": []}, 400, "Received: no inputs"),
        (x_of(shape=[1, 64]), 400, r"\(1, 64\)"),
        (x_of(data=[256] * 64), 400, "from 0 to 255"),
        (x_of(data=[0] * 200_000), 413, "at most 200000 bytes"),
    ],
)
def test_refuses_a_body(onnx_server, digits, body, status, sentence):
    found, answer = onnx_server.call("/v2/models/digits-encode/infer", body)
    assert found == status, answer
    assert re.search(sentence, json.dumps(answer)), answer
    good(onnx_server, digits)


@pytest.mark.parametrize("model", ["other", "digits/versions/7", "digits-generate"])
def test_says_which_model_is_not_there(onnx_server, model):
    """The last is left out, since ONNX has no random numbers and TensorFlow was not asked for."""
    path = f"/v2/models/{model}/infer"
    status, answer = onnx_server.call(path, x_of())
    assert status == 404
    assert re.search("Model .* not found", answer["error"])
    assert onnx_server.call(path.removesuffix("/infer"))[0] == 404


def test_takes_packed_bodies(onnx_server, digits):
    x = images(2)
    body = json.dumps({"inputs": [onnx_server.tensor("x", x)]}).encode()
    path, packed = "/v2/models/digits-encode/infer", {"Content-Encoding": "gzip"}
    status, answer = onnx_server.call(path, gzip.compress(body), packed)
    assert status == 200
    close(np.float32(answer["outputs"][0]["data"]).reshape(2, -1), digits[0].encode(x))
    for content in (gzip.compress(body)[:-9], body):
        assert onnx_server.call(path, content, packed)[0] == 400
    good(onnx_server, digits)


def test_survives_clients_that_hang_up(onnx_server, digits):
    body = json.dumps({"inputs": [onnx_server.tensor("x", images(20))]}).encode()
    head = http_head("digits-encode", body)
    for sent in (b"", head[:20], head, head + body[:50], head + body):
        with socket.create_connection(("127.0.0.1", onnx_server.port)) as client:
            client.sendall(sent)
    with socket.create_connection(("127.0.0.1", onnx_server.port)) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " in client.recv(100)
    good(onnx_server, digits)


def http_head(model, body):
    return (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (grpc_request(model="other"), CODE.NOT_FOUND),
        (grpc_request(raw=[]), CODE.INVALID_ARGUMENT),
        (grpc_request(shape=(1, 64)), CODE.INVALID_ARGUMENT),
        (grpc_request(shape=(0, 8, 8, 1), raw=[b""]), CODE.INVALID_ARGUMENT),
        (grpc_request(datatype="FP32", raw=[bytes(256)]), CODE.INVALID_ARGUMENT),
        (
            grpc_request(model="digits", shape=(778, 8, 8, 1), raw=[bytes(64 * 778)]),
            CODE.INVALID_ARGUMENT,
        ),
        (pb.ModelInferRequest(model_name="digits-encode"), CODE.INVALID_ARGUMENT),
        (grpc_request(shape=(4000, 8, 8, 1), raw=[bytes(256_000)]), CODE.RESOURCE_EXHAUSTED),
        # MLServer takes these for its own failure.
        (grpc_request(raw=[bytes(63), b""]), CODE.INTERNAL),
        (grpc_request(datatype="FLOAT"), CODE.INTERNAL),
    ],
)
def test_grpc_codes_of_bad_requests(stub, request_, code):
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(request_, timeout=30)
    assert raised.value.code() == code, raised.value.details()
    assert raised.value.details()
    assert stub.ModelInfer(grpc_request(), timeout=30).outputs[0].shape == [1, 4]


def test_a_grpc_client_that_hangs_up_leaves_the_others_of_its_batch(stub):
    for _ in range(20):
        calls = [stub.ModelInfer.future(grpc_request(), timeout=20) for _ in range(8)]
        for call in calls[::2]:
            call.cancel()
        for call in calls[1::2]:
            assert call.result().outputs[0].shape == [1, 4]


def test_listens_at_this_machine_alone_and_prints_a_call_that_works(onnx_server):
    said = onnx_server.said()
    assert f"REST     http://127.0.0.1:{onnx_server.port}" in said
    line = next(line for line in said.splitlines() if line.startswith("curl "))
    answer = subprocess.run(
        ["sh", "-c", line.replace("curl ", "curl -s ", 1)], capture_output=True, check=False
    )
    assert json.loads(answer.stdout)["outputs"][0]["name"] == "reconstruction"
    # An address of this machine that a server at 0.0.0.0 would answer at.
    for port in (onnx_server.port, onnx_server.grpc_port, onnx_server.metrics_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 1)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_requests_in_flight_be_answered(start, digits, sign):
    server = start(digits[1] / "1", "--name", "mine", "--runtime", "onnx", "--workers", 0)
    assert server.call("/v2/models/mine-encode")[1]["versions"] == ["1"]
    body = json.dumps(x_of()).encode()
    clients = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(20)]
    for client in clients:
        client.sendall(http_head("mine-encode", body) + body[:-10])
    time.sleep(0.5)
    server.process.send_signal(sign)
    time.sleep(1)
    for client in clients:
        client.sendall(body[-10:])
    answers = [b"".join(iter(lambda c=client: c.recv(65536), b"")) for client in clients]
    for client, answer in zip(clients, answers, strict=True):
        client.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"code"' in answer
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.said()
    assert [p.name for p in server.log.parent.iterdir()] == ["log"]
    assert [p.name for p in digits[1].iterdir()] == ["1"]


def test_a_signal_while_it_starts_ends_it(start, digits):
    server = start(digits[1], "--runtime", "onnx", until="HTTP server running")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) in (0, -signal.SIGTERM)


def test_recovers_after_kill(start, digits):
    server = start(digits[1], "--runtime", "onnx")
    good(server, digits)
    server.kill()
    server.start()
    good(server, digits)
    assert server.stop() == 0


def test_worker_processes_answer_too(start, digits):
    server = start(digits[1], "--workers", 1, "--runtime", "onnx")
    good(server, digits)
    status, answer = server.infer("digits-encode", server.tensor("x", images()[:, :4]))
    assert status == 400
    assert "must have shape" in answer["error"]
    assert server.stop() == 0


BY_HAND = {
    "name": "anomalies",
    "implementation": "kerasae.serving.mlserver.Signature",
    "parameters": {"uri": "", "extra": {"signature": "score", "runtime": "onnx"}},
}


def test_mlserver_starts_the_runtime_by_itself(digits, tmp_path, server):
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), server.free_ports(3), strict=True))
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    BY_HAND["parameters"]["uri"] = str(digits[1] / "1")
    (tmp_path / "model-settings.json").write_text(json.dumps(BY_HAND))
    x = images()
    url = f"http://127.0.0.1:{ports['http_port']}/v2/models/anomalies"
    body = json.dumps({"inputs": [server.tensor("x", x)]}).encode()
    command = [sys.executable, "-m", "mlserver.cli.main", "start", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        end = time.monotonic() + 60
        while not reached(f"{url}/ready"):
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.1)
        request = urllib.request.Request(f"{url}/infer", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
    finally:
        process.kill()
        process.wait()
    close(np.float32(answer["outputs"][0]["data"]), digits[0].score(x))


def reached(url):
    try:
        with urllib.request.urlopen(url) as response:
            return response.status == 200
    except OSError:
        return False
