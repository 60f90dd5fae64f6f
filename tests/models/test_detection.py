"""Calibrated models: measured coverage, refused training rows, series, and what is saved."""

import os
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import kerasae
from kerasae.anomaly import Calibration, windows


def rows(n, seed, width=6):
    return np.random.default_rng(seed).normal(2, 1, (n, width)).astype("float32")


def model(width=6, **options):
    keras.utils.set_random_seed(1)
    return kerasae.build("undercomplete", (width,), 2, hidden=(5,), seed=1, **options)


def fitted(x, **options):
    ae = model(x.shape[1])
    ae.compile()
    ae.fit(x, epochs=1, verbose=0, **options)
    return ae


def dataset(*arrays, batch_size=64):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(
        batch_size
    )


def same(a, b):
    assert a.keys() == b.keys() == {"anomaly_score", "p_value", "is_anomaly"}
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)


# Decisions --------------------------------------------------------------------------------


def test_detect_says_what_the_definition_says():
    ae, held, new = model(), rows(150, 0), rows(80, 1) * 1.5
    calibration = ae.calibrate(held, false_alarm_rate=0.05)
    assert ae.calibration is calibration
    assert (calibration.n, calibration.false_alarm_rate) == (150, 0.05)
    found = ae.detect(new)
    assert {name: value.dtype.name for name, value in found.items()} == {
        "anomaly_score": "float32",
        "p_value": "float64",
        "is_anomaly": "bool",
    }
    known, scores = ae.score(held), ae.score(new)
    np.testing.assert_array_equal(found["anomaly_score"], scores)
    p = np.array([(1 + np.sum(known >= s)) / 151 for s in scores])
    np.testing.assert_allclose(found["p_value"], p, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found["is_anomaly"], p <= 0.05)
    assert 0 < found["is_anomaly"].sum() < 80
    loose = ae.detect(new, false_alarm_rate=0.3)
    np.testing.assert_array_equal(loose["is_anomaly"], p <= 0.3)
    np.testing.assert_array_equal(loose["p_value"], found["p_value"])
    # Held-out samples themselves: exactly as many as the rate allows, less one by the tie.
    assert ae.detect(held)["is_anomaly"].sum() == int(151 * 0.05) - 1


def test_decisions_do_not_depend_on_the_batch_size():
    ae, held = model(), rows(199, 0)
    ae.calibrate(held, 0.01, batch_size=199)
    for batch_size in (1, 7, 64):
        found = ae.detect(held, batch_size=batch_size)
        assert found["is_anomaly"].sum() == 1
        same(found, ae.detect(held))


def test_datasets_and_arrays_agree():
    ae, held, new = model(), rows(120, 0), rows(50, 1) * 1.4
    by_array = ae.calibrate(held, 0.05)
    expected = ae.detect(new)
    labels = np.zeros(120, "int32")
    for data in (dataset(held), dataset(held, held, batch_size=7)):
        by_dataset = ae.calibrate(data, 0.05)
        np.testing.assert_allclose(by_dataset.scores, by_array.scores, rtol=1e-5)
        same(ae.detect(dataset(new, batch_size=9)), expected)
    with pytest.raises(ValueError, match="y must be a target shaped like x"):
        ae.calibrate(dataset(held, labels), 0.05)


