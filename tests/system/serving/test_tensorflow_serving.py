"""What TensorFlow Serving does with an exported model, and the guide to it.

Its binary cannot be had as a package. Its messages can, and so can its way of running a model: a
session that feeds and fetches the tensors named by the signatures.
"""

import concurrent.futures
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="export runs on the TensorFlow backend",
)

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving.apis")
import tensorflow as tf  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

import kerasae  # noqa: E402

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "tensorflow_serving.md"
tf1 = tf.compat.v1


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S)


class Refused(Exception):
    """An answer with a status of gRPC."""

    def __init__(self, status, details):
        super().__init__(details)
        self.status, self.details = status, details


class Servable:
    """One version, loaded as TensorFlow Serving loads it."""

    def __init__(self, folder):
        self.session = tf1.Session(graph=tf.Graph())
        self.signatures = tf1.saved_model.load(self.session, ["serve"], str(folder)).signature_def

    def signature(self, name):
        if (name or "serving_default") not in self.signatures:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"no signature {name!r}")
        return self.signatures[name or "serving_default"]

    def run(self, name, inputs, outputs=()):
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs) or not set(outputs) <= set(signature.outputs):
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{name!r} has other tensors")
        for key, value in inputs.items():
            if signature.inputs[key].dtype != tf.as_dtype(value.dtype).as_datatype_enum:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{key!r} is of another dtype")
        fetched = {key: signature.outputs[key].name for key in outputs or signature.outputs}
        fed = {signature.inputs[key].name: value for key, value in inputs.items()}
        try:
            return self.session.run(fetched, fed)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata over the versions of one model."""

    def __init__(self, name, base):
        self.name = name
        # Numbers alone are versions.
        numbers = [int(p.name) for p in base.iterdir() if p.name.isdecimal()]
        self.versions = {number: Servable(base / str(number)) for number in numbers}

    def servable(self, spec):
        wanted = spec.version.value if spec.HasField("version") else max(self.versions)
        if spec.name != self.name or wanted not in self.versions:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"no servable {spec.name} {wanted}")
        return wanted, self.versions[wanted]

    def Predict(self, request, context):
        spec = request.model_spec
        try:
            version, servable = self.servable(spec)
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            outputs = servable.run(spec.signature_name, inputs, request.output_filter)
        except Refused as refusal:
            context.abort(refusal.status, refusal.details)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        response.model_spec.signature_name = spec.signature_name or "serving_default"
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        version, servable = self.servable(request.model_spec)
        found = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(found)
        return response


def rest(servable, body):
    """Answer the JSON of a `:predict` request by the rules of TensorFlow Serving's REST."""
    signature = body.get("signature_name", "serving_default")
    infos = servable.signature(signature).inputs
    by_row = "instances" in body
    if not infos or by_row == ("inputs" in body):
        raise Refused(400, "no inputs, or neither or both of 'instances' and 'inputs'")
    values = body["instances" if by_row else "inputs"]
    named = isinstance(values[0], dict) if by_row else isinstance(values, dict)
    if not named and len(infos) > 1:
        raise Refused(400, "several inputs must be named")
    if not named:
        values = {next(iter(infos)): values}
    elif by_row:
        values = {name: [row[name] for row in values] for name in infos}
    tensors = {}
    for name, info in infos.items():
        tensors[name] = np.array(values[name], tf.as_dtype(info.dtype).as_numpy_dtype)
        whole = np.asarray(values[name]).dtype.kind in "iu"
        if tensors[name].dtype.kind in "iu" and not whole:
            raise Refused(400, f"{name!r} wants whole numbers")
    outputs = {k: v.tolist() for k, v in servable.run(signature, tensors).items()}
    if not by_row:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
    return {"predictions": rows if len(outputs) > 1 else [next(iter(row.values())) for row in rows]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder in which the guide's first block was run, with two versions of its model."""
    path = tmp_path_factory.mktemp("guide")
    before = os.getcwd()
    os.chdir(path)
    try:
        exec(blocks("python")[0].replace("epochs=20", "epochs=1"), {})
    finally:
        os.chdir(before)
    shutil.copytree(path / "models" / "digits" / "1", path / "models" / "digits" / "2")
    # A server looks while the next one is being written.
    (path / "models" / "digits" / ".incoming-0-1-2").mkdir()
    return path


@pytest.fixture(scope="module")
def service(base):
    return Service("digits", base / "models" / "digits")


@pytest.fixture(scope="module")
def address(service):
    """The address of a gRPC server with the service."""
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.fixture(scope="module")
def served(base):
    return kerasae.load(base / "models" / "digits")


def close(answer, expected):
    answer, expected = np.asarray(answer), np.asarray(expected)
    assert answer.dtype == expected.dtype
    scale = max(1, np.abs(expected.astype("f8")).max())
    np.testing.assert_allclose(
        answer.astype("f8"), expected.astype("f8"), rtol=0, atol=1e-5 * scale
    )


def test_the_client_in_the_guide_gets_the_answers_of_the_model(base, address, served, monkeypatch):
    monkeypatch.chdir(base)
    [code] = [block for block in blocks("python") if "prediction_service_pb2_grpc" in block]
    assert "localhost:8500" in code
    found = {}
    exec(code.replace("localhost:8500", address), found)
    try:
        x = np.load("images.npy")
        for name, judged in (
            ("judged", served.detect(x)),
            ("stricter", served.detect(x, false_alarm_rate=0.01)),
        ):
            assert set(found[name]) == {"anomaly_score", "p_value", "is_anomaly"}
            for output, values in judged.items():
                close(found[name][output], values)
        close(found["code"], served.encode(x))
        close(found["images"], served.reconstruct(x))
        close(found["new"], served.generate(4, seed=7))
        assert found["info"] == {k: served.info[k] for k in found["info"]}
        assert found["info"]["input_shape"] == [8, 8, 1]
        score = found["call"]("score", x=x)
        close(score["score"], served.score(x))
        close(score["feature_scores"], served.feature_scores(x))
        close(found["call"]("", x=x)["reconstruction"], served.reconstruct(x))
    finally:
        found["channel"].close()


def test_versions_outputs_and_metadata_are_chosen_in_the_request(base, address):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "digits"
    request.model_spec.signature_name = "score"
    images = np.load(base / "images.npy")
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(images))
    request.output_filter.append("score")
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request)
        assert (response.model_spec.version.value, [*response.outputs]) == (2, ["score"])
        request.model_spec.version.value = 1
        assert stub.Predict(request).model_spec.version.value == 1

        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = "digits"
        found = get_model_metadata_pb2.SignatureDefMap()
        assert stub.GetModelMetadata(asked).metadata["signature_def"].Unpack(found)
        assert {"serving_default", "detect", "generate"} <= set(found.signature_def)

        for wrong in (images.astype("float32"), images[..., 0], images[:, :7]):
            request.inputs["x"].CopyFrom(tf.make_tensor_proto(wrong))
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        request.model_spec.version.value = 3
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_version_folder_has_what_a_server_needs(base, service):
    assert sorted(service.versions) == [1, 2]
    for name, signature in service.versions[1].signatures.items():
        if name.startswith("__"):
            continue
        assert signature.method_name == "tensorflow/serving/predict"
        assert (not signature.inputs) == (name == "info")
        scalars = {key for key, info in signature.inputs.items() if not info.tensor_shape.dim}
        for key, info in [*signature.inputs.items(), *signature.outputs.items()]:
            assert info.name.endswith(":0") or key in signature.outputs
            if key not in {*scalars, "seed", "info"}:
                assert info.tensor_shape.dim[0].size == -1, (name, key)
        # What cannot be joined with other requests, which the guide says.
        assert bool(scalars) == (name in ("detect_at_rate", "generate"))
    info = service.versions[1].run("info", {})["info"]
    assert json.loads(info)["latent_dim"] == 3


