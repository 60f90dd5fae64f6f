"""The contractive penalty against numerical Jacobians of networks written again in NumPy."""

import itertools
import json

import keras
import numpy as np
import pytest
import scipy.special
from keras import ops

from kerasae.layers import ActivityPenalty, JacobianPenalty
from kerasae.layers.penalty import evaluating
from kerasae.regularizers import L1Activation
from kerasae.schedules import Warmup

EXACT = ("closed_form", "exact")
METHODS = (*EXACT, "estimate")
ACTIVATIONS = {
    "linear": lambda a: a,
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "gelu": lambda a: a * scipy.special.ndtr(a),
    "softplus": lambda a: np.logaddexp(a, 0),
}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def number(tensor):
    return float(numpy(tensor))


def dense_encoder(layers, input_shape=(5,)):
    """A Keras chain of `(units, activation)` with biases that are not zero."""
    encoder = keras.Sequential([keras.Input(input_shape)])
    if len(input_shape) > 1:
        encoder.add(keras.layers.Flatten())
    for units, activation in layers:
        encoder.add(
            keras.layers.Dense(units, activation=activation, bias_initializer="random_normal")
        )
    return encoder


def forward(encoder, x):
    """The same chain in float64 NumPy."""
    h = np.asarray(x, "float64").reshape(len(x), -1)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = (numpy(w).astype("float64") for w in layer.weights)
            h = ACTIVATIONS[layer.activation.__name__](h @ kernel + bias)
    return h


def numerical_jacobian(function, x, h=1e-5):
    """Central differences: `(batch, units, features)` for `x` of shape `(batch, ...)`."""
    flat = np.asarray(x, "float64").reshape(len(x), -1)
    columns = []
    for i in range(flat.shape[1]):
        shift = np.zeros(flat.shape[1])
        shift[i] = h
        above, below = (function((flat + s * shift).reshape(x.shape)) for s in (1, -1))
        columns.append((above - below) / (2 * h))
    return np.stack(columns, axis=-1)


def numerical_norm(function, x):
    """Mean over the batch of the squared Frobenius norm."""
    return np.square(numerical_jacobian(function, x)).sum(axis=(1, 2)).mean()


def inputs_of(shape=(5,), batch=6, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype("float32")


def penalty_of(layer, x, **options):
    """Code and the one loss of one training call."""
    code = numpy(layer(x, training=True, **options))
    (loss,) = layer.losses
    return code, number(loss)


CHAINS = {
    **{f"one-{name}": [(4, name)] for name in ACTIVATIONS},
    "two-sigmoid": [(7, "sigmoid"), (3, "sigmoid")],
    "two-relu": [(9, "relu"), (4, "linear")],
    "three-mixed": [(8, "gelu"), (6, "tanh"), (3, "softplus")],
    "three-relu": [(8, "relu"), (8, "relu"), (3, "sigmoid")],
    "wide": [(3, "tanh"), (12, "tanh")],
}


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("name", CHAINS)
def test_equals_the_numerical_jacobian(name, method):
    encoder = dense_encoder(CHAINS[name])
    x = inputs_of()
    code, loss = penalty_of(JacobianPenalty(encoder, weight=0.5, method=method), x)
    np.testing.assert_allclose(code, forward(encoder, x), rtol=1e-4, atol=1e-5)
    expected = 0.5 * numerical_norm(lambda v: forward(encoder, v), x)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("chain", ["one-tanh", "three-mixed"])
def test_flattens_images(chain, method):
    encoder = dense_encoder(CHAINS[chain], input_shape=(2, 3, 2))
    x = inputs_of((2, 3, 2))
    code, loss = penalty_of(JacobianPenalty(encoder, weight=1.0, method=method), x)
    np.testing.assert_allclose(code, forward(encoder, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, numerical_norm(lambda v: forward(encoder, v), x), rtol=1e-4)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_bare_dense_layer_is_an_encoder(use_bias):
    dense = keras.layers.Dense(3, activation="sigmoid", use_bias=use_bias)
    x = inputs_of()
    _, loss = penalty_of(JacobianPenalty(dense, weight=1.0, method="closed_form"), x)
    # Rifai et al. 2011, equation 7: sum_j (h_j (1 - h_j))^2 ||w_j||^2.
    h = numpy(dense(x)).astype("float64")
    kernel = numpy(dense.kernel).astype("float64")
    expected = ((h * (1 - h)) ** 2 @ (kernel**2).sum(axis=0)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_a_linear_code_has_the_norm_of_its_kernel_whatever_the_input():
    dense = keras.layers.Dense(3)
    for method in EXACT:
        _, loss = penalty_of(JacobianPenalty(dense, weight=1.0, method=method), inputs_of())
        np.testing.assert_allclose(loss, np.square(numpy(dense.kernel)).sum(), rtol=1e-5)


def conv_encoder():
    return keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            keras.layers.Conv2D(3, (3, 2), activation="tanh", bias_initializer="random_normal"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="sigmoid", bias_initializer="random_normal"),
        ]
    )


def conv_forward(encoder, x):
    kernel, bias, dense_kernel, dense_bias = (numpy(w).astype("float64") for w in encoder.weights)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 2), axis=(1, 2))
    h = np.tanh(np.einsum("bijcuv,uvcf->bijf", windows, kernel) + bias)
    return scipy.special.expit(h.reshape(len(x), -1) @ dense_kernel + dense_bias)


