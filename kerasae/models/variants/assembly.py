"""Assembly of an autoencoder from options, shared by all builders."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from kerasae import layers, losses
from kerasae.errors import check_whole, is_whole, nearest, shorten
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.recipe import Recipe
from kerasae.networks import NETWORKS, NORMALIZATIONS


def assemble(
    recipe: Recipe,
    input_shape: tuple[int, ...],
    latent_dim: int | None,
    *,
    network: str | None = None,
    hidden: Sequence[int] | None = None,
    activation: Any = None,
    code_activation: Any = None,
    normalization: str | None = None,
    kernel_size: int | None = None,
    encoder: keras.Model | None = None,
    decoder: keras.Model | None = None,
    input_dtype: str = "float32",
    scaler: Any = "auto",
    corruption: Any = "auto",
    condition: Any = None,
    corruption_level: float | tuple[float, float] | None = None,
    output_activation: Any = "auto",
    loss: Any = None,
    seed: int | None = None,
    name: str = "autoencoder",
) -> Autoencoder:
    """Build the parts and an `Autoencoder` of them.

    Args:
        recipe: The variant's `Recipe`.
        input_shape: Shape of one sample.
        latent_dim: Size of the code. None takes a quarter of the input, at least 2 and at
            most 32, or the input size of the given `decoder`.
        network: `"dense"` (the default), `"conv"` or `"sequence"`.
        hidden: Units or filters of the encoder's hidden layers, mirrored by the decoder; None
            takes the default of the variant or of the network.
        activation: Activation of the hidden layers; None is ReLU.
        code_activation: Activation of the code; None is linear.
        normalization: None, `"batch"` or `"layer"`.
        kernel_size: Size of convolution kernels; None takes the network's default.
        encoder: A custom network instead of the six options above. It maps scaled input to the
            code, or to features for variational models.
        decoder: A custom network, from the code to the shape of the input.
        input_dtype: `"float32"` or `"uint8"`.
        scaler: `"auto"` (uint8 to [0, 1], float unchanged), None, `"unit"`,
            `"standardize"`, or a Keras layer with a method `inverse`.
        corruption: None, `"gaussian"`, `"masking"`, `"salt_and_pepper"`,
            `"low_resolution"`, or a layer; `"auto"` takes the variant's default.
        condition: Number of classes, the shape `(width,)` of a vector, or a
            `kerasae.layers.Condition` that both encoder and decoder receive (variational
            models); None for an unconditional model.
        corruption_level: Standard deviation, rate or factor of a corruption given by name; for
            Gaussian noise also a pair of standard deviations to draw between, per sample.
        output_activation: `"auto"` (sigmoid if the input is scaled to [0, 1]), None, or an
            activation.
        loss: Reconstruction loss; None takes the variant's default.
        seed: Seed of the model's noise. Initial weights follow `keras.utils.set_random_seed`.
        name: Name of the Keras model.

    Raises:
        ValueError: If an option is out of range, unknown, or contradicts another.
    """
    if input_dtype not in ("float32", "uint8"):
        raise ValueError(
            "input_dtype must be 'float32' or 'uint8', the dtype of the raw input. "
            f"Received: input_dtype={input_dtype!r}"
        )
    if seed is not None and not (is_whole(seed, 0) and seed < 2**32):
        raise ValueError(
            f"seed must be None or a whole number from 0 to below 2**32. Received: seed={seed!r}"
        )
    scaler = _scaler(scaler, input_dtype)
    unit = isinstance(scaler, layers.UnitScale)
    condition = _condition(condition, recipe, seed)
    extra = 0 if condition is None else condition.units
    if encoder is not None or decoder is not None:
        if encoder is None or decoder is None:
            raise ValueError(
                "encoder and decoder must be given together. "
                f"Received: encoder={encoder}, decoder={decoder}"
            )
        replaced = {
            "network": network,
            "hidden": hidden,
            "activation": activation,
            "code_activation": code_activation,
            "normalization": normalization,
            "kernel_size": kernel_size,
        }
        for option, value in replaced.items():
            if value is not None:
                raise ValueError(
                    f"{option} has no effect on a custom encoder and decoder; omit it. "
                    f"Received: {option}={value!r}"
                )
        encoder, decoder, latent_dim, units = _own_networks(
            encoder, decoder, input_shape, latent_dim, recipe, extra
        )
    else:
        if latent_dim is None:
            latent_dim = default_latent_dim(input_shape)
        check_whole("latent_dim", latent_dim)
        encoder, decoder = _make_networks(
            network or "dense",
            input_shape,
            recipe.latent_units(latent_dim) + extra,
            recipe.encoder_units(latent_dim),
            hidden=hidden,
            activation=activation,
            code_activation=code_activation,
            normalization=normalization,
            kernel_size=kernel_size,
        )
        units = int(encoder.output_shape[-1])
    if loss is None:
        loss = recipe.unit_loss if unit and not _ends_in_sigmoid(decoder) else recipe.loss
    loss = _loss(loss, recipe, decoder)
    from_logits = getattr(loss, "from_logits", False)
    if from_logits and isinstance(scaler, layers.Standardize):
        raise ValueError(
            "loss='bce' requires targets in [0, 1]; use scaler='unit'. "
            "Received: scaler='standardize'"
        )
    if output_activation == "auto":
        bounded = (unit or from_logits) and not _ends_in_sigmoid(decoder)
        output_activation = "sigmoid" if bounded else None

    conditional = {} if condition is None else {"conditional": True}
    if corruption == "auto":
        corruption = recipe.corruption
    return Autoencoder(
        input_shape,
        encoder_network=recipe.wrap_encoder(encoder, seed),
        decoder_network=decoder,
        bottleneck=recipe.bottleneck(units + extra, latent_dim, seed, **conditional),
        corruption=_corruption(corruption, corruption_level, unit, seed),
        condition=condition,
        scaler=scaler,
        input_dtype=input_dtype,
        output_activation=output_activation,
        loss=loss,
        prior=recipe.prior,
        recipe=recipe,
        name=name,
    )


def default_latent_dim(input_shape: tuple[int, ...]) -> int:
    """Return a quarter of the input's size, at least 2 and at most 32."""
    return max(min(2, math.prod(input_shape)), min(32, math.prod(input_shape) // 4))


def with_defaults(options: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return `options` with a variant's defaults for the built-in networks.

    Args:
        options: As passed to a builder. Custom networks take no defaults.
        **defaults: Defaults by name; `hidden` applies to the dense network only.
    """
    if options.get("encoder") is not None or options.get("decoder") is not None:
        return options
    if options.get("network") not in (None, "dense"):
        defaults.pop("hidden", None)
    return {**defaults, **options}


def _choice(name: str, value: Any, known: Any) -> Any:
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, known))}."
            f"{nearest(value, known)} Received: {name}={value!r}"
        )
    return value


def _make_networks(
    network: str,
    input_shape: tuple[int, ...],
    latent_units: int,
    units: int | None,
    **options: Any,
) -> tuple[keras.Model, keras.Model]:
    _choice("network", network, NETWORKS)
    if options["normalization"] is not None:
        _choice("normalization", options["normalization"], NORMALIZATIONS)
    if options["hidden"] is not None:
        hidden = options["hidden"]
        hidden = [hidden] if isinstance(hidden, int) else hidden
        if not isinstance(hidden, (list, tuple)):
            raise ValueError(
                "hidden must be a sequence of layer widths, such as (128, 64). "
                f"Received: hidden={hidden!r}"
            )
        options["hidden"] = tuple(check_whole("hidden", width) for width in hidden)
    if options["kernel_size"] is not None:
        if network == "dense":
            raise ValueError(
                "kernel_size requires a convolutional network, 'conv' or 'sequence'. "
                f"Received: kernel_size={options['kernel_size']}, network='dense'"
            )
        check_whole("kernel_size", options["kernel_size"])
    for key in ("activation", "code_activation"):
        try:
            keras.activations.get(options[key])
        except ValueError:
            known = (
                "linear",
                "relu",
                "leaky_relu",
                "elu",
                "selu",
                "gelu",
                "silu",
                "softplus",
                "sigmoid",
                "tanh",
                "exponential",
            )
            raise ValueError(
                f"{key} must be a Keras activation, such as {', '.join(known)}."
                f"{nearest(options[key], known)} Received: {key}={options[key]!r}"
            ) from None
    # Options that are not given take the network's own default.
    options = {k: v for k, v in options.items() if v is not None}
    return NETWORKS[network](input_shape, latent_units, units=units, **options)


def _own_networks(
    encoder: keras.Model,
    decoder: keras.Model,
    input_shape: tuple[int, ...],
    latent_dim: int | None,
    recipe: Recipe,
    extra: int,
) -> tuple[keras.Model, keras.Model, int, int]:
    """Validate custom networks against the input and each other."""
    for name, own in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(own, keras.layers.Layer):
            raise ValueError(f"{name} must be a Keras model or layer. Received: {name}={own!r}")
    out = _symbolic("encoder", encoder, "samples of shape", input_shape)
    if len(out) != 1:
        raise ValueError(
            "encoder must output one vector per sample, (batch, units); add a Flatten layer. "
            f"Received: an encoder with output of shape (batch, {', '.join(map(str, out))})"
        )
    # Encoder outputs and decoder inputs per dimension of the code.
    encoded, decoded = recipe.encoder_units(1), recipe.latent_units(1)
    if encoded is not None:
        if out[0] % encoded or latent_dim not in (None, out[0] // encoded):
            raise ValueError(
                f"latent_dim must be omitted or equal the size of the encoder's output, {out[0]}"
                f"{f', divided by {encoded}' if encoded > 1 else ''}. "
                f"Received: latent_dim={latent_dim}"
            )
        latent_dim = out[0] // encoded
    elif latent_dim is None:
        try:
            latent_dim = (int(decoder.input_shape[-1]) - extra) // decoded
        except (AttributeError, TypeError, ValueError):
            raise ValueError(
                "latent_dim is required with a decoder that is not built yet. "
                "Received: latent_dim=None"
            ) from None
    taken = recipe.latent_units(latent_dim) + extra
    _symbolic("decoder", decoder, "a code of shape", (taken,))
    return encoder, decoder, latent_dim, int(out[0])


def _symbolic(
    name: str, own: keras.layers.Layer, what: str, shape: tuple[int, ...]
) -> tuple[Any, ...]:
    """Return the output shape of a custom network for an input shape, without the batch."""
    try:
        return tuple(own(keras.Input(shape)).shape[1:])
    except (TypeError, ValueError) as error:
        # The line of Keras's long message that states the cause.
        lines = [line for line in str(error).splitlines() if line.strip()]
        told = [line for line in lines if "Exception encountered when calling" not in line]
        why = shorten((told or lines or [type(error).__name__])[0])
        raise ValueError(
            f"{name} must take {what} {shape}. Received: {name}={own.name!r}, which raised: {why}"
        ) from error


def _ends_in_sigmoid(decoder: keras.Model) -> bool:
    last = decoder.layers[-1] if getattr(decoder, "layers", None) else decoder
    return getattr(last, "activation", None) is keras.activations.sigmoid


def _loss(loss: Any, recipe: Recipe, decoder: keras.Model) -> keras.losses.Loss:
    loss = losses.get(loss, recipe.features)
    if getattr(loss, "from_logits", False) and _ends_in_sigmoid(decoder):
        raise ValueError(
            "loss='bce' is computed from logits, so the decoder must have a linear output; remove "
            f"the sigmoid of its last layer. Received: decoder={decoder.name!r} ending in a sigmoid"
        )
    return loss


def _condition(condition: Any, recipe: Recipe, seed: int | None) -> layers.Condition | None:
    if condition is None:
        return None
    if recipe.encoder_ends_in != "features":
        raise ValueError(
            f"condition is supported only by variational models. Received: condition={condition!r}"
        )
    if isinstance(condition, layers.Condition):
        return condition
    if isinstance(condition, (tuple, list)) and len(condition) == 1:
        width = check_whole("condition", condition[0])
        return layers.Condition(width=width, seed=seed, name="embedded_condition")
    classes = check_whole("condition", condition, 2)
    return layers.Condition(classes, seed=seed, name="embedded_condition")


def _scaler(scaler: Any, input_dtype: str) -> keras.layers.Layer | None:
    if scaler == "auto":
        scaler = "unit" if input_dtype == "uint8" else None
    if scaler is None:
        if input_dtype == "uint8":
            raise ValueError(
                "scaler must scale uint8 input, which lies in 0..255; use scaler='unit', or "
                "convert the data and build with input_dtype='float32'. Received: scaler=None"
            )
        return None
    if scaler == "unit":
        fixed = (0.0, 255.0) if input_dtype == "uint8" else (None, None)
        return layers.UnitScale(*fixed, name="scaler")
    if scaler == "standardize":
        return layers.Standardize(name="scaler")
    if isinstance(scaler, keras.layers.Rescaling) and _is_scalar(scaler):
        # x * scale + offset reaches 0 and 1 at these two raw values.
        low = -scaler.offset / scaler.scale
        return layers.UnitScale(low, low + 1 / scaler.scale, name="scaler")
    if isinstance(scaler, keras.layers.Layer) and hasattr(scaler, "inverse"):
        return scaler
    raise ValueError(
        "scaler must be 'auto', 'unit', 'standardize', None, or a Keras layer with a method "
        f"inverse.{nearest(scaler, ('auto', 'unit', 'standardize'))} Received: scaler={scaler!r}"
    )


def _is_scalar(scaler: keras.layers.Rescaling) -> bool:
    return all(isinstance(v, (int, float)) for v in (scaler.scale, scaler.offset))


def _corruption(
    corruption: Any, level: float | tuple[float, float] | None, unit: bool, seed: int | None
) -> keras.layers.Layer | None:
    known = {
        "gaussian": lambda **o: layers.GaussianCorruption(clip=(0, 1) if unit else None, **o),
        "masking": layers.MaskingCorruption,
        "salt_and_pepper": layers.SaltAndPepperCorruption,
        "low_resolution": layers.LowResolutionCorruption,
    }
    argument = {"gaussian": "stddev", "low_resolution": "factor"}
    if isinstance(corruption, str):
        _choice("corruption", corruption, known)
        if isinstance(level, (tuple, list)) and corruption != "gaussian":
            raise ValueError(
                "corruption_level may be a pair only for corruption='gaussian'. Received: "
                f"corruption={corruption!r}, corruption_level={level!r}"
            )
        options = {} if level is None else {argument.get(corruption, "rate"): level}
        return known[corruption](**options, seed=seed, name="corruption")
    if level is not None:
        raise ValueError(
            "corruption_level requires a corruption given by name. "
            f"Received: corruption={corruption!r}, corruption_level={level}"
        )
    if corruption is None or isinstance(corruption, keras.layers.Layer):
        return corruption
    raise ValueError(
        f"corruption must be None, a layer, or one of {', '.join(map(repr, known))}. "
        f"Received: corruption={corruption!r}"
    )
