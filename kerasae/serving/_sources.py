"""What a server finds at the paths it is given: models, their versions and their signatures."""

import importlib.util
import math
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae.serving.runtimes import RUNTIMES, read_card
from kerasae.serving.served import is_version, versions

RUNTIME_NAMES = ("auto", *RUNTIMES)

# What is behind the name of the model in the names of its signatures.
_SUFFIXES = {
    "reconstruct": "",
    "encode": "-encode",
    "decode": "-decode",
    "score": "-score",
    "detect": "-detect",
    "detect_at_rate": "-detect-at-rate",
    "generate": "-generate",
}
# Those with an input that has no batch answer one request at a time.
_ALONE = ("detect_at_rate", "generate")
_DATATYPES = {
    "float32": "FP32", "uint8": "UINT8", "bool": "BOOL", "int32": "INT32", "int64": "INT64",
}  # fmt: skip
# Samples of one request to `generate`, which makes all in one call: the maps between its layers may
# be much larger than its answer. The others are called on as many at a time.
MOST_MADE = 1024
# Bytes of an answer for what is not numbers: names, shapes and the id of the request.
_FRAME = 1024
_URL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Source:
    """A model: its name, the folder of its versions, or the one version that is served."""

    name: str
    path: Path

    @property
    def pinned(self) -> bool:
        return is_version(self.path)

    def candidates(self) -> list[Path]:
        """Return the version folders that may be served, the highest number first.

        Raises:
            ValueError: There is none any more.
        """
        if self.pinned:
            return [self.path]
        written = _written(self.path)
        if not written:
            raise ValueError(f"The folder has no versions. Received: path={str(self.path)!r}")
        return [written[number] for number in sorted(written, reverse=True)]

    def newest(self) -> Path:
        """Return the version folder of the highest number.

        Raises:
            ValueError: There is none any more.
        """
        return self.candidates()[0]

    def strange(self) -> list[Path]:
        """Return the folders that have the name of a version and hold no export."""
        found = [] if self.pinned else versions(self.path).values()
        return sorted(path for path in found if not is_version(path))

    def owns(self, name: str) -> bool:
        """Say whether a name is that of one of this model's signatures."""
        return name in {self.name + suffix for suffix in _SUFFIXES.values()}


