import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import classifier

SHAPE = (8, 8, 1)
VARIANTS = {
    "undercomplete": {},
    "sparse_kl": {},
    "contractive": {},
    "variational": {},
    "denoising": {},
    "convolutional": {"hidden": (4, 8)},
}


def data(n=60):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *SHAPE)).astype("uint8"), rng.integers(0, 3, n)


def make(variant="undercomplete", **options):
    ae = kerasae.build(variant, SHAPE, 5, input_dtype="uint8", **options)
    return ae


@pytest.mark.parametrize(("variant", "options"), VARIANTS.items())
def test_the_head_sees_the_code_of_the_autoencoder(variant, options):
    ae = make(variant, **options)
    x, _ = data()
    model = classifier(ae, 3)
    logits = model.get_layer("logits")
    code = ae.encode(x)
    kernel, bias = logits.get_weights()
    scores = code @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("variant", ["contractive", "variational"])
def test_training_leaves_the_autoencoder_as_it_was(variant, trainable):
    ae = make(variant)
    before = [w.copy() for w in ae.get_weights()]
    x, y = data()
    model = classifier(ae, 3, trainable_encoder=trainable)
    layer = model.get_layer("encoder_network")
    # The weight of a penalty is none of those that are trained.
    trained = [w for w in layer.weights if w.name != "weight"]
    encoder = [keras.ops.convert_to_numpy(w).copy() for w in trained]
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert set(history) == {"loss", "accuracy"}
    assert model.losses == []  # no penalty of the autoencoder came along
    for old, new in zip(before, ae.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    moved = [
        not np.array_equal(old, keras.ops.convert_to_numpy(new))
        for old, new in zip(encoder, trained, strict=True)
    ]
    assert all(moved) if trainable else not any(moved)


def test_a_frozen_encoder_runs_as_at_inference():
    inputs = keras.Input(SHAPE)
    h = keras.layers.Dense(9)(keras.layers.Flatten()(inputs))
    h = keras.layers.Dropout(0.9)(keras.layers.BatchNormalization()(h))
    encoder = keras.Model(inputs, h)
    decoder = keras.Sequential(
        [keras.Input((9,)), keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
    )
    ae = kerasae.build(
        "undercomplete", SHAPE, encoder=encoder, decoder=decoder, input_dtype="uint8"
    )
    x, y = data()
    model = classifier(ae, 3, trainable_encoder=False)
    same = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x, training=True)), same)
    before = model.get_layer(index=2).get_weights()
    model.fit(x, y, verbose=0)
    for old, new in zip(before, model.get_layer(index=2).get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    trained = classifier(ae, 3)
    noisy = keras.ops.convert_to_numpy(trained(x, training=True))
    assert np.abs(noisy - keras.ops.convert_to_numpy(trained(x, training=False))).max() > 1e-3


def test_a_sampling_layer_alone_gives_its_mean():
    inputs = keras.Input((4,))
    pair = [keras.layers.Dense(3)(inputs), keras.layers.Dense(3)(inputs)]
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    ae = kerasae.models.Autoencoder(
        (4,), keras.Model(inputs, pair), decoder, kerasae.layers.GaussianSampling()
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model = classifier(ae, 2)
    kernel, bias = model.get_layer("logits").get_weights()
    scores = ae.encode(x) @ kernel + bias
    found = keras.ops.convert_to_numpy(keras.ops.log(model(x, training=True)))
    np.testing.assert_allclose(found[:, 0] - found[:, 1], scores[:, 0] - scores[:, 1], atol=1e-5)


def test_saves_and_loads_as_any_keras_model(tmp_path):
    x, y = data()
    for trainable in (True, False):
        model = classifier(make("variational"), 3, trainable_encoder=trainable, hidden=(7,))
        model.save(tmp_path / "classifier.keras")
        loaded = keras.saving.load_model(tmp_path / "classifier.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        assert len(loaded.trainable_variables) == len(model.trainable_variables)
        assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_the_head_is_as_asked_for():
    model = classifier(make(), 4, hidden=(7, 6), dropout=0.5, trainable_encoder=False)
    assert [w.shape for w in model.trainable_variables] == [
        (5, 7),
        (7,),
        (7, 6),
        (6,),
        (6, 4),
        (4,),
    ]
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 3
    assert classifier(make(), 2, hidden=7).count_params() > classifier(make(), 2).count_params()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes=1"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"hidden": (0,)}, "hidden=0"),
        ({"autoencoder": keras.Sequential()}, "Sequential"),
    ],
)
def test_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        classifier(**{"autoencoder": make(), "num_classes": 3, **options})


def test_refuses_a_scaler_that_has_seen_nothing():
    ae = kerasae.build("undercomplete", (4,), 2, scaler="standardize")
    with pytest.raises(ValueError, match="scaler"):
        classifier(ae, 3)
