"""The version of a model that is served: the highest that can be loaded and fits its clients."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlserver import ModelSettings
from mlserver.errors import ModelNotFound
from mlserver.repository import ModelRepository
from mlserver.settings import ModelParameters

from kerasae.serving import endpoints
from kerasae.serving.endpoints import Endpoint
from kerasae.serving.mlserver import Signature
from kerasae.serving.served import Served
from kerasae.serving.sources import SUFFIXES, Source

Files = list[tuple[str, int, int, int]]
Settings = list[ModelSettings]

# MLServer's logger, whose handlers print it.
logger = logging.getLogger("mlserver")

# Files of a version that are checked for changes; an export has about twenty.
_MOST_FILES = 1000


@dataclass(frozen=True)
class Version:
    """A version that is served.

    Attributes:
        folder: Its folder.
        endpoints: Its signatures.
        settings: Those of the signatures, each of which is a model of MLServer.
        served: What keeps it in memory.
    """

    folder: Path
    endpoints: dict[str, Endpoint]
    settings: Settings
    served: list[Served]


class Model:
    """A model and the version of it that is served.

    Args:
        source: Where its versions are.
        runtime: `"tensorflow"`, `"onnx"` or `"auto"`.
        extra: Parameters of every signature, for the runtime class.
        load: Load versions in this process; otherwise only their cards are read.

    Raises:
        ValueError: No version can be loaded.
    """

    def __init__(self, source: Source, runtime: str, extra: dict[str, Any], load: bool = True):
        self.source = source
        self.version: Version | None = None
        self._extra = {**extra, "runtime": runtime}
        self._load = load
        # The files of the versions that were passed over, and of all at the last look.
        self._refused: dict[Path, Files] = {}
        self._looked: dict[Path, Files] = {}
        failed = self._choose(at_once=True)
        if self.version is None:
            raise next(iter(failed.values()))
        for folder, error in failed.items():
            self._log(folder, error)

    def renew(self, at_once: bool = False) -> bool:
        """Serve the highest version that can be served; say whether it is another one.

        A version is loaded once two looks have found its files the same, since it may still be
        copied. One that was passed over is tried again when a file in its folder has changed.

        Args:
            at_once: Load at the first look.
        """
        before = self.version
        for folder, error in self._choose(at_once).items():
            self._log(folder, error)
        return self.version is not before

    def settings(self) -> Settings:
        """Return the settings of the signatures of the version that is served."""
        return [] if self.version is None else self.version.settings

    def _choose(self, at_once: bool) -> dict[Path, Exception]:
        """Set `version`; return what is wrong with those above it that were tried now."""
        failed: dict[Path, Exception] = {}
        for folder in self.source.versions():
            if self.version is not None and folder == self.version.folder:
                break
            files = _files(folder)
            settled = at_once or self._looked.get(folder) == files
            self._looked[folder] = files
            if not settled or self._refused.get(folder) == files:
                continue
            try:
                self.version = self._read(folder)
                break
            except ImportError:
                raise
            # Whatever is wrong with this version, the next one may be good.
            except Exception as error:
                self._refused[folder] = files
                failed[folder] = error
        return failed

    def _read(self, folder: Path) -> Version:
        found = endpoints.read(folder, self._extra["runtime"])
        if not found:
            raise ValueError(f"It has none of the signatures. Received: path={str(folder)!r}")
        self._check_fit(found)
        ready = [endpoint for endpoint in found.values() if self._load and not endpoint.lazy]
        served = [endpoints.acquire(folder, endpoint) for endpoint in ready]
        settings = [self._signature(folder, endpoint) for endpoint in found.values()]
        return Version(folder, found, settings, served)

    def _signature(self, folder: Path, endpoint: Endpoint) -> ModelSettings:
        number = folder.name if folder.name.isdecimal() else None
        return ModelSettings(
            name=self.source.name + SUFFIXES[endpoint.signature],
            implementation=Signature,
            platform={"onnx": "onnx_onnxv1"}.get(endpoint.runtime, "tensorflow_savedmodel"),
            versions=[number] if number else [],
            inputs=endpoint.inputs,
            outputs=endpoint.outputs,
            parameters=ModelParameters(
                uri=str(folder),
                version=number,
                extra={**self._extra, "signature": endpoint.signature},
            ),
        )

    def _check_fit(self, found: dict[str, Endpoint]) -> None:
        """Raise if the clients of the present version could not call another one."""
        if self.version is None:
            return
        changed = [
            name
            for name, old in self.version.endpoints.items()
            if name in found
            and not (
                found[name].inputs == old.inputs
                and all(output in found[name].outputs for output in old.outputs)
            )
        ]
        lost = [name for name in self.version.endpoints if name not in found]
        # If the present version was taken away, there is no other choice than to go back.
        if changed or (lost and self.version.folder.is_dir()):
            wrong = f"another {changed[0]}" if changed else f"no {lost[0]}"
            raise _MisfitError(
                "it must have the signatures, inputs and outputs of the version that is served "
                f"now; a restart serves it all the same. Received: a version with {wrong}"
            )
        if lost:
            logger.warning(f"The version of {self.source.name} to go back to lacks {lost}.")

    def _log(self, folder: Path, error: Exception) -> None:
        text = "cannot be loaded, and another one is served"
        if isinstance(error, _MisfitError):
            text = "is not served"
        logger.error(f"Version {folder.name} of {self.source.name} {text}: {error}")


class Repository(ModelRepository):
    """The models as MLServer asks for them, when it is told to load one again.

    Args:
        root: Not used; MLServer gives it to every repository.
        models: The models.
        control: Whether a client that loads a model gets a new version at once.
    """

    def __init__(self, root: str, models: Iterable[Model], control: bool):
        self._models = list(models)
        self._control = control

    async def list(self) -> Settings:
        return [settings for model in self._models for settings in model.settings()]

    async def find(self, name: str) -> Settings:
        # Here, since MLServer names a version its newest before it has loaded it.
        for model in self._models:
            if self._control and name in model.source.names():
                await asyncio.to_thread(model.renew, at_once=True)
        found = [settings for settings in await self.list() if settings.name == name]
        if not found:
            raise ModelNotFound(name)
        return found


class _MisfitError(ValueError):
    """A version is another model than the one that clients are using."""


def _files(folder: Path) -> Files:
    """Return the names, sizes and times of the files in a folder."""
    found = []
    for path in itertools.islice(folder.rglob("*"), _MOST_FILES):
        with contextlib.suppress(OSError):  # gone since it was listed
            status = path.stat()
            # The times of folders are left out, since some file systems have none; the time of
            # change is in, since a copy may have the other time of what it replaces.
            if path.is_file():
                times = status.st_mtime_ns, status.st_ctime_ns
                found.append((str(path), status.st_size, *times))
    return sorted(found)