@dataclass(frozen=True)
class Tensor:
    """An input or output as the Open Inference Protocol describes it; -1 is the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Endpoint:
    """A signature under the name it is served by.

    Attributes:
        name: As in `/v2/models/NAME`.
        signature: Name of the signature.
        folder: The version folder.
        version: Its number, or None for a folder that has none.
        runtime: `"tensorflow"` or `"onnx"`.
        lazy: The runtime is loaded at the first request.
        batched: Requests may be answered together.
        inputs: Its inputs.
        outputs: Its outputs.
    """

    name: str
    signature: str
    folder: str
    version: str | None
    runtime: str
    lazy: bool
    batched: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def most(self, limit: int) -> int:
        """Return how many samples have an answer of at most `limit` bytes, as raw numbers.

        Of `generate` it is 1024 at most.
        """
        sizes = {"FP32": 4, "INT32": 4, "INT64": 8}
        sample = sum(sizes.get(t.datatype, 1) * math.prod(t.shape[1:]) for t in self.outputs)
        most = max(0, limit - _FRAME) // max(1, sample)
        return min(most, MOST_MADE) if self.signature == "generate" else most

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Endpoint":
        """Return what `dataclasses.asdict` was given, also after a detour through JSON."""
        tensors = {
            key: tuple(Tensor(t["name"], t["datatype"], tuple(t["shape"])) for t in values[key])
            for key in ("inputs", "outputs")
        }
        return cls(**{**values, **tensors})


def find(paths: Iterable[Path], name: str | None = None) -> list[Source]:
    """Return the models at some paths; one that is there twice is one.

    Args:
        paths: Folders of versions, version folders, run directories, or folders that hold
            several of these.
        name: Name of the model, where there is one only.

    Raises:
        FileNotFoundError: There is nothing at a path.
        ValueError: There is no model at a path, a name is not fit for a URL, or two models
            would have one name.
    """
    sources = list(dict.fromkeys(source for path in paths for source in _at(Path(path))))
    if name is not None:
        if len(sources) != 1:
            found = ", ".join(source.name for source in sources)
            raise ValueError(f"name is for one model. Received: name={name!r} with {found}")
        sources = [Source(name, sources[0].path)]
    served: dict[str, Path] = {}
    for source in sources:
        if not _URL_NAME.fullmatch(source.name):
            raise ValueError(
                "The name of a model must be of letters, digits, dots, dashes and underscores; "
                f"give another one with --name. Received: name={source.name!r}"
            )
        for suffix in _SUFFIXES.values():
            other = served.setdefault(source.name + suffix, source.path)
            if other != source.path:
                raise ValueError(
                    "Two models would have one name; rename a folder, or serve them apart with "
                    f"--name. Received: {source.name + suffix!r} for {str(other)!r} and "
                    f"{str(source.path)!r}"
                )
    return sources


def endpoints(source: Source, runtime: str, folder: Path | None = None) -> list[Endpoint]:
    """Return the signatures of a version, as its card describes them.

    Args:
        source: The model.
        folder: The version folder; None is the newest.
        runtime: `"tensorflow"`, `"onnx"`, or `"auto"`, which takes ONNX Runtime where it is
            installed and the version has its files, and TensorFlow for `generate` then.

    Raises:
        ValueError: There is no version, its card cannot be read, or a file that the card names is
            not there.
    """
    folder = source.newest() if folder is None else folder
    card = read_card(folder)
    signatures = card.get("signatures")
    if not isinstance(signatures, dict):
        raise ValueError(f"card.json lacks signatures. Received: path={str(folder)!r}")
    chosen = _choose(folder, runtime)
    found = []
    for signature, suffix in _SUFFIXES.items():
        if signature not in signatures:
            continue
        needed = "tensorflow" if signature == "generate" else chosen
        if needed != chosen and not (runtime == "auto" and _has_tensorflow(folder)):
            continue
        if needed == "onnx" and not (folder / "onnx" / f"{signature}.onnx").is_file():
            raise ValueError(
                f"The version has no ONNX file of {signature!r}, which its card names; export it "
                f'with also=["onnx"], or on the command line with --to onnx. '
                f"Received: path={str(folder)!r}"
            )
        try:
            inputs, outputs = (
                {name: _tensor(name, spec) for name, spec in signatures[signature][side].items()}
                for side in ("inputs", "outputs")
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(
                f"card.json lacks inputs or outputs of {signature!r} with a shape and a known "
                f"dtype. Received: path={str(folder)!r}"
            ) from error
        if signature == "generate":
            # One whole number each, as `Served.generate` takes them.
            inputs = {name: Tensor(name, "INT64", (1,)) for name in ("n", "seed")}
        found.append(
            Endpoint(
                name=source.name + suffix,
                signature=signature,
                folder=str(folder),
                version=folder.name if folder.name.isdecimal() else None,
                runtime=needed,
                lazy=needed != chosen,
                batched=signature not in _ALONE,
                inputs=tuple(inputs.values()),
                outputs=tuple(outputs.values()),
            )
        )
    return found


def _at(path: Path) -> Iterator[Source]:
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file or folder to serve. Received: path={str(path)!r}"
        )
    single = _single(path)
    if single is not None:
        yield single
        return
    children = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    found = [source for source in map(_single, children) if source is not None]
    if not found and (_exportable(path) or any(map(_exportable, children))):
        one = path if _exportable(path) else next(filter(_exportable, children))
        raise ValueError(
            f"This {'run' if one.is_dir() else 'model'} has not been exported; try: "
            f"kerasae export {shlex.quote(str(one))}. Received: path={str(path)!r}"
        )
    if not found:
        raise ValueError(
            "path must be a folder of versions as kerasae.export writes it, one of the versions, "
            "a run directory with a saved_model, or a folder that holds some of these. "
            f"Received: path={str(path)!r}"
        )
    yield from found


def _single(path: Path) -> Source | None:
    path = path.resolve()
    if is_version(path):
        return Source(_name(path.parent if path.name.isdecimal() else path), path)
    if _written(path):
        return Source(_name(path), path)
    if _written(path / "saved_model"):
        return Source(path.name, path / "saved_model")
    return None


def _exportable(path: Path) -> bool:
    """Say whether there is a model, or the run of one, that could be exported."""
    if path.is_dir():
        return (path / "model.keras").is_file()
    return path.suffix == ".keras"


def _name(folder: Path) -> str:
    """Return the name of a folder of versions; that of a run is named after the run."""
    return folder.parent.name if folder.name == "saved_model" else folder.name


def _written(path: Path) -> dict[int, Path]:
    return {number: p for number, p in versions(path).items() if is_version(p)}


def why(endpoints: Iterable[Endpoint], runtime: str) -> str:
    """Return the name of the runtime of a model, and the reason where one may wonder."""
    endpoint = next(endpoint for endpoint in endpoints if not endpoint.lazy)
    shown = {"onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}[endpoint.runtime]
    if runtime != "auto" or endpoint.runtime == "onnx":
        return shown
    if (Path(endpoint.folder) / "onnx" / "reconstruct.onnx").is_file():
        return (
            f"{shown}, since onnxruntime is not installed for its ONNX files; "
            'try: pip install "kerasae[onnx]"'
        )
    return f"{shown}, since it has no ONNX files"


def _choose(folder: Path, runtime: str) -> str:
    if runtime != "auto":
        return runtime
    ready = _installed("onnxruntime") and (folder / "onnx" / "reconstruct.onnx").is_file()
    return "onnx" if ready else "tensorflow"


def _has_tensorflow(folder: Path) -> bool:
    return _installed("tensorflow") and (folder / "saved_model.pb").is_file()


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _tensor(name: str, spec: dict[str, Any]) -> Tensor:
    # The protocol has no tensors without dimensions.
    shape = tuple(-1 if size is None else int(size) for size in spec["shape"]) or (1,)
    return Tensor(name, _DATATYPES[spec["dtype"]], shape)
