"""The scikit-learn estimators, held to scikit-learn's own checks."""

import pickle
import random
import warnings

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import kerasae
from kerasae.anomaly import smallest_sample
from kerasae.estimators import AnomalyDetector, CodeTransformer

TINY = {"steps": 3, "hidden": (8,), "batch_size": 32, "random_state": 0}


def correlated(n, seed=0):
    """Rows near a plane in ten dimensions, each feature of variance about 1."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(2, 10))
    mixing /= np.linalg.norm(mixing, axis=0)
    return rng.normal(size=(n, 2)) @ mixing + 0.1 * rng.normal(size=(n, 10))


@pytest.fixture(scope="module")
def detector():
    return AnomalyDetector(steps=300, hidden=(64,), latent_dim=64, random_state=0).fit(
        correlated(1000)
    )


@pytest.fixture
def eagerly():
    """Run models without tracing them, which takes longer than a few small steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        # Pipelines of tf.data are traced all the same, and TensorFlow says so.
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions")
        yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings("ignore:A false-alarm rate of:UserWarning")
# Checks on arrays of other namespaces are for those who set SCIPY_ARRAY_API.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        AnomalyDetector(latent_dim=8, **{**TINY, "steps": 1}),
        CodeTransformer(**{**TINY, "steps": 1}),
    ],
    xfail_strict=True,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# The detector ----------------------------------------------------------------------------


def test_the_detector_beats_the_distance_from_the_mean(detector):
    # Signs change the correlations and no distance from the mean, the score of a collapsed model.
    x = np.concatenate([correlated(500, seed=1), correlated(500, seed=3) * ([1, -1] * 5)])
    y = np.repeat([0, 1], 500)
    assert abs(roc_auc_score(y, (x**2).sum(axis=1)) - 0.5) < 0.06
    assert roc_auc_score(y, -detector.score_samples(x)) > 0.97


def test_scores_thresholds_and_p_values_agree(detector):
    x = correlated(400, seed=4)
    x[:200] *= np.linspace(1, 2, 200)[:, None]
    scores = -detector.score_samples(x)
    np.testing.assert_allclose(scores, detector.autoencoder_.score(x), rtol=1e-5)
    np.testing.assert_allclose(detector.decision_function(x), detector.threshold_ - scores)
    assert detector.offset_ == -detector.threshold_
    flagged = detector.predict(x) == -1
    assert 0 < flagged.sum() < 400
    np.testing.assert_array_equal(flagged, detector.p_values(x) <= 0.05)
    np.testing.assert_array_equal(flagged, scores > detector.threshold_)


def test_the_false_alarm_rate_holds(detector):
    assert detector.calibration_.n == 100  # a tenth of 1,000
    # Beta(96, 5) is the law of the share not flagged: floor(101 * 0.05) = 5 of 101.
    rate = (detector.predict(correlated(5000, seed=5)) == -1).mean()
    deviation = np.sqrt(5 / 101 * 96 / 101 / 102 + 0.05 * 0.95 / 5000)
    assert abs(rate - 5 / 101) < 3 * deviation


@pytest.mark.usefixtures("eagerly")
def test_as_many_rows_are_held_out_as_the_rate_needs():
    x = correlated(240)
    fitted = AnomalyDetector(false_alarm_rate=0.01, latent_dim=8, **TINY).fit(x)
    assert fitted.calibration_.n == smallest_sample(0.01) == 99
    assert fitted.threshold_ == fitted.calibration_.scores[-1]


@pytest.mark.usefixtures("eagerly")
def test_too_few_rows_are_said_and_the_lowest_possible_rate_taken():
    with pytest.warns(UserWarning, match="false-alarm rate of 0.05"):
        fitted = AnomalyDetector(latent_dim=8, **TINY).fit(correlated(20))
    assert fitted.threshold_ == fitted.calibration_.scores[-1]
    assert fitted.calibration_.false_alarm_rate == pytest.approx(1 / 11)


