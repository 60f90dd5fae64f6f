"""What stands before MLServer's doors: limits and sentences where it would answer with 500."""

import asyncio
import logging
import math
import re
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
from fastapi.exceptions import RequestValidationError
from grpc import aio
from mlserver.errors import MLServerError
from mlserver.grpc import GRPCServer
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.interceptors import PromServerInterceptor
from mlserver.grpc.model_repository import ModelRepositoryServicer
from mlserver.grpc.model_repository_pb2_grpc import add_ModelRepositoryServiceServicer_to_server
from mlserver.grpc.servicers import InferenceServicer
from mlserver.grpc.utils import STATUS_CODE_MAPPING
from mlserver.handlers import ModelRepositoryHandlers
from mlserver.rest.responses import Response
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from kerasae.serving import _tensors

Known = Callable[[str, str | None], Awaitable[bool]]

_MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(/(?P<verb>\w+))?")
# Bytes of a number; none of our inputs is of BYTES.
_SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2,
    "INT32": 4, "INT64": 8, "FP16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
# What is refused is read and dropped up to this many times the limit, since many clients read no
# answer before they have sent everything.
_PATIENCE = 8
# Seconds that the body of a request has to arrive in.
BODY_SECONDS = 30.0
STATUS_CODE_MAPPING[413] = grpc.StatusCode.RESOURCE_EXHAUSTED
STATUS_CODE_MAPPING[403] = grpc.StatusCode.PERMISSION_DENIED
_NO_STREAMS = "These models do not stream; send single requests to infer"

_NO_CONTROL = (
    "Clients may not load or unload models here; kerasae serve --allow-model-control lets them."
)

_NO_BINARY = (
    "MLServer takes no binary tensors over REST; send the data as JSON (in tritonclient, "
    "binary_data=False), or raw contents over gRPC. Received: Inference-Header-Content-Length"
)


class RequestGuard:
    """ASGI middleware: requests of bounded size, to models that there are.

    Args:
        app: The application behind it.
        limit: Largest body in bytes, once it is unpacked.
        known: Says whether there is a model of a name and a version. (MLServer would keep
            counters for every name that is ever asked for.)
    """

    def __init__(self, app: Any, limit: int, known: Known):
        self._app = app
        self._limit = limit
        self._known = known

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        packing = headers.pop(b"content-encoding", b"identity").decode("latin-1")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        refused = await self._refused(path, packing)
        if not refused and b"inference-header-content-length" in headers:
            refused = 400, _NO_BINARY
        closing: dict[str, str] = {}
        body: bytes | None = b""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(receive, self._limit, keep=not refused)
        except TimeoutError:
            # Without this the server would go on waiting for the rest.
            closing = {"connection": "close"}
            refused = 408, f"The body of a request must arrive within {BODY_SECONDS:g} seconds."
        if not refused and packing != "identity":
            try:
                body = _unpacked(body, self._limit)
            except zlib.error as error:
                refused = 400, f"The body must be packed as its header says. Received: {error}"
        if body is None and not refused:
            refused = 413, f"The body of a request may have at most {self._limit} bytes."
        if refused:
            answer = Response({"error": refused[1]}, status_code=refused[0], headers=closing)
            return await answer(scope, receive, send)
        assert body is not None
        # All bodies of the protocol are JSON; `curl -d` alone says otherwise.
        headers |= {b"content-type": b"application/json", b"content-length": b"%d" % len(body)}
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return given.pop() if given else await receive()

        await self._app({**scope, "headers": list(headers.items())}, replay, send)

    async def _refused(self, path: str, packing: str) -> tuple[int, str] | None:
        """Return the status and the sentence for a request whose body does not matter."""
        if packing not in ("identity", "gzip", "deflate"):
            return 415, f"A body is packed by gzip or deflate. Received: {packing}"
        found = _MODEL.fullmatch(path)
        if found is None:
            return None
        name, version = urllib.parse.unquote(found["name"]), found["version"]
        if not await self._known(name, version):
            return 404, _unknown(name, version)
        if (found["verb"] or "").endswith("_stream"):
            return 400, f"{_NO_STREAMS}. Received: {path}"
        return None


class ReadOnly(ModelRepositoryHandlers):
    """What clients reach of the model repository, over REST and gRPC: its index."""

    async def load(self, name: str) -> bool:
        raise MLServerError(_NO_CONTROL, 403)

    async def unload(self, name: str) -> bool:
        raise MLServerError(_NO_CONTROL, 403)


