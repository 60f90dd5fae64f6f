import json
import math

import keras
import numpy as np
import pytest

import kerasae
from kerasae import losses
from kerasae.evaluation import likelihood
from kerasae.evaluation.likelihood import variational
from kerasae.layers import UnitScale
from kerasae.models.saving import seed_states

FEATURES, CODE, STDDEV = 5, 2, 0.6


def dense(inputs, outputs, kernel=None, bias=None, name=None):
    """A linear Keras model of given weights."""
    layer = keras.layers.Dense(outputs)
    model = keras.Sequential([keras.Input((inputs,)), layer], name=name)
    if kernel is not None:
        layer.set_weights([kernel, np.zeros(outputs) if bias is None else bias])
    return model


def model(encoder, decoder, loss, **options):
    return kerasae.build(
        "variational", (FEATURES,), CODE, encoder=encoder, decoder=decoder, loss=loss, **options
    )


def set_heads(ae, mean_kernel, mean_bias, log_var):
    """Make the bottleneck give an affine mean and a constant variance."""
    ae.bottleneck.get_layer("z_mean").set_weights([mean_kernel, mean_bias])
    ae.bottleneck.get_layer("z_log_var").set_weights(
        [np.zeros(mean_kernel.shape), np.broadcast_to(log_var, (CODE,))]
    )


@pytest.fixture(scope="module")
def principal():
    """Probabilistic PCA with an orthogonal decoder, data from it, and log p(x) of each sample.

    x = W z + b + s e; the posterior has mean M^-1 W^T (x - b) and covariance s^2 M^-1 with
    M = W^T W + s^2, diagonal where the columns of W are orthogonal.
    """
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.normal(size=(FEATURES, CODE)))[0] * [2.0, 0.7]
    b = rng.normal(size=FEATURES)
    x = rng.normal(size=(300, CODE)) @ w.T + b + STDDEV * rng.normal(size=(300, FEATURES))
    covariance = w @ w.T + STDDEV**2 * np.eye(FEATURES)
    difference = x - b
    mahalanobis = np.einsum("ni,ij,nj->n", difference, np.linalg.inv(covariance), difference)
    log_p = -0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * covariance)[1])
    m = (w**2).sum(axis=0) + STDDEV**2
    ae = model(
        dense(FEATURES, FEATURES, np.eye(FEATURES)),
        dense(CODE, FEATURES, w.T, b),
        losses.GaussianNLL(stddev=STDDEV),
    )
    exact = (w / m, -b @ (w / m), np.log(STDDEV**2 / m))
    set_heads(ae, *exact)
    return ae, x.astype("float32"), log_p, exact


def test_every_bound_of_the_exact_posterior_is_the_likelihood(principal):
    ae, x, log_p, exact = principal
    set_heads(ae, *exact)
    measured = variational(ae, x, samples=(1, 10, 1000))
    # Weights are constant, so there is no noise in these, only round-off of float32.
    for bound in measured["importance_weighted"].values():
        assert bound["nats"] == pytest.approx(log_p.mean(), abs=2e-4)
        assert bound["standard_error"] == pytest.approx(log_p.std(ddof=1) / 300**0.5, rel=1e-4)
    assert measured["elbo_nats"] == pytest.approx(log_p.mean(), abs=0.01)
    assert measured["elbo_nats"] == pytest.approx(
        -measured["reconstruction_nats"] - measured["kl_nats"]
    )
    assert measured["bits_per_dimension"] == pytest.approx(
        -measured["elbo_nats"] / (FEATURES * math.log(2))
    )
    assert "pixels" not in measured
    json.dumps(measured, allow_nan=False)


