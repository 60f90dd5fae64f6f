"""A dense decoder as a row of plain steps, which a few lines of JavaScript can compute."""

from typing import Any

import numpy as np

# What explorer.js computes, under the names of keras.activations.
ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "silu", "gelu", "softplus",
    "exponential",
)  # fmt: skip
_DEFAULTS = {"leaky_relu": 0.2, "elu": 1.0}  # of the functions; the layers have their own
_TOLERANCE = 1e-4  # float32 against float64, of the largest value


def steps_of(ae: Any) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """The decoder as a row of steps, and the weights that its dense steps take in turn."""
    import keras

    steps: list[dict[str, Any]] = []
    weights: list[np.ndarray] = []
    chain = [*_flat(ae.decoder_network), ae.output_activation]
    for layer in chain:
        kind = type(layer).__name__
        if kind in ("InputLayer", "Reshape", "Flatten", "Dropout", "GaussianNoise"):
            continue
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = _dense(layer)
            weights += [kernel, bias]
            steps.append({"kind": "dense", "inputs": kernel.shape[0], "units": kernel.shape[1]})
            steps.append(_activation(layer.name, layer.activation))
        elif isinstance(layer, keras.layers.Activation):
            steps.append(_activation(layer.name, layer.activation))
        elif isinstance(layer, keras.layers.LeakyReLU):
            steps.append(_activation(layer.name, "leaky_relu", float(layer.negative_slope)))
        elif isinstance(layer, keras.layers.BatchNormalization) and _plain_before(steps):
            # At inference it is one factor and one shift per unit of the dense layer before it.
            weights[-2:] = _folded(layer, *weights[-2:])
        else:
            raise ValueError(
                "explorer computes decoders of dense layers; build with network='dense' and "
                f"without normalization='layer'. Received: layer {layer.name!r}, a {kind}"
            )
    if ae.inverse_scaler is not None:
        steps.append({"kind": "affine", **_affine(ae.inverse_scaler.scaler)})
    return [s for s in steps if s.get("name") != "linear"], weights


def _flat(model: Any) -> list[Any]:
    layers: list[Any] = []
    for layer in getattr(model, "layers", None) or [model]:
        layers += _flat(layer) if getattr(layer, "layers", None) else [layer]
    return layers


def _dense(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    import keras

    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float32")
    if layer.bias is None:
        return kernel, np.zeros(kernel.shape[1], "float32")
    return kernel, np.asarray(keras.ops.convert_to_numpy(layer.bias), "float32")


def _activation(layer: str, function: Any, parameter: float | None = None) -> dict[str, Any]:
    import keras

    if isinstance(function, str):
        return {"kind": "activation", "name": function, "parameter": parameter}
    for name in ACTIVATIONS:
        if function is getattr(keras.activations, name):
            return {"kind": "activation", "name": name, "parameter": _DEFAULTS.get(name)}
    raise ValueError(
        f"explorer knows the activations {', '.join(ACTIVATIONS)}. "
        f"Received: layer {layer!r} with activation={getattr(function, '__name__', function)!r}"
    )


def _plain_before(steps: list[dict[str, Any]]) -> bool:
    return len(steps) > 1 and steps[-2]["kind"] == "dense" and steps[-1].get("name") == "linear"


def _folded(norm: Any, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    import keras

    numbers = {
        name: np.asarray(keras.ops.convert_to_numpy(value), "float64")
        for name, value in (
            ("gamma", 1.0 if norm.gamma is None else norm.gamma),
            ("beta", 0.0 if norm.beta is None else norm.beta),
            ("mean", norm.moving_mean),
            ("variance", norm.moving_variance),
        )
    }
    factor = numbers["gamma"] / np.sqrt(numbers["variance"] + norm.epsilon)
    bias = (bias - numbers["mean"]) * factor + numbers["beta"]
    return [(kernel * factor).astype("float32"), bias.astype("float32")]


def _affine(scaler: Any) -> dict[str, list[float]]:
    """Scale and offset per entry of the last axis, found from the scaler's own inverse."""
    import keras

    if getattr(scaler, "scale", None) is None or getattr(scaler, "offset", None) is None:
        raise ValueError(
            "explorer inverts scalers that are one factor and one shift per feature, as 'unit' "
            f"and 'standardize' are. Received: scaler {scaler.name!r}"
        )
    return {
        key: np.atleast_1d(keras.ops.convert_to_numpy(getattr(scaler, key))).tolist()
        for key in ("scale", "offset")
    }


def check_same(ae: Any, steps: list[dict[str, Any]], weights: list[Any], codes: Any) -> None:
    """Refuse a decoder whose layers are not a row, which the list of its layers cannot show."""
    import keras

    some = codes[:8]
    expected = ae.decode(some).reshape(len(some), -1)
    found, left = some.astype("float64"), iter(weights)
    try:
        for step in steps:
            if step["kind"] == "dense":
                found = found @ next(left) + next(left)
            elif step["kind"] == "affine":
                times = found.shape[1] // len(step["scale"])
                found = found * np.tile(step["scale"], times) + np.tile(step["offset"], times)
            else:
                options = {"leaky_relu": "negative_slope", "elu": "alpha"}.get(step["name"])
                function = getattr(keras.activations, step["name"])
                given = {options: step["parameter"]} if options else {}
                found = keras.ops.convert_to_numpy(function(found.astype("float32"), **given))
                found = found.astype("float64")
        size = max(1.0, float(np.abs(expected).max()))
        same = found.shape == expected.shape and np.abs(found - expected).max() < _TOLERANCE * size
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            "explorer computes decoders whose layers follow each other in one row. "
            f"Received: decoder_network={ae.decoder_network.name!r}, which does more"
        )
