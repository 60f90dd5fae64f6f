"""The runtime of MLServer: a signature of an exported model is one of its models.

`kerasae serve` configures it. By hand, a `model-settings.json` such as this one serves a
signature with `mlserver start`:

    {
        "name": "digits-score",
        "implementation": "kerasae.serving.mlserver.Signature",
        "parameters": {"uri": "/models/digits/1", "extra": {"signature": "score"}}
    }
"""

import asyncio
import importlib.util
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlserver import MLModel, ModelSettings
from mlserver.batching import AdaptiveBatcher
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

from kerasae.serving import endpoints, tensors
from kerasae.serving.served import Served

Answer = Callable[[dict[str, Any]], InferenceResponse]

# MLServer puts the id of a request into a header of its answer.
_ID = re.compile(r"(?=.{1,256}\Z)[!-~]([ -~]*[!-~])?")

# The signatures that MLServer has loaded in this process, by name.
loaded: dict[str, "Signature"] = {}

if multiprocessing.current_process().name != "MainProcess" and importlib.util.find_spec("uvloop"):
    # A worker process of MLServer 1.7 asks for the current event loop before it runs one, and
    # uvloop makes none for that since 0.22. It imports this module with its settings, before it
    # asks.
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(uvloop.new_event_loop())


class Signature(MLModel):
    """A signature of an exported model. Every request is checked before it joins a batch.

    Its parameters are `uri`, a version folder, and in `extra`: `signature`, and where they differ
    from these, `runtime` (`"auto"`), `max_request_bytes` (32 MiB), `max_batch_size` (0) and
    `max_batch_time` (0).
    """

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self._folder = Path(await get_model_uri(self.settings))
        self._limit: int = extra.get("max_request_bytes", 32 * 2**20)
        found = endpoints.read(self._folder, extra.get("runtime", "auto"))
        if extra.get("signature") not in found:
            raise ValueError(f"signature must be one of {list(found)}. Received: extra={extra}")
        self._endpoint = found[extra["signature"]]
        self.inputs, self.outputs = self._endpoint.inputs, self._endpoint.outputs
        self._served: Served | None = None
        self._late: asyncio.Task[Served] | None = None
        if not self._endpoint.lazy:
            self._served = endpoints.acquire(self._folder, self._endpoint)
        # MLServer's own batching would join what has not been checked yet, and one bad request
        # would spoil the answers to all others of its batch. So the batcher is in here.
        self._waiting = 0
        self._alone = self._together = _Checked(self.settings, self._run).predict
        size, time = extra.get("max_batch_size", 0), extra.get("max_batch_time", 0.0)
        if self._endpoint.batched and size > 1 and time > 0:
            sizes = {"max_batch_size": size, "max_batch_time": time}
            settings = self.settings.model_copy(update=sizes)
            self._together = AdaptiveBatcher(_Checked(settings, self._run)).predict
        loaded[self.name] = self
        return True

    async def unload(self) -> bool:
        if loaded.get(self.name) is self:
            del loaded[self.name]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        self._check_envelope(payload)
        served = self._served or await self._load_late()
        try:
            inputs = tensors.read(payload.inputs, self._endpoint.inputs, served.further_inputs)
            names = tensors.selected(payload.outputs, self._endpoint.outputs)
            checked = served.check(self._endpoint.signature, inputs)
            self._check_size(inputs)
        except ValueError as error:
            raise InferenceError(str(error)) from None
        if self._endpoint.batched:
            request = InferenceRequest(inputs=[tensors.packed(*item) for item in checked.items()])
            # A client that hangs up must not take its request out of a batch with others.
            response = await asyncio.shield(self._put(request))
        else:
            response = await asyncio.to_thread(self._run, inputs)
        outputs = {output.name: output for output in response.outputs}
        response.outputs = [outputs[name] for name in names]
        return response

    async def _put(self, request: InferenceRequest) -> InferenceResponse:
        self._waiting += 1
        try:
            # A request that is alone does not wait for others.
            answer = self._alone if self._waiting == 1 else self._together
            return await answer(request)
        finally:
            self._waiting -= 1

    def _run(self, inputs: dict[str, Any]) -> InferenceResponse:
        # The version that checked the request: a newer one has a `Signature` of its own.
        assert self._served is not None
        answers = self._served.call(self._endpoint.signature, inputs)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[tensors.answer(t, answers[t.name]) for t in self._endpoint.outputs],
        )

    async def _load_late(self) -> Served:
        # One task for all requests, which would otherwise wait in a thread each.
        if self._late is None:
            loading = asyncio.to_thread(endpoints.acquire, self._folder, self._endpoint)
            self._late = asyncio.create_task(loading)
        try:
            self._served = await asyncio.shield(self._late)
        except Exception as error:
            self._late = None
            raise MLServerError(f"{self.name} cannot be loaded: {error}", 500) from error
        return self._served

    def _check_envelope(self, payload: InferenceRequest) -> None:
        headers = (payload.parameters and payload.parameters.headers) or {}
        size = str(headers.get("content-length", ""))
        if size.isdecimal() and int(size) > self._limit:
            raise MLServerError(
                f"The body of a request may have at most {self._limit} bytes. Received: {size}", 413
            )
        if payload.id and not _ID.fullmatch(payload.id):
            raise InferenceError(
                "The id of a request must consist of at most 256 printable ASCII characters, "
                f"without spaces at its ends. Received: id={tensors.shown(payload.id)}"
            )

    def _check_size(self, inputs: dict[str, Any]) -> None:
        """Refuse a request whose answer would be too large, before it is computed."""
        samples = inputs["n"] if "n" in inputs else len(inputs[self._endpoint.inputs[0].name])
        most = self._endpoint.most(self._limit)
        if samples > most:
            raise ValueError(
                f"{self.name} answers at most {most} samples in one request, so that its answer "
                f"has at most {self._limit} bytes. Received: {samples} samples"
            )


class _Checked(MLModel):
    """Answers checked requests, several as one."""

    def __init__(self, settings: ModelSettings, answer: Answer):
        super().__init__(settings)
        self._answer = answer

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        arrays = {tensor.name: tensors.unpacked(tensor) for tensor in payload.inputs}
        # In a thread, so that a large batch does not keep all other requests waiting.
        return await asyncio.to_thread(self._answer, arrays)
