"""A classifier on the encoder of a trained autoencoder."""

from collections.abc import Sequence
from typing import Any

import keras

from kerasae.errors import check_whole
from kerasae.layers import Penalty
from kerasae.models import inputs as checks
from kerasae.models.autoencoder import Autoencoder, forward, without
from kerasae.models.variants.recipe import Recipe


@keras.saving.register_keras_serializable("kerasae")
class Frozen(keras.layers.Wrapper):
    """Runs a layer in inference mode, even in training, and freezes its weights.

    Batch normalization keeps its statistics and dropout is off. Neither `trainable = False`
    alone nor `training=False` in a functional graph achieves this.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.trainable = False

    def call(self, inputs: Any) -> Any:
        if isinstance(self.layer, Penalty):
            return self.layer(inputs, training=False, return_terms=True)[0]
        return self.layer(inputs, training=False)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.layer.compute_output_shape(input_shape)


def classifier(
    autoencoder: Autoencoder,
    num_classes: int,
    *,
    trainable_encoder: bool = True,
    hidden: Sequence[int] | int = (),
    dropout: float = 0.0,
) -> keras.Model:
    """Put a classification head on a copy of an autoencoder's scaler and encoder.

    The classifier is a functional `keras.Model` from raw input to probabilities, compiled with
    sparse categorical cross-entropy, accuracy and Adam; compile it again to change these. The
    encoder's weights are copied, so fine-tuning does not change the autoencoder. Corruption,
    sampling (a variational code is its `z_mean`) and the penalties of the autoencoder are
    omitted.

    Args:
        autoencoder: A trained `Autoencoder`, or an untrained one as a baseline.
        num_classes: Number of classes, at least 2; labels are whole numbers below it.
        trainable_encoder: Whether to train the encoder too. If False, it also runs in inference
            mode: batch normalization keeps its statistics, dropout is off.
        hidden: Units of ReLU layers between code and output.
        dropout: Dropout rate before each layer of the head, in [0, 1).

    Returns:
        The model, `(batch, *input_shape) -> (batch, num_classes)`, float32, with rows that sum
        to 1. It saves and loads like any Keras model where `kerasae.models` is imported.

    Raises:
        ValueError: If an argument is out of range, or the scaler has not been adapted.

    References:
        Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
        Science 2006; Erhan et al., "Why Does Unsupervised Pre-training Help Deep Learning?",
        JMLR 2010.

    Example:
    >>> import kerasae
    >>> ae = kerasae.build("undercomplete", (8, 8, 1), 10)
    >>> kerasae.models.classifier(ae, num_classes=10).output_shape
    (None, 10)
    """
    if not isinstance(autoencoder, Autoencoder):
        raise ValueError(
            "autoencoder must be an Autoencoder, as kerasae.build and kerasae.load return. "
            f"Received: autoencoder of type {type(autoencoder).__name__}"
        )
    if check_whole("num_classes", num_classes) < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1). Received: dropout={dropout}")
    widths = [hidden] if isinstance(hidden, int) else list(hidden)
    checks.check_adapted(autoencoder)

    twin = type(autoencoder).from_config(autoencoder.get_config())
    twin.set_weights(autoencoder.get_weights())
    inputs, x = _representation(twin, trainable_encoder)
    for i, width in enumerate(widths, start=1):
        x = _dropped(x, dropout, f"dropout_{i}")
        units = check_whole("hidden", width)
        x = keras.layers.Dense(units, activation="relu", name=f"hidden_{i}")(x)
    x = _dropped(x, dropout, "dropout_output")
    x = keras.layers.Dense(int(num_classes), dtype="float32", name="logits")(x)
    outputs = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(x)
    model = keras.Model(inputs, outputs, name="classifier")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    # Built now, so that a model saved before its first step loads like any other.
    model.optimizer.build(model.trainable_variables)
    return model


def _representation(ae: Autoencoder, trainable: bool) -> tuple[Any, Any]:
    """Return symbolic raw input and the code without penalties and sampling."""
    parts = without(ae, "corruption")
    if isinstance(parts.bottleneck, keras.Model) and isinstance(parts.bottleneck.output, dict):
        # Of several outputs only the one that is used, so that no weight is left without gradient.
        named = parts.bottleneck.output
        latent = {"latent": named.get("z_mean", named["latent"])}
        parts.bottleneck = keras.Model(parts.bottleneck.input, latent, name=parts.bottleneck.name)
    if not trainable:
        for name in ("encoder_network", "bottleneck"):
            layer = getattr(parts, name)
            if layer is not None:
                setattr(parts, name, Frozen(layer, name=layer.name))
    inputs = ae.input_spec_.symbolic()
    pass_ = forward(parts, inputs)
    return inputs, Recipe.representation(ae.recipe, pass_)


def _dropped(x: Any, rate: float, name: str) -> Any:
    return keras.layers.Dropout(rate, name=name)(x) if rate else x