@pytest.mark.parametrize(("n", "rate", "m"), [(199, 0.05, 300), (150, 0.1, 200), (99, 0.01, 400)])
def test_measured_coverage_on_independent_data(n, rate, m):
    """200 draws of calibration and test set, scored by a real model in one call."""
    from scipy import stats

    draws, k = 200, int((n + 1) * rate + 1e-9)
    rng = np.random.default_rng(n)
    # Heavy tails and two clusters: nothing the model was made for.
    x = rng.standard_t(4, (draws * (n + m), 6)) + 3 * rng.integers(0, 2, (draws * (n + m), 1))
    x = x.astype("float32").reshape(draws, n + m, 6)
    ae = model()
    scores = ae.score(x.reshape(-1, 6), batch_size=8192).reshape(draws, n + m)
    alarms = np.empty(draws, int)
    for i in range(draws):
        flags = Calibration(scores[i, :n], rate).is_anomaly(scores[i, n:])
        alarms[i] = flags.sum()
        if i < 4:
            ae.calibrate(x[i, :n], rate)
            np.testing.assert_array_equal(ae.detect(x[i, n:])["is_anomaly"], flags)
    law = stats.betabinom(m, k, n + 1 - k)
    assert law.mean() / m == pytest.approx(k / (n + 1))
    error = law.std() / m / np.sqrt(draws)
    print(f"n={n} rate={rate}: {alarms.mean() / m:.5f}, expected {k / (n + 1):.5f} +- {error:.5f}")
    assert abs(alarms.mean() / m - k / (n + 1)) < 3 * error
    # The spread, too: a variance within what 200 draws of that law show in 99.9 % of cases ...
    shown = law.rvs((20_000, draws), random_state=0).var(axis=1, ddof=1)
    low, high = np.quantile(shown, [0.0005, 0.9995])
    assert low < alarms.var(ddof=1) < high
    # ... the shape by chi-square; and a binomial law would be told from it.
    edges = np.unique(law.ppf(np.linspace(0, 1, 9)[1:-1]))
    where = np.searchsorted(edges, alarms, side="left")
    for spread, lowest, highest in ((law, 1e-3, 1), (stats.binom(m, k / (n + 1)), 0, 1e-3)):
        shares = np.diff([0, *spread.cdf(edges), 1])
        _, p = stats.chisquare(np.bincount(where, minlength=len(shares)), draws * shares)
        assert lowest <= p <= highest


def test_an_overflowing_score_is_an_anomaly():
    ae = model()
    ae.calibrate(rows(120, 0), 0.05)
    found = ae.detect(np.full((2, 6), 1e30, "float32"))
    assert np.isinf(found["anomaly_score"]).all()
    assert found["is_anomaly"].all()


# What is refused --------------------------------------------------------------------------


def test_detect_needs_a_calibration():
    with pytest.raises(ValueError, match=r"call ae\.calibrate.* Received: a model without calib"):
        model().detect(rows(3, 0))


def test_too_few_for_the_rate_leaves_what_there_was():
    ae = model()
    before = ae.calibrate(rows(99, 0), 0.01)
    with pytest.raises(ValueError, match=r"at least 99 held-out samples, and 98 .*Received: 98"):
        ae.calibrate(rows(98, 1), 0.01)
    with pytest.raises(ValueError, match="Received: false_alarm_rate=1"):
        ae.calibrate(rows(98, 1), 1)
    assert ae.calibration is before
    with pytest.raises(ValueError, match="Received: false_alarm_rate=0"):
        ae.detect(rows(3, 0), false_alarm_rate=0)


def test_a_rate_too_low_for_the_calibration_is_refused_by_detect_too():
    ae = model()
    ae.calibrate(rows(99, 0), 0.01)
    with pytest.raises(ValueError, match=r"at least 999 .*Received"):
        ae.detect(rows(5, 0) * 1000, false_alarm_rate=0.001)


def test_values_that_are_no_numbers():
    bad = rows(120, 0)
    bad[7, 3] = np.nan
    ae = model()
    with pytest.raises(ValueError, match=r"held_out must be finite; 1 samples .*\(7, 3\)\. Rec"):
        ae.calibrate(bad)
    with pytest.raises(ValueError, match=r"finite numbers.*1 of them not finite"):
        ae.calibrate(dataset(bad), 0.05)
    assert ae.calibration is None
    with pytest.raises(ValueError, match=r"held_out must have shape \(samples, 6\)"):
        ae.calibrate(rows(120, 0, width=5))


def test_a_dataset_without_samples():
    empty = dataset(rows(9, 0)).filter(lambda _: False)
    with pytest.raises(ValueError, match="Received"):
        fitted(rows(50, 0)).calibrate(empty, 0.5)


TRAINED = r"held_out must be samples the model was not trained on.*Received: of \d+ rows"


