import keras
import numpy as np
import pytest

import kerasae
from kerasae import metrics


def images(shape, seed=0, n=5):
    rng = np.random.default_rng(seed)
    x = rng.random((n, *shape))
    return x, np.clip(x + 0.3 * rng.normal(size=x.shape), 0, 1)


def plain_ssim(x, y, peak, size):
    """SSIM of two images from the definition, one window and one channel at a time."""
    at = np.arange(size) - size // 2
    window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for channel in range(x.shape[2]):
        for i in range(x.shape[0] - size + 1):
            for j in range(x.shape[1] - size + 1):
                a, b = (z[i : i + size, j : j + size, channel] for z in (x, y))
                m_a, m_b = (window * a).sum(), (window * b).sum()
                v_a, v_b = (window * (a - m_a) ** 2).sum(), (window * (b - m_b) ** 2).sum()
                v_ab = (window * (a - m_a) * (b - m_b)).sum()
                values.append(
                    (2 * m_a * m_b + c1)
                    * (2 * v_ab + c2)
                    / ((m_a**2 + m_b**2 + c1) * (v_a + v_b + c2))
                )
    return np.mean(values)


@pytest.mark.parametrize(
    ("shape", "size"), [((13, 12, 1), 11), ((8, 8, 1), 7), ((5, 12, 2), 5), ((3, 3, 1), 3)]
)
def test_ssim_is_that_of_the_definition(shape, size):
    x, y = images(shape)
    for peak in (1.0, 255.0):
        found = keras.ops.convert_to_numpy(metrics.ssim(x * peak, y * peak, peak))
        expected = [plain_ssim(a * peak, b * peak, peak, size) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(metrics.ssim(x, x)), 1, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares with tf.image")
def test_ssim_is_that_of_tensorflow():
    import tensorflow as tf

    x, y = (z.astype("float32") for z in images((28, 28, 3)))
    expected = tf.image.ssim(x, y, 1.0).numpy()
    np.testing.assert_allclose(metrics.ssim(x, y), expected, atol=1e-5)


def test_ssim_refuses_what_is_no_image():
    x = np.zeros((2, 4, 4, 1))
    with pytest.raises(ValueError, match=r"SSIM .*Received: shapes"):
        metrics.ssim(x[..., 0], x[..., 0])
    with pytest.raises(ValueError, match="filter_size=4"):
        metrics.ssim(x, x, filter_size=4)
    with pytest.raises(ValueError, match="filter_size=5"):
        metrics.ssim(x, x, filter_size=5)


def test_hoyer_sparsity_by_hand():
    codes = [[3.0, 0, 0, 0], [1, -1, 1, 1], [3, 4, 0, 0], [0, 0, 0, 0], [1e-30, 0, 0, 0]]
    found = keras.ops.convert_to_numpy(metrics.hoyer_sparsity(np.array(codes)))
    # (sqrt(4) - 7 / 5) / (sqrt(4) - 1)
    np.testing.assert_allclose(found, [1, 0, 0.6, 0, 1], atol=1e-6)


def test_psnr_is_of_the_mean_error():
    metric = metrics.PSNR(255)
    y = np.zeros((2, 4), "uint8")
    metric.update_state(y[:1], y[:1] + 10.0)
    metric.update_state(y[:1], y[:1] + 20.0)
    assert float(metric.result()) == pytest.approx(10 * np.log10(255**2 / 250), rel=1e-6)
    metric.reset_state()
    metric.update_state(y, np.array([[10.0] * 4, [99.0] * 4]), sample_weight=np.array([1.0, 0.0]))
    assert float(metric.result()) == pytest.approx(10 * np.log10(255**2 / 100), rel=1e-6)
    metric.reset_state()
    metric.update_state(y, y)
    assert float(metric.result()) == 200


def test_code_metrics_by_hand():
    codes = np.array([[0.0, 2.0, 5.0, 1.0], [0.0, 4.0, 5.0, 1.001]])
    mean, active, hoyer = metrics.MeanActivation(), metrics.ActiveUnits(), metrics.HoyerSparsity()
    assert float(active.result()) == 0
    for row in codes:
        for metric in (mean, active, hoyer):
            metric.update_state(row[None])
    assert float(mean.result()) == pytest.approx(codes.mean())
    assert float(active.result()) == 1  # a constant is dead whatever its value
    expected = np.mean([(2 - c.sum() / np.sqrt((c**2).sum())) / (2 - 1) for c in codes])
    assert float(hoyer.result()) == pytest.approx(expected, rel=1e-5)
    active.reset_state()
    active.update_state(codes[:1])
    assert float(active.result()) == 0


@pytest.mark.parametrize(
    "metric",
    [
        metrics.PSNR(255),
        metrics.SSIM(2.0, filter_size=3),
        metrics.MeanActivation(),
        metrics.ActiveUnits(threshold=0.1),
        metrics.HoyerSparsity(),
    ],
    ids=lambda m: m.name,
)
def test_metrics_survive_serialization(metric):
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == f"kerasae>{type(metric).__name__}"
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.PSNR(0), "max_value=0"),
        (lambda: metrics.SSIM(float("inf")), "max_value=inf"),
        (lambda: metrics.ActiveUnits(threshold=1), "threshold=1"),
    ],
)
def test_metrics_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_metrics_follow_a_training_and_are_saved_with_it(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(70, 8, 8, 1)).astype("uint8")
    ae = kerasae.build("undercomplete", (8, 8, 1), 4, input_dtype="uint8")
    ae.compile(metrics=[metrics.PSNR(255), metrics.SSIM(255)])
    ae.fit(x, epochs=1, batch_size=32, verbose=0)
    found = ae.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    # The model's own loss is the MSE in scaled units.
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["loss"]), rel=1e-5)
    expected = float(np.mean(metrics.ssim(x, ae.reconstruct(x), 255)))
    assert found["ssim"] == pytest.approx(expected, abs=1e-5)
    ae.save(tmp_path / "model.keras")
    loaded = kerasae.load(tmp_path / "model.keras")
    assert loaded.evaluate(x, batch_size=32, verbose=0, return_dict=True) == found
