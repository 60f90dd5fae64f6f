"""`kerasae serve` as a process: answers, metadata, health and metrics, and what it refuses."""

import asyncio
import gzip
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest

import kerasae
from kerasae.serving import Served

pytest.importorskip("mlserver")

SIGNATURES = ["", "-encode", "-decode", "-score", "-detect", "-detect-at-rate", "-generate"]


def images(n=5, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def close(answer, expected):
    assert answer.shape == expected.shape
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


@pytest.fixture(scope="module", params=["auto", "tensorflow"])
def server(request, start, digits):
    return start(digits[1], "--runtime", request.param, "--max-request-bytes", 200_000)


@pytest.fixture(scope="module")
def onnx_server(start, digits):
    """A server that the tests of refusals share; it also answers everything they leave behind."""
    return start(digits[1], "--runtime", "onnx", "--max-request-bytes", 200_000)


# Answers ----------------------------------------------------------------------------------


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


def test_detects_at_the_rate_asked_for(server, digits):
    x = np.concatenate([images(20, seed=1), np.zeros((2, 8, 8, 1), "uint8")])
    for rate, more in ((None, []), (0.2, [server.tensor("false_alarm_rate", np.float32([0.2]))])):
        model = "digits-detect" if rate is None else "digits-detect-at-rate"
        found = server.outputs(model, server.tensor("x", x), *more)
        for name, expected in digits[0].detect(x, false_alarm_rate=rate).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, err_msg=name)


def test_generates_as_served_does(server, digits):
    inputs = [server.tensor("n", np.int64([3])), server.tensor("seed", np.int64([2**40 + 7]))]
    found = server.outputs("digits-generate", *inputs)
    close(found["samples"], Served(digits[1]).generate(3, 2**40 + 7))


def test_nested_data_and_chosen_outputs(server, digits):
    x = images(2)
    given = {"name": "x", "shape": [2, 8, 8, 1], "datatype": "UINT8", "data": x.tolist()}
    status, answer = server.infer("digits-score", given, outputs=[{"name": "score"}], id="mine")
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["score"]
    assert (answer["id"], answer["model_version"]) == ("mine", "1")
    close(np.float32(answer["outputs"][0]["data"]), digits[0].score(x))


def test_metadata_has_the_exact_inputs_and_outputs(server):
    status, found = server.call("/v2/models/digits-score")
    assert status == 200
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "x", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}]
    assert found["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [-1]},
        {"name": "feature_scores", "datatype": "FP32", "shape": [-1, 8, 8, 1]},
    ]
    found = server.call("/v2/models/digits-detect-at-rate")[1]
    assert found["inputs"][1] == {"name": "false_alarm_rate", "datatype": "FP32", "shape": [1]}
    assert {o["name"]: o["datatype"] for o in found["outputs"]} == {
        "anomaly_score": "FP32", "p_value": "FP32", "is_anomaly": "BOOL",
    }  # fmt: skip
    assert server.call("/v2/models/digits/versions/1")[1]["name"] == "digits"


def test_is_live_and_ready_and_lists_its_models(server):
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"):
        assert server.call(path)[0] == 200
    assert server.call("/v2")[1]["name"] == "kerasae"
    index = server.call("/v2/repository/index", {})[1]
    assert {(m["name"], m["state"]) for m in index} == {(f"digits{s}", "READY") for s in SIGNATURES}


def test_counts_requests_for_prometheus(server):
    server.outputs("digits-encode", server.tensor("x", images(1)))
    status, text = server.call("/metrics", port=server.metrics_port)
    assert status == 200
    counted = [
        line for line in text.splitlines()
        if line.startswith("model_infer_request_success_total") and 'model="digits-encode"' in line
    ]  # fmt: skip
    assert float(counted[0].split()[-1]) >= 1


