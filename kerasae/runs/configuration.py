"""The configuration of a training: one dataclass for Python, the command line and `config.json`.

A field of `TrainConfig` is an argument of `kerasae.train`, an option of `kerasae train` and, unless
it concerns a single call, an entry of `config.json`, which a run that is resumed must agree with.
"""

import dataclasses
import inspect
import json
import os
import re
import typing
from collections.abc import Callable, Sequence
from numbers import Number
from pathlib import Path
from typing import Annotated, Any

from kerasae.errors import check_whole, is_real, nearest
from kerasae.files import read_json
from kerasae.runs import columns as run_columns
from kerasae.runs import directory

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16")
# Arguments of `kerasae.data.load` that the command line has, too.
DATA_FLAGS = {
    "binarize": "--binarize",
    "columns": "--column",
    "data_dir": "--data-dir",
    "label": "--label",
    "limit": "--limit",
    "stride": "--window-stride",
    "test": "--test",
    "validation": "--validation",
    "window": "--window",
}
# Entries of `config.json` that follow from the rest, or may change with the machine.
_DERIVED = ("command", "device", "devices", "versions")

Check = Callable[[str, Any], Any]
Function = typing.TypeVar("Function", bound=Callable[..., Any])


def _whole(least: int = 1, most: int | None = None) -> Check:
    return lambda name, value: check_whole(name, value, least, most)