def test_bounds_of_a_wrong_posterior_rise_to_the_likelihood(principal):
    ae, x, log_p, (kernel, bias, log_var) = principal
    set_heads(ae, 0.7 * kernel, bias + 0.1, log_var + 0.5)
    # With 1,000 draws the bound still lacks 0.006 and spreads by as much (NumPy, 12 seeds).
    measured = variational(ae, x, samples=(1, 10, 10_000), seed=3)
    bounds = [measured["importance_weighted"][k]["nats"] for k in ("1", "10", "10000")]
    assert bounds[0] < bounds[1] - 0.05 < bounds[2] - 0.05
    assert bounds[0] == pytest.approx(measured["elbo_nats"], abs=0.01)
    assert bounds[2] == pytest.approx(log_p.mean(), abs=0.01)
    # A KL between Gaussians is what the ELBO lacks: E log q(z|x) - log p(z|x).
    lacking = 0.5 * (np.exp(0.5) - 1 - 0.5) * CODE
    mean = x @ kernel + bias
    shift = (x @ (0.7 * kernel) + bias + 0.1) - mean
    lacking += 0.5 * (shift**2 / np.exp(log_var)).sum(axis=1).mean()
    assert measured["elbo_nats"] == pytest.approx(log_p.mean() - lacking, abs=0.01)


def test_kl_per_dimension_and_active_units(principal):
    ae, x, _, exact = principal
    kernel = exact[0] * [1.0, 0.0]
    set_heads(ae, kernel, np.array([0.3, -2.0]), np.array([-1.0, 0.4]))
    measured = variational(ae, x, samples=(1,))
    mean = x @ kernel + [0.3, -2.0]
    variance = np.exp([-1.0, 0.4])
    kl = 0.5 * (variance + mean**2 - 1 - np.log(variance)).mean(axis=0)
    np.testing.assert_allclose(measured["kl_per_dimension"], kl, rtol=1e-5)
    assert measured["kl_nats"] == pytest.approx(kl.sum(), rel=1e-5)
    # A mean far from 0 that never moves is no use, though its KL is large.
    assert (measured["active_units"], measured["collapsed_units"]) == (1, 1)
    assert "warning" not in measured


@pytest.mark.parametrize(("spread", "active"), [(0.09, 0), (0.11, 2)])
def test_a_unit_is_active_above_a_variance_of_a_hundredth(spread, active):
    ae = model(dense(FEATURES, CODE), dense(CODE, FEATURES), "gaussian")
    ae.encoder_network.layers[-1].set_weights([np.eye(FEATURES, CODE), np.zeros(CODE)])
    set_heads(ae, np.eye(CODE), np.full(CODE, 100.0), 0.0)
    x = np.tile([[-spread], [spread]], (50, FEATURES)).astype("float32")
    measured = variational(ae, x, samples=(1,), batch_size=7)
    assert measured["active_units"] == active
    assert ("warning" in measured) == (active == 0)
    if not active:
        assert measured["warning"].startswith("All 2 code dimensions follow the prior")


def constant_logits(logits, **options):
    """A model that answers with the same logits to every code, and whose posterior is the prior."""
    ae = model(
        dense(FEATURES, CODE),
        dense(CODE, FEATURES, np.zeros((CODE, FEATURES)), np.asarray(logits, "float32")),
        "bce",
        output_activation="sigmoid",
        **options,
    )
    set_heads(ae, np.zeros((CODE, CODE)), np.zeros(CODE), 0.0)
    return ae


def test_bernoulli_by_hand():
    # p = 3/4 for every feature: 1 costs log 4/3 nats, 0 costs log 4, grey in proportion.
    ae = constant_logits(np.full(FEATURES, math.log(3)))
    x = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], "float32")
    measured = variational(ae, x, samples=(1, 5))
    each = [3 * math.log(4 / 3) + 2 * math.log(4), math.log(4 / 3) + 4 * math.log(4)]
    assert measured["elbo_nats"] == pytest.approx(-np.mean(each))
    assert measured["importance_weighted"]["5"]["nats"] == pytest.approx(-np.mean(each))
    assert measured["elbo_standard_error"] == pytest.approx(abs(each[1] - each[0]) / 2)
    assert measured["bits_per_dimension"] == pytest.approx(np.mean(each) / (5 * math.log(2)))
    assert measured["pixels"] == "static"
    assert measured["samples"] == 2
    assert measured["kl_nats"] == 0
    assert measured["active_units"] == 0


