"""An anomaly detector for scikit-learn."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from kerasae.anomaly import Calibration, smallest_sample
from kerasae.errors import is_real
from kerasae.estimators._shared import AutoencoderEstimator, by_batches

# Chosen on half of the data sets of benchmarks/anomaly.py: noise of many strengths, so that the
# residual points back to the data from near and far, and a network wide enough to learn it.
_DEFAULTS: dict[str, Any] = {
    "latent_dim": 256,
    "hidden": (256,),
    "code_activation": "relu",
    "corruption_level": (0.2, 2.0),
}


class AnomalyDetector(OutlierMixin, AutoencoderEstimator):
    """Anomaly detector based on the reconstruction error of an autoencoder of normal samples.

    By default, the detector trains a denoising autoencoder, which learns to remove Gaussian noise
    of standard deviations from 0.2 to 2 (of standardized features). Its residual estimates the
    direction to regions of high density, and does not degenerate to the distance from the mean,
    as the residual of a model that reconstructs the mean does.

    Some of the rows are held out, and the threshold is the split-conformal quantile of their
    scores: at most a share `false_alarm_rate` of new normal samples is flagged, on average over
    draws of the rows, provided that the rows passed to `fit` are normal.

    Args:
        variant: Name of a variant, see `kerasae.variants()`.
        network: `"dense"`, or `"sequence"` for rows that are series.
        latent_dim: Size of the code. None takes 256 for the default model (`"denoising"` on
            `"dense"`) and the variant's default for others; likewise for the other options that
            may be None.
        hidden: Widths of the encoder's hidden layers, mirrored by the decoder. None takes (256,).
        scaler: `"standardize"`, `"unit"` or None, part of the model and fitted to the training
            rows.
        corruption: Name of a corruption, see `kerasae.build`. None takes the variant's default.
        corruption_level: Strength of the corruption; for Gaussian noise a standard deviation or
            a pair `(low, high)`, between which it is drawn log-uniformly for each sample. None
            takes (0.2, 2.0).
        options: Further options of `kerasae.build`, such as `{"activation": "gelu"}`.
        steps: Number of training steps, independent of the number of rows.
        batch_size: Rows per step.
        learning_rate: Initial learning rate of Adam, with cosine decay to 0.
        false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1.
        held_out: Share of the rows to hold out for the threshold. At least
            `kerasae.anomaly.smallest_sample(false_alarm_rate)` rows are held out, but at most
            half.
        random_state: Int, `numpy.random.RandomState` or None, for the split, the initial weights
            and the noise. The same int gives the same detector on the same machine.
        verbose: As in `keras.Model.fit`; 0 is silent.

    Attributes:
        autoencoder_: The trained and calibrated `kerasae.models.Autoencoder`, which takes raw
            rows; `kerasae.export` writes it with its threshold.
        calibration_: The `kerasae.anomaly.Calibration` of `autoencoder_`.
        threshold_: Anomaly score above which a sample is an anomaly.
        offset_: `-threshold_`.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, if `X` in `fit` had names.

    References:
        Alain and Bengio, "What Regularized Auto-Encoders Learn from the Data-Generating
        Distribution", JMLR 2014, theorem 1; Laxhammar and Falkman, "Conformal prediction for
        distribution-independent anomaly detection in streaming vessel data", 2010.

    Example:
        ```python
        detector = AnomalyDetector(false_alarm_rate=0.01, random_state=0).fit(normal_rows)
        detector.predict(new_rows)          # +1 normal, -1 an anomaly
        detector.p_values(new_rows)         # how often a normal row scores as badly
        detector.autoencoder_.feature_scores(new_rows)   # in which columns
        ```
    """

    def __init__(
        self,
        variant: str = "denoising",
        *,
        network: str = "dense",
        latent_dim: int | None = None,
        hidden: Any = None,
        scaler: Any = "standardize",
        corruption: Any = None,
        corruption_level: Any = None,
        options: dict[str, Any] | None = None,
        steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        false_alarm_rate: float = 0.05,
        held_out: float = 0.1,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.variant = variant
        self.network = network
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.scaler = scaler
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.options = options
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.false_alarm_rate = false_alarm_rate
        self.held_out = held_out
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "AnomalyDetector":
        """Train on normal samples, and find the threshold on held-out ones.

        Args:
            X: `(samples, features)`, normal samples.
            y: Ignored.

        Raises:
            ValueError: If the rows or a parameter are invalid.

        Warns:
            UserWarning: If half of the rows are too few for `false_alarm_rate`. The lowest possible
                rate is used instead, which flags samples that score above all held-out rows.
        """
        x = self._checked(X, reset=True)
        rng = check_random_state(self.random_state)
        wanted = self._wanted(len(x))
        order = rng.permutation(len(x))
        held, rows = x[order[:wanted]], x[order[wanted:]]
        defaults = inspect.signature(type(self)).parameters
        is_default = all(getattr(self, n) == defaults[n].default for n in ("variant", "network"))
        own = dict(_DEFAULTS) if is_default else {}
        if self.corruption is not None or "corruption" in (self.options or {}):
            own.pop("corruption_level", None)
        latent_dim = own.pop("latent_dim", None) if self.latent_dim is None else self.latent_dim
        own.pop("latent_dim", None)
        self.autoencoder_ = self._trained(rows, latent_dim, int(rng.randint(2**31 - 1)), **own)
        self.autoencoder_.remember_training_rows([np.float32(rows)], [np.float32(held)])
        scores = by_batches(self.autoencoder_.score, held)
        self.autoencoder_.calibration = Calibration(scores, self._possible_rate(len(held)))
        self.threshold_ = self.calibration_.threshold
        self.offset_ = -self.threshold_
        return self

    def _wanted(self, n: int) -> int:
        """Return the number of rows to hold out, out of `n`."""
        if not is_real(self.held_out) or not 0 < self.held_out < 1:
            raise ValueError(
                "held_out must be a fraction of the rows, between 0 and 1. "
                f"Received: held_out={self.held_out!r}"
            )
        least = smallest_sample(self.false_alarm_rate)
        return max(1, min(max(math.ceil(self.held_out * n), least), n // 2))

    def _possible_rate(self, n: int) -> float:
        if n >= smallest_sample(self.false_alarm_rate):
            return self.false_alarm_rate
        # Slightly above, so that round-off does not require one more row.
        possible = (1 + 1e-9) / (n + 1)
        warnings.warn(
            f"A false-alarm rate of {self.false_alarm_rate:g} needs at least "
            f"{smallest_sample(self.false_alarm_rate)} held-out rows, and as many to train on; "
            f"calibrated at {possible:.3g}, the lowest rate that {n} held-out rows allow.",
            stacklevel=3,
        )
        return possible

    @property
    def calibration_(self) -> Calibration:
        """The `kerasae.anomaly.Calibration` of `autoencoder_`."""
        calibration = self.autoencoder_.calibration
        assert calibration is not None
        return calibration

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the negative anomaly score of each sample, `(samples,)`; higher is more normal.

        The anomaly score is the reconstruction error, in scaled units, without noise.

        Args:
            X: `(samples, features)`.
        """
        check_is_fitted(self)
        return -by_batches(self.autoencoder_.score, self._checked(X, reset=False)).astype("float64")

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples(X) - offset_`, `(samples,)`; negative for anomalies.

        Args:
            X: `(samples, features)`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for anomalies and +1 for normal samples, `(samples,)`.

        Args:
            X: `(samples, features)`.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: Any) -> np.ndarray:
        """Return the conformal p-value of each sample, `(samples,)`; small for anomalies.

        Args:
            X: `(samples, features)`.
        """
        scores = -self.score_samples(X)
        return self.calibration_.p_value(scores)
