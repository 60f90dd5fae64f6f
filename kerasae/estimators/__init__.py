"""Autoencoders as scikit-learn estimators: `AnomalyDetector` and `CodeTransformer`.

scikit-learn is imported with this module, whose classes derive from its base classes, and not
with `import kerasae`.

Keras's own wrappers (`keras.wrappers.SKLearnTransformer` and its kin) are not used. They ask for
a target and fit with it, train through plain arrays (one trace more for every last batch of
another size), have neither `inverse_transform` nor `score_samples`, copy models by `clone_model`,
which gives an autoencoder without its parts, and call themselves non-deterministic.
"""

from kerasae.estimators.detector import AnomalyDetector
from kerasae.estimators.transformer import CodeTransformer

__all__ = ["AnomalyDetector", "CodeTransformer"]
