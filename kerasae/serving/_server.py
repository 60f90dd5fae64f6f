"""MLServer with our guards, which says when it is ready and looks for new versions."""

import asyncio
import contextlib
import gc
import logging
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from mlserver import MLServer, ModelSettings, Settings
from mlserver.errors import ModelNotFound
from mlserver.handlers import ModelRepositoryHandlers
from mlserver.logging import logger
from mlserver.metrics import server as metrics_server
from mlserver.rest import server as rest_server
from starlette.middleware import Middleware

from kerasae.serving import _guards
from kerasae.serving._repository import Repository
from kerasae.serving._sources import Source

# Seconds between two looks for new versions.
INTERVAL = 1.0
# Seconds that requests in flight have when the server stops.
GRACE = 30.0


class Server(MLServer):
    """MLServer over models of ours.

    Args:
        settings: Of MLServer; `model_repository_implementation` is our `Repository`.
        sources: The models.
        reload: Look for new versions.
        control: Let clients load and unload models.
    """

    def __init__(self, settings: Settings, sources: list[Source], reload: bool, control: bool):
        _leave_signals_to_mlserver()
        self._control = control
        super().__init__(settings)
        self._sources = sources
        self._reload = reload
        # The models that are announced; none is before they are known.
        self._names: set[str] = set()
        self._listening = asyncio.Event()
        self._stopped = asyncio.Event()
        self._ready = False

    def _create_servers(self) -> None:
        # The watch has its own; clients reach the others.
        repository = self._model_repository, self._model_registry
        self._handlers = ModelRepositoryHandlers(*repository)
        if not self._control:
            self._model_repository_handlers = _guards.ReadOnly(*repository)
        # MLServer is ready when all that it has is, which may be nothing.
        setattr(self._data_plane, "ready", self._all_ready)  # noqa: B010
        super()._create_servers()
        app = self._rest_server._app
        guard = Middleware(
            _guards.RequestGuard, limit=self._settings.grpc_max_message_length, known=self._known
        )
        app.user_middleware.append(guard)  # the innermost, so that metrics count what it refuses
        app.add_exception_handler(RequestValidationError, _guards.invalid)
        configured = self._rest_server._get_config

        def config() -> Any:
            made = configured()
            made.http = _guards.HalfOpen
            return made

        setattr(self._rest_server, "_get_config", config)  # noqa: B010
        self._grpc_server = _guards.GuardedGRPCServer(
            self._settings, self._data_plane, self._model_repository_handlers
        )
        self._grpc_server.known = self._known
        logging.getLogger("mlserver.grpc").addFilter(_guards.without_traceback)

    async def _known(self, name: str, version: str | None) -> bool:
        try:
            await self._model_registry.get_model(name, version)
        except ModelNotFound:
            return False
        return True

    async def _all_ready(self) -> bool:
        for name in self._names:
            if not (await self._known(name, None) and await self._data_plane.model_ready(name)):
                return False
        return bool(self._names)

    async def stop(self, sig: int | None = None) -> None:
        # What has not started yet cannot be stopped.
        await self._listening.wait()
        await super().stop(sig)
        self._stopped.set()

    async def run(self, models: list[ModelSettings], repository: Repository) -> None:
        """Serve until a signal.

        Args:
            models: What to serve.
            repository: Has loaded it.

        Raises:
            ValueError: A model cannot be loaded.
        """
        self._model_repository.take_over(repository)
        self._names = {model.name for model in models}
        serving = asyncio.create_task(self.start(models))
        tasks = [asyncio.create_task(self._announce(models, repository))]
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            # Requests in flight are answered; workers that were loading are not waited for.
            await asyncio.wait_for(serving, GRACE)
        except TimeoutError:
            logger.warning(f"Some requests were not answered within {GRACE:g} seconds.")
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, stopped, return_exceptions=True)
        if not self._ready:
            raise ValueError("The server stopped before it was ready; its log says why.")

    async def _announce(self, models: list[ModelSettings], repository: Repository) -> None:
        settings = self._settings
        for port in (settings.http_port, settings.grpc_port):
            while not await _listens(settings.host, port):
                await asyncio.sleep(0.05)
        self._listening.set()
        while not await self._all_ready():
            await asyncio.sleep(0.05)
        self._ready = True
        repository.held.clear()
        _settle()
        print(announcement(settings, models, repository.runtimes()), flush=True)
        if self._reload:
            await self._watch()

    async def _watch(self) -> None:
        """Serve new versions, and those that are left when the newest was taken away."""
        while True:
            await asyncio.sleep(INTERVAL)
            for source in self._sources:
                await self._look(source)

    async def _look(self, source: Source) -> None:
        try:
            await self._renew(source)
        except ValueError:
            pass  # No version at all: what is in memory goes on.
        except OSError as error:
            if self._model_repository.is_news(source.path, str(error)):
                logger.warning(f"New versions of {source.name} cannot be looked for: {error}")
        # A watch that ends would not see the next version.
        except Exception:
            logger.exception(f"The look for new versions of {source.name} failed.")

    async def _renew(self, source: Source) -> None:
        """Serve another version of a model if there is one to serve."""
        repository = self._model_repository
        before = repository.served[source.name]
        found = await asyncio.to_thread(repository.renewed, source)
        if found is None:
            return
        folder = Path(found[0].parameters.uri)
        switched = []
        try:
            for model in found:
                switched.append(model.name)
                await self._handlers.load(model.name)
        except Exception as error:
            repository.refuse(source, folder, error)
            await self._switch_back(switched, repository.keep(source, before))
            return
        finally:
            repository.done(source)
        logger.info(f"Version {folder.name} of {source.name} is served.")
        kept = {model.name for model in found}
        gone = {name for name in self._names if source.owns(name)} - kept
        self._names = (self._names - gone) | kept
        for name in gone:
            if await self._known(name, None):
                await self._handlers.unload(name)
        _settle()

    async def _switch_back(self, switched: list[str], old: list[ModelSettings]) -> None:
        """Serve the old version again under all names, after a switch that failed half-way."""
        had = {model.name for model in old}
        for name in switched:
            try:
                if name in had:
                    await self._handlers.load(name)
                elif await self._known(name, None):
                    await self._handlers.unload(name)
            # The other names can still go back.
            except Exception:
                logger.exception(f"{name} could not go back to the version before.")


