"""The card of an exported model: `card.json` for programs, Markdown for people."""

import datetime
import json
import platform
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

import kerasae
from kerasae.models import Autoencoder


def card(
    ae: Autoencoder,
    description: dict[str, Any],
    endpoints: dict[str, Any],
    verification: dict[str, Any] | None,
    metrics: Mapping[str, Any] | None,
    training: Mapping[str, Any] | None,
) -> dict[str, Any]:
    import tensorflow as tf

    def schema(spec: Any) -> dict[str, Any]:
        return {"shape": list(spec.shape), "dtype": tf.as_dtype(spec.dtype).name}

    signatures = {}
    for name, function in endpoints.items():
        outputs = function.get_concrete_function().structured_outputs
        signatures[name] = {
            "inputs": {spec.name: schema(spec) for spec in function.input_signature},
            "outputs": {key: schema(value) for key, value in outputs.items()},
        }
    return _plain(
        {
            **description,
            "recipe": ae.built_with,
            "training": training or {},
            "parameters": ae.count_params(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {
                "kerasae": kerasae.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "signatures": signatures,
            "verification": verification,
            "metrics": metrics or {},
        }
    )


def _plain(value: Any) -> Any:
    """Return `value` in a form valid in JSON: plain Python numbers, and None if not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the rows of a Markdown table, one per number in a nested dictionary."""
    rows = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{key} ")
        # Longer vectors are only in card.json.
        elif not isinstance(value, list) or len(value) <= 4:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            text = text.replace("|", "\\|").replace("\n", " ")
            rows.append(f"| {prefix}{key} | {text} |")
    return rows


def model_card(card: dict[str, Any]) -> str:
    """Return the model card: Markdown with the YAML front matter that Hugging Face reads."""

    def sizes(tensors: dict[str, Any]) -> str:
        texts = []
        for name, spec in tensors.items():
            shape = ", ".join("batch" if size is None else str(size) for size in spec["shape"])
            texts.append(f"`{name}` {spec['dtype']} ({shape})")
        return ", ".join(texts) or "none"

    signatures = "\n".join(
        f"| `{name}`{' (`serving_default`)' if name == 'reconstruct' else ''} "
        f"| {sizes(signature['inputs'])} | {sizes(signature['outputs'])} |"
        for name, signature in card["signatures"].items()
    )
    shape = tuple(card["input_shape"])
    return _MODEL_CARD.format(
        **{**card, "input_shape": shape, "signatures": signatures},
        tag=json.dumps(card["variant"]),
        zeros=f"np.zeros({(1, *shape)}, {card['input_dtype']!r})",
        trained=_table("option", {**card["recipe"], **card["training"]})
        or "The model was assembled without `kerasae.build`.",
        evaluation=_table("metric", card["metrics"]) or "No metrics were passed to `export`.",
        verified=_verification(card["verification"]),
        made_with=", ".join(f"{name} {version}" for name, version in card["versions"].items()),
        date=card["created"][:10],
    )


def _verification(verification: dict[str, Any] | None) -> str:
    if verification is None:
        return "This export was not verified."
    return (
        "Loaded in a fresh Python process without Keras and kerasae, and compared with the model\n"
        f"on {verification['inputs']} samples, a batch of one, and the extremes of the range.\n\n"
        + _table("largest difference in", verification["largest_difference"])
    )


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = _rows(values)
    return "\n".join([f"| {title} | value |", "|---|---|", *rows]) if rows else ""


_MODEL_CARD = """---
library_name: kerasae
pipeline_tag: feature-extraction
tags:
- autoencoder
- {tag}
- tensorflow
- saved_model
- keras
- kerasae
---

# Autoencoder: {variant}

Maps samples of shape {input_shape}, {input_dtype}, to codes of {latent_dim} numbers and back.
{parameters:,} parameters. Inputs and outputs are in the raw units of the training data.

## Use

With TensorFlow alone, from inside this folder:

```python
import numpy as np
import tensorflow as tf

x = {zeros}
model = tf.saved_model.load(".")
code = model.signatures["encode"](x=tf.constant(x))["code"]
```

With kerasae, `kerasae.load(".").encode(x)` validates `x` and processes large arrays in batches.

| signature | inputs | outputs |
|---|---|---|
{signatures}

A score is the reconstruction error in scaled units ({loss}); higher is worse.
Only `generate`, where it exists, draws random numbers.

## Training

{trained}

## Evaluation

{evaluation}

## Verification

{verified}

Made with {made_with}, on {date}.
"""
