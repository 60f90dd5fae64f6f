"""Requests at the same time become one call of the model; bad ones do not join."""

import asyncio

import numpy as np
import pytest

from kerasae.serving import Served, _sources

mlserver = pytest.importorskip("mlserver")


def request(x):
    from mlserver.types import InferenceRequest, RequestInput

    data = RequestInput(name="x", datatype="UINT8", shape=list(x.shape), data=x.ravel().tolist())
    return InferenceRequest(inputs=[data])


@pytest.mark.parametrize(("size", "calls"), [(4, 3), (0, 9)])
def test_puts_requests_together(digits, monkeypatch, size, calls):
    from kerasae.serving._repository import Repository

    seen = []
    call = Served.call

    def counted(self, signature, inputs, batch_size=1024):
        seen.append(len(inputs["x"]))
        return call(self, signature, inputs, batch_size)

    monkeypatch.setattr(Served, "call", counted)
    extra = {"max_batch_size": size, "max_batch_time": 0.2, "max_request_bytes": 10**6}
    repository = Repository("", _sources.find([digits[1]]), "onnx", extra)
    x = np.random.default_rng(0).integers(0, 256, (18, 8, 8, 1)).astype("uint8")

    async def ask():
        settings = next(s for s in repository.newest(repository._sources[0]) if s.name == "digits")
        model = settings.implementation(settings)
        await model.load()
        context = mlserver.context.model_context(settings)
        with context:
            # The first is alone, and goes at once; the eight others make two batches.
            answers = [model.predict(request(x[2 * i : 2 * i + 2])) for i in range(9)]
            bad = model.predict(request(x[:, :4]))
            return await asyncio.gather(*answers, bad, return_exceptions=True)

    *answers, refused = asyncio.run(ask())
    assert isinstance(refused, mlserver.errors.InferenceError)
    assert (len(seen), sum(seen)) == (calls, 18)
    found = np.concatenate([np.reshape(a.outputs[0].data.root, (2, 8, 8, 1)) for a in answers])
    expected = Served(digits[1], "onnx").reconstruct(x)
    np.testing.assert_allclose(found, expected, atol=1e-3)
