"""Which version of a model is served: the highest that can be loaded and fits its clients."""

import asyncio
import dataclasses
import itertools
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlserver import ModelSettings
from mlserver.errors import InferenceError, ModelNotFound
from mlserver.logging import logger
from mlserver.repository import ModelRepository
from mlserver.settings import ModelParameters
from mlserver.types import MetadataTensor

from kerasae.serving import _sources
from kerasae.serving._mlserver import Signature, loaded
from kerasae.serving._sources import Endpoint, Source
from kerasae.serving.served import Served

# A method of the repository is named `list`.
Settings = list[ModelSettings]
Endpoints = list[Endpoint]
Loaded = list[Served]
Failed = list[tuple[Path, int, Exception]]

# Files and folders of a version that are looked at for changes; an export has some twenty.
_MOST_FILES = 1000


class Repository(ModelRepository):
    """The versions of some models; MLServer asks it when it is told to load one again.

    Attributes:
        held: Keeps what is loaded in memory until it is served, by name of the model.
        served: What is served, by name of the model.
    """

    def __init__(
        self,
        root: str,
        sources: list[Source],
        runtime: str,
        extra: dict[str, Any],
        workers: int = 0,
    ):
        self.held: dict[str, Loaded] = {}
        self.served: dict[str, Endpoints] = {}
        self._sources = sources
        self._runtime = runtime
        self._extra = extra
        # Processes that load for themselves.
        self._workers = workers
        # Folders that were passed over, as they were then; all that were looked at; what was said.
        self._refused: dict[Path, int] = {}
        self._looked: dict[Path, int] = {}
        self._said: dict[Path, str] = {}
        # What MLServer is about to be told to load, by name of the model.
        self._next: dict[str, Settings] = {}

    def take_over(self, other: "Repository") -> None:
        """Go on from what another repository has loaded and passed over."""
        self.served, self._refused, self._said = other.served, other._refused, other._said

    def newest(self, source: Source) -> Settings:
        """Return what to serve of a model, loaded: the highest version that can be.

        Raises:
            ValueError: None can be loaded.
        """
        return self._first(source, lambda folder: self._loaded(source, folder))

    def describe(self, source: Source) -> Settings:
        """Return what to serve of a model without loading it.

        Raises:
            ValueError: There is no version, or no card can be read.
        """
        return self._first(source, lambda folder: self._described(source, folder))

    def runtimes(self) -> dict[str, str]:
        """Return what runs the models, in words, by name of the model."""
        return {name: _sources.why(e, self._runtime) for name, e in self.served.items()}

    def renewed(self, source: Source) -> Settings | None:
        """Return what to serve instead of what is served, loaded; None if that stays.

        A version is tried once two looks have found it the same, since it may be on its way here;
        one that was passed over is tried again when anything in its folder has changed.

        Raises:
            ValueError: There is no version any more.
        """
        self._name_strange(source)
        current = Path(self.served[source.name][0].folder)
        for folder in source.candidates():
            if folder == current:
                return None
            seen = _seen(folder)
            if self._refused.get(folder) == seen:
                continue
            if self._looked.get(folder) != seen:
                self._looked[folder] = seen
                continue
            try:
                return self.keep(source, self._fitting(source, folder))
            # A watch that ends at one bad version would not see the next good one.
            except Exception as error:
                self.refuse(source, folder, error, seen)
        return None

    def keep(self, source: Source, found: Endpoints) -> Settings:
        """Note what is served from now on, and return it for MLServer."""
        self.served[source.name] = found
        self._next[source.name] = [self._settings(endpoint) for endpoint in found]
        return self._next[source.name]

    def done(self, source: Source) -> None:
        """Note that MLServer has loaded what `renewed` returned."""
        self._next.pop(source.name, None)
        self.held.pop(source.name, None)

    def refuse(
        self, source: Source, folder: Path, error: Exception, seen: int | None = None
    ) -> None:
        """Log that a version is passed over, and do so until it changes.

        Args:
            source: The model.
            folder: The version folder.
            error: Why; the same reason is logged once.
            seen: What the folder was like before it was tried; None is what it is like now.
        """
        self._refused[folder] = _seen(folder) if seen is None else seen
        reason = str(error) or type(error).__name__
        text = f"Version {folder.name} of {source.name} cannot be loaded, and another one is served"
        if isinstance(error, _Misfit):
            text = f"Version {folder.name} of {source.name} is not served"
        if self.is_news(folder, reason):
            logger.error(f"{text}: {reason}")

    def is_news(self, folder: Path, text: str) -> bool:
        """Note what is said of a folder; the same that was said last is no news."""
        last, self._said[folder] = self._said.get(folder), text
        return text != last

    async def list(self) -> Settings:
        return [self._settings(e) for found in self.served.values() for e in found]

    async def find(self, name: str) -> Settings:
        for source in self._sources:
            if not source.owns(name):
                continue
            try:
                # Here, because MLServer names a version its newest before it has loaded it.
                found = self._next.get(source.name, [])
                if not found:
                    found = await asyncio.to_thread(self._asked_for, source)
            except Exception as error:
                raise InferenceError(str(error)) from error
            chosen = [settings for settings in found if settings.name == name]
            if chosen:
                return chosen
        raise ModelNotFound(name)

    def _asked_for(self, source: Source) -> Settings:
        """Return the highest version for a client that tells the server to load it."""
        found = self._fitting(source, source.newest())
        return [self._settings(endpoint) for endpoint in found]

    def _first(self, source: Source, load: Any) -> Settings:
        self._name_strange(source)
        failed: Failed = []
        for folder in source.candidates():
            seen = _seen(folder)
            try:
                found: Endpoints = load(folder)
            except ImportError:
                raise
            except Exception as error:
                failed.append((folder, seen, error))
                continue
            for other, then, reason in failed:
                self.refuse(source, other, reason, then)
            self.served[source.name] = found
            return [self._settings(endpoint) for endpoint in found]
        raise failed[0][2]

    def _described(self, source: Source, folder: Path) -> Endpoints:
        return _sources.endpoints(source, self._runtime, folder)

    def _loaded(self, source: Source, folder: Path) -> Endpoints:
        """Return the signatures of a version that is in memory; the old one stays until then."""
        found = self._described(source, folder)
        self.held[source.name] = [loaded(endpoint) for endpoint in found if not endpoint.lazy]
        return found

    def _fitting(self, source: Source, folder: Path) -> Endpoints:
        """Load a version that fits the clients of what is served; workers load for themselves."""
        old = self.served[source.name]
        gone = not Path(old[0].folder).is_dir()
        found = self._described(source, folder)
        missing = _compare(old, found)
        if missing and not gone:
            raise _Misfit("a version without", missing)
        if not self._workers:
            self._loaded(source, folder)
        if missing:
            logger.warning(
                f"Version {folder.name} of {source.name}, which is gone back to, lacks "
                f"{', '.join(missing)}."
            )
        return found

    def _name_strange(self, source: Source) -> None:
        for folder in source.strange():
            if self.is_news(folder, "strange"):
                logger.warning(
                    f"{folder.name} of {source.name} is passed over, since it has no "
                    f"saved_model.pb and no folder onnx, or cannot be read. "
                    f"Received: path={str(folder)!r}"
                )

    def _settings(self, endpoint: Endpoint) -> ModelSettings:
        return ModelSettings(
            name=endpoint.name,
            implementation=Signature,
            platform={"onnx": "onnx_onnxv1"}.get(endpoint.runtime, "tensorflow_savedmodel"),
            versions=[] if endpoint.version is None else [endpoint.version],
            inputs=[_metadata(tensor) for tensor in endpoint.inputs],
            outputs=[_metadata(tensor) for tensor in endpoint.outputs],
            parameters=ModelParameters(
                uri=endpoint.folder,
                version=endpoint.version,
                extra={**self._extra, "endpoint": dataclasses.asdict(endpoint)},
            ),
        )


