"""How a run that was begun goes on: what is left out is taken from it, what is given must agree."""

import json
import os
from pathlib import Path
from typing import Any

from kerasae.files import read_json
from kerasae.runs import columns as run_columns
from kerasae.runs import directory

# What stands for an argument that is left out, if no run says otherwise.
DEFAULTS: dict[str, Any] = {"data": "digits", "batch_size": 128, "seed": 0,
                            "deterministic": False}  # fmt: skip
_TAKEN = ("epochs", "batch_size", "latent_dim", "seed", "precision", "learning_rate", "patience",
          "deterministic")  # fmt: skip
# What follows from the rest, or may change with the machine.
_DERIVED = ("epochs", "patience", "command", "device", "devices", "versions", "export")


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


def complete(asked: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for, with what was left out taken from a run, or the defaults.

    Args:
        asked: The arguments of `train`; None stands for one that was left out.
        before: `config.json` of the run to resume; empty for a new one.

    Raises:
        ValueError: Variant or data are not the run's, or cannot be had from `config.json`.
    """
    asked = dict(asked)
    if before:
        _check_variant(asked["variant"], before)
        asked["data"] = _data(asked["data"], before)
        for name in _TAKEN:
            asked[name] = before.get(name) if asked[name] is None else asked[name]
        folder = {"data_dir": before["data_dir"]} if before.get("data_dir") else {}
        asked["data_options"] = {**before["data_options"], **folder, **asked["data_options"]}
        asked["options"] = {**_options(asked["options"], before), **asked["options"]}
        if asked["network"] is None and _takes_network(asked):
            asked["network"] = before.get("network")
        if asked["export"] is None and before.get("export") is False:
            asked["export"] = False
    for name, value in DEFAULTS.items():
        asked[name] = value if asked[name] is None else asked[name]
    return asked


def check_same(before: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse to resume a run that was begun with other settings; `epochs` may differ.

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
        elif name in before and name not in _DERIVED and before[name] != value:
            _refuse(name, before[name], value)


def command(before: dict[str, Any], config: dict[str, Any], path: Path) -> list[str] | None:
    """Return the command line of a resumed run: the one that began it, if that still says all."""
    may_change = ("data", "data_options", "epochs", "patience", "export")
    now = json.loads(json.dumps({name: config[name] for name in may_change}))
    if before.get("command") and all(before.get(name) == value for name, value in now.items()):
        return [*before["command"][:-1], path.as_posix()]
    return config["command"]


def _refuse(name: str, before: Any, now: Any) -> None:
    raise ValueError(
        f"A run is resumed with the settings it was begun with, and {name} was {before!r}. "
        f"Received: {name}={now!r}"
    )


def _check_variant(variant: str, before: dict[str, Any]) -> None:
    from kerasae.models.variants import registry

    if registry.name_of(variant) != before["variant"]:
        _refuse("variant", before["variant"], variant)


def _data(source: Any, before: dict[str, Any]) -> Any:
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


def _options(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
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


def _takes_network(asked: dict[str, Any]) -> bool:
    from kerasae.models.variants import registry

    own = asked["options"].get("encoder") is not None
    return not own and "network" in registry.options_of(asked["variant"])