class HalfOpen(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, for clients that close their direction once they have asked."""

    def eof_received(self) -> bool:
        cycle = getattr(self, "cycle", None)
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True


async def invalid(request: Any, error: RequestValidationError) -> Response:
    """Answer a body that is not a request of the protocol, with its own form of an error."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        text = f"The body must be JSON. Received: {first.get('ctx', {}).get('error', first['msg'])}"
    else:
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "payload"))
        text = f"The body must be an inference request: {where or 'the body'}: {first['msg']}"
    return Response({"error": text}, status_code=400)


class Servicer(InferenceServicer):
    """The servicer of MLServer, which takes what cannot be unpacked for its own failure."""

    known: Known

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        await self._check(request.model_name, request.model_version, context)
        misfit = _misfit(request)
        if misfit:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, misfit)
        # No model of ours has any, and MLServer stumbles over those it does not know.
        for message in (request, *request.inputs, *request.outputs):
            message.ClearField("parameters")
        return await super().ModelInfer(request, context)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        await self._check(request.name, request.version, context)
        return await super().ModelReady(request, context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        await self._check(request.name, request.version, context)
        return await super().ModelMetadata(request, context)

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{_NO_STREAMS}.")
        yield

    async def _check(self, name: str, version: str, context: Any) -> None:
        if not await self.known(name, version or None):
            await context.abort(grpc.StatusCode.NOT_FOUND, _unknown(name, version))


class GuardedGRPCServer(GRPCServer):
    """The gRPC server of MLServer with our servicer, alone on its port."""

    known: Known

    def _create_server(self) -> Any:
        servicer = Servicer(self._data_plane, self._model_repository_handlers)
        servicer.known = self.known
        # With so_reuseport two servers would share a port without a word.
        options = [*self._get_options(), ("grpc.so_reuseport", 0)]
        self._server = aio.server(
            interceptors=[PromServerInterceptor(enable_handling_time_histogram=True)],
            options=options,
        )
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        add_ModelRepositoryServiceServicer_to_server(
            ModelRepositoryServicer(self._model_repository_handlers), self._server
        )
        host = self._settings.host
        shown = f"[{host}]" if ":" in host else host  # IPv6
        self._server.add_insecure_port(f"{shown}:{self._settings.grpc_port}")
        return self._server


def without_traceback(record: logging.LogRecord) -> bool:
    """Log the mistakes of clients in a line; a filter of the logger `mlserver.grpc`."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, MLServerError) and error.status_code < 500:
        record.exc_info = None
    return True


def _unknown(name: str, version: str | None) -> str:
    more = f" with version {_tensors.shown(version)}" if version else ""
    return f"Model {_tensors.shown(name)}{more} not found"


async def _read(receive: Any, limit: int, keep: bool = True) -> bytes | None:
    """Return the body, None if it is too large; a client that hung up has sent what it sent."""
    chunks, size = [], 0
    while size <= _PATIENCE * limit:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        chunks.append(chunk)
        if size > limit or not keep:
            chunks.clear()
        if not message.get("more_body", False):
            break
    return None if size > limit else b"".join(chunks)


def _unpacked(body: bytes | None, limit: int) -> bytes | None:
    """Return the body as it was before it was packed, None if it is too large."""
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, as the body says
    unpacked = unpacker.decompress(body or b"", limit + 1)
    if len(unpacked) <= limit and not unpacker.eof and body is not None:
        raise zlib.error("a part of it")
    return unpacked if body is not None and len(unpacked) <= limit else None


def _misfit(request: Any) -> str | None:
    """Say what is wrong with the raw contents of a gRPC request."""
    for tensor in request.inputs:
        name = _tensors.shown(tensor.name)
        if tensor.datatype not in _SIZES:
            datatype = _tensors.shown(tensor.datatype)
            return f"Inputs are of numbers. Received: {name} of datatype {datatype}"
        wrong = _tensors.misshapen(tensor.name, tensor.shape)
        if wrong:
            return wrong
    raw = request.raw_input_contents
    waiting = [tensor for tensor in request.inputs if not tensor.contents.ListFields()]
    if raw and len(raw) != len(waiting):
        return f"Every input has its contents. Received: {len(raw)} for {len(waiting)} inputs"
    for tensor, content in zip(waiting, raw, strict=False):
        count = math.prod(tensor.shape)
        if len(content) != count * _SIZES[tensor.datatype]:
            name = _tensors.shown(tensor.name)
            return (
                f"{name} must hold as many numbers as its shape says, {count}. "
                f"Received: {len(content)} bytes of {tensor.datatype}"
            )
    return None
