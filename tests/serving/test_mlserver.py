"""The runtime of MLServer: what it answers, what it refuses, and which requests share a call."""

import asyncio
import shutil

import numpy as np
import pytest

from kerasae.serving import Served

mlserver = pytest.importorskip("mlserver")

from mlserver.errors import MLServerError  # noqa: E402
from mlserver.types import InferenceRequest, RequestInput, RequestOutput  # noqa: E402

from kerasae.serving import endpoints  # noqa: E402
from kerasae.serving import mlserver as runtime  # noqa: E402

LIMIT = 200_000
DATATYPES = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}


@pytest.fixture
def folder(digits):
    return digits[1] / "1"


def images(n=2, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def tensor(name, array):
    array = np.asarray(array)
    return RequestInput(
        name=name,
        datatype=DATATYPES[array.dtype.name],
        shape=list(array.shape),
        data=array.ravel().tolist(),
    )


def x_of(**changes):
    given = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
    return RequestInput(**{**given, **changes})


def ask(folder, signature, *requests, **extra):
    """Return the answers of a signature to requests that come at the same time."""
    settings = mlserver.ModelSettings(
        name=f"digits-{signature}",
        implementation=runtime.Signature,
        parameters={
            "uri": str(folder),
            "version": "1",
            "extra": {"signature": signature, "max_request_bytes": LIMIT, **extra},
        },
    )

    async def asked():
        model = runtime.Signature(settings)
        assert await model.load()
        with mlserver.context.model_context(settings):
            answers = [model.predict(request) for request in requests]
            found = await asyncio.gather(*answers, return_exceptions=True)
        await model.unload()
        return found

    return asyncio.run(asked())


def infer(*inputs, **more):
    return InferenceRequest(inputs=list(inputs), **more)


def outputs(answer):
    if isinstance(answer, Exception):
        raise answer
    return {o.name: np.reshape(o.data.root, o.shape) for o in answer.outputs}


def test_answers_are_those_of_the_model(digits, folder):
    served, x = Served(folder), images(5)
    [answer] = ask(folder, "score", infer(tensor("x", x)))
    assert (answer.model_name, answer.model_version) == ("digits-score", "1")
    np.testing.assert_allclose(outputs(answer)["score"], served.score(x), rtol=1e-4)
    [answer] = ask(
        folder,
        "detect_at_rate",
        infer(tensor("x", x), tensor("false_alarm_rate", np.float32([0.2]))),
    )
    for name, expected in served.detect(x, false_alarm_rate=0.2).items():
        np.testing.assert_allclose(outputs(answer)[name], expected, rtol=1e-4)
    nested = RequestInput(name="x", datatype="UINT8", shape=list(x.shape), data=x.tolist())
    [answer] = ask(folder, "score", infer(nested, outputs=[RequestOutput(name="score")]))
    assert list(outputs(answer)) == ["score"]


@pytest.mark.parametrize(("size", "calls"), [(4, 3), (0, 9)])
def test_requests_at_the_same_time_become_one_call(folder, monkeypatch, size, calls):
    seen = []
    call = Served.call

    def counted(self, signature, inputs, batch_size=1024):
        seen.append(len(inputs["x"]))
        return call(self, signature, inputs, batch_size)

    monkeypatch.setattr(Served, "call", counted)
    x = images(18, seed=0)
    # The first is alone and goes at once; the eight others make two batches. The bad ones, of
    # which one would fit if it was only counted, do not join.
    good = [infer(tensor("x", x[2 * i : 2 * i + 2])) for i in range(9)]
    bad = [infer(tensor("x", x[:, :4])), infer(x_of(shape=[1, 64]))]
    *answers, first, second = ask(
        folder, "reconstruct", *good, *bad, max_batch_size=size, max_batch_time=0.2
    )
    for refused in (first, second):
        assert isinstance(refused, mlserver.errors.InferenceError)
    assert (len(seen), sum(seen)) == (calls, 18)
    found = np.concatenate([outputs(answer)["reconstruction"] for answer in answers])
    monkeypatch.undo()
    np.testing.assert_allclose(found, Served(folder, "onnx").reconstruct(x), atol=1e-3)


def test_a_client_that_hangs_up_leaves_the_others_of_its_batch(folder):
    settings = mlserver.ModelSettings(
        name="digits",
        implementation=runtime.Signature,
        parameters={
            "uri": str(folder),
            "extra": {"signature": "encode", "max_batch_size": 8, "max_batch_time": 0.1},
        },
    )

    async def asked():
        model = runtime.Signature(settings)
        await model.load()
        with mlserver.context.model_context(settings):
            tasks = [asyncio.create_task(model.predict(infer(x_of()))) for _ in range(9)]
            await asyncio.sleep(0.01)
            for task in tasks[1::2]:
                task.cancel()
            return await asyncio.wait_for(asyncio.gather(*tasks[::2]), 30)

    for answer in asyncio.run(asked()):
        assert outputs(answer)["code"].shape == (1, 4)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (infer(), "'x'.*Received: no inputs"),
        (infer(x_of(), x_of()), "'x'.*Received: 'x' and 'x'"),
        (infer(x_of(name="y" * 100_000)), "'x'.*Received: 'yyy"),
        (infer(x_of(shape=[1, 64])), r"Received: x of shape \(1, 64\)"),
        (infer(x_of(shape=[64])), r"Received: x of shape \(64,\)"),
        (infer(x_of(shape=[2, 8, 8, 1])), "128.*Received: .* with 64 numbers"),
        (infer(x_of(shape=[-1, 8, 8, -1])), r"Received: x with 4 sizes, \[-1, 8, 8, -1\]"),
        (infer(x_of(shape=[2**60] * 1000)), "Received: x with 1000 sizes"),
        (infer(x_of(shape=[0, 8, 8, 1], data=[])), "Received: x of length 0"),
        (infer(x_of(datatype="FP32")), "UINT8.*Received: x of datatype FP32"),
        (infer(x_of(data=["0"] * 64)), "numbers.*Received: x"),
        (infer(x_of(data=[None] * 64)), "numbers.*Received: x"),
        (infer(x_of(data=[[0], [0, 0]])), "numbers.*Received: x"),
        (infer(x_of(data="AAAA")), "numbers.*Received: x"),
        (infer(x_of(data=[256] * 64)), "from 0 to 255.*Received: x"),
        (infer(x_of(data=[-1] * 64)), "from 0 to 255.*Received: x"),
        (infer(x_of(data=[0.5] * 64)), "from 0 to 255.*Received: x"),
        (infer(x_of(data=[1e300] * 64)), "from 0 to 255.*Received: x"),
        (infer(x_of(data=[2**63] * 64)), "from 0 to 255.*Received: x"),
        (infer(x_of(), outputs=[RequestOutput(name="codes")]), "'code'.*Received: .*'codes'"),
    ],
)
def test_a_bad_request_gets_400_and_a_sentence(folder, request_, sentence):
    [refused] = ask(folder, "encode", request_)
    with pytest.raises(mlserver.errors.InferenceError, match=sentence) as raised:
        raise refused
    assert raised.value.status_code == 400
    assert len(str(refused)) < 600


