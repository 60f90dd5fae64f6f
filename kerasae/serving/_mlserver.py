"""The runtime for MLServer: a signature is one of its models, a folder of ours its repository."""

import asyncio
import importlib.util
import multiprocessing
import re
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel, ModelSettings
from mlserver.batching import AdaptiveBatcher
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    RequestInput,
    ResponseOutput,
)

from kerasae.serving import _sources, _tensors
from kerasae.serving.served import Served

# What fits into the header of an answer, where MLServer puts it.
_ID = re.compile(r"(?=.{1,256}\Z)[!-~]([ -~]*[!-~])?")
_loaded: weakref.WeakValueDictionary[tuple[str, str, int], Served] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def acquire(folder: Any, runtime: str) -> Served:
    """Return a version in memory; all signatures of it share one."""
    # Another version may have taken the place of one that has not been freed yet.
    key = (str(folder), runtime, Path(folder).stat().st_ctime_ns)
    served = _loaded.get(key)
    if served is None:
        with _lock:
            served = _loaded.get(key)
            if served is None:
                served = _loaded[key] = Served(folder, runtime)
    return served


def loaded(endpoint: _sources.Endpoint) -> Served:
    """Return the version of a signature in memory.

    Raises:
        ValueError: It cannot be loaded, or lacks the signature.
    """
    served = acquire(endpoint.folder, endpoint.runtime)
    if endpoint.signature not in served.signatures:
        raise ValueError(
            f"The version lacks the signature {endpoint.signature!r} that its card names. "
            f"Received: path={endpoint.folder!r}"
        )
    return served


if multiprocessing.current_process().name != "MainProcess" and importlib.util.find_spec("uvloop"):
    # A worker process of MLServer, which asks for the current loop and, since uvloop 0.22, has
    # none. It reads this file with its settings, before it asks.
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(uvloop.new_event_loop())


class TooLarge(MLServerError):
    """The answer to a request would be larger than the limit."""

    def __init__(self, text: str):
        super().__init__(text, 413)


class Signature(MLModel):
    """One signature of an exported model. Every request is checked before it joins a batch."""

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self._endpoint = _sources.Endpoint.of(extra["endpoint"])
        self._most: int = extra["max_request_bytes"]
        self._served = None if self._endpoint.lazy else loaded(self._endpoint)
        self._loading = asyncio.Lock()
        # MLServer would batch what has not been checked yet, and one bad request would spoil the
        # answers to all others of its batch. So what it batches is a model within this one.
        self._busy = 0
        self._alone = self._together = _Merged(self.settings, self._run).predict
        if self._endpoint.batched and extra["max_batch_size"]:
            sizes = {name: extra[name] for name in ("max_batch_size", "max_batch_time")}
            merged = _Merged(self.settings.model_copy(update=sizes), self._run)
            self._together = AdaptiveBatcher(merged).predict
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        endpoint = self._endpoint
        if payload.id and not _ID.fullmatch(payload.id):
            raise InferenceError(
                "The id of a request must be of at most 256 printable ASCII characters, without "
                "spaces at its ends. "
                f"Received: id={_tensors.shown(payload.id)}"
            )
        served = self._served
        if served is None:
            served = await asyncio.shield(self._late())
        try:
            arrays = _tensors.read(payload.inputs, endpoint.inputs)
            names = _tensors.selected(payload.outputs, endpoint.outputs)
            self._check(served, arrays)
        except ValueError as error:
            raise InferenceError(str(error)) from None
        inputs = [
            RequestInput(
                name=tensor.name,
                datatype=tensor.datatype,
                shape=list(arrays[tensor.name].shape),
                # Batches of bytes are put together fast; lists of numbers are not.
                data=arrays[tensor.name].tobytes(),
            )
            for tensor in endpoint.inputs
        ]
        # A client that hangs up must not take a request out of the batch that it is part of.
        response = await asyncio.shield(self._answered(InferenceRequest(inputs=inputs)))
        outputs = {output.name: output for output in response.outputs}
        response.outputs = [outputs[name] for name in names]
        return response

    async def _answered(self, request: InferenceRequest) -> InferenceResponse:
        self._busy += 1
        try:
            # Where there are no others, none are waited for.
            answer = self._alone if self._busy == 1 else self._together
            return await answer(request)
        finally:
            self._busy -= 1

    async def _late(self) -> Served:
        # Requests that wait for a lock of threads would take the threads of all others.
        async with self._loading:
            if self._served is None:
                try:
                    self._served = await asyncio.to_thread(loaded, self._endpoint)
                except Exception as error:
                    raise MLServerError(f"{self.name} cannot be loaded: {error}", 500) from error
            return self._served

    def _check(self, served: Served, arrays: Mapping[str, np.ndarray]) -> None:
        inputs = self._inputs(arrays)
        served.check(self._endpoint.signature, inputs)
        samples = inputs["n"] if "n" in inputs else len(arrays[self._endpoint.inputs[0].name])
        most = self._endpoint.most(self._most)
        if samples > most:
            if self._endpoint.signature == "generate" and most == _sources.MOST_MADE:
                raise TooLarge(
                    f"{self.name} makes at most {most} samples for one request; send several. "
                    f"Received: {samples} samples"
                )
            raise TooLarge(
                f"The answer of {self.name} to {most} samples fits into the limit of {self._most} "
                f"bytes; send so many in one request. Received: {samples} samples"
            )

    def _inputs(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        alone = {t.name for t in self._endpoint.inputs if t.shape == (1,)}
        return {
            name: _tensors.number(name, value) if name in alone else value
            for name, value in arrays.items()
        }

    def _run(self, payload: InferenceRequest) -> InferenceResponse:
        arrays = {
            tensor.name: np.frombuffer(tensor.data.root, _tensors.DTYPES[tensor.datatype]).reshape(
                tensor.shape
            )
            for tensor in payload.inputs
        }
        # This very version: a newer one may have taken over while the request waited.
        assert self._served is not None
        answers = self._served.call(self._endpoint.signature, self._inputs(arrays))
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                ResponseOutput(
                    name=tensor.name,
                    datatype=tensor.datatype,
                    shape=list(answers[tensor.name].shape),
                    data=answers[tensor.name].ravel().tolist(),
                )
                for tensor in self._endpoint.outputs
            ],
        )


class _Merged(MLModel):
    """Runs checked requests, several as one."""

    def __init__(self, settings: ModelSettings, run: Any):
        super().__init__(settings)
        self._run = run

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        # In a thread, so that a large batch does not keep all other requests waiting.
        return await asyncio.to_thread(self._run, payload)