def test_exact_takes_convolutions():
    encoder, x = conv_encoder(), inputs_of((6, 5, 2))
    code, loss = penalty_of(JacobianPenalty(encoder, weight=1.0, method="exact"), x)
    np.testing.assert_allclose(code, conv_forward(encoder, x), rtol=1e-4)
    expected = numerical_norm(lambda v: conv_forward(encoder, v), x)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("probes", [1, 4])
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_the_estimate_is_unbiased(network, probes):
    # Of A = J J^T the estimate v^T A v has mean tr A and variance 2 sum_{i != j} A_ij^2.
    if network == "dense":
        encoder, x, run = dense_encoder(CHAINS["two-sigmoid"]), inputs_of(batch=1), forward
    else:
        encoder, x, run = conv_encoder(), inputs_of((6, 5, 2), batch=1), conv_forward
    jacobian = numerical_jacobian(lambda v: run(encoder, v), x)[0]
    gram = jacobian @ jacobian.T
    off_diagonal = gram - np.diag(np.diag(gram))
    seeds, copies = 8, 1000
    many = np.repeat(x, copies, axis=0)
    draws = [
        penalty_of(JacobianPenalty(encoder, weight=1.0, probes=probes, seed=seed), many)[1]
        for seed in range(seeds)
    ]
    deviation = np.sqrt(2 * np.square(off_diagonal).sum() / (copies * probes))
    assert abs(np.mean(draws) - np.trace(gram)) < 3 * deviation / np.sqrt(seeds)
    assert len(set(draws)) == seeds
    # As scattered as sign vectors are: chi-square bounds of probability 1e-4 on both sides.
    assert 0.03 < np.var(draws, ddof=1) / deviation**2 < 5.0


def test_the_estimate_of_one_unit_is_exact():
    encoder, x = dense_encoder([(6, "tanh"), (1, "sigmoid")]), inputs_of()
    _, loss = penalty_of(JacobianPenalty(encoder, weight=1.0), x)
    expected = numerical_norm(lambda v: forward(encoder, v), x)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_every_training_step_draws_afresh_and_the_seed_decides():
    encoder, x = dense_encoder(CHAINS["two-sigmoid"]), inputs_of()
    layer, same = (JacobianPenalty(encoder, weight=1.0, seed=3) for _ in range(2))
    other = JacobianPenalty(encoder, weight=1.0, seed=4)
    first, second = penalty_of(layer, x)[1], penalty_of(layer, x)[1]
    assert first != second
    assert (penalty_of(same, x)[1], penalty_of(same, x)[1]) == (first, second)
    assert penalty_of(other, x)[1] != first


@pytest.mark.parametrize("method", EXACT)
def test_a_batch_fed_twice_has_the_same_penalty(method):
    layer = JacobianPenalty(dense_encoder(CHAINS["two-sigmoid"]), weight=1.0, method=method)
    x = inputs_of()
    once, twice = penalty_of(layer, x)[1], penalty_of(layer, np.concatenate([x, x]))[1]
    np.testing.assert_allclose(twice, once, rtol=1e-5)