def test_codes_rates_and_counts_are_checked(folder):
    for value, received in ((np.nan, "nan"), (1e39, "inf")):
        code = RequestInput(name="code", datatype="FP32", shape=[1, 4], data=[0, 0, 0, value])
        [refused] = ask(folder, "decode", infer(code))
        assert refused.status_code == 400
        assert f"Received: {received}" in str(refused)
    for rate, received in (([2.0], "=2.0"), ([0.1, 0.2], "[2]")):
        given = tensor("false_alarm_rate", np.float32(rate))
        [refused] = ask(folder, "detect_at_rate", infer(tensor("x", images()), given))
        assert refused.status_code == 400
        assert "false_alarm_rate" in str(refused)
        assert received in str(refused)


@pytest.mark.parametrize("given", ["a", "!id ~", "x" * 256])
def test_an_id_is_taken(folder, given):
    [answer] = ask(folder, "encode", infer(x_of(), id=given))
    assert outputs(answer)["code"].shape == (1, 4)


@pytest.mark.parametrize(
    "given",
    ["\N{SNOWMAN}", "\xf6", "a\r\nb", "\0", "\x7f", " a", "a ", "x" * 257, "x" * 100_000],
    ids=lambda given: ascii(given)[:9],
)
def test_an_id_that_no_header_can_hold_is_refused(folder, given):
    [refused] = ask(folder, "encode", infer(x_of(), id=given))
    assert refused.status_code == 400
    assert "Received: id=" in str(refused)
    assert len(str(refused)) < 600


