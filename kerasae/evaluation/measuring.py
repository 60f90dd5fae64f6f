"""Quick evaluation of a model with all applicable measures."""

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
    """Evaluate a model on one split with all applicable measures that are quick.

    Args:
        ae: A trained `Autoencoder`.
        splits: A `kerasae.data.Splits`.
        seed: Seed of corruption and of all sampling.
        split: Split to measure on; baselines and classifiers are fitted on `"train"`.

    Returns:
        The entries of `reconstruction_errors` (`"test"` for any split, `"baselines"`,
        `"baselines_fitted_on"`, and for a corruption `"noisy"`, `"clipped"` and `"clean"`);
        `"codes"`, see `codes`; and the measures of the variant's recipe, such as `"linear"` (see
        `linear_check`), `"variational"` (see `variational`) and `"contractive"` (see `jacobian`).
        All values are floats, whole numbers, strings, lists or dictionaries, ready for JSON.
        An extreme outlier may make an error infinite.

    Raises:
        ValueError: If the split does not exist or is empty, or the scaler is not adapted.
    """
    check_split(splits, split)
    check_fits(ae, splits)
    check_adapted(ae)
    # Overflow shows as infinity in the result, which is more informative than a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        return _measured(ae, splits, seed, split)


class Data:
    """The evaluated split of a data set, with the measures that recipes use.

    Args:
        ae: The model.
        splits: A `kerasae.data.Splits`.
        split: Name of the split.
        seed: Seed of the samples and draws.
    """

    def __init__(self, ae: Any, splits: Any, split: str, seed: int):
        self.ae, self.splits, self.split, self.seed = ae, splits, split, seed

    def sample(self, limit: int) -> np.ndarray:
        """Return at most `limit` raw rows drawn at random from the split."""
        return sample(self.splits, self.split, limit, self.seed)[0]

    def codes(self, limit: int) -> np.ndarray:
        """Return the codes of at most `limit` rows, as `encode` returns them."""
        return self.ae.encode(self.sample(limit))

    def jacobian(self, limit: int) -> dict[str, Any]:
        """Return the result of `jacobian` on at most `limit` rows."""
        return jacobian(self.ae, self.sample(limit))

    def likelihood(self, limit: int) -> dict[str, Any] | None:
        """Return the result of `variational` on at most `limit` rows, or None if it has none.

        There is no bound for custom parts that sample elsewhere, or for values outside [0, 1]
        under a Bernoulli likelihood; a training run should not fail because of that.
        """
        with contextlib.suppress(ValueError):
            return variational(self.ae, self.sample(limit), seed=self.seed)
        return None

    def linear(self) -> dict[str, float]:
        """Return the result of `linear_check`."""
        return linear_check(self.ae, self.splits, split=self.split)


def _measured(ae: Any, splits: Any, seed: int, split: str) -> dict[str, Any]:
    measured = reconstruction_errors(ae, splits, seed=seed, split=split)
    measured["codes"] = codes(ae, splits, split=split, seed=seed)
    for name, found in ae.recipe.measures(ae, Data(ae, splits, split, seed)).items():
        known = measured.get(name)
        both = isinstance(known, dict) and isinstance(found, dict)
        measured[name] = {**known, **found} if both else found  # type: ignore[dict-item]
    return measured