def loss_and_gradients(layer, x):
    """The penalty as a function of the trainable variables, by the backend's autodiff."""
    state = [v.value for v in layer.non_trainable_variables]
    x = ops.convert_to_tensor(x)

    def loss(values):  # stateless, so that an estimate draws the same vectors every time
        return layer.stateless_call(values, state, x, training=True, return_losses=True)[2][0]

    values = [v.value for v in layer.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        return loss, jax.grad(loss)(values)
    import tensorflow as tf

    values = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        value = loss(values)
    return loss, tape.gradient(value, values, unconnected_gradients="zero")


@pytest.mark.parametrize(
    ("chain", "method"),
    [
        *itertools.product(["one-sigmoid", "two-sigmoid", "three-mixed"], METHODS),
        ("conv", "exact"),
        ("conv", "estimate"),
    ],
)
def test_the_gradient_equals_finite_differences(chain, method):
    if chain == "conv":
        encoder, x = conv_encoder(), inputs_of((6, 5, 2))
    else:
        encoder, x = dense_encoder(CHAINS[chain]), inputs_of()
    layer = JacobianPenalty(encoder, weight=1.0, method=method, seed=0)
    layer.build(x.shape)
    loss, gradients = loss_and_gradients(layer, x)
    values = [numpy(v) for v in layer.trainable_variables]
    gradients = [numpy(g) for g in gradients]
    rng = np.random.default_rng(1)
    for i, value in enumerate(values):  # one random direction in each variable
        direction = rng.normal(size=value.shape).astype("float32")
        direction /= np.linalg.norm(direction)
        h, ends = 1e-2, []
        for sign in (1, -1):
            moved = [v + sign * h * direction if j == i else v for j, v in enumerate(values)]
            ends.append(number(loss([ops.convert_to_tensor(v) for v in moved])))
        numerical = (ends[0] - ends[1]) / (2 * h)
        scale = np.linalg.norm(gradients[i])
        np.testing.assert_allclose(np.vdot(gradients[i], direction), numerical, atol=3e-3 * scale)
        assert scale > 1e-3


@pytest.mark.parametrize("chain", ["one-gelu", "three-mixed"])
def test_closed_form_and_exact_have_one_gradient(chain):
    encoder, x = dense_encoder(CHAINS[chain]), inputs_of()
    found = []
    for method in EXACT:
        layer = JacobianPenalty(encoder, weight=1.0, method=method)
        layer.build(x.shape)
        found.append([numpy(g) for g in loss_and_gradients(layer, x)[1]])
    for closed, exact in zip(*found, strict=True):
        np.testing.assert_allclose(closed, exact, rtol=1e-4, atol=1e-5)


def model_of(layer, shape=(5,), **options):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse", **options)
    return model


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_fit_adds_the_penalty_once_with_and_without_xla(method, jit_compile):
    # One unit, so that the estimate is exact as well.
    encoder = dense_encoder([(6, "tanh"), (1, "sigmoid")])
    x, y = inputs_of(), np.zeros((6, 1), "float32")
    model = model_of(JacobianPenalty(encoder, weight=3.0, method=method), jit_compile=jit_compile)
    norm = numerical_norm(lambda v: forward(encoder, v), x)
    expected = np.square(forward(encoder, x)).mean() + 3.0 * norm
    history = model.fit(x, y, batch_size=6, epochs=5, verbose=0).history["loss"]
    np.testing.assert_allclose(history[0], expected, rtol=1e-4)
    assert history[-1] < history[0]
    error = np.square(forward(encoder, x)).mean()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), error, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by_keyword", [True, False])
def test_takes_the_jacobian_at_the_clean_input(method, by_keyword):
    encoder = dense_encoder([(6, "tanh"), (1, "sigmoid")])
    noisy, clean = inputs_of(seed=1), inputs_of(seed=2)
    layer = JacobianPenalty(encoder, weight=1.0, method=method)
    if by_keyword:
        code, loss = penalty_of(layer, noisy, clean=clean)
    else:
        code = numpy(layer(noisy, clean, training=True))
        loss = number(layer.losses[0])
    np.testing.assert_allclose(code, forward(encoder, noisy), rtol=1e-4)
    expected = numerical_norm(lambda v: forward(encoder, v), clean)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("training", [False, None])
