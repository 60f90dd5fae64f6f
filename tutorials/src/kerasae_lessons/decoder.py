"""A dense decoder as a list of plain steps, which a few lines of JavaScript can compute."""

from typing import Any

import numpy as np

# Implemented in explorer.js, under the names of keras.activations.
ACTIVATIONS = (
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "softplus",
    "exponential",
)
_PARAMETERS = {"leaky_relu": ("negative_slope", 0.2), "elu": ("alpha", 1.0)}  # and defaults
_NO_STEP = ("InputLayer", "Reshape", "Flatten", "Dropout", "GaussianNoise")
_TOLERANCE = 1e-4  # of float32 against float64, relative to the largest value


def steps_of(ae: Any) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return the decoder as a list of steps, and the weights of its dense steps in order."""
    import keras

    steps: list[dict[str, Any]] = []
    weights: list[np.ndarray] = []
    for layer in _flat(ae.decoder):
        kind = type(layer).__name__
        if kind in _NO_STEP:
            continue
        if isinstance(layer, keras.layers.Dense):
            kernel = _array(layer.kernel)
            bias = np.zeros(kernel.shape[1]) if layer.bias is None else _array(layer.bias)
            weights += [kernel.astype("float32"), bias.astype("float32")]
            steps.append({"kind": "dense", "inputs": kernel.shape[0], "units": kernel.shape[1]})
            steps.append(_activation(layer.name, layer.activation))
        elif isinstance(layer, keras.layers.Activation):
            steps.append(_activation(layer.name, layer.activation))
        elif isinstance(layer, keras.layers.LeakyReLU):
            steps.append(_activation(layer.name, "leaky_relu", float(layer.negative_slope)))
        elif isinstance(layer, keras.layers.BatchNormalization):
            deviation = np.sqrt(_array(layer.moving_variance) + layer.epsilon)
            scale = (1.0 if layer.gamma is None else _array(layer.gamma)) / deviation
            beta = 0.0 if layer.beta is None else _array(layer.beta)
            steps.append(_affine(scale, beta - _array(layer.moving_mean) * scale))
        elif hasattr(getattr(layer, "scaler", None), "inverse"):
            scaler = layer.scaler
            if getattr(scaler, "scale", None) is None or getattr(scaler, "offset", None) is None:
                raise ValueError(
                    "explorer inverts scalers with a scale and an offset, such as 'unit' and "
                    f"'standardize'. Received: scaler {scaler.name!r}"
                )
            steps.append(_affine(_array(scaler.scale), _array(scaler.offset)))
        else:
            raise ValueError(
                "explorer computes decoders of dense layers; build with network='dense' and "
                f"without normalization='layer'. Received: layer {layer.name!r}, a {kind}"
            )
    return [step for step in steps if step.get("name") != "linear"], weights


def check_same(ae: Any, steps: list[dict[str, Any]], weights: list[Any], codes: Any) -> None:
    """Raise ValueError unless the steps decode as the model does.

    They do not where the layers are no chain, which the list of layers does not show.
    """
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
                name = step["name"]
                option = {_PARAMETERS[name][0]: step["parameter"]} if name in _PARAMETERS else {}
                function = getattr(keras.activations, name)
                found = _array(function(found.astype("float32"), **option))
        size = max(1.0, float(np.abs(expected).max()))
        same = found.shape == expected.shape and np.abs(found - expected).max() < _TOLERANCE * size
    except ValueError:  # shapes that do not fit
        same = False
    if not same:
        raise ValueError(
            "explorer computes decoders whose layers follow each other in one row. "
            f"Received: {ae.decoder.name!r}, which does more"
        )


def _flat(model: Any) -> list[Any]:
    if not getattr(model, "layers", None):
        return [model]
    return [inner for layer in model.layers for inner in _flat(layer)]


def _array(value: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value), "float64")


def _activation(layer: str, function: Any, parameter: float | None = None) -> dict[str, Any]:
    import keras

    for name in ACTIVATIONS:
        if function in (name, getattr(keras.activations, name)):
            if parameter is None and name in _PARAMETERS:
                parameter = _PARAMETERS[name][1]
            return {"kind": "activation", "name": name, "parameter": parameter}
    raise ValueError(
        f"explorer knows the activations {', '.join(ACTIVATIONS)}. "
        f"Received: layer {layer!r} with activation={getattr(function, '__name__', function)!r}"
    )


def _affine(scale: Any, offset: Any) -> dict[str, Any]:
    """Return a step with one factor and one shift per entry of the last axis."""
    return {
        "kind": "affine",
        "scale": np.atleast_1d(scale).tolist(),
        "offset": np.atleast_1d(offset).tolist(),
    }
