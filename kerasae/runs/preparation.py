"""The data and the model that a configuration asks for, and what `config.json` says of them."""

import math
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasae.runs import columns as run_columns
from kerasae.runs.configuration import TrainConfig

# Training steps that suffice for small networks; early stopping usually comes first.
_STEPS = 12_000


def load_data(asked: TrainConfig) -> Any:
    """Return the splits that were asked for."""
    from kerasae import data
    from kerasae.data import loading

    if isinstance(asked.data, data.Splits):
        return asked.data
    loading.check_options(asked.data_options, taken=("batch_size", "seed"))
    options = {"batch_size": asked.batch_size, "seed": asked.seed, **asked.data_options}
    return data.load(asked.data, **options)


def build_model(asked: TrainConfig, splits: Any) -> Any:
    """Return the model that was asked for, made for the data and compiled."""
    import keras

    from kerasae.models.variants import registry

    defaults = {"seed": asked.seed, "input_dtype": splits.dtype}
    low, high = splits.value_range or (0.0, 1.0)
    if splits.dtype != "uint8" and not (low >= 0 and high <= 1):
        defaults["scaler"] = "standardize"
    if asked.data_options.get("binarize") and "loss" not in asked.options:
        # 0 and 1 are what a Bernoulli likelihood is for.
        defaults |= {"loss": "bce", "output_activation": "sigmoid"}
    known = registry.options_of(asked.variant)
    options = {name: value for name, value in defaults.items() if name in known}
    options |= asked.options
    if "condition" in registry.required_options(asked.variant):
        options.setdefault("condition", _classes(splits))
    if asked.network is not None:
        options["network"] = asked.network
    ae = registry.build(asked.variant, splits.shape, asked.latent_dim, **options)
    ae.compile(optimizer=keras.optimizers.Adam(asked.learning_rate))
    return ae


def _classes(splits: Any) -> int:
    """Return how many classes the data have."""
    labels = [values for values in splits.labels.values() if values is not None and len(values)]
    if not labels:
        raise ValueError(
            "condition needs data with labels (--label COLUMN), or the shape of a vector. "
            f"Received: data={splits.name!r} without labels"
        )
    return len(splits.class_names or ()) or int(max(values.max() for values in labels)) + 1


def fed(ae: Any, splits: Any) -> Any:
    """Return the splits with batches as the model takes them."""
    for name, field in ae.input_spec_.fields.items():
        if field.classes is not None:
            splits = splits.with_labels(name)
        elif name != "x":
            raise ValueError(
                f"kerasae.train gives labels as a condition and no vectors; use ae.fit. "
                f"Received: {name} of shape {field.shape}"
            )
    return splits


def describe(asked: TrainConfig, path: Path, splits: Any, ae: Any) -> dict[str, Any]:
    """Return the content of `config.json`: what was asked for, resolved, and what came of it."""
    import keras

    steps = math.ceil(splits.sizes["train"] / splits.batch_size)
    epochs = asked.epochs or min(300, max(20, math.ceil(_STEPS / steps)))
    on_tensorflow = keras.backend.backend() == "tensorflow"
    named = isinstance(asked.data, (str, os.PathLike))
    return {
        **asked.recorded(),
        "variant": ae.variant,
        "data": os.fspath(asked.data) if named else splits.name,
        **places(asked.data, asked.data_options),
        "epochs": epochs,
        "batch_size": splits.batch_size,
        "patience": asked.patience or max(5, epochs // 10),
        "latent_dim": ae.latent_dim,
        "network": asked.network or ae.built_with.get("network") or _network_of(ae),
        "options": {k: v for k, v in ae.built_with.items() if k in asked.options},
        "input_shape": list(splits.shape),
        "input_dtype": splits.dtype,
        "scaler": None if ae.scaler is None else type(ae.scaler).__name__,
        "parameters": ae.count_params(),
        "samples": dict(splits.sizes),
        "measured_on": next(s for s in ("test", "validation", "train") if splits.sizes[s]),
        "export": on_tensorflow if asked.export is None else asked.export,
        "can_generate": ae.can_generate,
        "code_kind": ae.recipe.code_kind,
        "device": _device(),
        "versions": _versions(),
        "command": asked.command(path),
    }


def places(source: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return where the data are, from any folder, and the columns that are read of a table."""
    folder = options.get("data_dir")
    columns, label = options.get("columns"), options.get("label")
    return {
        "data_path": os.path.abspath(source) if run_columns.is_path(source) else None,
        "data_dir": None if folder is None else os.path.abspath(folder),
        "columns": run_columns.of_file(source, columns, label),
    }


def _network_of(ae: Any) -> str:
    """Return which network a builder chose that records none."""
    kinds = {type(layer).__name__ for layer in ae.decoder_network.layers}
    kinds &= {"Conv1DTranspose", "Conv2DTranspose"}
    return {"Conv1DTranspose": "sequence", "Conv2DTranspose": "conv"}.get("".join(kinds), "dense")


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
    import keras

    import kerasae

    return {
        "kerasae": kerasae.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("keras", "tensorflow", "numpy")},
        "backend": keras.backend.backend(),
    }