def test_training_rows_are_refused_and_others_are_not():
    x = rows(900, 0)
    ae = fitted(x[:600])
    with pytest.raises(ValueError, match=TRAINED + " compared, 600 are training rows"):
        ae.calibrate(x[:600])
    for held in (x[:120], x[:120].astype("float64"), dataset(x[:120]), x[:600][::-1][:99]):
        with pytest.raises(ValueError, match=TRAINED):
            ae.calibrate(held, 0.05)
    overlap = np.concatenate([x[540:600], x[600:]])  # a sixth of them
    with pytest.raises(ValueError, match="of 360 rows compared, 60 are training rows"):
        ae.calibrate(overlap)
    tenth = np.concatenate([x[:30], x[600:870]])
    with pytest.raises(ValueError, match="of 300 rows compared, 30 are training rows"):
        ae.calibrate(tenth)
    assert ae.calibration is None
    assert ae.calibrate(x[600:]).n == 300
    assert ae.calibrate(x[:600], allow_training_rows=True).n == 600


def test_rows_that_fit_leaves_for_validation_are_not_training_rows():
    x = rows(800, 0)
    ae = fitted(x, validation_split=0.25)
    assert ae.calibrate(x[600:]).n == 200
    with pytest.raises(ValueError, match=TRAINED):
        ae.calibrate(x[:200])


def test_the_rows_of_every_fit_are_training_rows():
    x = rows(900, 0)
    ae = fitted(x[:300])
    ae.fit(x[300:600], epochs=1, verbose=0)
    for part in (x[:300], x[300:600]):
        with pytest.raises(ValueError, match=TRAINED):
            ae.calibrate(part)
    ae.calibrate(x[600:])


def test_rows_of_a_dataset_can_be_remembered_by_hand():
    x = rows(600, 0)
    ae = model()
    ae.compile()
    ae.fit(dataset(x[:400]), epochs=1, verbose=0)
    assert ae.training_rows is None  # nothing is known, as the docstring says
    ae.remember_training_rows([x[:200], x[200:400]])
    with pytest.raises(ValueError, match=TRAINED):
        ae.calibrate(x[:400])
    ae.calibrate(x[400:])


def test_images_are_known_by_their_pixels():
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 1)).astype("uint8")
    ae = kerasae.build("undercomplete", (4, 4, 1), 2, hidden=(4,), input_dtype="uint8")
    ae.compile()
    ae.fit(images[:150], epochs=1, verbose=0)
    with pytest.raises(ValueError, match=TRAINED):
        ae.calibrate(images[:150], 0.05)
    ae.calibrate(images[150:], 0.05)
    assert ae.feature_scores(images[:2]).shape == (2, 4, 4, 1)


def test_few_training_rows_are_refused_too():
    x = rows(100, 0)
    with pytest.raises(ValueError, match=TRAINED):
        fitted(x).calibrate(x[:3], 1 / 3)


def twins(seed, n=1500):
    """Rows of which 30 % are one and the same, as of a machine at rest."""
    x = rows(n, seed, width=5)
    x[np.random.default_rng(seed).random(n) < 0.3] = 1.0
    return x


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("detection") / "run"
    return kerasae.train(
        "linear", data=twins(0), out=path, epochs=1, latent_dim=2, export=False, verbose=0
    )


def test_duplicates_in_the_data_do_not_stop_a_calibration(run):
    splits = kerasae.data.load(twins(0))  # the same seed, so the same splits
    ae = kerasae.load(run.path)
    compared, known = ae.training_rows.held_out
    assert compared == splits.sizes["validation"]
    assert known / compared == pytest.approx(0.3, abs=0.13)
    for held in (splits.test, splits.validation, splits.array("test"), twins(9)):
        assert ae.calibrate(held, 0.05).n >= 150
    for trained in (splits.train, splits.array("train")[:300]):
        with pytest.raises(ValueError, match=TRAINED):
            ae.calibrate(trained, 0.05)
    # Without a comparison, as after fit on an array, equal training rows tell how many to expect.
    bare = fitted(twins(0))
    of, repeated = bare.training_rows.repeated
    assert repeated / of == pytest.approx(0.3, abs=0.13)
    bare.calibrate(twins(9), 0.05)
    with pytest.raises(
        ValueError, match=r"equal rows: allow_training_rows=True \(--allow-training"
    ):
        bare.calibrate(twins(0), 0.05)
    bare.calibrate(twins(0), 0.05, allow_training_rows=True)