def test_requests_at_the_same_time_get_their_own_answers(server, digits):
    """Several are answered as one batch; sizes differ, and one in four is refused."""
    ae, x = digits[0], images(40, seed=8)
    expected, wrong = ae.encode(x), []

    def ask(i):
        n = 1 + i % 3
        for _ in range(10):
            given = server.tensor("x", x[i : i + n])
            if i % 4 == 3:
                given["data"] = given["data"][:-1]
                wrong.extend([] if server.infer("digits-encode", given)[0] == 400 else [i])
                continue
            found = server.outputs("digits-encode", given)["code"]
            wrong.extend([] if np.allclose(found, expected[i : i + n], atol=1e-4) else [i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_answers_grpc_clients(server, digits):
    grpc = pytest.importorskip("grpc")
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    x = images(3)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits"))
        assert (metadata.inputs[0].datatype, list(metadata.inputs[0].shape)) == (
            "UINT8", [-1, 8, 8, 1],
        )  # fmt: skip
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
    print(*client.infer("digits-score", [given], outputs=wanted).as_numpy("score"))
    client.close()
"""


def test_answers_the_clients_of_triton(server, digits, tmp_path):
    pytest.importorskip("tritonclient")
    x = images(3)
    np.save(tmp_path / "x.npy", x)
    ports = [str(server.grpc_port), str(server.port)]
    process = subprocess.run(
        [sys.executable, "-c", TRITON, *ports, str(tmp_path / "x.npy")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    for line in process.stdout.splitlines():
        close(np.float32(line.split()), digits[0].score(x))
    assert len(process.stdout.splitlines()) == 2


# What is refused --------------------------------------------------------------------------


def good(server, digits):
    x = images(2, seed=11)
    close(server.outputs("digits-encode", server.tensor("x", x))["code"], digits[0].encode(x))


def x_of(**changes):
    given = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
    return {"inputs": [{**given, **changes}]}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "must be"),
        (b"{", 400, "must be JSON"),
        (b"\xff\xfe\x00", 400, "must be JSON"),
        (b"[" * 100_000, 400, "must be JSON"),
        (b"[]", 400, "inference request"),
        (b"{}", 400, "inputs"),
        ({"inputs": 3}, 400, "inputs"),
        ({"inputs": []}, 400, "Received: inputs without 'x'"),
        ({"inputs": [{"name": "x"}]}, 400, "inputs.0.shape"),
        ({"inputs": 2 * x_of()["inputs"]}, 400, "Received: input 'x' twice"),
        (x_of(name="y"), 400, "The inputs must be 'x'.* Received: input 'y'"),
        (x_of(shape=[1, 64]), 400, r"must have shape \(samples, 8, 8, 1\).*\(1, 64\)"),
        (x_of(shape=[64]), 400, "must have shape"),
        (x_of(shape=[2, 8, 8, 1]), 400, r"as its shape says, 128\. Received:.* with 64 numbers"),
        (x_of(shape=[-1, 8, 8, -1]), 400, "0 or more"),
        (x_of(shape=[0, 8, 8, 1], data=[]), 400, "at least one sample"),
        (x_of(shape=[10**30]), 400, ""),
        (x_of(datatype="FP32"), 400, "must have datatype UINT8. Received: x of datatype FP32"),
        (x_of(datatype="float"), 400, "datatype"),
        (x_of(data=["0"] * 64), 400, "must be numbers"),
        (x_of(data=[None] * 64), 400, "must be numbers"),
        (x_of(data=[[0], [0, 0]]), 400, "must be numbers"),
        (x_of(data="AAAA"), 400, "must be numbers"),
        (x_of(data={"a": 1}), 400, "must be numbers"),
        (x_of(data=[256] * 64), 400, "whole numbers from 0 to 255"),
        (x_of(data=[-1] * 64), 400, "whole numbers from 0 to 255"),
        (x_of(data=[0.5] * 64), 400, "whole numbers from 0 to 255"),
        (x_of(data=[1e300] * 64), 400, "whole numbers from 0 to 255"),
        (x_of(data=[2**63] * 64), 400, "whole numbers from 0 to 255"),
        ({**x_of(), "outputs": [{"name": "codes"}]}, 400, "are 'code'. Received: .*'codes'"),
        (x_of(data=[0] * 200_000), 413, "at most 200000 bytes"),
    ],
)  # fmt: skip
def test_refuses_a_body(onnx_server, digits, body, status, sentence):
    found, answer = onnx_server.call("/v2/models/digits-encode/infer", body)
    assert found == status, answer
    assert set(answer) == {"error"}
    assert re.search(sentence, answer["error"]), answer["error"]
    good(onnx_server, digits)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"NaN", "must be JSON"),
        (b"Infinity", "must be JSON"),
        (b"1e39", r"must be finite as float32.* Received: inf"),
        (b"null", "must be numbers"),
    ],
)
def test_refuses_codes_that_are_not_finite(onnx_server, digits, data, sentence):
    head = b'{"inputs": [{"name": "code", "shape": [1, 4], "datatype": "FP32", "data": [0, 0, 0, '
    status, answer = onnx_server.call("/v2/models/digits-decode/infer", head + data + b"]}]}")
    assert status == 400
    assert re.search(sentence, answer["error"]), answer
    good(onnx_server, digits)


@pytest.mark.parametrize("model", ["other", "digits/versions/7", "digits-generate"])
def test_says_which_model_is_not_there(onnx_server, model):
    """The last is left out, since ONNX has no random numbers and TensorFlow was not asked for."""
    path = f"/v2/models/{model}/infer"
    status, answer = onnx_server.call(path, x_of())
    assert status == 404
    assert re.search("Model .* not found", answer["error"])
    assert onnx_server.call(path.removesuffix("/infer"))[0] == 404


IDS = ["\N{SNOWMAN}", "\xf6", "a\r\nb", "\0", "\x7f", " a", "a ", "x" * 257, "x" * 100_000]


@pytest.mark.parametrize(
    "given", ["a", "!id ~", "x" * 256, *IDS], ids=lambda given: ascii(given)[:9]
)
def test_ids_are_what_a_header_can_hold(onnx_server, given):
    body = {**x_of(), "id": given}
    status, answer = onnx_server.call("/v2/models/digits-encode/infer", body)
    if given in IDS:
        assert (status, set(answer)) == (400, {"error"})
        assert "at most 256 printable ASCII characters" in answer["error"]
        assert len(answer["error"]) < 600
    else:
        assert (status, answer["id"]) == (200, given)


def test_clients_may_not_load_or_unload(onnx_server, digits):
    for verb in ("load", "unload"):
        status, answer = onnx_server.call(f"/v2/repository/models/digits-encode/{verb}", b"")
        assert status == 403
        assert "--allow-model-control" in answer["error"]

    grpc = pytest.importorskip("grpc")
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc import model_repository_pb2 as older
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
    from mlserver.grpc.model_repository_pb2_grpc import ModelRepositoryServiceStub

    with grpc.insecure_channel(f"127.0.0.1:{onnx_server.grpc_port}") as channel:
        for stub, messages in (
            (GRPCInferenceServiceStub(channel), pb), (ModelRepositoryServiceStub(channel), older),
        ):  # fmt: skip
            for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
                request = getattr(messages, f"{name}Request")(model_name="digits-encode")
                with pytest.raises(grpc.RpcError, match="may not load or unload") as raised:
                    getattr(stub, name)(request, timeout=30)
                assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
            index = stub.RepositoryIndex(messages.RepositoryIndexRequest(), timeout=30)
            assert "digits-encode" in {model.name for model in index.models}
    good(onnx_server, digits)


def test_names_of_unknown_models_leave_no_counters(onnx_server):
    for i in range(3):
        assert onnx_server.call(f"/v2/models/unknown-{i}/infer", x_of())[0] == 404
    assert "unknown-" not in onnx_server.call("/metrics", port=onnx_server.metrics_port)[1]


def test_refuses_rates_counts_and_streams(server):
    rate = server.tensor("false_alarm_rate", np.float32([2]))
    status, answer = server.infer("digits-detect-at-rate", server.tensor("x", images()), rate)
    assert status == 400
    assert "between 0 and 1" in answer["error"]
    rate = server.tensor("false_alarm_rate", np.float32([0.1, 0.2]))
    status, answer = server.infer("digits-detect-at-rate", server.tensor("x", images()), rate)
    assert status == 400
    assert "must be one number" in answer["error"]
    seed = server.tensor("seed", np.int64([0]))
    for n, sentence in ((0, "whole number"), (2**31 - 1, "to 777 samples fits")):
        status, answer = server.infer("digits-generate", server.tensor("n", np.int64([n])), seed)
        assert status == (400 if n == 0 else 413)
        assert sentence in answer["error"]
    status, answer = server.call("/v2/models/digits/infer_stream", x_of())
    assert (status, "do not stream" in answer["error"]) == (400, True)


def test_an_answer_is_bounded_before_it_is_computed(onnx_server, digits):
    """777 images of 256 bytes, and what is around them, are at most 200000 bytes."""
    x = np.zeros((778, 8, 8, 1), "uint8")
    tensor = onnx_server.tensor
    status, answer = onnx_server.infer("digits", tensor("x", x))
    assert status == 413
    assert "to 777 samples fits" in answer["error"]
    assert "Received: 778 samples" in answer["error"]
    assert onnx_server.outputs("digits-encode", tensor("x", x))["code"].shape == (778, 4)
    assert len(onnx_server.outputs("digits", tensor("x", x[1:]))["reconstruction"]) == 777

    grpc = pytest.importorskip("grpc")
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    def request(n):
        made = pb.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(64 * n)])
        made.inputs.add(name="x", datatype="UINT8", shape=(n, 8, 8, 1))
        return made

    with grpc.insecure_channel(f"127.0.0.1:{onnx_server.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(request(777)).outputs[0].shape[0] == 777
        with pytest.raises(grpc.RpcError) as raised:
            stub.ModelInfer(request(778))
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "to 777 samples fits" in raised.value.details()


def test_answers_clients_that_close_their_direction(onnx_server):
    body = json.dumps(x_of()).encode()
    head = (
        f"POST /v2/models/digits-encode/infer HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", onnx_server.port), 30) as client:
        client.sendall(head + body)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"code"' in answer


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    from kerasae.serving import _guards

    monkeypatch.setattr(_guards, "BODY_SECONDS", 0.01)
    sent, given = [], [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive():
        return given.pop() if given else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def known(name, version):
        return True

    guard = _guards.RequestGuard(None, 100, known)
    path = "/v2/models/digits/infer"
    asyncio.run(
        guard({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    )
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"must arrive within 0.01 seconds" in sent[1]["body"]


def guarded(path, chunks, **scope):
    """Return the status of a POST to a model that there is not, and how many chunks are left."""
    from kerasae.serving import _guards

    sent = []
    given = [{"type": "http.request", "body": body, "more_body": True} for body in chunks]
    given.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return given.pop(0)

    async def send(message):
        sent.append(message)

    async def known(name, version):
        return False

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], **scope}
    asyncio.run(_guards.RequestGuard(None, 100, known)(scope, receive, send))
    return sent[0]["status"], len(given)


def test_what_is_refused_is_read_to_its_end():
    """Many clients read no answer before they have sent everything."""
    path = "/v2/models/other/infer"
    assert guarded(path, [b"x" * 60] * 10) == (404, 0)
    assert guarded(path, [b"x" * 60] * 100) == (404, 87)
    assert guarded("/prefix" + path, [], root_path="/prefix") == (404, 0)


def test_takes_packed_bodies_up_to_the_limit(onnx_server, digits):
    x = images(2)
    body = json.dumps({"inputs": [onnx_server.tensor("x", x)]}).encode()
    path = "/v2/models/digits-encode/infer"
    packed = {"Content-Encoding": "gzip"}
    status, answer = onnx_server.call(path, gzip.compress(body), packed)
    assert status == 200
    close(np.float32(answer["outputs"][0]["data"]).reshape(2, -1), digits[0].encode(x))
    for content, encoding, expected in (
        (gzip.compress(b" " * 10**7 + body), "gzip", 413),
        (gzip.compress(body)[:-9], "gzip", 400),
        (body, "gzip", 400),
        (body, "br", 415),
    ):
        status, answer = onnx_server.call(path, content, {"Content-Encoding": encoding})
        assert (status, set(answer)) == (expected, {"error"})
    good(onnx_server, digits)


def test_says_that_binary_tensors_are_for_grpc(onnx_server, digits):
    body = json.dumps(x_of()).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    status, answer = onnx_server.call("/v2/models/digits/infer", body + bytes(64), headers)
    assert (status, "binary_data=False" in answer["error"]) == (400, True)
    good(onnx_server, digits)


def test_survives_clients_that_hang_up(onnx_server, digits):
    body = json.dumps({"inputs": [onnx_server.tensor("x", images(20))]}).encode()
    head = (
        f"POST /v2/models/digits-encode/infer HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    for sent in (b"", head[:20], head, head + body[:50], head + body):
        with socket.create_connection(("127.0.0.1", onnx_server.port)) as client:
            client.sendall(sent)
    with socket.create_connection(("127.0.0.1", onnx_server.port)) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " in client.recv(100)
    good(onnx_server, digits)


def test_grpc_codes_of_bad_requests(onnx_server, digits):
    grpc = pytest.importorskip("grpc")
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    def request(model="digits-encode", datatype="UINT8", shape=(1, 8, 8, 1), raw=(bytes(64),)):
        made = pb.ModelInferRequest(model_name=model, raw_input_contents=raw)
        made.inputs.add(name="x", datatype=datatype, shape=shape)
        return made

    code = grpc.StatusCode

    def named(**fields):
        made = request()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    long = request()
    long.inputs[0].name = "x" * 100_000
    odd = request()
    odd.parameters["content_type"].int64_param = 3
    with grpc.insecure_channel(f"127.0.0.1:{onnx_server.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        for made, expected in (
            (request(model="other"), code.NOT_FOUND),
            (request(raw=[bytes(63)]), code.INVALID_ARGUMENT),
            (request(raw=[]), code.INVALID_ARGUMENT),
            (request(raw=[bytes(64)] * 2), code.INVALID_ARGUMENT),
            (request(shape=(1, 64)), code.INVALID_ARGUMENT),
            (request(shape=(-1, 64)), code.INVALID_ARGUMENT),
            (request(shape=(0, 8, 8, 1), raw=[]), code.INVALID_ARGUMENT),
            (request(datatype="FLOAT"), code.INVALID_ARGUMENT),
            (request(datatype="FP32", raw=[bytes(256)]), code.INVALID_ARGUMENT),
            (request(datatype="BYTES"), code.INVALID_ARGUMENT),
            (pb.ModelInferRequest(model_name="digits-encode"), code.INVALID_ARGUMENT),
            *((named(id=given), code.INVALID_ARGUMENT) for given in IDS),
            (named(model_name="x" * 100_000), code.NOT_FOUND),
            (named(model_version="\xf6" * 50_000), code.NOT_FOUND),
            (long, code.INVALID_ARGUMENT),
            (request(datatype="x" * 100_000), code.INVALID_ARGUMENT),
            (request(shape=[2**60] * 1000), code.INVALID_ARGUMENT),
            (request(shape=(4000, 8, 8, 1), raw=[bytes(256_000)]), code.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                stub.ModelInfer(made, timeout=30)
            assert raised.value.code() == expected, raised.value.details()
            assert raised.value.details()
            assert stub.ModelInfer(request(), timeout=30).outputs[0].shape == [1, 4]
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.ModelStreamInfer(iter([request()]), timeout=30))
        assert raised.value.code() == code.UNIMPLEMENTED
        for missing in (stub.ModelReady, stub.ModelMetadata):
            name = {
                stub.ModelReady: pb.ModelReadyRequest,
                stub.ModelMetadata: pb.ModelMetadataRequest,
            }
            with pytest.raises(grpc.RpcError) as raised:
                missing(name[missing](name="other" * 20_000))
            assert raised.value.code() == code.NOT_FOUND
        assert stub.ModelInfer(odd, timeout=30).outputs[0].shape == [1, 4]
        assert stub.ModelInfer(named(id="x" * 256), timeout=30).id == "x" * 256


def test_a_grpc_client_that_hangs_up_leaves_the_others_of_its_batch(onnx_server, digits):
    grpc = pytest.importorskip("grpc")
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    made = pb.ModelInferRequest(model_name="digits-encode", raw_input_contents=[bytes(64)])
    made.inputs.add(name="x", datatype="UINT8", shape=(1, 8, 8, 1))
    with grpc.insecure_channel(f"127.0.0.1:{onnx_server.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        for _ in range(20):
            calls = [stub.ModelInfer.future(made, timeout=20) for _ in range(8)]
            for call in calls[::2]:
                call.cancel()
            for call in calls[1::2]:
                assert call.result().outputs[0].shape == [1, 4]


# Start and stop ---------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(start, digits, sign):
    server = start(digits[1] / "1", "--name", "mine", "--runtime", "onnx")
    assert server.call("/v2/models/mine-encode")[1]["versions"] == ["1"]
    assert sorted(p.name for p in (digits[1]).iterdir()) == ["1"]
    assert [p.name for p in server.log.parent.iterdir()] == ["log"]
    assert server.stop(sign) == 0
    assert "Traceback" not in server.said()


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
        with (
            pytest.raises(OSError, match=r".+"),
            socket.create_connection(("127.0.0.2", port), 1),
        ):
            pass


def test_worker_processes_answer_too(start, digits):
    server = start(digits[1], "--workers", 1, "--runtime", "onnx")
    x = images()
    close(server.outputs("digits-encode", server.tensor("x", x))["code"], digits[0].encode(x))
    status, answer = server.infer("digits-encode", server.tensor("x", x[:, :4]))
    assert status == 400
    assert "must have shape" in answer["error"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"runtime": "onx"}, ValueError, "runtime must be 'auto' or 'tensorflow' or 'onnx'"),
        ({"workers": -1}, ValueError, "workers must be 0 or more. Received: workers=-1"),
        ({"max_batch_time": float("nan")}, ValueError, "max_batch_time must be 0 or more"),
        ({"grpc_port": 99999}, ValueError, "grpc_port must be from 0 to 65535. .*=99999"),
        ({"port": -1}, ValueError, "port must be from 0 to 65535. Received: port=-1"),
        ({"port": 9, "grpc_port": 9}, ValueError, "The ports must differ"),
        ({"host": "192.0.2.1"}, OSError, "cannot listen there.* host='192.0.2.1'"),
        ({"name": "a/b"}, ValueError, "must be of letters"),
    ],
)  # fmt: skip
def test_refuses_to_start(digits, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        kerasae.serving.serve(digits[1], **arguments)


def test_the_extra_is_named_where_a_part_of_it_is_missing(digits, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "grpc" else found(name)
    )
    with pytest.raises(
        ModuleNotFoundError, match=r'needs grpc; try: pip install "kerasae\[serve\]"'
    ):
        kerasae.serving.serve(digits[1])


def test_refuses_a_port_that_is_taken(digits, onnx_server):
    with pytest.raises(OSError, match=f"in use.* port={onnx_server.port}"):
        kerasae.serving.serve(digits[1], port=onnx_server.port)


def test_refuses_a_model_that_cannot_be_loaded(tmp_path):
    (tmp_path / "1" / "onnx").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"card of the model cannot be read"):
        kerasae.serving.serve(tmp_path)


def test_docs_of_the_protocol_are_there(onnx_server):
    with urllib.request.urlopen(f"http://127.0.0.1:{onnx_server.port}/v2/docs") as page:
        assert page.status == 200