def _settle() -> None:
    """Free what is gone, and spare the garbage collector what stays: it would stop all for it."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _leave_signals_to_mlserver() -> None:
    # MLServer overrides a method for this that uvicorn has had until 0.28. Since then every
    # signal would be taken up twice, and the requests in flight be dropped.
    for module in (metrics_server, rest_server):
        module._NoSignalServer.capture_signals = lambda self: contextlib.nullcontext()


def announcement(settings: Settings, models: list[ModelSettings], runtimes: dict[str, str]) -> str:
    """Return what is printed when all models are ready."""
    address = f"http://{_shown(settings.host)}:{settings.http_port}"
    lines = ["", "Ready. Models, each at /v2/models/NAME/infer:"]
    width = max(len(model.name) for model in models)
    for model in models:
        inputs = ", ".join(f"{t.name} {t.datatype} {t.shape}" for t in model.inputs)
        outputs = ", ".join(output.name for output in model.outputs)
        lines.append(f"  {model.name:<{width}}  {inputs} -> {outputs}")
    lines.append("")
    lines += [f"{name} runs on {runtime}." for name, runtime in runtimes.items()]
    lines += [
        "",
        f"  REST     {address}",
        f"  gRPC     {_shown(settings.host)}:{settings.grpc_port}",
        f"  metrics  http://{_shown(settings.host)}:{settings.metrics_port}/metrics",
        "",
    ]
    for model in models:
        if model.parameters.extra["endpoint"]["signature"] == "reconstruct":
            lines += [example(address, model), ""]
    return "\n".join([*lines, "Ctrl-C stops the server."])


def example(address: str, model: ModelSettings) -> str:
    """Return a command that asks a model for the reconstruction of zeros."""
    x = model.inputs[0]
    shape = [1, *x.shape[1:]]
    count = 1
    for size in shape:
        count *= size
    zeros = ", ".join(["0"] * count) if count <= 16 else f"$(printf '0,%.0s' $(seq {count - 1}))0"
    body = f'{{"inputs": [{{"name": "{x.name}", "shape": {shape}, "datatype": "{x.datatype}", '
    body = (body + f'"data": [{zeros}]}}]}}').replace('"', '\\"')
    return f'curl {address}/v2/models/{model.name}/infer -d "{body}"'


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # where one listens, but does not call
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_shown(host).strip("[]"), port)
    except OSError:
        return False
    writer.close()
    return True
