"""A scikit-learn transformer from samples to the codes of an autoencoder."""

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from kerasae.errors import check_whole
from kerasae.estimators._shared import AutoencoderEstimator, by_batches


class CodeTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AutoencoderEstimator):
    """Transformer from samples to the codes of an autoencoder and back, used like PCA.

    Unlike principal components, codes are not ordered, centred or uncorrelated.

    Args:
        n_components: Size of the code. None takes the variant's default, for most a quarter of
            the features, at least 2 and at most 32.
        variant: Name of a variant, see `kerasae.variants()`; `"linear"` spans PCA's subspace.
        network: `"dense"`, or `"sequence"` for rows that are series.
        hidden: Widths of the encoder's hidden layers, mirrored by the decoder. None takes the
            variant's default, (128, 64) for most.
        scaler: `"standardize"`, `"unit"` or None, part of the model and fitted to the rows.
        corruption: Name of a corruption, see `kerasae.build`. None takes the variant's default.
        corruption_level: Strength of the corruption; for Gaussian noise a standard deviation or
            a pair `(low, high)`, between which it is drawn log-uniformly for each sample.
        options: Further options of `kerasae.build`, such as `{"code_activation": "sigmoid"}`.
        steps: Number of training steps, independent of the number of rows.
        batch_size: Rows per step.
        learning_rate: Initial learning rate of Adam, with cosine decay to 0.
        random_state: Int, `numpy.random.RandomState` or None, for the initial weights, the order
            of rows and any noise. The same int gives the same codes on the same machine.
        verbose: As in `keras.Model.fit`; 0 is silent.

    Attributes:
        autoencoder_: The trained `kerasae.models.Autoencoder`, which takes raw rows.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, if `X` in `fit` had names.

    Example:
        ```python
        pipeline = make_pipeline(CodeTransformer(8, random_state=0), LogisticRegression())
        cross_val_score(pipeline, X, y)
        ```
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        variant: str = "undercomplete",
        network: str = "dense",
        hidden: Any = None,
        scaler: Any = "standardize",
        corruption: Any = None,
        corruption_level: Any = None,
        options: dict[str, Any] | None = None,
        steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.variant = variant
        self.network = network
        self.hidden = hidden
        self.scaler = scaler
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.options = options
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.latent_dim

    def fit(self, X: Any, y: Any = None) -> "CodeTransformer":
        """Train an autoencoder.

        Args:
            X: `(samples, features)`.
            y: Ignored.

        Raises:
            ValueError: If the rows or a parameter are invalid.
        """
        x = self._checked(X, reset=True)
        size = None if self.n_components is None else check_whole("n_components", self.n_components)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        try:
            self.autoencoder_ = self._trained(x, size, seed)
        except ValueError as error:
            if "Received: latent_dim" not in str(error):
                raise
            # The builder's argument latent_dim is called n_components here.
            message = str(error).replace("latent_dim", "n_components")
            raise ValueError(f"{message}, n_features={x.shape[1]}") from error
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes, `(samples, n_components)`, in the precision of `X`.

        Args:
            X: `(samples, features)`.
        """
        check_is_fitted(self)
        x = self._checked(X, reset=False)
        return by_batches(self.autoencoder_.encode, x).astype(x.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the decoded samples of codes, `(samples, features)`, in raw units.

        Args:
            X: `(samples, n_components)`, codes.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32])
        return by_batches(self.autoencoder_.decode, codes).astype(codes.dtype) + self._moved.astype(
            codes.dtype
        )

    def score(self, X: Any, y: Any = None) -> float:
        """Return the negative mean reconstruction error, in scaled units; higher is better.

        Args:
            X: `(samples, features)`.
            y: Ignored.
        """
        check_is_fitted(self)
        errors = by_batches(self.autoencoder_.score, self._checked(X, reset=False))
        return -float(np.mean(errors, dtype="float64"))
