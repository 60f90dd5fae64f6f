"""What a model is asked for, with bad arguments: fit, verbs, calibration, saving, export."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.scoring.answering import fit_to

NAN = np.full((3, 4), np.nan, "float32")


def dataset(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(2)


def ask(verb, *arguments, of="ae", **options):
    return lambda w: getattr(getattr(w, of), verb)(*arguments, **options)


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


# What is wrong with samples, for a model of 4 floats, and what is said of it.
SAMPLES = {
    "none": (None, r"x must be an array"),
    "list": ([[1.0, 2.0, 3.0, 4.0]], r"convert it with numpy.asarray"),
    "narrow": (ones(3, 3), r"must have shape \(samples, 4\)"),
    "one sample": (ones(4), r"must have shape \(samples, 4\)"),
    "images": (ones(2, 2, 2), r"must have shape \(samples, 4\)"),
    "scalar": (np.float32(1), r"must have shape \(samples, 4\)"),
    "empty": (ones(0, 4), r"at least one sample"),
    "nan": (NAN, r"x must be finite; 3 samples are not, the first at index \(0, 0\)"),
    "infinite": (np.where(np.eye(4) == 1, np.inf, 0).astype("float32"), r"x must be finite"),
    "text": (np.array([["a"] * 4]), r"x must hold numbers"),
    "objects": (np.array([[None] * 4], object), r"x must hold numbers"),
    "complex": (ones(2, 4, dtype="complex64"), r"x must hold (real )?numbers"),
    "times": (np.zeros((2, 4), "datetime64[s]"), r"x must hold numbers"),
    "beyond float32": (np.full((2, 4), 1e300), r"x must be float32 numbers; 2 samples are not"),
    "bytes for floats": (ones(2, 4, dtype="uint8"), r"x must be float for this model"),
    "dictionary": ({"x": ones(2, 4)}, r"x must be one array.*keys \['x'\]"),
    "text alone": ("rows.npy", r"x must be an array"),
    "number": (3, r"x must be an array"),
    "function": (len, r"x must be an array"),
    "ragged": (np.array([1.0, [2.0]], object), r"x must hold numbers|shape"),
    "structured": (np.zeros(3, [("a", "f4")]), r"x must hold numbers"),
}
VERBS = ("encode", "reconstruct", "score", "feature_scores", "predict", "fit", "evaluate")

ARGUMENTS = {
    "decode of other codes": (ask("decode", ones(2, 3)), r"code must have shape \(samples, 2\)"),
    "decode of one code": (ask("decode", ones(2)), r"code must have shape"),
    "decode of nan": (ask("decode", NAN[:, :2]), r"code must be finite"),
    "decode of nothing": (ask("decode", ones(0, 2)), r"code must have shape"),
    "decode of text": (ask("decode", np.array([["a", "b"]])), r"code must"),
    "decode of none": (ask("decode", None), r"code must"),
    "batch of zero": (ask("encode", ones(2, 4), 0), r"batch_size must be a whole number >= 1"),
    "batch negative": (ask("score", ones(2, 4), -5), r"batch_size must be a whole number >= 1"),
    "batch fraction": (ask("decode", ones(2, 2), 1.5), r"batch_size must be a whole number >= 1"),
    "batch text": (ask("reconstruct", ones(2, 4), "all"), r"batch_size must be a whole number"),
    "batch none": (ask("feature_scores", ones(2, 4), None), r"batch_size must be a whole number"),
    "dataset of others": (lambda w: w.ae.encode(dataset(ones(3, 5))), r"must have shape"),
    "dataset of dicts": (lambda w: w.ae.score(dataset({"a": ones(3, 4)})), r"keys \['a'\]"),
    "dataset empty": (lambda w: w.ae.encode(dataset(ones(4, 4)).take(0)), r"at least one batch"),
    "images for bytes": (ask("encode", ones(2, 4, 4, 1), of="image"), r"x must be uint8"),
    "images of other size": (
        ask("encode", ones(2, 5, 4, 1, dtype="uint8"), of="image"),
        r"\(samples, 4, 4, 1\)",
    ),
    "channels first": (ask("encode", ones(2, 1, 4, 4, dtype="uint8"), of="image"), r"have shape"),
    "unadapted": (ask("encode", ones(2, 4), of="unadapted"), r"an unadapted scaler"),
    "unadapted evaluate": (ask("evaluate", ones(2, 4), of="unadapted"), r"an unadapted scaler"),
    "unadapted export": (lambda w: kerasae.export(w.unadapted, "out"), r"Received: scaler="),
    # fit
    "labels": (ask("fit", ones(3, 4), np.arange(3)), r"y must be a target shaped"),
    "target of other width": (ask("fit", ones(3, 4), ones(3, 5)), r"y must be a target shaped"),
    "target nan": (ask("fit", ones(3, 4), NAN), r"y must be finite"),
    "target shorter": (ask("fit", ones(3, 4), ones(2, 4)), r"y must have as many samples as x"),
    "float targets of bytes": (
        ask("fit", ones(3, 4, 4, 1, dtype="uint8"), ones(3, 4, 4, 1), of="image"),
        r"y must be uint8",
    ),
    "validation of others": (
        ask("fit", ones(3, 4), validation_data=ones(3, 5)),
        r"validation_data must have shape",
    ),
    "validation nan": (ask("fit", ones(3, 4), validation_data=NAN), r"validation_data must be fin"),
    "validation empty": (
        ask("fit", ones(3, 4), validation_data=ones(0, 4)),
        r"validation_data must hold",
    ),
    "class weight": (ask("fit", ones(3, 4), class_weight={0: 1.0}), r"Received: class_weight="),
    "loss weights": (ask("compile", loss_weights=[1.0]), r"Received: loss_weights="),
    "unknown loss": (ask("compile", loss="msee"), r"Did you mean 'mse'\?"),
    "loss from logits": (ask("compile", loss="bce"), r"output_activation='sigmoid'"),
    "unknown optimizer": (ask("compile", optimizer="adamm"), r"Did you mean 'adam'\?"),
    "endless for a scaler": (
        lambda w: w.unadapted.fit(dataset(ones(4, 4)).repeat()),
        r"Received: steps_per_epoch=None",
    ),
    "generator for a scaler": (
        lambda w: w.unadapted.fit(iter([ones(2, 4)])),
        r"x can be read only once",
    ),
    "dataset with labels": (
        lambda w: w.ae.fit(dataset(ones(4, 4), np.arange(4))),
        r"y must be a target shaped",
    ),
    "fit batch": (ask("fit", ones(3, 4), batch_size=0), r"batch_size must be a whole number >= 1"),
    "fit batch text": (ask("fit", ones(3, 4), batch_size="8"), r"batch_size must be a whole"),
    "fit epochs": (ask("fit", ones(3, 4), epochs=-1), r"epochs must be a whole number"),
    "fit epochs text": (ask("fit", ones(3, 4), epochs="ten"), r"epochs must be a whole number"),
    "fit split": (ask("fit", ones(3, 4), validation_split=2), r"validation_split must lie"),
    "fit split all": (ask("fit", ones(3, 4), validation_split=1.0), r"validation_split must lie"),
    "fit split text": (ask("fit", ones(3, 4), validation_split="a"), r"validation_split must lie"),
    "fit weights": (ask("fit", ones(3, 4), sample_weight=ones(5)), r"sample_weight must have"),
    "fit weights nan": (
        ask("fit", ones(3, 4), sample_weight=NAN[:, 0]),
        r"sample_weight must be fin",
    ),
    "evaluate batch": (ask("evaluate", ones(3, 4), batch_size=-1), r"batch_size must be a whole"),
    "predict batch": (ask("predict", ones(3, 4), batch_size=0), r"batch_size must be a whole"),
    "evaluate weights": (
        ask("evaluate", ones(3, 4), sample_weight=ones(5)),
        r"sample_weight must have",
    ),
    "uncompiled": (ask("fit", ones(3, 4), of="vae"), r"Call ae.compile\(\) before training"),
    # calibrate and detect
    "uncalibrated": (ask("detect", ones(2, 4)), r"a model without calibration"),
    "rate of detect": (
        ask("detect", ones(2, 4), false_alarm_rate=2, of="calibrated"),
        r"between 0 and 1",
    ),
    "rate too low": (
        ask("detect", ones(2, 4), false_alarm_rate=1e-6, of="calibrated"),
        r"needs a calibration",
    ),
    "rate text": (
        ask("detect", ones(2, 4), false_alarm_rate="low", of="calibrated"),
        r"between 0 and 1",
    ),
    "calibrate rate": (ask("calibrate", ones(99, 4), 0), r"between 0 and 1"),
    "calibrate few": (ask("calibrate", ones(5, 4), 0.01), r"needs at least 99 held-out samples"),
    "calibrate list": (ask("calibrate", [[1.0] * 4]), r"held_out must be an array"),
    "calibrate path": (ask("calibrate", "rows.csv"), r"held_out must be an array"),
    "calibrate endless": (
        lambda w: w.ae.calibrate(dataset(ones(4, 4)).repeat()),
        r"held_out must be finite",
    ),
    "calibrate nan": (ask("calibrate", NAN, 0.5), r"held_out must be finite"),
    "calibrate series of rows": (ask("calibrate", ones(200, 5), 0.1, stride=1), r"series must"),
    "series short": (ask("score_series", ones(5), of="series"), r"at least as many time steps"),
    "series stride": (ask("score_series", ones(50), 9, of="series"), r"stride must be a whole"),
    "series channels": (ask("score_series", ones(50, 2), of="series"), r"must have shape \(steps"),
    "series of images": (ask("score_series", ones(50, 4), of="image"), r"series must have shape"),
    "series nan": (ask("score_series", NAN.ravel(), of="series"), r"finite"),
    # generate
    "no prior": (ask("generate", 3), r"generate .*Received: variant="),
    "generate zero": (ask("generate", 0, of="vae"), r"n must be a whole number >= 1"),
    "generate fraction": (ask("generate", 1.5, of="vae"), r"n must be a whole number >= 1"),
    "generate text": (ask("generate", "4", of="vae"), r"n must be a whole number >= 1"),
    "generate true": (ask("generate", True, of="vae"), r"n must be a whole number >= 1"),
    "generate seed": (ask("generate", 2, "one", of="vae"), r"seed must be"),
    "generate seed negative": (ask("generate", 2, -1, of="vae"), r"seed must be"),
    "unknown sampler": (ask("fit_sampler", ones(9, 4), "gausian"), r"Did you mean 'gaussian'\?"),
    "sampler of two": (ask("fit_sampler", ones(2, 4)), r"at least 3"),
    "interpolate steps": (ask("interpolate", ones(4), ones(4), 1), r"steps must be a whole number"),
    "interpolate shapes": (ask("interpolate", ones(4), ones(3)), r"must have shape"),
    "interpolate counts": (ask("interpolate", ones(2, 4), ones(3, 4)), r"a and b must be"),
    "traverse without": (ask("traverse", ones(4)), r"traverse .*Received: variant="),
    "traverse dimension": (ask("traverse", ones(4), dimensions=[7], of="vae"), r"from 0 to 1"),
    "traverse batch": (ask("traverse", ones(2, 4), of="vae"), r"must have shape"),
    "manifold of three": (ask("manifold", of="three"), r"Received: latent_dim=3"),
    "manifold coverage": (ask("manifold", coverage=1.0, of="vae"), r"coverage must be between"),
    "manifold steps": (ask("manifold", 0, of="vae"), r"steps must be a whole number >= 2"),
    "feature scores of keras loss": (
        lambda w: kerasae.build("linear", (4,), 2, loss=keras.losses.Huber()).feature_scores(
            ones(2, 4)
        ),
        r"a value per feature",
    ),
    # save and export
    "export of keras": (
        lambda w: kerasae.export(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), "o"),
        r"ae must be a kerasae Autoencoder",
    ),
    "export to a file": (lambda w: kerasae.export(w.ae, w.keras), r"path must be a folder, not a"),
    "export into a version": (lambda w: kerasae.export(w.ae, w.exported), r"saved_model\.pb"),
    "export below a file": (lambda w: kerasae.export(w.ae, w.keras / "deep"), r"or inside one"),
    "export none": (
        lambda w: kerasae.export(w.ae, None),
        r"path must be the folder of the versions",
    ),
    "export format": (lambda w: kerasae.export(w.ae, "o", also="onx"), r"Did you mean 'onnx'\?"),
    "export samples list": (
        lambda w: kerasae.export(w.ae, "o", samples=[[1.0] * 4]),
        r"samples must be an array",
    ),
    "export samples nan": (
        lambda w: kerasae.export(w.ae, "o", samples=NAN),
        r"samples must be fin",
    ),
    "save without suffix": (lambda w: w.ae.save("model"), r"Invalid filepath extension|\.keras"),
    "save into nowhere": (lambda w: w.ae.save("no/such/folder/m.keras"), r"no/such"),
    # what was exported
    "served shape": (ask("encode", ones(2, 3), of="served"), r"x must have shape \(samples, 4\)"),
    "served nan": (ask("score", NAN, of="served"), r"x must be finite"),
    "served bytes": (ask("score", ones(2, 4, dtype="uint8"), of="served"), r"x must be float"),
    "served text": (ask("score", np.array([["a"] * 4]), of="served"), r"x must be numbers"),
    "served none": (ask("score", None, of="served"), r"x must have shape"),
    "served empty": (ask("reconstruct", ones(0, 4), of="served"), r"at least one sample"),
    "served batch": (ask("encode", ones(2, 4), 0, of="served"), r"batch_size must be a whole"),
    "served detect": (ask("detect", ones(2, 4), of="served"), r"no signature 'detect'"),
    "served generate": (ask("generate", 2, of="served"), r"no signature 'generate'"),
    "served unknown": (ask("call", "encod", {"x": ones(1, 4)}, of="served"), r"no signature"),
    "served inputs": (ask("call", "encode", {"y": ones(1, 4)}, of="served"), r"encode takes 'x'"),
    # rows of files, given the shape of a model
    "fit to negatives": (
        lambda w: fit_to(w.image, np.full((2, 16), -1.0)),
        r"whole numbers from 0 to 255",
    ),
    "fit to large": (lambda w: fit_to(w.image, np.full((2, 16), 256.0)), r"from 256 to 256$"),
    "fit to fractions": (lambda w: fit_to(w.image, np.full((2, 16), 0.5)), r"such as 0.5$"),
    # the classifier
    "classes one": (lambda w: kerasae.models.classifier(w.ae, 1), r"num_classes must be"),
    "classes text": (lambda w: kerasae.models.classifier(w.ae, "ten"), r"num_classes must be"),
    "classifier of nothing": (lambda w: kerasae.models.classifier(None, 3), r"Autoencoder"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("x", "sentence"), SAMPLES.values(), ids=SAMPLES)
def test_samples(x, sentence, verb, refused):
    if verb == "evaluate" and x is None:
        return  # Keras evaluates again on what it saw last
    refused(lambda w: getattr(w.ae, verb)(x), sentence)


@pytest.mark.parametrize(("call", "sentence"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments(call, sentence, refused):
    refused(call, sentence)
