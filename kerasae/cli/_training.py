"""Commands before there is a model: train, variants, data."""

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from kerasae.cli import _helpers, _options
from kerasae.cli._options import parameter, with_parameters
from kerasae.runs import configuration

_SHARE = "Share or number of training samples (or time steps) to"
# Arguments of `kerasae.data.load`.
_DATA: dict[str, Any] = {
    "label": _options.Label,
    "columns": _options.Columns,
    "limit": _options.Limit,
    "window": _options.Window,
    "stride": _options.WindowStride,
    "validation": Annotated[float | None, Option(help=f"{_SHARE} validate on.")],
    "test": Annotated[float | None, Option(help=f"{_SHARE} test on.")],
    "binarize": Annotated[
        str | None, Option(help="Make values 0 or 1: threshold, static or dynamic.")
    ],
    "data_dir": _options.DataDir,
}
_SETTING = "Option of variant or network, such as hidden=[64]."
# Where Python takes more types than the command line has words for.
_TYPES = {
    "data": str | None,
    "out": Path | None,
    "devices": str | None,
    "machines": str | None,
}


def _parameters_of_train() -> Iterator[inspect.Parameter]:
    """Yield an option for each field of `TrainConfig`, and those for data and variant."""
    meanings = configuration.meanings()
    defaults = inspect.signature(configuration.TrainConfig).parameters
    for name, argument in configuration.ARGUMENTS.items():
        if argument.flags is None:
            continue
        help_ = meanings[name].replace("`", "")
        if name == "variant":
            yield parameter(name, Annotated[str, Argument(help=help_)], inspect.Parameter.empty)
            continue
        option = Option(*argument.flags, help=help_, show_default=False)
        type_ = _TYPES.get(name, configuration.type_of(name))
        yield parameter(name, Annotated[type_, option], defaults[name].default)
    settings = Option("--set", metavar="KEY=VALUE", help=_SETTING)
    yield parameter("settings", Annotated[list[str] | None, settings])
    for name, annotation in _DATA.items():
        yield parameter(name, annotation)
    yield parameter("quiet", _options.Quiet, False)


def train(*, settings: list[str] | None, quiet: bool, **arguments: Any) -> None:
    """Train an autoencoder and leave a run directory with its report.

    Ctrl-C stops after the current batch, and twice at once; --resume goes on from there, with the
    run's own options.
    """
    from kerasae.runs import train

    options = _helpers.read_settings(settings or [], configuration.NAMES)
    data_options = {name: arguments.pop(name) for name in _DATA}
    if data_options["data_dir"] is not None:
        data_options["data_dir"] = str(data_options["data_dir"])
    arguments["data_options"] = {k: v for k, v in data_options.items() if v is not None}
    if (arguments["devices"] or "").isdigit():
        arguments["devices"] = int(arguments["devices"])
    run = train(**arguments, verbose=int(not quiet), **options)
    if run.interrupted:
        raise typer.Exit(128 + (run.signal or 2))


train = with_parameters(train, _parameters_of_train())


def variants(
    pattern: Annotated[str, Argument(help="Shell pattern, such as '*sparse*'.")] = "*",
) -> None:
    """List the variants, and the options of a single one with their defaults."""
    from kerasae.errors import nearest
    from kerasae.models.variants import registry

    names = registry.variants(pattern)
    if not names:
        with contextlib.suppress(KeyError):
            names = [pattern] if registry.describe(pattern) else []  # an alias
    if not names:
        known = registry.variants()
        raise ValueError(
            f"pattern must match a variant: {', '.join(known)}.{nearest(pattern, known)} "
            f"Received: pattern={pattern!r}"
        )
    _helpers.print_table((name, registry.describe(name)) for name in names)
    if len(names) == 1:
        print()
        rows = registry.explain_options(names[0])
        _helpers.print_table((f"{name} = {default}", text) for name, default, text in rows)
        if note := registry.notes(names[0]):
            print(f"\n{note}")
        print("\nTo give one: --latent-dim, --network, --seed, and --set NAME=VALUE for the rest.")


def data(
    name: Annotated[
        str | None, Argument(help="Source to describe: a name, a TFDS set, or a path.")
    ] = None,
    **options: Any,
) -> None:
    """List the sources of data, or describe one."""
    import kerasae.data

    if name is None:
        rows = dict(kerasae.data.sources())
        rows["mnist, ..."] = "any image set of TensorFlow Datasets, by its name"
        rows["PATH"] = "a .npy, .npz, .csv or .parquet file, or a folder of images or tables"
        _helpers.print_table(rows.items())
        return
    splits = kerasae.data.load(name, **options)
    span = "" if splits.value_range is None else ", {:g} to {:g}".format(*splits.value_range)
    rows = {
        "sample": f"{' x '.join(map(str, splits.shape))} {splits.dtype}{span}",
        **{split: f"{count:,} samples" for split, count in splits.sizes.items()},
        "read": "from the file in every epoch" if splits.streamed else "into memory",
    }
    if splits.class_names:
        rows["classes"] = ", ".join(splits.class_names)
    _helpers.print_table(rows.items())


_described = ("label", "columns", "limit", "window", "stride", "data_dir")
_name = inspect.signature(data).parameters["name"]
data = with_parameters(data, [_name, *(parameter(name, _DATA[name]) for name in _described)])
