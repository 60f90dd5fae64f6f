import keras
import numpy as np
import pytest

import kerasae
from kerasae import evaluation
from kerasae.evaluation import jacobians
from kerasae.evaluation.jacobians import singular_values


def numerical(ae, x, step=1e-2):
    """Jacobian of the code with respect to scaled input by central differences."""
    scaled = evaluation.scale(ae, x)

    def encode(s):
        raw = s if ae.scaler is None else np.asarray(ae.scaler.inverse(s))
        return ae.encode(raw.astype("float32")).astype("float64")

    size = int(np.prod(scaled.shape[1:]))
    columns = []
    for j in range(size):
        shift = np.zeros((1, size), "float32")
        shift[0, j] = step
        shift = shift.reshape(1, *scaled.shape[1:])
        columns.append((encode(scaled + shift) - encode(scaled - shift)) / (2 * step))
    return np.stack(columns, axis=2)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("contractive", {"scaler": "standardize"}),
        ("variational", {}),
        ("denoising", {}),
        ("sparse_kl", {}),
    ],
)
def test_singular_values_are_those_of_numerical_differences(variant, options):
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32") * 2 + 1
    ae = kerasae.build(variant, (5,), 3, hidden=(7,), activation="tanh", **options)
    if ae.scaler is not None:
        ae.scaler.adapt([x])
    found = evaluation.jacobian(ae, x)
    expected = np.linalg.svd(numerical(ae, x), compute_uv=False)
    np.testing.assert_allclose(found["singular_values"], expected.mean(axis=0), atol=2e-3)
    norms = np.sqrt(np.square(expected).sum(axis=1))
    assert found["frobenius"] == pytest.approx(norms.mean(), rel=5e-3)


def test_singular_values_are_those_of_numpy():
    j = np.random.default_rng(0).normal(size=(4, 6, 3))
    expected = np.linalg.svd(j, compute_uv=False)
    np.testing.assert_allclose(singular_values(j), expected, rtol=1e-9)
    np.testing.assert_allclose(singular_values(j.transpose(0, 2, 1)), expected, rtol=1e-9)


def test_batches_and_networks_do_not_matter(monkeypatch):
    x = np.random.default_rng(0).random((5, 8, 8, 1), dtype="float32")
    ae = kerasae.build("undercomplete", (8, 8, 1), 3, network="conv", hidden=(2, 4))
    whole = evaluation.jacobian(ae, x)
    assert len(whole["singular_values"]) == 3
    monkeypatch.setattr(jacobians, "_HELD", 2 * 3 * 64)
    assert evaluation.jacobian(ae, x)["singular_values"] == pytest.approx(
        whole["singular_values"], rel=1e-4
    )


def test_a_linear_encoder_has_the_singular_values_of_its_kernel():
    ae = kerasae.build("linear", (5,), 2)
    other = kerasae.build("linear", (5,), 4)
    found = evaluation.jacobian(ae, np.ones((3, 5), "float32"), beside=other)
    for model, values in ((ae, found), (other, found["beside"])):
        kernel = model.encoder_network.get_weights()[0]
        expected = np.linalg.svd(kernel, compute_uv=False)
        np.testing.assert_allclose(values["singular_values"], expected, rtol=1e-5)
    assert set(found) == {"singular_values", "frobenius", "beside"}


def test_a_recurrent_encoder_works_too():
    inputs = keras.Input((4, 2))
    encoder = keras.Model(inputs, keras.layers.GRU(3)(inputs))
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8), keras.layers.Reshape((4, 2))]
    )
    ae = kerasae.build("contractive", (4, 2), encoder=encoder, decoder=decoder)
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    expected = np.linalg.svd(numerical(ae, x), compute_uv=False).mean(axis=0)
    np.testing.assert_allclose(evaluation.jacobian(ae, x)["singular_values"], expected, atol=2e-3)


def test_refuses_samples_of_another_shape():
    ae = kerasae.build("linear", (5,), 2)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        evaluation.jacobian(ae, np.ones((3, 4), "float32"))
