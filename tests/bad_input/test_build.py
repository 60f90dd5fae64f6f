"""Building models, layers, penalties and losses from bad arguments."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae import anomaly, estimators, layers, losses, metrics, regularizers, samplers
from kerasae.schedules import Warmup


def build(name="linear", shape=(4,), latent_dim=None, **options):
    return lambda w: kerasae.build(name, shape, latent_dim, **options)


def of(make, *arguments, **options):
    return lambda w: make(*arguments, **options)


def encoder(units=2, width=4):
    return keras.Sequential([keras.Input((width,)), keras.layers.Dense(units)])


def networks(enc, dec, name="linear", **options):
    return lambda w: kerasae.build(name, (4,), encoder=enc(), decoder=dec(), **options)


BUILD = {
    # Names
    "unknown": (build("denoisng"), r"Did you mean 'denoising'\?"),
    "number for a name": (build(3), r"Unknown variant"),
    "none for a name": (build(None), r"Unknown variant"),
    "empty name": (build(""), r"Unknown variant"),
    "list for a name": (build(["linear"]), r"Unknown variant"),
    "upper case": (build("Linear"), r"Did you mean 'linear'\?"),
    # Shapes
    "shape zero": (build(shape=(0,)), r"input_shape must be the shape of one sample"),
    "shape negative": (build(shape=(-4,)), r"input_shape must be the shape"),
    "shape none": (build(shape=None), r"input_shape must be the shape"),
    "shape with none": (build(shape=(None, 4)), r"input_shape must be the shape"),
    "shape empty": (build(shape=()), r"input_shape must be the shape"),
    "shape text": (build(shape="28"), r"input_shape must be the shape"),
    "shape fraction": (build(shape=(2.5,)), r"input_shape must be the shape"),
    "shape bool": (build(shape=True), r"input_shape must be the shape"),
    "conv on vector": (build(shape=(4,), network="conv"), r"Received: input_shape="),
    "sequence on images": (build(shape=(4, 4, 1), network="sequence"), r"Received: input_shape="),
    "convolutional on vector": (build("convolutional"), r"network='conv' .*Received: input_shape="),
    # Codes
    "code zero": (build(latent_dim=0), r"latent_dim must be a whole number >= 1"),
    "code negative": (build(latent_dim=-1), r"latent_dim must be a whole number >= 1"),
    "code fraction": (build(latent_dim=1.5), r"latent_dim must be a whole number >= 1"),
    "code nan": (build(latent_dim=float("nan")), r"latent_dim must be a whole number >= 1"),
    "code text": (build(latent_dim="2"), r"latent_dim must be a whole number >= 1"),
    "code bool": (build(latent_dim=True), r"latent_dim must be a whole number >= 1"),
    "code list": (build(latent_dim=[2]), r"latent_dim must be a whole number >= 1"),
    "undercomplete too large": (
        build("undercomplete", latent_dim=9),
        r"latent_dim must be below the input's 4",
    ),
    "overcomplete too small": (
        build("overcomplete", latent_dim=2),
        r"latent_dim must be above the input's 4",
    ),
    # Options
    "unknown option": (build(latent_size=3), r"Did you mean 'latent_dim'\?"),
    "other's option": (build(kl_weight=1.0), r"has no option 'kl_weight'"),
    "unknown network": (build(network="convo", shape=(4, 4, 1)), r"Did you mean 'conv'\?"),
    "number for a network": (build(network=3), r"network must be one of"),
    "network of convolutional": (
        build("convolutional", (4, 4), network="dense"),
        r"network='dense'",
    ),
    "hidden zero": (build("undercomplete", hidden=(0,)), r"hidden must be a whole number >= 1"),
    "hidden text": (build("undercomplete", hidden="64"), r"hidden must be"),
    "hidden nested": (build("undercomplete", hidden=((3,),)), r"hidden must be"),
    "hidden empty on conv": (build("convolutional", (4, 4), hidden=()), r"at least one layer"),
    "unknown activation": (build("undercomplete", activation="rellu"), r"Did you mean 'relu'\?"),
    "number for activation": (build("undercomplete", activation=3), r"activation must be a Keras"),
    "unknown code activation": (build("undercomplete", code_activation="sigmod"), r"'sigmoid'"),
    "unknown output activation": (build(output_activation="sigmod"), r"output_activation"),
    "unknown normalization": (build("undercomplete", normalization="bach"), r"'batch'"),
    "kernel on dense": (build("undercomplete", kernel_size=3), r"Received: kernel_size=3"),
    "kernel zero": (build("convolutional", (4, 4), kernel_size=0), r"kernel_size must be a whole"),
    "unknown dtype": (build(input_dtype="int64"), r"input_dtype must be 'float32' or 'uint8'"),
    "unknown scaler": (build(scaler="standardise"), r"Did you mean 'standardize'\?"),
    "no scaler on uint8": (build(input_dtype="uint8", scaler=None), r"Received: scaler=None"),
    "number for a scaler": (build(scaler=255), r"scaler must be 'auto'"),
    "scaler without inverse": (build(scaler=keras.layers.ReLU()), r"with a method inverse"),
    "unknown loss": (build(loss="msee"), r"Did you mean 'mse'\?"),
    "number for a loss": (build(loss=2), r"loss must be"),
    "bce on standardized": (build(loss="bce", scaler="standardize"), r"='standardize'"),
    "bce without activation": (build(loss="bce", output_activation=None), r"output_activation"),
    "seed text": (build("denoising", seed="one"), r"seed must be"),
    "seed negative": (build("denoising", seed=-1), r"seed must be"),
    "seed fraction": (build("denoising", seed=1.5), r"seed must be"),
    # Corruptions
    "unknown corruption": (build("denoising", corruption="gausian"), r"Did you mean 'gaussian'\?"),
    "number for a corruption": (build("denoising", corruption=0.5), r"corruption must be None"),
    "level without": (build("undercomplete", corruption_level=0.5), r"corruption_level=0.5"),
    "level negative": (build("denoising", corruption_level=-1), r"stddev must be >= 0"),
    "level nan": (build("denoising", corruption_level=float("nan")), r"stddev must be >= 0"),
    "level text": (build("denoising", corruption_level="much"), r"stddev must be"),
    "level above one": (build("denoising", corruption="masking", corruption_level=2), r"\[0, 1\]"),
    "pair for masking": (
        build("denoising", corruption="masking", corruption_level=(0, 1)),
        r"pair",
    ),
    "pair upside down": (build("denoising", corruption_level=(2, 1)), r"0 < low < high"),
    "factor fraction": (
        build("denoising", corruption="low_resolution", corruption_level=1.5),
        r"whole number",
    ),
    "low resolution of a cube": (
        build("denoising", (2, 2, 2, 2), corruption="low_resolution"),
        r"LowResolutionCorruption",
    ),
    # Weights
    "kl negative": (build("variational", kl_weight=-1), r"kl_weight must be a finite number >= 0"),
    "kl text": (
        build("variational", kl_weight="a"),
        r"kl_weight must be a finite number >= 0 or a Warm",
    ),
    "kl bool": (build("variational", kl_weight=True), r"kl_weight must be a finite number"),
    "free bits negative": (build("variational", free_bits=-1), r"free_bits must be"),
    "sparsity nan": (build("sparse_l1", sparsity_weight=float("nan")), r"must be a finite number"),
    "target one": (build("sparse_kl", target_activation=1), r"strictly between 0 and 1"),
    "target text": (build("sparse_kl", target_activation="low"), r"strictly between 0 and 1"),
    "momentum two": (build("sparse_kl", momentum=2), r"momentum must"),
    "sparse on linear code": (build("sparse_kl", code_activation="linear"), r"between 0 and 1"),
    "jacobian infinite": (build("contractive", jacobian_weight=float("inf")), r"finite number"),
    "jacobian method": (build("contractive", jacobian_method="exactly"), r"Did you mean 'exact'\?"),
    # Own networks
    "encoder alone": (
        lambda w: kerasae.build("linear", (4,), encoder=encoder()),
        r"encoder and decoder",
    ),
    "encoder and hidden": (
        networks(encoder, lambda: encoder(4, 2), "undercomplete", hidden=(3,)),
        r"hidden=\(3,\)",
    ),
    "encoder of other input": (
        networks(lambda: encoder(2, 5), lambda: encoder(4, 2), "undercomplete"),
        r"encoder must take samples of shape \(4,\)",
    ),
    "decoder of other code": (
        networks(encoder, lambda: encoder(4, 3), "undercomplete"),
        r"decoder must take a code",
    ),
    "decoder of other output": (
        networks(encoder, lambda: encoder(5, 2), "undercomplete"),
        r"decoder_network must",
    ),
    "code of other size": (
        networks(encoder, lambda: encoder(4, 2), "undercomplete", latent_dim=3),
        r"latent_dim must",
    ),
    "text for an encoder": (
        networks(lambda: "mine", lambda: encoder(4, 2), "undercomplete"),
        r"encoder must be a Keras model",
    ),
}

PARTS = {
    "stddev negative": (of(layers.GaussianCorruption, -1), r"stddev must be >= 0"),
    "stddev none": (of(layers.GaussianCorruption, None), r"stddev must be"),
    "clip upside down": (of(layers.GaussianCorruption, 1, clip=(1, 0)), r"clip must be a pair"),
    "clip number": (of(layers.GaussianCorruption, 1, clip=1), r"clip must be a pair"),
    "rate above one": (of(layers.MaskingCorruption, 1.5), r"rate must lie in \[0, 1\]"),
    "rate text": (of(layers.MaskingCorruption, "half"), r"rate must lie in \[0, 1\]"),
    "rate nan": (of(layers.SaltAndPepperCorruption, float("nan")), r"rate must lie in \[0, 1\]"),
    "salt below pepper": (of(layers.SaltAndPepperCorruption, 0.1, low=1, high=0), r"low must be"),
    "factor zero": (of(layers.LowResolutionCorruption, 0), r"factor must be a whole number >= 1"),
    "factor text": (of(layers.LowResolutionCorruption, "2"), r"factor must be a whole number"),
    "corrupt integers": (
        lambda w: layers.MaskingCorruption(0.5).corrupt(np.ones((2, 2), "uint8"), 0),
        r"x must be in scaled units",
    ),
    "low resolution of a cube": (
        lambda w: layers.LowResolutionCorruption(2).corrupt(np.ones((1, 2, 2, 2, 2)), 0),
        r"LowResolutionCorruption",
    ),
    "penalty of nothing": (of(layers.ActivityPenalty, None), r"regularizer must be"),
    "penalty of keras": (
        of(layers.ActivityPenalty, keras.regularizers.L1(1.0)),
        r"regularizer must",
    ),
    "momentum of l1": (
        of(layers.ActivityPenalty, regularizers.L1Activation(), momentum=0.9),
        r"momentum",
    ),
    "sampling free bits": (of(layers.GaussianSampling, free_bits=float("nan")), r"free_bits must"),
    "probes zero": (
        lambda w: layers.JacobianPenalty(keras.layers.Dense(2), probes=0),
        r"probes must be",
    ),
    "jacobian of nothing": (of(layers.JacobianPenalty, None), r"layer must be"),
    "unit scale upside down": (of(layers.UnitScale, 1.0, 0.0), r"minimum"),
    "unit scale half": (of(layers.UnitScale, 1.0), r"minimum"),
    "scaler without data": (lambda w: layers.Standardize().adapt([]), r"at least one training"),
    "scaler of nan": (lambda w: layers.Standardize().adapt([np.array([[np.nan]])]), r"finite"),
    "l1 negative": (of(regularizers.L1Activation, -1), r"weight must be a finite number >= 0"),
    "l1 none": (of(regularizers.L1Activation, None), r"weight must be a finite number"),
    "kl target zero": (of(regularizers.KLSparsity, 0), r"strictly between 0 and 1"),
    "kl target none": (of(regularizers.KLSparsity, None), r"strictly between 0 and 1"),
    "kl of negatives": (
        lambda w: regularizers.KLSparsity()(np.array([[-1.0]])),
        r"between 0 and 1",
    ),
    "warmup negative": (of(Warmup, -1), r"start must be a finite number >= 0"),
    "warmup text": (of(Warmup, "a"), r"start must be a finite number"),
    "warmup steps": (of(Warmup, steps=0), r"steps must be a whole number >= 1"),
    "warmup steps text": (of(Warmup, steps="many"), r"steps must be a whole number >= 1"),
    "unknown loss": (of(losses.get, "bcee"), r"Did you mean 'bce'\?"),
    "unknown features": (of(losses.SquaredError, "meen"), r"features must be 'mean' or 'sum'"),
    "stddev of loss": (of(losses.GaussianNLL, stddev=0), r"stddev must be"),
    "psnr of nothing": (of(metrics.PSNR, 0.0), r"max_value must"),
    "psnr of text": (of(metrics.PSNR, "255"), r"max_value must"),
    "threshold negative": (of(metrics.ActiveUnits, -1), r"threshold must"),
    "unknown sampler": (of(samplers.fit, np.eye(4), "gausian"), r"Did you mean 'gaussian'\?"),
    "sampler of two": (of(samplers.fit, np.eye(2)), r"at least 3"),
    "sampler of text": (of(samplers.fit, np.array([["a"]] * 4)), r"codes must be"),
    "sampler of nan": (of(samplers.fit, np.full((4, 2), np.nan)), r"codes must be finite"),
    "one step": (of(samplers.interpolate, [0.0], [1.0], 1), r"steps must be a whole number >= 2"),
    "other shapes": (of(samplers.interpolate, [0.0], [1.0, 2.0]), r"a and b must be codes"),
    "rate zero": (of(anomaly.check_rate, 0), r"between 0 and 1"),
    "rate one": (of(anomaly.smallest_sample, 1), r"between 0 and 1"),
    "scores nan": (of(anomaly.Calibration, [1.0, np.nan], 0.5), r"finite"),
    "scores text": (of(anomaly.Calibration, ["a"], 0.5), r"scores must be finite numbers"),
    "scores few": (of(anomaly.Calibration, [1.0, 2.0], 0.1), r"needs at least 9"),
    "scores none": (of(anomaly.Calibration, [], 0.5), r"needs at least 1"),
    "rate of few": (
        lambda w: anomaly.Calibration(range(9), 0.1).threshold_at(0.01),
        r"at least 99",
    ),
    "stride of gaps": (of(anomaly.window_starts, 10, 3, 4), r"every time step is covered"),
    "stride zero": (of(anomaly.windows, np.arange(5), 3, 0), r"stride must be a whole number"),
    "series short": (of(anomaly.windows, np.arange(2), 3), r"at least as many time steps"),
    "windows missing": (of(anomaly.fold, [[1, 1, 1]], 5), r"scores must .*Received: 1 windows"),
    "windows flat": (of(anomaly.fold, [1, 1, 1], 5), r"scores must"),
}

ESTIMATORS = {
    "variant": (dict(variant="denoisng"), r"Did you mean 'denoising'\?"),
    "steps": (dict(steps=0), r"steps must be a whole number >= 1"),
    "batch": (dict(batch_size=1.5), r"batch_size must be a whole number >= 1"),
    "rate": (dict(false_alarm_rate=2), r"false_alarm_rate must be a number between 0 and 1"),
    "held out": (dict(held_out=1.0), r"held_out must be"),
    "held out text": (dict(held_out="some"), r"held_out must be"),
    "learning rate": (dict(learning_rate=-1), r"learning_rate must be"),
    "learning rate text": (dict(learning_rate="fast"), r"learning_rate must be"),
    "shape in options": (dict(options={"input_shape": 3}), r"options must .*Received: options="),
    "options list": (dict(options=["gelu"]), r"options must be"),
    "unknown option": (dict(options={"activaton": "relu"}), r"Did you mean 'activation'\?"),
    "network": (dict(network="conv"), r"network='conv' .*Received: input_shape="),
    "code": (dict(latent_dim=0), r"latent_dim must be a whole number >= 1"),
}


@pytest.mark.parametrize(("call", "sentence"), BUILD.values(), ids=BUILD)
def test_build(call, sentence, refused):
    refused(call, sentence)


@pytest.mark.parametrize(("call", "sentence"), PARTS.values(), ids=PARTS)
def test_parts(call, sentence, refused):
    refused(call, sentence)


@pytest.mark.parametrize(("options", "sentence"), ESTIMATORS.values(), ids=ESTIMATORS)
def test_detector(options, sentence, refused):
    options = {"steps": 1, "hidden": (3,), **options}
    refused(lambda w: estimators.AnomalyDetector(**options).fit(w.x), sentence)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(n_components=0), r"must be a whole number >= 1"),
        (dict(n_components="two"), r"must be a whole number >= 1"),
        (dict(variant="pca"), r"Unknown variant"),
        (dict(steps=-1), r"steps must be a whole number >= 1"),
    ],
)
def test_transformer(options, sentence, refused):
    options = {"steps": 1, "hidden": (3,), **options}
    refused(lambda w: estimators.CodeTransformer(**options).fit(w.x), sentence)