# Weights and what belongs to them ---------------------------------------------------------


def test_training_on_drops_what_was_fitted_to_the_weights():
    x = rows(300, 0)
    ae = fitted(x[:150])
    ae.calibrate(x[150:], 0.05)
    ae.fit_sampler(x)
    ae.evaluate(x, verbose=0)
    assert ae.calibration is not None
    ae.fit(x[:150], epochs=1, verbose=0)
    assert ae.calibration is None
    assert ae.sampler is None
    with pytest.raises(ValueError, match=r"detect .*\(kerasae calibrate RUN\)"):
        ae.detect(x)


def test_a_fit_that_is_refused_drops_nothing():
    x = rows(300, 0)
    ae = fitted(x[:150])
    ae.calibrate(x[150:], 0.05)
    with pytest.raises(ValueError, match="x must have shape"):
        ae.fit(rows(20, 0, width=3))
    assert ae.calibration is not None


def test_training_on_a_batch_drops_the_calibration():
    ae = fitted(rows(100, 0))
    ae.calibrate(rows(150, 1), 0.05)
    ae.train_on_batch(rows(32, 0))
    assert ae.calibration is None


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_saved_model_detects_as_before(tmp_path, name):
    x = rows(900, 0)
    ae = fitted(x[:500])
    ae.calibrate(x[500:], 0.07)
    expected = ae.detect(x * 1.2)
    if name.endswith(".h5"):
        ae.save_weights(tmp_path / name)
        again = model()
        again.load_weights(tmp_path / name)
    else:
        ae.save(tmp_path / name)
        again = kerasae.load(tmp_path / name)
    same(again.detect(x * 1.2), expected)
    assert again.calibration.false_alarm_rate == 0.07  # not a float32 of it
    assert again.calibration.stride is None
    assert again.calibration.threshold == ae.calibration.threshold
    np.testing.assert_array_equal(again.training_rows.hashes, ae.training_rows.hashes)
    with pytest.raises(ValueError, match=TRAINED):
        again.calibrate(x[:500])
    # Weights of a model that has none take it away: it belonged to others.
    fitted(rows(50, 5)).save_weights(tmp_path / "other.weights.h5")
    again.load_weights(tmp_path / "other.weights.h5")
    assert again.calibration is None


def test_a_file_of_an_earlier_version_loads(tmp_path):
    """Without the entries that are new; everything else stays."""
    import h5py

    x = rows(300, 0)
    ae = kerasae.build("denoising", (6,), 2, hidden=(5,))  # has a seed state of its own
    ae.compile()
    ae.fit(x[:150], epochs=1, verbose=0)
    ae.calibrate(x[150:], 0.05)
    ae.fit_sampler(x)
    ae.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        archive.extractall(tmp_path / "open")
    with h5py.File(tmp_path / "open" / "model.weights.h5", "a") as file:
        removed = []
        file.visit(removed.append)
        removed = [
            key
            for key in removed
            if key.split("/")[-1].startswith(("calibration", "sampler", "training_rows"))
        ]
        assert len(removed) == 7
        for key in removed:
            del file[key]
    shutil.make_archive(str(tmp_path / "old"), "zip", tmp_path / "open")
    (tmp_path / "old.zip").rename(tmp_path / "old.keras")
    old = kerasae.load(tmp_path / "old.keras")
    assert old.calibration is old.sampler is old.training_rows is None
    np.testing.assert_allclose(old.score(x), ae.score(x), rtol=1e-5)
    old.calibrate(x[150:], 0.05)
    old.fit(x, epochs=1, verbose=0)


def test_a_copy_by_configuration_knows_nothing_and_shares_nothing():
    ae = fitted(rows(200, 0))
    ae.calibrate(rows(150, 1), 0.05)
    copy = type(ae).from_config(ae.get_config())
    copy.set_weights(ae.get_weights())
    assert copy.calibration is copy.sampler is copy.training_rows is None
    copy.calibrate(rows(99, 2), 0.01)
    assert ae.calibration.n == 150
    same(copy.detect(rows(50, 1)), {**copy.detect(rows(50, 1))})
    np.testing.assert_allclose(copy.score(rows(50, 1)), ae.score(rows(50, 1)), rtol=1e-5)


