"""The row of parts, and the models over some of them."""

import inspect
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops

from kerasae.layers import JacobianPenalty

PARTS = ("scaler", "corruption", "encoder_network", "bottleneck", "decoder_network")


def forward(parts: Any, x: Any, training: bool | None = None) -> tuple[Any, Any, Any]:
    """Run the parts in a row; return scaled input, code, and decoder output.

    The decoder's output is in scaled units, before the output activation.

    Args:
        parts: Anything with the attributes `PARTS`.
        x: Raw input.
        training: Passed on by hand: on JAX a step calls the model without Keras's call
            context, which would hand it down.
    """
    scaled = _call(parts.scaler, x, training)
    hidden = _call(parts.corruption, scaled, training)
    if parts.corruption is not None and isinstance(parts.encoder_network, JacobianPenalty):
        features = parts.encoder_network(hidden, clean=scaled, training=training)
    else:
        features = _call(parts.encoder_network, hidden, training)
    code = _call(parts.bottleneck, features, training)
    return scaled, code, _call(parts.decoder_network, code, training)


def _call(layer: keras.layers.Layer | None, x: Any, training: bool | None) -> Any:
    if layer is None:
        return x
    if training is not None and "training" in inspect.signature(layer.call).parameters:
        return layer(x, training=training)
    return layer(x)


def without_corruption(parts: Any) -> SimpleNamespace:
    """Return the same parts with no corruption among them."""
    return SimpleNamespace(**{**{name: getattr(parts, name) for name in PARTS}, "corruption": None})


def compared(ae: Any, x: Any) -> tuple[Any, Any]:
    """Return scaled input and decoder output as the reconstruction loss takes them, float32.

    Without corruption and noise.
    """
    target, _, decoded = forward(without_corruption(ae), x, training=False)
    if not getattr(ae.reconstruction_loss, "from_logits", False):
        decoded = ae.output_activation(decoded)
    return ops.cast(target, "float32"), ops.cast(decoded, "float32")


def score(ae: Any, target: Any, decoded: Any) -> Any:
    """Return the reconstruction error of each sample from what `compared` gives."""
    values = ae.reconstruction_loss.call(target, decoded)
    # A Keras loss may keep some feature axes; ours have reduced them all.
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)


class Scorer(keras.Model):
    """The reconstruction error as a model, so that `predict` batches it.

    Args:
        autoencoder: The model.
        per_feature: Whether to keep the features apart, which needs one of kerasae's losses.
    """

    def __init__(self, autoencoder: Any, per_feature: bool = False):
        super().__init__(name="scorer")
        self.autoencoder = autoencoder
        self.per_feature = per_feature
        self.built = True

    def call(self, inputs: Any) -> Any:
        ae = self.autoencoder
        target, decoded = compared(ae, ops.cast(inputs, ae.input_dtype_name))
        if self.per_feature:
            return ae.reconstruction_loss.error(target, decoded)
        return score(ae, target, decoded)
