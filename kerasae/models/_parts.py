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


class Scorer(keras.Model):
    """The reconstruction error of each sample as a model, so that `predict` batches it."""

    def __init__(self, autoencoder: Any):
        super().__init__(name="scorer")
        self.autoencoder = autoencoder
        self.built = True

    def call(self, inputs: Any) -> Any:
        ae = self.autoencoder
        target, _, decoded = forward(without_corruption(ae), ops.cast(inputs, ae.input_dtype_name))
        loss = ae.reconstruction_loss
        if not getattr(loss, "from_logits", False):
            decoded = ae.output_activation(decoded)
        values = loss.call(ops.cast(target, "float32"), ops.cast(decoded, "float32"))
        # A Keras loss may keep some feature axes; ours have reduced them all.
        return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)