JAX = """
import sys
import numpy as np, kerasae
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
ae = kerasae.load(folder + "/model.keras")
found = ae.detect(x)
np.savez(folder + "/jax.npz", samples=ae.generate(3, seed=0), **found)
try: ae.calibrate(x[:100], 0.05)
except ValueError as error: assert "training rows" in str(error)
else: raise SystemExit("training rows were accepted")
for kind in ("gaussian", "mixture", "neighbour"):
    ae.fit_sampler(x, kind)
    assert ae.generate(7, seed=1).shape == (7, 6)
    np.testing.assert_array_equal(ae.generate(7, seed=1), ae.generate(7, seed=1))
ae.calibrate(x[100:], 0.05)
ae.save(folder + "/again.keras")
again = kerasae.load(folder + "/again.keras")
np.testing.assert_array_equal(again.generate(7, seed=1), ae.generate(7, seed=1))
series = np.sin(np.arange(60)).astype("float32")
print(ae.score_series(series, stride=2).shape)
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares two backends")
def test_jax_says_the_same(tmp_path):
    pytest.importorskip("jax")
    x = rows(300, 0)
    ae = fitted(x[:100])
    ae.calibrate(x[100:], 0.05)
    ae.fit_sampler(x, "mixture")
    ae.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    process = subprocess.run(
        [sys.executable, "-c", JAX, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split("\n")[0] == "(60,)"
    with np.load(tmp_path / "jax.npz") as found:
        # One rank, where two scores differ by round-off.
        expected = ae.detect(x)
        np.testing.assert_allclose(found["anomaly_score"], expected["anomaly_score"], rtol=1e-4)
        np.testing.assert_allclose(found["p_value"], expected["p_value"], atol=1.5 / 201)
        assert (found["is_anomaly"] != expected["is_anomaly"]).sum() <= 1
        assert found["samples"].shape == (3, 6)


# Features and series ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "mae", "bce", "gaussian"])
def test_feature_scores_are_the_parts_of_the_score(loss):
    options = {"output_activation": "sigmoid"} if loss == "bce" else {}
    ae = kerasae.build("undercomplete", (6,), 2, hidden=(5,), loss=loss, **options)
    x = np.random.default_rng(0).random((40, 6)).astype("float32")
    parts = ae.feature_scores(x)
    assert parts.shape == x.shape
    np.testing.assert_allclose(parts.mean(axis=1), ae.score(x), rtol=1e-4)
    np.testing.assert_allclose(ae.feature_scores(dataset(x, batch_size=7)), parts, rtol=1e-5)
    if loss in ("mse", "mae"):
        apart = np.abs(x - ae.reconstruct(x))
        np.testing.assert_allclose(
            parts, apart**2 if loss == "mse" else apart, rtol=1e-4, atol=1e-6
        )
    ae = kerasae.build("variational", (6,), 2, hidden=(5,), loss=loss, **options)
    np.testing.assert_allclose(ae.feature_scores(x).sum(axis=1), ae.score(x), rtol=1e-4)


def test_a_loss_of_keras_has_no_feature_scores():
    ae = kerasae.build("undercomplete", (6,), 2, loss=keras.losses.MeanSquaredError())
    with pytest.raises(ValueError, match=r"one of mse, mae, bce, gaussian\. Received: loss="):
        ae.feature_scores(rows(3, 0))


def sequences(channels=2, length=8):
    return kerasae.build("sequence", (length, channels), 3, hidden=(4,), seed=0)


def by_hand(ae, series, stride):
    """Sum the errors of every window over a double loop."""
    length, total = ae.sample_shape[0], len(series)
    starts = [*range(0, total - length + 1, stride)]
    starts += [total - length] if starts[-1] + length < total else []
    sums, counts = np.zeros(total), np.zeros(total)
    for start in starts:
        window = series[start : start + length][None]
        errors = np.square(ae.reconstruct(window) - window)[0].reshape(length, -1)
        for step in range(length):
            sums[start + step] += errors[step].mean()
            counts[start + step] += 1
    return sums / counts


@pytest.mark.parametrize("kind", ["sequence", "dense"])
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_scores_of_a_long_series(kind, stride):
    ae = sequences() if kind == "sequence" else model(8)
    shape = (45, 2) if kind == "sequence" else (45,)
    series = np.random.default_rng(0).normal(size=shape).astype("float32")
    scores = ae.score_series(series, stride, batch_size=5)
    assert scores.shape == (45,)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_hand(ae, series, stride), rtol=1e-4)
    np.testing.assert_allclose(scores, ae.score_series(series.tolist(), stride), rtol=1e-5)


@pytest.mark.parametrize("kind", ["sequence", "dense"])
def test_a_series_is_calibrated_and_judged_step_by_step(kind, tmp_path):
    ae = sequences(1) if kind == "sequence" else model(8)
    shape = (-1, 1) if kind == "sequence" else (-1,)
    rng = np.random.default_rng(0)
    normal, new = (np.sin(np.arange(400) / 3) + rng.normal(0, 0.1, 400) for _ in range(2))
    new[200:210] += 5
    normal, new = (s.astype("float32").reshape(shape) for s in (normal, new))
    calibration = ae.calibrate(normal, 0.02, stride=4)
    assert (calibration.n, calibration.stride) == (400, 4)
    found = ae.detect(new)
    np.testing.assert_allclose(found["anomaly_score"], ae.score_series(new, 4), rtol=1e-6)
    assert found["is_anomaly"].shape == (400,)
    assert found["is_anomaly"][200:210].mean() > 0.5
    assert found["is_anomaly"][:180].mean() < 0.1
    ae.save(tmp_path / "model.keras")
    again = kerasae.load(tmp_path / "model.keras")
    assert again.calibration.stride == 4
    same(again.detect(new), found)


def test_series_that_do_not_fit():
    ae = sequences()
    with pytest.raises(
        ValueError, match=r"shape \(steps, 2\).*Received: series of shape \(30, 3\)"
    ):
        ae.score_series(np.zeros((30, 3)))
    with pytest.raises(ValueError, match=r"as a window, 8\. Received: 7 time steps"):
        ae.score_series(np.zeros((7, 2)))
    with pytest.raises(ValueError, match=r"Received: stride=9"):
        ae.calibrate(np.zeros((30, 2), "float32"), stride=9)
    images = kerasae.build("undercomplete", (4, 4, 1), 2)
    with pytest.raises(ValueError, match="series must have shape"):
        images.score_series(np.zeros((30, 4, 1)))


@pytest.mark.parametrize("first", [0, 3])
def test_a_series_the_model_was_trained_on_is_refused(first):
    series = np.random.default_rng(0).normal(size=(400, 2)).astype("float32")
    ae = sequences()
    ae.compile()
    ae.fit(windows(series[first:], 8, 8), epochs=1, verbose=0)
    with pytest.raises(ValueError, match=TRAINED):
        ae.calibrate(series, 0.05, stride=2)


def test_another_series_is_not_refused():
    series = np.random.default_rng(0).normal(size=(400, 2)).astype("float32")
    ae = sequences()
    ae.compile()
    ae.fit(windows(series[:200], 8), epochs=1, verbose=0)
    assert ae.calibrate(series[200:], 0.05, stride=1).n == 200


def test_targets_that_were_trained_on_are_refused():
    """A denoising model fitted on pairs: the clean rows are what one would calibrate on."""
    clean = rows(200, 0)
    ae = kerasae.build("undercomplete", (6,), 2, hidden=(4,))
    ae.compile()
    ae.fit(clean + rows(200, 1), clean, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="the model was not trained on"):
        ae.calibrate(clean, 0.05)
    ae.calibrate(rows(200, 2), 0.05)


def test_held_out_rows_of_few_values_are_taken(tmp_path):
    rng = np.random.default_rng(0)
    binary = rng.integers(0, 2, (1000, 6)).astype("float32")
    ae = kerasae.build("undercomplete", (6,), 2, hidden=(4,))
    ae.compile()
    ae.fit(binary[:500], epochs=1, verbose=0)
    ae.save(tmp_path / "model.keras")
    for model in (ae, kerasae.load(tmp_path / "model.keras")):
        assert model.calibrate(binary[500:], 0.05).n == 500
