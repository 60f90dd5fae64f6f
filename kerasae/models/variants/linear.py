"""The linear autoencoder, equivalent to principal component analysis."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble, with_defaults
from kerasae.models.variants.recipe import Recipe


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Linear(Recipe):
    """Uses no activations; with `init="pca"`, training starts from the principal components.

    References:
        Baldi and Hornik, "Neural networks and principal component analysis", 1989.
    """

    init: str | None = None

    @property
    def prepares(self) -> bool:
        return self.init is not None

    def check(self, ae: Any) -> None:
        if self.init not in (None, "pca"):
            raise ValueError(f"init must be None or 'pca'. Received: init={self.init!r}")
        size = int(np.prod(ae.sample_shape))
        if self.init == "pca" and ae.latent_dim > size:
            raise ValueError(
                f"init='pca' supports at most {size} components for this input. "
                f"Received: latent_dim={ae.latent_dim}"
            )
        if self.init == "pca" and not all(map(_is_affine, _dense_layers(ae))):
            raise ValueError(
                "init='pca' requires one linear Dense layer with a bias on each side: "
                "network='dense' and hidden=(). Received: encoder and decoder with "
                f"{list(map(len, _dense_layers(ae)))} Dense layers"
            )

    def prepare(self, ae: Any, batches: Any) -> None:
        """Set the weights to the principal components of the training data, in scaled units.

        Memory grows with the square of the input size, but not with the number of samples.
        """
        size = int(np.prod(ae.sample_shape))
        count, total, products = 0, np.zeros(size), np.zeros((size, size))
        for batch in batches:
            x = batch if ae.scaler is None else ae.scaler(batch)
            x = np.asarray(ops.convert_to_numpy(x), dtype="float64").reshape(-1, size)
            count, total, products = count + len(x), total + x.sum(axis=0), products + x.T @ x
        mean = total / count
        _, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        components = vectors[:, ::-1][:, : ae.latent_dim]
        (encode,), (decode,) = _dense_layers(ae)
        encode.set_weights([components, -mean @ components])
        decode.set_weights([components.T, mean])

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        return {"linear": data.linear()}


def _dense_layers(ae: Any) -> list[list[keras.layers.Dense]]:
    networks = (ae.encoder_network, ae.decoder_network)
    return [
        [
            layer
            for layer in getattr(network, "layers", [network])
            if isinstance(layer, keras.layers.Dense)
        ]
        for network in networks
    ]


def _is_affine(layers: list[keras.layers.Dense]) -> bool:
    return (
        len(layers) == 1 and layers[0].use_bias and layers[0].activation is keras.activations.linear
    )


def linear(
    input_shape: tuple[int, ...],
    latent_dim: int | None = None,
    *,
    init: str | None = None,
    **options: Any,
) -> Autoencoder:
    """Build a linear autoencoder. On the dense network its optimum spans the PCA subspace.

    Args:
        input_shape: Shape of one sample.
        latent_dim: Size of the code.
        init: None, or `"pca"` to start at the optimum (dense network).
        **options: See `kerasae.build`. There are no activations and, on the dense network, no
            hidden layer by default.
    """
    for option in ("activation", "code_activation", "output_activation"):
        if options.get(option) not in (None, "linear"):
            raise ValueError(
                f"{option} is not supported by 'linear'; use 'undercomplete' instead. "
                f"Received: {option}={options[option]!r}"
            )
    options = with_defaults(options, hidden=(), activation="linear")
    defaults = {"output_activation": None, "loss": "mse"}
    return assemble(Linear(init), input_shape, latent_dim, **{**defaults, **options})
