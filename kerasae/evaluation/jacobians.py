"""Singular values of the encoder's Jacobian, the sensitivity of the code to the input."""

import math
from typing import Any

import numpy as np
from keras import ops

from kerasae.evaluation.passes import representation_model, scale
from kerasae.layers.backend import call_with_vjps
from kerasae.models.inputs import check_adapted

# Entries of the Jacobians held at a time: 128 MiB of float32.
_HELD = 2**25


def jacobian(ae: Any, x: Any, *, beside: Any = None) -> dict[str, Any]:
    """Return the singular values of the encoder's Jacobian on data, averaged by rank.

    The Jacobian is that of the code (of a variational model, `z_mean`) with respect to the
    input in scaled units, at each sample, without corruption or noise. A contractive encoder
    has few large singular values: the code follows only the directions in which the data vary.
    The Jacobian is exact, and costs `latent_dim` vector-Jacobian products per batch.

    Args:
        ae: A trained `Autoencoder`.
        x: Array `(samples, *input_shape)` in raw units; a few dozen samples suffice.
        beside: Another `Autoencoder` with the same input to compare with, such as the same
            network trained without the penalty.

    Returns:
        `"singular_values"`: list of `min(latent_dim, features)` means over samples, the largest
        first. `"frobenius"`: mean over samples of the root of the sum of their squares. With
        `beside`, the same figures of the other model under `"beside"`.

    References:
        Rifai et al., "Contractive Auto-Encoders", ICML 2011, section 5.3 and figure 3.
    """
    x = np.asarray(x)
    if x.shape[1:] != tuple(ae.sample_shape) or not len(x):
        raise ValueError(
            f"x must be at least one sample of shape {tuple(ae.sample_shape)}. "
            f"Received: x of shape {x.shape}"
        )
    values = np.concatenate([singular_values(j) for j in _jacobians(ae, x)])
    result: dict[str, Any] = {
        "singular_values": values.mean(axis=0).tolist(),
        "frobenius": float(np.sqrt(np.square(values).sum(axis=1)).mean()),
    }
    if beside is not None:
        result["beside"] = jacobian(beside, x)
    return result


def singular_values(jacobians: np.ndarray) -> np.ndarray:
    """Return the singular values of each matrix in decreasing order.

    They are computed from the smaller Gram matrix in float64: values below 1e-8 of the largest
    are round-off, as they are in a float32 Jacobian.

    Args:
        jacobians: `(batch, rows, columns)`.

    Returns:
        `(batch, min(rows, columns))`, float64.
    """
    j = np.asarray(jacobians, "float64")
    gram = j @ j.transpose(0, 2, 1) if j.shape[1] <= j.shape[2] else j.transpose(0, 2, 1) @ j
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[:, ::-1], 0.0))


def _jacobians(ae: Any, x: np.ndarray) -> Any:
    """Yield Jacobians `(batch, latent_dim, features)` of batches of x."""
    check_adapted(ae)
    encoder = representation_model(ae)
    size = math.prod(ae.sample_shape)
    rows = max(1, _HELD // (size * encoder.output_shape[-1]))

    def unit_codes(code: Any) -> list[Any]:
        units = range(code.shape[-1])
        return [ops.zeros_like(code) + ops.one_hot(j, len(units), dtype=code.dtype) for j in units]

    for start in range(0, len(x), rows):
        scaled = ops.convert_to_tensor(scale(ae, x[start : start + rows]))
        _, products = call_with_vjps(encoder, scaled, unit_codes, False, aside=True)
        arrays = [ops.convert_to_numpy(row).reshape(len(scaled), size) for row in products]
        yield np.stack(arrays, axis=1)
