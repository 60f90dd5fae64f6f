"""State of an `Autoencoder` in a `.keras` file, in addition to its weights."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import samplers
from kerasae.anomaly import Calibration, TrainingRows

_OWN = ("seed_state", "calibration", "sampler", "training_rows")


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state of every `SeedGenerator` in the model, in a fixed order."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def is_own(key: str) -> bool:
    """Return whether an entry of a store was written by `write`."""
    return key.startswith(_OWN)


def write(ae: Any, store: Any) -> None:
    """Write seeds, calibration, sampler and training rows to a store of variables."""
    for i, state in enumerate(seed_states(ae)):
        store[f"seed_state_{i}"] = ops.convert_to_numpy(state)
    if ae.calibration is not None:
        store["calibration_scores"] = ae.calibration.scores
        stride = ae.calibration.stride or 0
        store["calibration_settings"] = np.array([ae.calibration.false_alarm_rate, stride])
    if ae.sampler is not None:
        for name, array in ae.sampler.arrays.items():
            store[f"sampler_{ae.sampler.kind}_{name}"] = array
    if ae.training_rows is not None:
        store["training_rows"] = ae.training_rows.hashes
        store["training_rows_held_out"] = np.array(ae.training_rows.held_out)
        store["training_rows_repeated"] = np.array(ae.training_rows.repeated)


def read(ae: Any, found: Mapping[str, np.ndarray]) -> None:
    """Restore the state saved by `write`; missing entries become None."""
    for i, state in enumerate(seed_states(ae)):
        if f"seed_state_{i}" in found:
            state.assign(found[f"seed_state_{i}"])
    ae.calibration = ae.sampler = ae.training_rows = None
    if "calibration_scores" in found:
        rate, stride = found["calibration_settings"].tolist()
        ae.calibration = Calibration(found["calibration_scores"], rate, int(stride) or None)
    for kind, sampler in samplers.SAMPLERS.items():
        prefix = f"sampler_{kind}_"
        arrays = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        if arrays:
            ae.sampler = sampler(arrays)
    if "training_rows" in found:
        counts = (
            tuple(found.get(f"training_rows_{name}", np.zeros(2, "int64")).tolist())
            for name in ("held_out", "repeated")
        )
        ae.training_rows = TrainingRows(found["training_rows"], *counts)
