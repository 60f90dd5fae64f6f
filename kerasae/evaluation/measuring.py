"""`measure`: all that suits a model and is quick."""

import contextlib
from typing import Any

import numpy as np

from kerasae.evaluation.code_quality import codes
from kerasae.evaluation.jacobians import jacobian
from kerasae.evaluation.likelihood import variational
from kerasae.evaluation.linear import linear_check
from kerasae.evaluation.passes import check_fits, check_split, sample
from kerasae.evaluation.reconstruction import reconstruction_errors
from kerasae.layers import GaussianSampling, JacobianPenalty
from kerasae.models import LinearAutoencoder
from kerasae.models.inputs import check_adapted

# Samples for what costs much each: Jacobians, and importance-weighted bounds.
_JACOBIANS = 64
_BOUNDS = 500


def measure(ae: Any, splits: Any, *, seed: int = 0, split: str = "test") -> dict[str, Any]:
    """Measure a model on one split: everything that suits it and is quick.

    Args:
        ae: A trained `Autoencoder`.
        splits: A `kerasae.data.Splits`.
        seed: Seed of corruption and of all that samples.
        split: Split to measure on; what needs fitting is fitted on `"train"`.

    Returns:
        What `reconstruction_errors` gives (`"test"` whatever the split is called, `"baselines"`,
        `"baselines_fitted_on"`, and for a corruption `"noisy"`, `"clipped"` and `"clean"`);
        `"codes"`, see `codes`; of linear models `"linear"`, see `linear_check`; of variational
        ones `"variational"`, see `variational`, on 500 samples, where it applies; of contractive
        ones `"contractive"`, see `jacobian`, on 64. Floats, whole numbers, texts and lists only,
        ready for JSON. A value far beyond the others may make an error infinite.

    Raises:
        ValueError: There is no such split, it is empty, or the scaler has seen no data.
    """
    check_split(splits, split)
    check_fits(ae, splits)
    check_adapted(ae)
    # What overflows is infinite in the result, where it says more than a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        return _measured(ae, splits, seed, split)


def _measured(ae: Any, splits: Any, seed: int, split: str) -> dict[str, Any]:
    measured = reconstruction_errors(ae, splits, seed=seed, split=split)
    measured["codes"] = codes(ae, splits, split=split, seed=seed)
    kinds = {type(layer) for layer in ae._flatten_layers(include_self=False)}
    if isinstance(ae, LinearAutoencoder):
        measured["linear"] = linear_check(ae, splits, split=split)
    if GaussianSampling in kinds:
        # Own parts that sample elsewhere, and values outside of [0, 1] under a Bernoulli
        # likelihood, have no such bound; a training is not to fail for that.
        with contextlib.suppress(ValueError):
            x, _ = sample(splits, split, _BOUNDS, seed)
            measured["variational"] = variational(ae, x, seed=seed)
    if JacobianPenalty in kinds:
        measured["contractive"] = jacobian(ae, sample(splits, split, _JACOBIANS, seed)[0])
    return measured