def test_rows_are_not_judged_by_their_neighbours(detector):
    x = correlated(300, seed=6)
    whole = detector.score_samples(x)
    np.testing.assert_array_equal(whole[7:9], detector.score_samples(x[7:9]))
    np.testing.assert_array_equal(whole[::-1], detector.score_samples(x[::-1]))


@pytest.mark.usefixtures("eagerly")
def test_fit_is_repeatable_and_leaves_generators_alone():
    x = correlated(100)
    keras.utils.set_random_seed(3)
    states = random.getstate(), np.random.get_state()[1].copy()
    first = AnomalyDetector(latent_dim=8, **TINY).fit(x).score_samples(x)
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    keras.utils.set_random_seed(4)
    np.testing.assert_array_equal(
        first, AnomalyDetector(latent_dim=8, **TINY).fit(x).score_samples(x)
    )
    other = clone(AnomalyDetector(latent_dim=8, **TINY)).set_params(random_state=1).fit(x)
    assert not np.allclose(first, other.score_samples(x))


def test_a_detector_survives_a_pickle(detector):
    content = pickle.dumps(detector)
    again = pickle.loads(content)
    x = correlated(50, seed=7)
    np.testing.assert_array_equal(again.score_samples(x), detector.score_samples(x))
    np.testing.assert_array_equal(again.p_values(x), detector.p_values(x))
    assert again.get_params() == detector.get_params()


def test_the_detectors_model_is_calibrated_and_refuses_its_training_rows(detector, tmp_path):
    x = correlated(50, seed=8)
    detector.autoencoder_.save(tmp_path / "model.keras")
    loaded = kerasae.load(tmp_path / "model.keras")
    found = loaded.detect(x)
    np.testing.assert_array_equal(found["is_anomaly"], detector.predict(x) == -1)
    with pytest.raises(ValueError, match="training rows"):
        loaded.calibrate(correlated(1000), 0.05)


@pytest.mark.usefixtures("eagerly")
def test_it_works_in_a_pipeline_on_a_data_frame():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(correlated(100) * 1000 + 5, columns=list("abcdefghij"))
    pipeline = make_pipeline(StandardScaler(), AnomalyDetector(latent_dim=8, scaler=None, **TINY))
    assert set(pipeline.fit_predict(x)) <= {-1, 1}
    fitted = AnomalyDetector(latent_dim=8, **TINY).fit(x)
    assert fitted.feature_names_in_.tolist() == list("abcdefghij")
    np.testing.assert_array_equal(fitted.score_samples(x).shape, (100,))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(x.rename(columns={"a": "z"}))


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("variant", ["undercomplete", "variational"])
def test_other_variants_take_their_own_defaults(variant):
    fitted = AnomalyDetector(variant, steps=5, random_state=0).fit(correlated(60))
    assert fitted.autoencoder_.variant == variant
    assert fitted.autoencoder_.latent_dim == 2
    assert fitted.autoencoder_.corruption is None


@pytest.mark.usefixtures("eagerly")
def test_the_default_model_is_as_documented():
    fitted = AnomalyDetector(steps=1, random_state=0).fit(correlated(60))
    ae = fitted.autoencoder_
    assert ae.variant == "denoising"
    assert ae.latent_dim == 256
    assert [layer.units for layer in ae.encoder_network.layers[1:]] == [256, 256]
    assert ae.encode(correlated(10)).min() == 0  # relu
    assert ae.corruption.stddev == (0.2, 2.0)