def _positive(name: str, value: Any) -> float:
    if not (is_real(value) and value > 0):
        raise ValueError(f"{name} must be a number > 0. Received: {name}={value!r}")
    return float(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False. Received: {name}={value!r}")
    return value


def _dictionary(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(
            f"{name} must be a dictionary of arguments of kerasae.data.load. "
            f"Received: {name}={value!r}"
        )
    return _plain(value)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with NumPy's numbers as Python's, as JSON takes them."""
    numpy = {k: v for k, v in values.items() if isinstance(v, Number) and hasattr(v, "item")}
    return values | {name: value.item() for name, value in numpy.items()}


def _precision(name: str, value: Any) -> str:
    if value not in PRECISIONS:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, PRECISIONS))}."
            f"{nearest(value, PRECISIONS)} Received: {name}={value!r}"
        )
    return value


@dataclasses.dataclass(frozen=True)
class Argument:
    """A field of `TrainConfig`, besides its name, type, meaning and value where it is left out.

    Attributes:
        default: What None stands for where no run to resume says otherwise.
        check: Takes name and value, and returns the value to keep.
        flags: Names on the command line, if not its own; None if it has none there.
        of_call: Whether it concerns a single call, and `config.json` does not hold it.
        may_change: Whether a run may be resumed with another value.
    """

    default: Any = None
    check: Check | None = None
    flags: tuple[str, ...] | None = ()
    of_call: bool = False
    may_change: bool = False


@dataclasses.dataclass
class TrainConfig:
    """The arguments of one call of `kerasae.train`; None stands for what was left out.

    Attributes:
        variant: Name of a variant; `kerasae.variants()` and `kerasae variants` list them.
        data: Source for `kerasae.data.load`: a name, a path or an array; or its `Splits`.
            `"digits"` by default.
        out: The run directory; `runs/VARIANT-DATA` by default.
        epochs: Largest number of epochs. By default as many as give about 12,000 steps, at
            least 20 and at most 300.
        batch_size: Samples per step, on all devices together; 128 by default.
        latent_dim: Size of the code; by default the variant's choice.
        network: `"dense"`, `"conv"` or `"sequence"`; by default the variant's choice.
        seed: Seed of weights, noise, splits and order; 0 by default.
        precision: Keras dtype policy for the model, such as `"mixed_bfloat16"`.
        learning_rate: Learning rate of Adam; 0.001 by default.
        patience: Epochs without improvement before training stops; by default a tenth of
            `epochs`, at least 5.
        deterministic: Whether to use only kernels that give the same bits in every process, on a
            GPU too; False by default. It is slower, see `docs/guides/training.md`.
        data_options: Further arguments of `kerasae.data.load`, such as `label` or `limit`.
        resume: Continue the unfinished run in `out`, or begin it. The options that are given
            must be those of the run; only `epochs`, `patience` and `export` may be others.
        replace: Replace the run in `out`. It stays as it was if the new one fails before its
            first epoch is done.
        export: Whether to write a SavedModel too, verified, to `saved_model/1`; by default
            on the TensorFlow backend.
        devices: `"all"` or a number of devices of this machine, GPUs where there are some, which
            share every batch. By default the first.
        strategy: A `tf.distribute.Strategy` instead, on the TensorFlow backend.
        machines: Addresses of several machines, machine 0 first and with a port, as in
            `"host0:4000,host1"`; or `"auto"` to read them from the environment; on the JAX
            backend. Each machine makes the same call.
        machine: Number of this machine among them, from 0. Machine 0 writes the run.
        model_parallel: Devices of a machine that divide the dense layers of 512 and more units
            between them, on the JAX backend. By default each has all of the model.
        verbose: 1 shows progress and a summary, 0 nothing.
        options: Options of the variant, see `kerasae.build`. `scaler` is `"standardize"` by
            default for float data that leaves [0, 1].

    Raises:
        ValueError: A value does not work.
    """

    variant: str
    _: dataclasses.KW_ONLY
    data: Annotated[Any, Argument("digits", flags=("--data", "-d"))] = None
    out: Annotated[str | os.PathLike | None, Argument(flags=("--out", "-o"), of_call=True)] = None
    epochs: Annotated[int | None, Argument(check=_whole(), may_change=True)] = None
    batch_size: Annotated[int | None, Argument(128, check=_whole())] = None
    latent_dim: Annotated[int | None, Argument(check=_whole())] = None
    network: str | None = None
    seed: Annotated[int | None, Argument(0, check=_whole(0, 2**32 - 1))] = None
    precision: Annotated[str | None, Argument(check=_precision)] = None
    learning_rate: Annotated[float | None, Argument(0.001, check=_positive)] = None
    patience: Annotated[int | None, Argument(check=_whole(), may_change=True)] = None
    deterministic: Annotated[
        bool | None, Argument(False, check=_truth, flags=("--deterministic",))
    ] = None
    data_options: Annotated[dict[str, Any], Argument(check=_dictionary, flags=None)] = (
        dataclasses.field(default_factory=dict)
    )
    resume: Annotated[bool, Argument(flags=("--resume",), of_call=True)] = False
    replace: Annotated[bool, Argument(flags=("--replace",), of_call=True)] = False
    export: Annotated[bool | None, Argument(may_change=True)] = None
    devices: Annotated[int | str | None, Argument(of_call=True)] = None
    strategy: Annotated[Any, Argument(flags=None, of_call=True)] = None
    machines: Annotated[str | Sequence[str] | None, Argument(of_call=True)] = None
    machine: Annotated[int | None, Argument(of_call=True)] = None
    model_parallel: Annotated[int | None, Argument(of_call=True)] = None
    verbose: Annotated[int, Argument(flags=None, of_call=True)] = 1
    options: Annotated[dict[str, Any], Argument(flags=None)] = dataclasses.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.data_options = {} if self.data_options is None else self.data_options
        self.options = _plain(self.options)
        for name, argument in ARGUMENTS.items():
            value = getattr(self, name)
            if argument.check is not None and value is not None:
                setattr(self, name, argument.check(name, value))

    @classmethod
    def of(cls, variant: str, arguments: dict[str, Any]) -> "TrainConfig":
        """Return the configuration of a call; other names than fields are options."""
        known = {name: value for name, value in arguments.items() if name in NAMES}
        options = {name: value for name, value in arguments.items() if name not in NAMES}
        return cls(variant, **known, options=options)

    def arguments(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: getattr(self, name) for name in ARGUMENTS}

    def recorded(self) -> dict[str, Any]:
        """Return the fields that `config.json` holds."""
        return {name: getattr(self, name) for name, a in ARGUMENTS.items() if not a.of_call}

    def path(self) -> Path:
        """Return the run directory."""
        data = ARGUMENTS["data"].default if self.data is None else self.data
        path = isinstance(data, (str, os.PathLike))
        name = getattr(data, "name", None) or (data if path else "array")
        return directory.run_directory(self.out, Path("runs") / f"{self.variant}-{Path(name).stem}")

    def check_options(self) -> None:
        """Raise ValueError for an unknown variant, or an option that neither it nor `train` has."""
        from kerasae.models.variants import registry

        known = registry.options_of(self.variant)
        for name, value in self.options.items():
            if name not in known:
                raise ValueError(
                    f"train has no argument and {self.variant!r} no option {name!r}."
                    f"{nearest(name, [*NAMES, *known])} Received: {name}={value!r}"
                )

    def completed(self, before: dict[str, Any]) -> "TrainConfig":
        """Return the configuration with what was left out taken from a run, or the defaults.

        Args:
            before: `config.json` of the run to resume; empty for a new one.

        Raises:
            ValueError: Variant or data are not the run's, or cannot be had from `config.json`.
        """
        found = self._resumed(before) if before else self.arguments()
        for name, argument in ARGUMENTS.items():
            if found[name] is None:
                found[name] = argument.default
        return TrainConfig(**found)

    def _resumed(self, before: dict[str, Any]) -> dict[str, Any]:
        from kerasae.models.variants import registry

        if registry.name_of(self.variant) != before["variant"]:
            _refuse("variant", before["variant"], self.variant)
        found = self.arguments()
        found["data"] = _data_of(self.data, before)
        for name in self.recorded():
            if found[name] is None and name not in ("network", "export"):
                found[name] = before.get(name)
        folder = {"data_dir": before["data_dir"]} if before.get("data_dir") else {}
        found["data_options"] = {**before["data_options"], **folder, **self.data_options}
        found["options"] = {**_options_of(before, self.options), **self.options}
        takes_network = "network" in registry.options_of(self.variant)
        if self.network is None and takes_network and found["options"].get("encoder") is None:
            found["network"] = before.get("network")
        if self.export is None and before.get("export") is False:
            found["export"] = False
        return found

    def command(self, path: Path) -> list[str] | None:
        """Return the command line that asks for the same; None if no command line can."""
        named = isinstance(self.data, (str, os.PathLike))
        if not named or not self.data_options.keys() <= DATA_FLAGS.keys():
            return None
        words = ["kerasae", "train", str(self.variant), "--data", os.fspath(self.data)]
        for name, value in self.recorded().items():
            untold = name in ("variant", "data") or isinstance(value, (bool, dict))
            if not untold and value not in (None, ARGUMENTS[name].default):
                words += [flag_of(name), str(value)]
        for name, value in self.data_options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words += [DATA_FLAGS[name], str(one)]
        for name, value in self.options.items():
            text = value if isinstance(value, str) else json.dumps(value, default=repr)
            words += ["--set", f"{name}={text}"]
        words += ["--deterministic"] if self.deterministic else []
        words += ["--no-export"] if self.export is False else []
        return [*words, "--out", path.as_posix()]


def _argument_of(hint: Any) -> Argument:
    return next(iter(getattr(hint, "__metadata__", ())), Argument())


_TYPES = typing.get_type_hints(TrainConfig, include_extras=True)
ARGUMENTS = {f.name: _argument_of(_TYPES[f.name]) for f in dataclasses.fields(TrainConfig)}
# Options of the variant have names of their own.
NAMES = [name for name in ARGUMENTS if name != "options"]
_MAY_CHANGE = {name for name, argument in ARGUMENTS.items() if argument.may_change}


def type_of(name: str) -> Any:
    """Return the type of a field."""
    return typing.get_type_hints(TrainConfig)[name]


def flag_of(name: str) -> str:
    """Return the name of a field on the command line."""
    return next(iter(ARGUMENTS[name].flags or ()), f"--{name.replace('_', '-')}")


_OPTIONS = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=Any)


def _entries() -> str:
    """Return the section "Attributes" of the docstring of `TrainConfig`."""
    text = inspect.getdoc(TrainConfig) or ""
    return text.partition("Attributes:\n")[2].partition("\n\n")[0]


def meanings() -> dict[str, str]:
    """Return what the docstring of `TrainConfig` says of each field."""
    entries = re.split(r"^ {4}(?=\w)", _entries(), flags=re.MULTILINE)[1:]
    pairs = (entry.partition(": ")[::2] for entry in entries)
    return {name: " ".join(meaning.split()) for name, meaning in pairs}


def documented(function: Function) -> Function:
    """Give a function of `(variant, **arguments)` the signature and the "Args" of `TrainConfig`."""
    parameters = dict(inspect.signature(TrainConfig).parameters)
    del parameters["options"]
    parameters["data_options"] = parameters["data_options"].replace(default=None)
    plain = [one.replace(annotation=type_of(name)) for name, one in parameters.items()]
    signature = inspect.signature(function)
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*plain, _OPTIONS]
    )
    before, _, rest = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    arguments = _entries().replace("    options:", "    **options:")
    after = rest.partition("\n\n")[2]
    function.__doc__ = f"{before}\nArgs:\n{arguments}\n\n{after}"
    return function


def begun(path: Path) -> dict[str, Any]:
    """Return `config.json` of the run in a folder; empty if there is none.

    Raises:
        ValueError: The file is damaged.
    """
    file = path / directory.CONFIG
    if not file.is_file():
        return {}
    config = read_json(file)
    parts = (config.get("variant"), config.get("options"), config.get("data_options"))
    if [type(part) for part in parts] != [str, dict, dict] or "data" not in config:
        raise ValueError(
            "config.json must be that of a run, to resume it; pass replace=True (--replace) to "
            f"train anew. Received: {str(file)!r}"
        )
    return config


def check_same(before: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise ValueError if a run to resume was begun with other settings.

    Args:
        before: `config.json` of the run.
        config: The same of what was asked for now.
    """
    now = json.loads(json.dumps(config))
    same_file = now.get("data_path") is not None and now["data_path"] == before.get("data_path")
    for name, value in now.items():
        if name in ("options", "data_options"):
            parts = {key: part for key, part in value.items() if key != "data_dir"}
            for key in {**before[name], **parts}:
                if key != "data_dir" and before[name].get(key) != parts.get(key):
                    _refuse(key, before[name].get(key), parts.get(key))
        elif name == "data" and same_file:
            continue
        elif name in before and name not in {*_MAY_CHANGE, *_DERIVED} and before[name] != value:
            _refuse(name, before[name], value)


def resumed_command(before: dict[str, Any], config: dict[str, Any], path: Path) -> list[str] | None:
    """Return the command line of a resumed run: the first one, if that still says everything."""
    said = {"data", "data_options", *_MAY_CHANGE}
    now = json.loads(json.dumps({name: config[name] for name in said}))
    if before.get("command") and all(before.get(name) == value for name, value in now.items()):
        return [*before["command"][:-1], path.as_posix()]
    return config["command"]


def _refuse(name: str, before: Any, now: Any) -> typing.NoReturn:
    raise ValueError(
        f"A run is resumed with the settings it was begun with, and {name} was {before!r}. "
        f"Received: {name}={now!r}"
    )


def _data_of(source: Any, before: dict[str, Any]) -> Any:
    """Return the data that are given, or the run's own where they are left out."""
    known, place = before["data"], before.get("data_path")
    if source is None:
        # None is recorded for data that no command can name, such as an array.
        if before.get("command") is None:
            raise ValueError(
                "The data of this run cannot be had by name; give data as they were when it was "
                f"begun. Received: data=None for a run on {known!r}"
            )
        return known if place in (None, os.path.abspath(known)) else place
    if isinstance(source, (str, os.PathLike)):
        same = os.fspath(source) == known
        if place is not None and run_columns.is_path(source):
            same = os.path.abspath(source) == place
        if not same:
            _refuse("data", known, os.fspath(source))
    return source


def _options_of(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run; of an object only its class name is known."""
    for name, value in before["options"].items():
        names = value if isinstance(value, list) else [value]
        is_object = any(isinstance(one, str) and one[:1].isupper() for one in names)
        if is_object and name not in given and name != "name":
            raise ValueError(
                f"{name} was an object, {value}, which config.json does not hold; give it as it "
                f"was when the run was begun. Received: no {name}"
            )
    return before["options"]
