"""Autoencoders as scikit-learn estimators: `AnomalyDetector` and `CodeTransformer`.

Importing this module imports scikit-learn, whose base classes it uses; `import kerasae` does not.

Keras's own wrappers, such as `keras.wrappers.SKLearnTransformer`, are not used. They require a
target, train on plain arrays (with an additional trace for every last batch of a different size),
have neither `inverse_transform` nor `score_samples`, copy models with `clone_model`, which returns
an autoencoder without its parts, and declare themselves non-deterministic.
"""

from kerasae.estimators.detector import AnomalyDetector
from kerasae.estimators.transformer import CodeTransformer

__all__ = ["AnomalyDetector", "CodeTransformer"]