@pytest.mark.parametrize("method", METHODS)
def test_at_inference_it_is_the_encoder_and_nothing_else(method, training):
    encoder, x = dense_encoder(CHAINS["two-relu"]), inputs_of()
    layer = JacobianPenalty(encoder, weight=1.0, method=method)
    np.testing.assert_array_equal(numpy(layer(x, training=training)), numpy(encoder(x)))
    assert layer.losses == []
    assert layer.compute_output_shape((None, 5)) == (None, 4)


def test_is_on_while_an_autoencoder_evaluates_and_returns_its_term_if_asked():
    encoder, x = dense_encoder(CHAINS["two-sigmoid"]), inputs_of()
    layer = JacobianPenalty(encoder, weight=0.5, method="closed_form")
    with evaluating():
        _, terms = layer(x, training=False, return_terms=True)
    value, weight = terms["jacobian_loss"]
    norm = numerical_norm(lambda v: forward(encoder, v), x)
    assert value.shape == (len(x),)
    np.testing.assert_allclose([number(ops.mean(value)), number(weight)], [norm, 0.5], rtol=1e-4)
    assert layer(x, training=False, return_terms=True)[1] == {}


@pytest.mark.parametrize("clean", [False, True], ids=["input", "clean"])
@pytest.mark.parametrize("method", ["exact", "estimate"])
def test_a_penalty_inside_the_encoder_counts_once(method, clean):
    # The encoder may run twice, for its code and for its Jacobian.
    inner = ActivityPenalty(L1Activation(Warmup(1.0, 2.0, 10)))
    encoder = dense_encoder(CHAINS["two-sigmoid"])
    encoder.add(inner)
    layer = JacobianPenalty(encoder, weight=1.0, method=method)
    x = inputs_of()
    layer(x, training=True, **({"clean": inputs_of(seed=1)} if clean else {}))
    assert len(layer.losses) == 2
    expected = forward(encoder, x).sum(axis=1).mean()
    found = [number(value) for value in layer.losses]
    assert min(abs(value - expected) for value in found) < 1e-4 * expected
    assert number(inner.penalty_weight.step) == 1


def test_a_warmup_advances_in_training_only():
    encoder, x = dense_encoder(CHAINS["one-tanh"]), inputs_of()
    layer = JacobianPenalty(encoder, weight=Warmup(0.0, 1.0, 2), method="closed_form")
    losses = []
    for _ in range(4):
        losses.append(penalty_of(layer, x)[1])
        layer(x, training=False)
    norm = numerical_norm(lambda v: forward(encoder, v), x)
    np.testing.assert_allclose(np.array(losses) / norm, [0.0, 0.5, 1.0, 1.0], rtol=1e-4)


class TestClosedFormRefuses:
    """What is not a chain of Dense layers with elementwise activations, with a sentence."""

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (conv_encoder, r"chain of Dense.*Received: layer 'conv2d.*Conv2D"),
            (
                lambda: dense_encoder([(4, "relu"), (3, "softmax")]),
                r"elementwise.*Received: layer 'dense.*softmax",
            ),
            (lambda: dense_encoder([(3, "log_softmax")]), r"elementwise.*log_softmax"),
            (lambda: dense_encoder([(3, "sparsemax")]), r"elementwise.*sparsemax"),
            (lambda: dense_encoder([(3, keras.layers.Softmax())]), r"elementwise"),
            (
                lambda: keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.5)]),
                r"Received: layer 'dropout.*Dropout",
            ),
            (lambda: keras.Sequential([keras.layers.Flatten()]), r"at least one Dense"),
        ],
        ids=["conv", "softmax", "log_softmax", "sparsemax", "Softmax", "dropout", "flatten"],
    )
    def test_other_layers(self, make, message):
        with pytest.raises(ValueError, match=message):
            JacobianPenalty(make(), method="closed_form")

    @staticmethod
    def with_an_operation():
        inputs = keras.Input((3,))
        return keras.Model(inputs, ops.tanh(keras.layers.Dense(3)(inputs)))

    @staticmethod
    def with_a_shared_layer():
        inputs, dense = keras.Input((3,)), keras.layers.Dense(3)
        return keras.Model(inputs, dense(dense(inputs)))

    @pytest.mark.parametrize("make", ["with_an_operation", "with_a_shared_layer"])
    def test_graphs_that_are_no_chain(self, make):
        # `Model.layers` shows neither operations nor that a layer is used twice.
        with pytest.raises(ValueError, match=r"closed_form.*Received"):
            JacobianPenalty(getattr(self, make)(), method="closed_form")

    @pytest.mark.parametrize(
        ("make", "shape"),
        [
            (lambda: keras.layers.Dense(4), (5, 3)),
            (lambda: keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(4)]), (5, 3)),
            (
                lambda: keras.Sequential(
                    [keras.Input((3,)), keras.layers.Dense(6), keras.layers.Reshape((2, 3))]
                ),
                (3,),
            ),
        ],
        ids=["bare", "chain", "reshape"],
    )
    def test_codes_that_are_not_vectors(self, make, shape):
        # A Dense layer works along the last axis; the closed form knows one vector per sample.
        with pytest.raises(ValueError, match="Received"):
            JacobianPenalty(make(), method="closed_form")(inputs_of(shape), training=True)