@pytest.mark.usefixtures("eagerly")
def test_noise_of_many_strengths_is_log_uniform():
    corruption = (
        AnomalyDetector(steps=1, random_state=0).fit(correlated(60)).autoencoder_.corruption
    )
    noise = np.asarray(corruption.corrupt(np.zeros((4000, 200), "float32"), seed=0))
    stddev = noise.std(axis=1)
    assert 0.16 < stddev.min() < stddev.max() < 2.4
    # log(stddev / 0.2) / log(10) is uniform in [0, 1].
    u = np.log(stddev / 0.2) / np.log(10)
    np.testing.assert_allclose(u.mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(np.quantile(u, [0.1, 0.9]), [0.1, 0.9], atol=0.03)
    again = type(corruption).from_config(corruption.get_config())
    assert again.get_config() == corruption.get_config()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_alarm_rate": 0.0}, "Received: false_alarm_rate=0"),
        ({"held_out": 1}, "Received: held_out=1"),
        ({"steps": 0}, "Received: steps=0"),
        ({"variant": "denoisin"}, "denoisin"),
        ({"corruption_level": (0.5, 0.2)}, r"Received: stddev=\(0.5, 0.2\)"),
        ({"corruption": "masking", "corruption_level": (0.1, 0.2)}, "Received: corruption="),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AnomalyDetector(**{**TINY, "latent_dim": 8, **options}).fit(correlated(60))


# The transformer -------------------------------------------------------------------------


def test_a_linear_transformer_spans_the_subspace_of_pca():
    x = correlated(600)
    z = StandardScaler().fit_transform(x)
    pca = PCA(2).fit(z)
    options = {"init": "pca"}
    fitted = CodeTransformer(2, variant="linear", options=options, steps=5, learning_rate=1e-5)
    codes = fitted.fit(x).transform(x)
    best = ((z - pca.inverse_transform(pca.transform(z))) ** 2).mean()
    assert best <= -fitted.score(x) + 1e-6 < 1.001 * best + 1e-6
    back = fitted.inverse_transform(codes)
    np.testing.assert_allclose(back, fitted.autoencoder_.reconstruct(x), rtol=1e-4, atol=1e-5)
    assert back.dtype == x.dtype


@pytest.mark.usefixtures("eagerly")
def test_a_transformer_works_in_a_pipeline_and_a_cross_validation():
    x = correlated(120)
    y = x[:, 0] > 0
    pipeline = make_pipeline(CodeTransformer(3, **TINY), LogisticRegression())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.7


@pytest.mark.usefixtures("eagerly")
def test_a_transformer_names_its_columns_and_survives_a_pickle():
    pytest.importorskip("pandas")
    x = correlated(60)
    fitted = CodeTransformer(3, **TINY).set_output(transform="pandas").fit(x)
    frame = pickle.loads(pickle.dumps(fitted)).transform(x)
    names = ["codetransformer0", "codetransformer1", "codetransformer2"]
    assert frame.columns.tolist() == fitted.get_feature_names_out().tolist() == names
    np.testing.assert_array_equal(frame, fitted.transform(x))


def test_a_code_of_the_inputs_size_is_refused_in_the_transformers_words():
    with pytest.raises(ValueError, match=r"^n_components .* n_components=10, n_features=10"):
        CodeTransformer(10, **TINY).fit(correlated(60))


# Columns far from 0 -----------------------------------------------------------------------


def test_times_in_seconds_are_told_apart():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 100, (400, 4))
    moved = x + np.array([1.7e9, 0, -3e8, 0])
    kept = AnomalyDetector(steps=50, random_state=0).fit(x)
    far = AnomalyDetector(steps=50, random_state=0).fit(moved)
    # Up to what float64 keeps of the moved numbers, and float32 of the mean.
    np.testing.assert_allclose(far.score_samples(moved), kept.score_samples(x), rtol=1e-2)
    codes = CodeTransformer(2, steps=50, random_state=0).fit(moved)
    back = codes.inverse_transform(codes.transform(moved))
    assert np.abs(back - moved).max() < 1000
    again = pickle.loads(pickle.dumps(far))
    np.testing.assert_array_equal(again.score_samples(moved), far.score_samples(moved))


def test_numbers_beyond_float32_are_named():
    x = np.random.default_rng(0).normal(size=(300, 3))
    detector = AnomalyDetector(steps=5).fit(x)
    with pytest.raises(ValueError, match=r"Received: X with values up to 1e\+200"):
        detector.score_samples([[1e200, 0, 0]])


def test_p_values_need_a_fit_and_options_no_arguments():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        AnomalyDetector().p_values(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"options .*'latent_dim'"):
        AnomalyDetector(options={"latent_dim": 3}).fit(
            np.random.default_rng(0).normal(size=(300, 3))
        )
