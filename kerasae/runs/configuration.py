"""What was asked of a training: checked, made into data and a model, resolved, written down."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerasae.errors import is_real, nearest
from kerasae.runs import columns as run_columns
from kerasae.runs import directory

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16")
# Training steps that suffice for small networks; early stopping usually comes first.
_STEPS = 12_000
# Arguments of `kerasae.data.load` that the command line has, too.
_DATA_OPTIONS = {
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


def check_names(variant: Any, options: dict[str, Any], arguments: Iterable[str]) -> None:
    """Refuse an unknown variant, and an option that neither `train` nor the variant knows."""
    from kerasae.models.variants import registry

    known = registry.options_of(variant)
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"train has no argument and {variant!r} no option {name!r}."
                f"{nearest(name, [*arguments, *known])} Received: {name}={value!r}"
            )


def check(asked: dict[str, Any]) -> None:
    """Refuse what can be refused before anything heavy is loaded."""
    for name in ("epochs", "patience", "latent_dim"):
        if asked[name] is not None:
            directory.check_count(name, asked[name])
    directory.check_count("batch_size", asked["batch_size"])
    seed, rate = asked["seed"], asked["learning_rate"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"seed must be a whole number from 0 to below 2**32. Received: seed={seed!r}"
        )
    if rate is not None and not (is_real(rate) and rate > 0):
        raise ValueError(f"learning_rate must be a number > 0. Received: learning_rate={rate!r}")
    if not isinstance(asked["deterministic"], bool):
        raise ValueError(
            "deterministic must be True or False. "
            f"Received: deterministic={asked['deterministic']!r}"
        )
    if asked["precision"] is not None:
        directory.check_choice("precision", asked["precision"], _PRECISIONS)


def load_data(asked: dict[str, Any]) -> Any:
    """Return the splits that were asked for."""
    from kerasae import data
    from kerasae.data import loading

    if isinstance(asked["data"], data.Splits):
        return asked["data"]
    loading.check_options(asked["data_options"], taken=("batch_size", "seed"))
    return data.load(
        asked["data"], batch_size=asked["batch_size"], seed=asked["seed"], **asked["data_options"]
    )


def build_model(asked: dict[str, Any], splits: Any) -> Any:
    """Return the model that was asked for, made for the data and compiled."""
    import keras

    from kerasae.models.variants import registry

    defaults = {"seed": asked["seed"], "input_dtype": splits.dtype}
    low, high = splits.value_range or (0.0, 1.0)
    if splits.dtype != "uint8" and not (low >= 0 and high <= 1):
        defaults["scaler"] = "standardize"
    if asked["data_options"].get("binarize") and "loss" not in asked["options"]:
        # 0 and 1 are what a Bernoulli likelihood is for.
        defaults |= {"loss": "bce", "output_activation": "sigmoid"}
    known = registry.options_of(asked["variant"])
    options = {name: value for name, value in defaults.items() if name in known}
    options |= asked["options"]
    if asked["network"] is not None:
        options["network"] = asked["network"]
    ae = registry.build(asked["variant"], splits.shape, asked["latent_dim"], **options)
    ae.compile(optimizer=keras.optimizers.Adam(asked["learning_rate"] or 0.001))
    return ae


def resolve(asked: dict[str, Any], path: Path, splits: Any, ae: Any) -> dict[str, Any]:
    """Return what was asked for, resolved, as it goes into `config.json`."""
    import keras

    steps = math.ceil(splits.sizes["train"] / splits.batch_size)
    epochs = asked["epochs"] or min(300, max(20, math.ceil(_STEPS / steps)))
    on_tensorflow = keras.backend.backend() == "tensorflow"
    export = on_tensorflow if asked["export"] is None else asked["export"]
    source = asked["data"]
    named = isinstance(source, (str, os.PathLike))
    measured = next(name for name in ("test", "validation", "train") if splits.sizes[name])
    config = {
        **asked,
        "variant": ae.variant,
        "data": os.fspath(source) if named else splits.name,
        **_places(source, asked["data_options"]),
        "epochs": epochs,
        "batch_size": splits.batch_size,
        "patience": asked["patience"] or max(5, epochs // 10),
        "latent_dim": ae.latent_dim,
        "network": asked["network"] or ae.built_with.get("network") or _network_of(ae),
        "learning_rate": asked["learning_rate"] or 0.001,
        "options": {k: v for k, v in ae.built_with.items() if k in asked["options"]},
        "input_shape": list(splits.shape),
        "input_dtype": splits.dtype,
        "scaler": None if ae.scaler is None else type(ae.scaler).__name__,
        "parameters": ae.count_params(),
        "samples": dict(splits.sizes),
        "measured_on": measured,
        "export": export,
        "can_generate": ae.can_generate,
        "device": _device(),
        "versions": _versions(),
    }
    on_command_line = named and set(asked["data_options"]) <= set(_DATA_OPTIONS)
    config["command"] = _command(asked, path) if on_command_line else None
    return config


def _places(source: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return where the data are, from any folder, and the columns that are read of a table."""
    folder = options.get("data_dir")
    columns, label = options.get("columns"), options.get("label")
    return {
        "data_path": os.path.abspath(source) if run_columns.is_path(source) else None,
        "data_dir": None if folder is None else os.path.abspath(folder),
        "columns": run_columns.of_file(source, columns, label),
    }


def _network_of(ae: Any) -> str:
    """Return which network a variant chose by itself."""
    kinds = {type(layer).__name__ for layer in ae.decoder_network.layers}
    kinds &= {"Conv1DTranspose", "Conv2DTranspose"}
    return {"Conv1DTranspose": "sequence", "Conv2DTranspose": "conv"}.get("".join(kinds), "dense")


def _command(asked: dict[str, Any], path: Path) -> list[str]:
    """Return the command line that asks for the same."""
    words = ["kerasae", "train", str(asked["variant"]), "--data", os.fspath(asked["data"])]
    defaults = {"batch_size": 128, "seed": 0}
    for name in ("epochs", "batch_size", "latent_dim", "network", "seed", "precision",
                 "learning_rate", "patience"):  # fmt: skip
        if asked[name] is not None and asked[name] != defaults.get(name):
            words += [f"--{name.replace('_', '-')}", str(asked[name])]
    for name, value in asked["data_options"].items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [_DATA_OPTIONS[name], str(one)]
    for name, value in asked["options"].items():
        value = list(value) if isinstance(value, tuple) else value
        words += ["--set", f"{name}={value if isinstance(value, str) else _json(value)}"]
    words += ["--deterministic"] if asked["deterministic"] else []
    words += ["--no-export"] if asked["export"] is False else []
    return [*words, "--out", path.as_posix()]


def _json(value: Any) -> str:
    import json

    return json.dumps(value, default=repr)


def default_name(variant: Any, data: Any) -> str:
    """Return the name of the run directory where none was asked for."""
    name = getattr(data, "name", None) or (
        data if isinstance(data, (str, os.PathLike)) else "array"
    )
    return f"{variant}-{Path(name).stem}"


def _device() -> str:
    """Return where Keras computes, in words."""
    import keras

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        return f"CPU ({cores} cores)" if first.platform == "cpu" else str(first.device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU ({cores} cores)"
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", gpus[0].name))


def _versions() -> dict[str, str]:
    import platform
    from importlib import metadata

    import keras

    import kerasae

    versions = {"kerasae": kerasae.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in ("keras", "tensorflow", "numpy")}
    return {**versions, "backend": keras.backend.backend()}
