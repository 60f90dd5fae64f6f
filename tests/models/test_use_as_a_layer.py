"""An autoencoder inside of other models, in loops by hand, and on single batches."""

import keras
import numpy as np
import pytest

import kerasae

X = np.random.default_rng(0).random((64, 12)).astype("float32")
PENALIZED = ("variational", "sparse_l1", "contractive")


def small(variant, **options):
    ae = kerasae.build(variant, (12,), 4, seed=0, **options)
    ae.compile()
    return ae


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("variant", PENALIZED)
def test_its_penalties_count_in_the_model_that_holds_it(variant, tmp_path):
    ae = small(variant)
    inputs = keras.Input((12,))
    model = keras.Model(inputs, ae(inputs))
    model.compile(keras.optimizers.SGD(0.0))  # no loss but what layers add
    loss = model.fit(X, batch_size=64, verbose=0).history["loss"][0]
    terms = ae.fit(X, batch_size=64, verbose=0).history
    name = next(name for name in terms if name not in ("loss", "reconstruction_loss"))
    weight = terms["loss"][0] - terms["reconstruction_loss"][0]
    assert loss == pytest.approx(weight, rel=0.5), name
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_what_was_trained_on_batches_is_not_started_over():
    ae = small("linear", init="pca")
    ae.train_on_batch(X)
    before = ae.get_weights()
    ae.compile(keras.optimizers.SGD(0.0))
    ae.fit(X, verbose=0)
    for old, new in zip(before, ae.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_batches_may_leave_the_condition_out():
    ae = small("conditional_vae", condition=3)
    unknown = {"x": X, "condition": np.full(64, -1)}
    np.testing.assert_array_equal(ae.predict_on_batch(X), ae.predict_on_batch(unknown))
    assert ae.test_on_batch(X) == ae.test_on_batch(unknown)
    assert np.isfinite(ae.train_on_batch(X)).all()


@pytest.mark.parametrize("kind", ["subclassed", "layer"])
def test_own_networks_need_be_no_functional_models(kind):
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units)

        def call(self, x):
            return self.dense(x)

    make = Own if kind == "subclassed" else keras.layers.Dense
    ae = kerasae.build("undercomplete", (12,), encoder=make(4), decoder=make(12))
    ae.compile()
    ae.fit(X, verbose=0)
    assert ae.encode(X).shape == (64, 4)


def test_sample_weight_counts_by_position_and_by_name():
    ae, weight = small("undercomplete"), np.linspace(0, 1, 64).astype("float32")
    by_name = ae.evaluate(X, sample_weight=weight, verbose=0)
    assert ae.evaluate(X, None, 32, 0, weight) == by_name
    assert ae.evaluate(X, verbose=0) != by_name


def test_a_decoder_keeps_its_own_losses_beside_an_auxiliary_loss():
    regularizer = kerasae.regularizers.L1Activation(0.1)
    encoder = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16)])
    decoder = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(12, activity_regularizer=regularizer)]
    )
    ae = kerasae.build("sparse_topk", (12,), encoder=encoder, decoder=decoder, dead_after=1)
    ae.compile()
    found = ae.evaluate(X, batch_size=64, verbose=0, return_dict=True)
    expected = 0.1 * np.abs(ae.reconstruct(X)).sum(axis=1).mean()
    assert found["regularization_loss"] == pytest.approx(expected, rel=1e-4)
