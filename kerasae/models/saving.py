"""What a model keeps beside its weights: seeds, calibration, sampler, training rows."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import samplers
from kerasae.anomaly import Calibration, TrainingRows

_OWN = ("seed_state", "calibration", "sampler", "training_rows")


class State:
    """What an `Autoencoder` keeps beside its weights, saved with them in a `.keras` file.

    Attributes:
        calibration: The `kerasae.anomaly.Calibration` that `calibrate` made, or None.
        sampler: The `kerasae.samplers.Sampler` that `fit_sampler` made, or None.
        training_rows: The `kerasae.anomaly.TrainingRows` that `fit` remembers.
    """

    calibration: Calibration | None = None
    sampler: samplers.Sampler | None = None
    training_rows: TrainingRows | None = None

    def _seed_states(self) -> list[keras.Variable]:
        """Return the state of every `SeedGenerator` below the model, in a fixed order."""
        weights = {id(variable) for variable in self.weights}  # type: ignore[attr-defined]
        variables = self.variables  # type: ignore[attr-defined]
        return [variable for variable in variables if id(variable) not in weights]

    def _forget(self) -> None:
        """Drop what was fitted to the scores and codes of the weights there were."""
        self.calibration = self.sampler = None

    def set_weights(self, weights: Any) -> None:
        """Set all weights; what was fitted to those there were is dropped."""
        super().set_weights(weights)  # type: ignore[misc]
        self._forget()

    def save_own_variables(self, store: Any) -> None:
        """Save the model's own weights, and what Keras leaves out."""
        super().save_own_variables(store)  # type: ignore[misc]
        for i, state in enumerate(self._seed_states()):
            store[f"seed_state_{i}"] = ops.convert_to_numpy(state)
        if self.calibration is not None:
            store["calibration_scores"] = self.calibration.scores
            stride = self.calibration.stride or 0
            store["calibration_settings"] = np.array([self.calibration.false_alarm_rate, stride])
        if self.sampler is not None:
            for name, array in self.sampler.arrays.items():
                store[f"sampler_{self.sampler.kind}_{name}"] = array
        if self.training_rows is not None:
            store["training_rows"] = self.training_rows.hashes
            store["training_rows_held_out"] = np.array(self.training_rows.held_out)
            store["training_rows_repeated"] = np.array(self.training_rows.repeated)

    def load_own_variables(self, store: Any) -> None:
        for i, state in enumerate(self._seed_states()):
            if f"seed_state_{i}" in store:
                state.assign(store[f"seed_state_{i}"][()])
        found = {key: np.asarray(store[key]) for key in store.keys() if _is_own(key)}  # noqa: SIM118
        self._forget()
        self.training_rows = None
        if "calibration_scores" in found:
            rate, stride = found["calibration_settings"].tolist()
            self.calibration = Calibration(found["calibration_scores"], rate, int(stride) or None)
        for kind, sampler in samplers.SAMPLERS.items():
            prefix = f"sampler_{kind}_"
            arrays = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
            if arrays:
                self.sampler = sampler(arrays)
        if "training_rows" in found:
            counts = (
                tuple(found.get(f"training_rows_{name}", np.zeros(2, "int64")).tolist())
                for name in ("held_out", "repeated")
            )
            self.training_rows = TrainingRows(found["training_rows"], *counts)
        others = {key: store[key] for key in store.keys() if not _is_own(key)}  # noqa: SIM118
        super().load_own_variables(others)  # type: ignore[misc]


def _is_own(key: str) -> bool:
    return key.startswith(_OWN)
