"""The runtime for MLServer: a signature is one of its models, a folder of ours its repository."""

import asyncio
import dataclasses
import importlib.util
import multiprocessing
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from mlserver import MLModel, ModelSettings
from mlserver.batching import AdaptiveBatcher
from mlserver.errors import InferenceError, ModelNotFound
from mlserver.logging import logger
from mlserver.repository import ModelRepository
from mlserver.settings import ModelParameters
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataTensor,
    RequestInput,
    ResponseOutput,
)

from kerasae.serving import _sources, _tensors
from kerasae.serving.served import Served

Settings = list[ModelSettings]  # a method of the repository is named `list`
_loaded: weakref.WeakValueDictionary[tuple[str, str], Served] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def acquire(folder: Any, runtime: str) -> Served:
    """Return a version in memory; all signatures of it share one."""
    key = (str(folder), runtime)
    served = _loaded.get(key)
    if served is None:
        with _lock:
            served = _loaded.get(key)
            if served is None:
                served = _loaded[key] = Served(folder, runtime)
    return served


if multiprocessing.current_process().name != "MainProcess" and importlib.util.find_spec("uvloop"):
    # A worker process of MLServer, which asks for the current loop and, since uvloop 0.22, has
    # none. It reads this file with its settings, before it asks.
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(uvloop.new_event_loop())


class Signature(MLModel):
    """One signature of an exported model. Every request is checked before it joins a batch."""

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self._endpoint = _sources.Endpoint.of(extra["endpoint"])
        self._most: int = extra["max_request_bytes"]
        self._served = None if self._endpoint.lazy else self._acquire()
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
        served = self._served
        if served is None:
            served = self._served = await asyncio.to_thread(self._acquire)
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

    def _acquire(self) -> Served:
        return acquire(self._endpoint.folder, self._endpoint.runtime)

    def _check(self, served: Served, arrays: Mapping[str, np.ndarray]) -> None:
        inputs = self._inputs(arrays)
        served.check(self._endpoint.signature, inputs)
        if "n" in inputs:
            # The answer in JSON, at up to 20 characters a number, must not exhaust the memory.
            most = max(1, self._most // (20 * int(np.prod(served.sample_shape))))
            if inputs["n"] > most:
                raise ValueError(
                    f"n may be at most {most} in one request. Received: n={inputs['n']}"
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


class Repository(ModelRepository):
    """The newest versions of some models; MLServer asks it when it is told to load one again."""

    def __init__(
        self, root: str, sources: list[_sources.Source], runtime: str, extra: dict[str, Any]
    ):
        self._sources = sources
        self._runtime = runtime
        self._extra = extra
        self.held: dict[str, list[Served]] = {}

    def newest(self, source: _sources.Source) -> Settings:
        """Return what to serve of a model, loaded; the old version stays in memory until then.

        Raises:
            ValueError: It cannot be loaded.
        """
        found = _sources.endpoints(source, self._runtime)
        self.held[source.name] = [acquire(e.folder, e.runtime) for e in found if not e.lazy]
        return [self._settings(endpoint) for endpoint in found]

    def describe(self, source: _sources.Source) -> Settings:
        """Return what to serve of a model without loading it.

        Raises:
            ValueError: There is no version, or its card cannot be read.
        """
        return [self._settings(e) for e in _sources.endpoints(source, self._runtime)]

    async def list(self) -> Settings:
        found = []
        for source in self._sources:
            try:
                found += self.describe(source)
            except ValueError as error:
                logger.error(str(error))
        return found

    async def find(self, name: str) -> Settings:
        for source in self._sources:
            if not source.owns(name):
                continue
            try:
                # Here, because MLServer names a version its newest before it has loaded it.
                found = await asyncio.to_thread(self.newest, source)
            except (ValueError, OSError) as error:
                raise InferenceError(str(error)) from error
            chosen = [settings for settings in found if settings.name == name]
            if chosen:
                return chosen
        raise ModelNotFound(name)

    def _settings(self, endpoint: _sources.Endpoint) -> ModelSettings:
        return ModelSettings(
            name=endpoint.name,
            implementation=Signature,
            platform={"onnx": "onnx_onnxv1"}.get(endpoint.runtime, "tensorflow_savedmodel"),
            versions=[] if endpoint.version is None else [endpoint.version],
            inputs=[_metadata(tensor) for tensor in endpoint.inputs],
            outputs=[_metadata(tensor) for tensor in endpoint.outputs],
            parameters=ModelParameters(
                uri=str(endpoint.folder),
                version=endpoint.version,
                extra={**self._extra, "endpoint": dataclasses.asdict(endpoint)},
            ),
        )


def _metadata(tensor: _sources.Tensor) -> MetadataTensor:
    return MetadataTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))
