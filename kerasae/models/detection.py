"""Scores and decisions: which samples are abnormal, and at what false-alarm rate."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasae import losses
from kerasae.anomaly import Calibration, Folded, TrainingRows, check_rate, windows
from kerasae.models import inputs
from kerasae.models._parts import Scorer


class Detection:
    """The verbs of an `Autoencoder` that judge samples; deterministic and free of corruption."""

    sample_shape: tuple[int, ...]
    calibration: Calibration | None
    training_rows: TrainingRows | None
    reconstruction_loss: Any
    _cached: Any
    _run: Any

    def score(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each sample, `(samples,)`; higher is worse.

        It is the model's reconstruction loss, in scaled units, without corruption or noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples at a time, for arrays.
        """
        inputs.check_data(self, x)
        inputs.check_adapted(self)
        return self._run(self._cached("scorer", lambda: Scorer(self)), x, batch_size)

    def feature_scores(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each feature, shaped like `x`, in scaled units.

        `score` is its mean over the features of a sample, or its sum for variational models.
        Of images it is a map of where they are abnormal, of tables it says in which column.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples at a time, for arrays.

        Raises:
            ValueError: The loss is not one of kerasae's, which have a value per feature.
        """
        if not isinstance(self.reconstruction_loss, losses.ReconstructionLoss):
            raise ValueError(
                "feature_scores needs a loss with a value per feature, one of "
                f"{', '.join(losses.LOSSES)}. Received: loss={self.reconstruction_loss.name!r}"
            )
        inputs.check_data(self, x)
        inputs.check_adapted(self)
        scorer = self._cached("feature_scorer", lambda: Scorer(self, per_feature=True))
        return self._run(scorer, x, batch_size)

    def score_series(self, series: Any, stride: int = 1, batch_size: int = 1024) -> np.ndarray:
        """Return one score per time step of a long series, `(steps,)`; higher is worse.

        The model sees windows of its own length; the score of a step is its mean error over
        every window that covers it, and over the channels.

        Args:
            series: `(steps,)` or `(steps, channels)`, as one sample is, only longer.
            stride: Time steps from one window to the next.
            batch_size: Windows at a time.

        Raises:
            ValueError: The model's samples are not series, or this one does not fit.
        """
        series = self._as_series(series)
        length = self.sample_shape[0]
        inputs.check_batch_size(batch_size)
        folded = Folded(len(series), length, stride)
        for i in range(0, len(folded.starts), batch_size):
            starts = folded.starts[i : i + batch_size]
            scores = self.feature_scores(series[starts[:, None] + np.arange(length)], batch_size)
            folded.add(scores.reshape(*scores.shape[:2], -1).mean(axis=2))
        return folded.mean().astype("float32")

    def calibrate(
        self,
        held_out: Any,
        false_alarm_rate: float = 0.01,
        *,
        stride: int | None = None,
        allow_training_rows: bool = False,
        batch_size: int = 1024,
    ) -> Calibration:
        """Find the threshold above which a sample is an anomaly, from held-out normal samples.

        Split-conformal: no more than a share `false_alarm_rate` of new normal samples is flagged,
        on average, whatever the model and the distribution, if they and the held-out samples are
        exchangeable. The result is saved with the model and goes into its export; `fit` drops
        it, since it belongs to the weights.

        Args:
            held_out: Normal samples the model was not trained on: array
                `(samples, *input_shape)` or `tf.data.Dataset` of batches, in raw units; with
                `stride`, one long series.
            false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1. It
                needs `ceil(1 / rate) - 1` samples.
            stride: For models of series: calibrate the scores of time steps that
                `score_series` gives, with windows this far apart. Neighbouring steps depend on
                each other, so that the rate holds in the long run only.
            allow_training_rows: Take rows that the model was trained on. Their scores are too
                low, and more false alarms follow than the rate says.
            batch_size: Samples at a time, for arrays.

        Returns:
            The `kerasae.anomaly.Calibration`, also `ae.calibration`.

        Raises:
            ValueError: There are too few samples for the rate, or the model was trained on them.

        References:
            Laxhammar and Falkman, 2010, as in `kerasae.anomaly.Calibration`.
        """
        check_rate(false_alarm_rate)
        if stride is not None:
            batches = _windows(self._as_series(held_out), self.sample_shape[0])
        else:
            _check_held_out(held_out)
            inputs.check_data(self, held_out, name="held_out")
            batches = map(np.asarray, inputs.inputs_of(held_out))
        if not allow_training_rows and self.training_rows is not None:
            compared = known = 0
            for batch in batches:
                counts = self.training_rows.compare(batch)
                compared, known = compared + counts[0], known + counts[1]
            if self.training_rows.too_many(compared, known):
                raise ValueError(
                    "held_out must be samples the model was not trained on, such as the "
                    "validation split; the errors of training samples are too low. For data with "
                    "many equal rows: allow_training_rows=True (--allow-training-rows). Received: "
                    f"of {compared} rows compared, {known} are training rows"
                )
        if stride is None:
            scores = self.score(held_out, batch_size)
        else:
            scores = self.score_series(held_out, stride, batch_size)
        self.calibration = Calibration(scores, false_alarm_rate, stride)
        return self.calibration

    def detect(
        self, x: Any, *, false_alarm_rate: float | None = None, batch_size: int = 1024
    ) -> dict[str, np.ndarray]:
        """Say which samples are anomalies.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches;
                one long series where the model was calibrated with a `stride`.
            false_alarm_rate: Another rate than the one calibrated for.
            batch_size: Samples at a time, for arrays.

        Returns:
            `anomaly_score` (float32, as `score` gives), `p_value` (float64: how often a normal
            sample scores as high) and `is_anomaly` (bool), each `(samples,)`, or `(steps,)`.

        Raises:
            ValueError: The model is not calibrated.
        """
        calibration = self.calibration
        if calibration is None:
            raise ValueError(
                "detect needs a calibrated model; call ae.calibrate(held_out, "
                "false_alarm_rate=0.01) (kerasae calibrate RUN) first. "
                "Received: a model without calibration"
            )
        if calibration.stride is None:
            scores = self.score(x, batch_size)
        else:
            scores = self.score_series(x, calibration.stride, batch_size)
        return {
            "anomaly_score": scores,
            "p_value": calibration.p_value(scores),
            "is_anomaly": calibration.is_anomaly(scores, false_alarm_rate),
        }

    def remember_training_rows(self, rows: Any, held_out: Any = ()) -> None:
        """Remember rows that the model was trained on, so that `calibrate` can refuse them.

        `fit` does this for arrays, and `kerasae.train` for its data; after `fit` on a
        `tf.data.Dataset`, do it by hand. A sample of hashes is kept, not the rows; who has the
        model can tell by them whether a row he knows was among those, and no more.

        Args:
            rows: Iterable of batches `(n, *input_shape)`.
            held_out: Batches of rows the model was not trained on, which tell how many equal
                rows there are by chance.
        """
        known = self.training_rows or TrainingRows()
        known.add(map(np.asarray, rows))
        for batch in held_out:
            pair = zip(known.held_out, known.compare(np.asarray(batch)), strict=True)
            known.held_out = tuple(map(sum, pair))  # type: ignore[assignment]
        self.training_rows = known

    def _as_series(self, series: Any) -> np.ndarray:
        shape = self.sample_shape
        series = np.asarray(series)
        if shape[1:] == (1,) and series.ndim == 1:
            series = series[:, None]
        if len(shape) > 2 or series.ndim != len(shape) or series.shape[1:] != shape[1:]:
            wanted = ", ".join(["steps", *map(str, shape[1:])])
            raise ValueError(
                f"A series for this model must have shape ({wanted}), and its samples shape "
                f"{shape}: time steps, or time steps and channels. Received: shape {series.shape}"
            )
        return series


def _windows(series: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Yield every window of a series, many at a time."""
    many = 4096
    for start in range(0, max(1, len(series) - length + 1), many):
        yield windows(series[start : start + many + length - 1], length)


def _check_held_out(held_out: Any) -> None:
    is_dataset = hasattr(held_out, "element_spec")
    if not is_dataset and not hasattr(held_out, "shape"):
        raise ValueError(
            "held_out must be an array or a tf.data.Dataset, which can be read more than once. "
            f"Received: held_out of type {type(held_out).__name__}"
        )
    if is_dataset and int(held_out.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError(
            "held_out must come to an end; leave out repeat(). Received: an endless dataset"
        )
    if is_dataset and next(iter(held_out), None) is None:
        raise ValueError("held_out must hold at least one batch. Received: an empty dataset")