def test_four_names_for_pixels():
    ae = constant_logits(np.full(FEATURES, math.log(3)))
    rng = np.random.default_rng(0)
    x = (rng.random((4000, FEATURES)) * 0.5).astype("float32")
    x[:, 0] = 0.5

    def cost(share):
        return FEATURES * (share * math.log(4 / 3) + (1 - share) * math.log(4))

    by_name = {name: variational(ae, x, samples=(1,), pixels=name) for name in (None, "grey",
               "thresholded", "dynamic")}  # fmt: skip
    assert [m["pixels"] for m in by_name.values()] == ["grey", "grey", "thresholded", "dynamic"]
    assert by_name[None] == by_name["grey"]
    assert -by_name["grey"]["elbo_nats"] == pytest.approx(cost(x.mean()), rel=1e-5)
    assert -by_name["thresholded"]["elbo_nats"] == pytest.approx(cost((x >= 0.5).mean()), rel=1e-5)
    error = by_name["dynamic"]["elbo_standard_error"]
    assert -by_name["dynamic"]["elbo_nats"] == pytest.approx(cost(x.mean()), abs=4 * error)
    assert by_name["dynamic"] == variational(ae, x, samples=(1,), pixels="dynamic")
    assert by_name["dynamic"] != variational(ae, x, samples=(1,), pixels="dynamic", seed=1)
    assert "not a probability" in by_name["grey"]["note"]
    assert "code" in by_name["dynamic"]["note"]
    with pytest.raises(ValueError, match=r"pixels='static' .*Received: values such as 0\.5"):
        variational(ae, x, pixels="static")
    with pytest.raises(ValueError, match=r"\[0, 1\].*Received: values from 0.* to 2$"):
        variational(ae, x * 4, pixels="thresholded")
    assert "outside" in variational(ae, x * 4, samples=(1,))["note"]
    assert "outside" not in by_name["grey"]["note"]
    with pytest.raises(ValueError, match="pixels='gray'"):
        variational(ae, x, pixels="gray")


def test_large_logits_stay_finite():
    ae = constant_logits([100, -100, 100, -100, 100])
    x = np.array([[1, 0, 0, 1, 1]], "float32")
    measured = variational(ae, x, samples=(1, 7))
    assert measured["elbo_nats"] == pytest.approx(-200)
    assert measured["importance_weighted"]["7"] == {
        "nats": pytest.approx(-200),
        "standard_error": None,
    }
    ae = constant_logits(np.full(FEATURES, 1e4))
    assert variational(ae, 0 * x, samples=(3,))["elbo_nats"] == pytest.approx(-5e4)


def test_bits_are_of_raw_units_whatever_the_scaler():
    # The same density: in raw units a standard deviation of 3, in units of 6 one of 0.5.
    x = (np.random.default_rng(0).random((50, FEATURES)) * 6).astype("float32")
    plain = model(dense(FEATURES, CODE), dense(CODE, FEATURES, bias=np.zeros(FEATURES),
                  kernel=np.zeros((CODE, FEATURES))), losses.GaussianNLL(stddev=3.0))  # fmt: skip
    scaled = model(dense(FEATURES, CODE), dense(CODE, FEATURES, bias=np.zeros(FEATURES),
                   kernel=np.zeros((CODE, FEATURES))), losses.GaussianNLL(stddev=0.5),
                   scaler=UnitScale(0, 6), output_activation=None)  # fmt: skip
    for ae in (plain, scaled):
        set_heads(ae, np.zeros((CODE, CODE)), np.zeros(CODE), 0.0)
    one, two = (variational(ae, x, samples=(1,)) for ae in (plain, scaled))
    by_hand = np.mean(x**2 / 18 + math.log(3) + math.log(2 * math.pi) / 2) / math.log(2)
    assert one["bits_per_dimension"] == pytest.approx(by_hand, rel=1e-5)
    assert two["bits_per_dimension"] == pytest.approx(by_hand, rel=1e-5)
    assert two["elbo_nats"] == pytest.approx(one["elbo_nats"] + FEATURES * math.log(6), rel=1e-5)
    assert "raw" in two["note"]


