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
from kerasae.models.inputs import check_adapted


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
        `"codes"`, see `codes`; and what the variant's recipe measures, such as `"linear"` (see
        `linear_check`), `"variational"` (see `variational`) and `"contractive"` (see `jacobian`).
        Floats, whole numbers, texts and lists only, ready for JSON.
        A value far beyond the others may make an error infinite.

    Raises:
        ValueError: There is no such split, it is empty, or the scaler has seen no data.
    """
    check_split(splits, split)
    check_fits(ae, splits)
    check_adapted(ae)
    # What overflows is infinite in the result, where it says more than a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        return _measured(ae, splits, seed, split)


class Data:
    """The measured split of some data, with what recipes measure on it.

    Args:
        ae: The model.
        splits: A `kerasae.data.Splits`.
        split: Name of the split.
        seed: Seed of samples and draws.
    """

    def __init__(self, ae: Any, splits: Any, split: str, seed: int):
        self.ae, self.splits, self.split, self.seed = ae, splits, split, seed

    def sample(self, limit: int) -> np.ndarray:
        """Return at most `limit` raw rows of the split, drawn at random."""
        return sample(self.splits, self.split, limit, self.seed)[0]

    def codes(self, limit: int) -> np.ndarray:
        """Return the codes of so many rows, as `encode` gives them."""
        return self.ae.encode(self.sample(limit))

    def jacobian(self, limit: int) -> dict[str, Any]:
        """Return what `jacobian` says on so many rows."""
        return jacobian(self.ae, self.sample(limit))

    def likelihood(self, limit: int) -> dict[str, Any] | None:
        """Return what `variational` says on so many rows, or None where it does not apply.

        Own parts that sample elsewhere, and values outside of [0, 1] under a Bernoulli
        likelihood, have no such bound; a training is not to fail for that.
        """
        with contextlib.suppress(ValueError):
            return variational(self.ae, self.sample(limit), seed=self.seed)
        return None

    def linear(self) -> dict[str, float]:
        """Return what `linear_check` says."""
        return linear_check(self.ae, self.splits, split=self.split)


def _measured(ae: Any, splits: Any, seed: int, split: str) -> dict[str, Any]:
    measured = reconstruction_errors(ae, splits, seed=seed, split=split)
    measured["codes"] = codes(ae, splits, split=split, seed=seed)
    for name, found in ae.recipe.measures(ae, Data(ae, splits, split, seed)).items():
        known = measured.get(name)
        both = isinstance(known, dict) and isinstance(found, dict)
        measured[name] = {**known, **found} if both else found  # type: ignore[dict-item]
    return measured
