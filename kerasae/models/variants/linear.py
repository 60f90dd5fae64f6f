"""The linear autoencoder, which equals principal component analysis."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.models import inputs
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.recipe import Mechanism, assemble, with_defaults


@keras.saving.register_keras_serializable("kerasae")
class LinearAutoencoder(Autoencoder):
    """An `Autoencoder` of linear layers; with `init="pca"`, `fit` starts from the SVD.

    Args:
        *args, **kwargs: As for `Autoencoder`.
        init: None, or `"pca"` for one Dense layer on each side: the first `fit` sets them to
            the principal components of the training data (in scaled units), the optimum of
            the squared error.

    References:
        Baldi and Hornik, "Neural networks and principal component analysis", 1989.
    """

    def __init__(self, *args: Any, init: str | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if init not in (None, "pca"):
            raise ValueError(f"init must be None or 'pca'. Received: init={init!r}")
        self.init = init
        self.is_initialized = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="is_initialized"
        )
        size = int(np.prod(self.sample_shape))
        if init == "pca" and self.latent_dim > size:
            raise ValueError(
                f"init='pca' has at most {size} components for this input. "
                f"Received: latent_dim={self.latent_dim}"
            )
        if init == "pca" and not all(map(_is_affine, self._dense_layers())):
            raise ValueError(
                "init='pca' needs one linear Dense layer with a bias on each side: "
                "network='dense' and hidden=(). Received: encoder and decoder with "
                f"{list(map(len, self._dense_layers()))} Dense layers"
            )

    def _dense_layers(self) -> list[list[keras.layers.Dense]]:
        networks = (self.encoder_network, self.decoder_network)
        return [
            [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
            for network in networks
        ]

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if self.init == "pca" and not int(ops.convert_to_numpy(self.is_initialized)):
            inputs.check_data(self, x, y)
            if not getattr(self.scaler, "adapted", True):
                self.scaler.adapt(self._training_inputs(x, kwargs))
            self.initialize_from_pca(self._training_inputs(x, kwargs))
        return super().fit(x, y, *args, **kwargs)

    def initialize_from_pca(self, batches: Any) -> None:
        """Set the weights to the principal components of `batches`, in scaled units.

        Args:
            batches: Iterable of raw arrays `(batch, *input_shape)`, read once; memory grows
                with the square of the input's size and not with the number of samples.
        """
        size = int(np.prod(self.sample_shape))
        count, total, products = 0, np.zeros(size), np.zeros((size, size))
        for batch in batches:
            x = batch if self.scaler is None else self.scaler(batch)
            x = np.asarray(ops.convert_to_numpy(x), dtype="float64").reshape(-1, size)
            count, total, products = count + len(x), total + x.sum(axis=0), products + x.T @ x
        mean = total / count
        _, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        components = vectors[:, ::-1][:, : self.latent_dim]
        (encode,), (decode,) = self._dense_layers()
        encode.set_weights([components, -mean @ components])
        decode.set_weights([components.T, mean])
        self.is_initialized.assign(1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "init": self.init}


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
        **options: See `kerasae.build`. There is no activation anywhere and,
            on the dense network, no hidden layer by default.
    """
    for option in ("activation", "code_activation", "output_activation"):
        if options.get(option) not in (None, "linear"):
            raise ValueError(
                f"'linear' has no activation; use 'undercomplete' with one. "
                f"Received: {option}={options[option]!r}"
            )
    options = with_defaults(options, hidden=(), activation="linear")
    mechanism = Mechanism(model=LinearAutoencoder, model_options={"init": init})
    defaults = {"output_activation": None, "loss": "mse"}
    return assemble(mechanism, input_shape, latent_dim, **{**defaults, **options})