def test_an_answer_is_bounded_before_it_is_computed(folder, monkeypatch):
    """777 images of 256 bytes, and what is around them, are at most 200,000 bytes."""
    monkeypatch.setattr(Served, "call", lambda *_: pytest.fail("computed"))
    x = np.zeros((778, 8, 8, 1), "uint8")
    [refused] = ask(folder, "reconstruct", infer(tensor("x", x)))
    assert refused.status_code == 400
    assert "777" in str(refused)
    assert "Received: 778" in str(refused)
    monkeypatch.undo()
    [answer] = ask(folder, "reconstruct", infer(tensor("x", x[1:])))
    assert outputs(answer)["reconstruction"].shape == (777, 8, 8, 1)
    n, seed = tensor("n", np.int64([2**31 - 1])), tensor("seed", np.int64([0]))
    [refused] = ask(folder, "generate", infer(n, seed), runtime="auto")
    assert refused.status_code == 400
    assert "777" in str(refused)


def test_a_body_that_is_too_large_by_its_header_is_refused(folder):
    for size, expected in ((LIMIT, None), (LIMIT + 1, 413)):
        request = infer(x_of(), parameters={"headers": {"content-length": str(size)}})
        [answer] = ask(folder, "encode", request)
        assert getattr(answer, "status_code", None) == expected


def test_tensorflow_is_loaded_once_and_at_the_first_request_for_it(folder, monkeypatch):
    n, seed = tensor("n", np.int64([3])), tensor("seed", np.int64([2**40 + 7]))
    calls, acquire = [], endpoints.acquire
    monkeypatch.setattr(endpoints, "acquire", lambda *given: calls.append(given) or acquire(*given))
    answers = ask(folder, "generate", *[infer(n, seed)] * 6)
    assert len(calls) == 1
    expected = Served(folder).generate(3, 2**40 + 7)
    for answer in answers:
        np.testing.assert_allclose(outputs(answer)["samples"], expected, atol=1e-3)


def test_what_is_loaded_late_and_is_bad_has_a_sentence(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff")
    request = infer(tensor("n", np.int64([1])), tensor("seed", np.int64([1])))
    [refused] = ask(tmp_path / "1", "generate", request)
    assert isinstance(refused, MLServerError)
    assert refused.status_code == 500
    assert "digits-generate" in str(refused)


def test_a_signature_that_the_version_lacks_is_refused(digits, tmp_path, monkeypatch):
    """Its card may name more than there is."""
    folder = shutil.copytree(digits[1] / "1", tmp_path / "1")

    class Less(Served):
        def __init__(self, *given):
            super().__init__(*given)
            self.signatures.remove("detect")

    monkeypatch.setattr("kerasae.serving.endpoints.Served", Less)
    ask(folder, "encode", infer(x_of()), runtime="tensorflow")
    with pytest.raises(ValueError, match=r"'detect'.*Received: path="):
        ask(folder, "detect", infer(x_of()), runtime="tensorflow")
    with pytest.raises(ValueError, match=r"'encode'.*Received: .*'other'"):
        ask(folder, "other", infer(x_of()))