def test_exact_refuses_codes_that_are_not_vectors():
    encoder = keras.Sequential([keras.Input((6, 5, 2)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="Received"):
        JacobianPenalty(encoder, method="exact")(inputs_of((6, 5, 2)), training=True)


def test_closed_form_keeps_the_activity_regularizer_of_a_layer_or_refuses_it():
    dense = keras.layers.Dense(3, activity_regularizer=keras.regularizers.L1(0.1))
    try:
        layer = JacobianPenalty(dense, method="closed_form")
    except ValueError as error:
        assert "Received" in str(error)  # noqa: PT017
    else:
        layer(inputs_of(), training=True)
        assert len(layer.losses) == 2


@pytest.mark.parametrize("method", METHODS)
def test_round_trip_through_a_saved_model(method, tmp_path):
    layer = JacobianPenalty(
        dense_encoder([(6, "tanh"), (1, "sigmoid")]),
        weight=Warmup(0.0, 1.0, 10),
        method=method,
        probes=2,
        seed=7,
        name="encoder_network",
    )
    model = model_of(layer)
    x, y = inputs_of(), np.ones((6, 1), "float32")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    loaded = again.get_layer("encoder_network")
    assert (
        keras.saving.serialize_keras_object(layer)["registered_name"] == "kerasae>JacobianPenalty"
    )
    assert json.dumps(loaded.get_config()) == json.dumps(layer.get_config())
    assert (loaded.method, loaded.probes, loaded.seed) == (method, 2, 7)
    assert number(loaded.penalty_weight.step) == 2
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))
    histories = [m.fit(x, y, epochs=2, verbose=0).history["loss"] for m in (model, again)]
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)


def test_the_clean_connection_is_saved(tmp_path):
    noisy, clean = keras.Input((5,)), keras.Input((5,))
    layer = JacobianPenalty(dense_encoder(CHAINS["two-sigmoid"]), 1.0, "closed_form")
    model = keras.Model([noisy, clean], layer(noisy, clean=clean))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = [inputs_of(seed=1), inputs_of(seed=2)]
    model(x, training=True)
    again(x, training=True)
    np.testing.assert_allclose(number(again.losses[0]), number(model.losses[0]), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gives_a_float32_penalty(method):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder = dense_encoder([(6, "tanh"), (1, "sigmoid")])
        layer = JacobianPenalty(encoder, weight=1.0, method=method)
        model = model_of(layer)
    finally:
        keras.config.set_dtype_policy("float32")
    x = inputs_of()
    code = layer(x, training=True)
    assert keras.backend.standardize_dtype(code.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"
    expected = numerical_norm(lambda v: forward(encoder, v), x)
    np.testing.assert_allclose(number(layer.losses[0]), expected, rtol=0.05)
    history = model.fit(x, np.zeros((6, 1), "float32"), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(numpy(v)).all() for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "closed"}, r"^method must .*Did you mean 'closed_form'\? Received: .*'closed'"),
        ({"probes": 0}, r"^probes must .*Received: probes=0"),
        ({"probes": 1.5}, r"^probes must .*Received: probes=1.5"),
        ({"probes": float("nan")}, r"^probes must .*Received: probes=nan"),
        ({"weight": -1.0}, r"^weight must .*Received: weight=-1.0"),
        ({"weight": None}, r"^weight must .*Received: weight=None"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        JacobianPenalty(keras.layers.Dense(3), **options)
