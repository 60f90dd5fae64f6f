import itertools
import math

import keras
import numpy as np
import pytest

from kerasae.networks import NETWORKS

CASES = [
    ("dense", (784,)),
    ("dense", (28, 28, 1)),
    ("dense", (3, 5)),
    ("dense", (1,)),
    ("conv", (28, 28, 1)),
    ("conv", (64, 64, 3)),
    ("conv", (61, 47, 3)),
    ("conv", (61, 47)),
    ("conv", (1, 1, 1)),
    ("conv", (5, 2, 2)),
    ("sequence", (140,)),
    ("sequence", (140, 1)),
    ("sequence", (37, 3)),
    ("sequence", (1, 2)),
]


@pytest.mark.parametrize("hidden", [(8,), (8, 4, 6)])
@pytest.mark.parametrize(("network", "shape"), CASES)
def test_output_shape_equals_input_shape(network, shape, hidden):
    encoder, decoder = NETWORKS[network](shape, 3, units=3, hidden=hidden)
    assert encoder.output_shape == (None, 3)
    assert decoder.output_shape == (None, *shape)
    code = encoder(np.zeros((2, *shape), "float32"))
    assert tuple(decoder(code).shape) == (2, *shape)


def test_decoder_mirrors_the_encoder():
    encoder, decoder = NETWORKS["dense"]((784,), 32, units=32, hidden=(128, 64))

    def widths(model):
        return [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]

    assert widths(encoder) == [128, 64, 32]
    assert widths(decoder) == [64, 128, 784]


def test_seed_network_has_the_published_number_of_parameters():
    sizes = [784, 128, 64, 32, 64, 128, 784]
    parameters = sum(a * b + b for a, b in itertools.pairwise(sizes))
    encoder, decoder = NETWORKS["dense"]((784,), 32, units=32, hidden=(128, 64))
    assert encoder.count_params() + decoder.count_params() == parameters


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalization_follows_each_hidden_layer(network, normalization):
    shape = {"dense": (12,), "conv": (9, 9, 1), "sequence": (12, 1)}[network]
    networks = NETWORKS[network](shape, 3, units=3, hidden=(8, 4), normalization=normalization)
    kind = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}
    for model in networks:
        assert sum(isinstance(layer, kind[normalization]) for layer in model.layers) >= 2
    assert networks[1].output_shape == (None, *shape)


def test_decoder_ends_linear_and_unbounded():
    for network, shape in (("dense", (12,)), ("conv", (8, 8, 1)), ("sequence", (12, 1))):
        _, decoder = NETWORKS[network](shape, 3, units=3, hidden=(8,))
        output = keras.ops.convert_to_numpy(decoder(100 * np.ones((4, 3), "float32")))
        double = keras.ops.convert_to_numpy(decoder(200 * np.ones((4, 3), "float32")))
        # Biases start at 0 and ReLU is positively homogeneous, so the output doubles.
        np.testing.assert_allclose(double, 2 * output, rtol=1e-4, atol=1e-3)
        assert output.min() < 0


def test_convolution_shifts_with_its_input():
    # Moving the input by the total stride, 4, moves the interior of the features by one cell.
    encoder, _ = NETWORKS["conv"]((32, 32, 1), 3, units=None, hidden=(4, 5))
    image = np.zeros((1, 32, 32, 1), "float32")
    image[:, 10:18, 12:20] = np.random.default_rng(0).random((1, 8, 8, 1))
    moved = np.roll(image, (4, 8), axis=(1, 2))
    grid = (8, 8, 5)
    a, b = (keras.ops.convert_to_numpy(encoder(v)).reshape(grid) for v in (image, moved))
    np.testing.assert_allclose(np.roll(a, (1, 2), axis=(0, 1))[2:6, 3:7], b[2:6, 3:7], atol=1e-6)
    assert np.abs(b[2:6, 3:7]).max() > 0.01


@pytest.mark.parametrize(
    ("network", "shape"), [("conv", (784,)), ("conv", (2, 3, 4, 5)), ("sequence", (2, 3, 4))]
)
def test_wrong_rank_is_refused(network, shape):
    with pytest.raises(ValueError, match=r"Received: input_shape=\("):
        NETWORKS[network](shape, 3, units=3)


@pytest.mark.parametrize("network", ["conv", "sequence"])
def test_convolutions_need_a_hidden_layer(network):
    shape = (8, 8) if network == "conv" else (8,)
    with pytest.raises(ValueError, match=r"hidden must .* Received: hidden=\(\)"):
        NETWORKS[network](shape, 3, units=3, hidden=())


def test_features_are_the_last_hidden_layer():
    encoder, _ = NETWORKS["dense"]((784,), 3, units=None, hidden=(128, 64))
    assert encoder.output_shape == (None, 64)
    encoder, _ = NETWORKS["conv"]((61, 47, 3), 3, units=None, hidden=(8, 4))
    assert encoder.output_shape == (None, math.ceil(61 / 4) * math.ceil(47 / 4) * 4)