def test_agrees_with_evaluate_and_is_one_whatever_form_data_take():
    splits = kerasae.data.load("digits", batch_size=70, limit=900)
    ae = kerasae.build("vae", splits.shape, 3, hidden=(16,), input_dtype="uint8", seed=0)
    ae.compile()
    x = splits.array("test")
    measured = variational(ae, splits.test, samples=(1, 20))
    assert measured["samples"] == len(x)
    assert measured == variational(ae, x, samples=(1, 20))
    assert measured == variational(ae, splits.test.map(lambda x: (x, x)), samples=(20, 1))
    expected = ae.evaluate(x, return_dict=True, verbose=0)
    assert measured["kl_nats"] == pytest.approx(expected["kl_loss"], rel=1e-4)
    assert measured["reconstruction_nats"] == pytest.approx(
        expected["reconstruction_loss"], rel=5e-3
    )
    few = variational(ae, splits.test, samples=(3,), limit=45, batch_size=30)
    assert few["samples"] == 45
    bounded = variational(ae, x, samples=(1, 20), batch_size=13)
    for k, bound in bounded["importance_weighted"].items():
        assert bound["nats"] == pytest.approx(measured["importance_weighted"][k]["nats"], abs=0.2)


def test_leaves_losses_and_noise_of_the_model_alone():
    ae = kerasae.build("variational", (6,), 2, seed=0)
    before = [np.array(state) for state in seed_states(ae)]
    variational(ae, np.zeros((4, 6), "float32"), samples=(1,))
    for state, value in zip(seed_states(ae), before, strict=True):
        np.testing.assert_array_equal(state, value)
    assert all(np.isfinite(float(loss)) for loss in ae.losses)


def test_many_draws_do_not_take_many_decoded_at_once(monkeypatch):
    ae = constant_logits(np.zeros(FEATURES))
    seen = []
    plain = likelihood.normal

    def counted(shape, seed):
        seen.append(shape[0] * shape[1])
        return plain(shape, seed)

    monkeypatch.setattr(likelihood, "normal", counted)
    measured = variational(ae, np.ones((3, FEATURES), "float32"), samples=(5000,), batch_size=600)
    assert max(seen) == 600
    assert sum(seen) == 15000
    bound = measured["importance_weighted"]["5000"]["nats"]
    assert bound == pytest.approx(-FEATURES * math.log(2), rel=1e-6)


def test_a_loss_that_is_no_likelihood_gives_no_bounds():
    ae = kerasae.build("variational", (6,), 2, loss="mse")
    measured = variational(ae, np.random.default_rng(0).random((9, 6), "float32"))
    assert "not a likelihood" in measured["note"]
    assert not {"elbo_nats", "bits_per_dimension", "importance_weighted"} & set(measured)
    assert len(measured["kl_per_dimension"]) == 2


def test_refuses_what_will_not_do():
    x = np.zeros((4, 6), "float32")
    with pytest.raises(ValueError, match=r"Received: variant='undercomplete'"):
        variational(kerasae.build("undercomplete", (6,), 2), x)
    ae = kerasae.build("variational", (6,), 2)
    with pytest.raises(ValueError, match="Received: pixels='grey', loss="):
        variational(ae, x, pixels="grey")
    for samples in ((), (0, 1), (2.5,), (True,)):
        with pytest.raises(ValueError, match="samples must be"):
            variational(ae, x, samples=samples)
    with pytest.raises(ValueError, match="limit must be >= 1"):
        variational(ae, x, limit=0)
    with pytest.raises(ValueError, match="batch_size must be >= 1"):
        variational(ae, x, batch_size=0)
    with pytest.raises(ValueError, match="shape"):
        variational(ae, np.zeros((4, 7), "float32"))


@pytest.mark.parametrize("network", ["conv", "sequence"])
def test_works_on_other_networks(network):
    shape = (8, 8, 1) if network == "conv" else (12, 2)
    ae = kerasae.build("variational", shape, 2, network=network, hidden=(4,))
    x = np.random.default_rng(0).random((5, *shape), "float32")
    measured = variational(ae, x, samples=(1, 4))
    assert measured["importance_weighted"]["4"]["nats"] >= measured["elbo_nats"] - 1


def test_a_single_number_of_draws_may_stand_by_itself():
    x = np.random.default_rng(0).random((6, 4), dtype="float32")
    ae = kerasae.build("variational", (4,), 2, loss="bce", seed=0)
    expected = variational(ae, x, samples=(5,))
    assert variational(ae, x, samples=5) == expected
    assert variational(ae, x, samples=np.int64(5)) == expected
    assert list(expected["importance_weighted"]) == ["5"]
    for samples in (0, 2.5, None, "ab", True, [1, 0], []):
        with pytest.raises(ValueError, match=r"samples must be .*Received: samples="):
            variational(ae, x, samples=samples)