# Operations of the exports of all variants, networks and samplers; TensorFlow 2.12 has them all.
OLD = """
Abs AddV2 AssignVariableOp BiasAdd BitwiseOr Cast ConcatV2 Const Conv2D Conv2DBackpropInput
DisableCopyOnRead Einsum Exp ExpandDims Expm1 Fill Floor GatherV2 GreaterEqual Identity LeftShift
Less LessEqual Log Log1p LowerBound MatMul Maximum Mean MergeV2Checkpoints Minimum Mul Neg NoOp
Pack PartitionedCall Placeholder ReadVariableOp RealDiv Relu Reshape RestoreV2 SaveV2 Select
SelectV2 Shape ShardedFilename Sigmoid Square Squeeze StatefulPartitionedCall
StatelessRandomNormalV2 StatelessRandomUniformFullIntV2 StatelessRandomUniformV2
StaticRegexFullMatch StridedSlice StringJoin Sub Sum VarHandleOp ZerosLike
"""


def test_no_operation_is_newer_than_old_servers(base):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((base / "models" / "digits" / "1" / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert {node.op for node in nodes} <= set(OLD.split())
    assert graph.versions.min_consumer <= 12


def test_rest_requests_of_the_guide(base, service, served, monkeypatch):
    monkeypatch.chdir(base)
    servable = service.versions[2]
    bodies = [
        json.loads(b) for text in blocks("console") for b in re.findall(r"-d '(\{.*\})'", text)
    ]
    assert [body["signature_name"] for body in bodies] == ["decode", "generate"]
    decoded, generated = (rest(servable, body) for body in bodies)
    close(np.float32(decoded["predictions"]), served.decode([[0, 1, -1]]))
    close(np.float32(generated["outputs"]), served.generate(2, seed=7))

    [code] = [block for block in blocks("python") if "request.json" in block]
    found = {}
    exec(code, found)
    x = np.load("images.npy")
    judged = rest(servable, json.loads(Path("request.json").read_text()))["predictions"]
    for output, values in served.detect(x).items():
        close(np.array([row[output] for row in judged], values.dtype), values)
    stricter = rest(servable, found["columns"])["outputs"]
    for output, values in served.detect(x, false_alarm_rate=0.01).items():
        close(np.array(stricter[output], values.dtype), values)


def test_which_signatures_take_rows(base, service):
    servable = service.versions[2]
    x = np.load(base / "images.npy").tolist()
    inputs = {
        "reconstruct": x,
        "encode": x,
        "score": x,
        "detect": x,
        "decode": [[0.0, 1.0, -1.0]] * 3,
    }
    for signature, values in inputs.items():
        by_row = rest(servable, {"signature_name": signature, "instances": values})
        by_column = rest(servable, {"signature_name": signature, "inputs": values})
        assert len(by_row["predictions"]) == 3
        assert list(by_column) == ["outputs"]
    rated = [{"x": image, "false_alarm_rate": 0.1} for image in x]
    drawn = [{"n": 2, "seed": [7, 0]}]
    for signature, rows in (("detect_at_rate", rated), ("generate", drawn), ("info", [])):
        with pytest.raises(Refused):
            rest(servable, {"signature_name": signature, "instances": rows})
    with pytest.raises(Refused, match="whole numbers"):
        rest(servable, {"signature_name": "score", "instances": (np.array(x) * 1.0).tolist()})


def test_the_configuration_in_the_guide_is_one_of_the_server():
    models, batching = blocks("proto")
    config = text_format.Parse(models, model_server_config_pb2.ModelServerConfig())
    first, second = config.model_config_list.config
    assert (first.base_path, second.name) == ("/models/digits", "table")
    assert list(first.model_version_policy.specific.versions) == [1, 2]
    assert "max_batch_size { value: 128 }" in batching


def test_warm_up_requests_of_the_guide_are_answered(base, service, served, monkeypatch):
    monkeypatch.chdir(base)
    [code] = [block for block in blocks("python") if "tf_serving_warmup_requests" in block]
    exec(code, {})
    path = base / "models" / "digits" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        service.versions[1].run(request.model_spec.signature_name, inputs)
        seen.append(request.model_spec.signature_name)
    assert seen == sorted({*served.signatures} - {"info", "serving_default"})
    assert kerasae.load(base / "models" / "digits" / "1").score(np.load("images.npy")).shape == (3,)


def test_what_saved_model_cli_shows_is_in_the_guide(base, capsys):
    from tensorflow.python.tools import saved_model_cli

    [shown] = [text for text in blocks("console") if "--signature_def detect_at_rate" in text]
    command, _, expected = shown.partition("\n")
    assert command.startswith("$ saved_model_cli show --dir models/digits/1 ")
    saved_model_cli._show_inputs_outputs(
        str(base / "models" / "digits" / "1"), "serve", "detect_at_rate"
    )
    assert capsys.readouterr().out.split() == expected.split()