class _Misfit(ValueError):
    """A version is another model than the one whose clients are being served."""

    def __init__(self, what: str, received: Sequence[str]):
        super().__init__(
            "it must have the signatures, inputs and outputs of the version that is being served; "
            f"a restart serves it all the same. Received: {what} {', '.join(received)}"
        )


def _compare(old: Sequence[Endpoint], new: Sequence[Endpoint]) -> list[str]:
    """Return the names of signatures that are missing.

    Raises:
        _Misfit: A signature has other inputs, or not all of the outputs.
    """
    by_name = {endpoint.signature: endpoint for endpoint in new}
    for before in old:
        after = by_name.get(before.signature)
        if after is None:
            continue
        for kind, was, now in (
            ("input", before.inputs, after.inputs),
            ("output", before.outputs, after.outputs),
        ):
            for tensor in was:
                if tensor not in now:
                    found = [other for other in now if other.name == tensor.name]
                    shown = _shown(found[0]) if found else "none"
                    raise _Misfit(
                        f"{kind} {tensor.name} of {before.signature}:",
                        [f"{shown} instead of {_shown(tensor)}"],
                    )
        if len(after.inputs) > len(before.inputs):
            raise _Misfit("more inputs of", [before.signature])
    return [endpoint.signature for endpoint in old if endpoint.signature not in by_name]


def _shown(tensor: _sources.Tensor) -> str:
    return f"{tensor.datatype} {list(tensor.shape)}"


def _seen(folder: Path) -> int:
    """Return a number that changes with the names, sizes and times of the files in a folder."""
    found = []
    for path in itertools.islice(folder.rglob("*"), _MOST_FILES):
        try:
            status = path.stat()
        except OSError:  # gone since it was listed
            continue
        # Some file systems have no times of folders.
        if not stat.S_ISDIR(status.st_mode):
            # The time of change as well: copies may have the other time of what they replace.
            times = status.st_mtime_ns, status.st_ctime_ns
            found.append((str(path), status.st_size, *times))
    return hash(tuple(sorted(found)))


def _metadata(tensor: _sources.Tensor) -> MetadataTensor:
    return MetadataTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))
