"""What a trained autoencoder is asked for: codes, reconstructions, scores, samples."""

from typing import Any

import keras
import numpy as np

from kerasae.models import inputs as checks
from kerasae.models._parts import forward, without_corruption
from kerasae.models.detection import Detection
from kerasae.models.generation import Generation
from kerasae.models.saving import State


class Untracked:
    """A box for models that must not become sub-layers of the one that holds them."""

    def __init__(self) -> None:
        self.models: dict[str, keras.Model] = {}

    def __deepcopy__(self, memo: Any) -> "Untracked":
        return Untracked()


class Verbs(Detection, Generation, State):
    """The verbs of an `Autoencoder`, all deterministic and free of corruption."""

    # What the model gives to the verbs.
    sample_shape: tuple[int, ...]
    input_dtype_name: str
    latent_dim: int
    recipe: dict[str, Any]
    decoder_network: keras.Model
    _finish: Any

    @property
    def variant(self) -> str:
        """Name under which `kerasae.build` made the model, or `"custom"`."""
        return self.recipe.get("variant", "custom")

    @property
    def encoder(self) -> keras.Model:
        """Keras model from raw input `(batch, *input_shape)` to code `(batch, latent_dim)`."""
        return self._cached("encoder", self._make_encoder)

    @property
    def decoder(self) -> keras.Model:
        """Keras model from code `(batch, latent_dim)` to a raw reconstruction."""
        return self._cached("decoder", self._make_decoder)

    def _cached(self, key: str, make: Any) -> Any:
        # Kept out of attribute tracking: these models share our layers and own no weights.
        cache = self.__dict__.setdefault("_derived_models", Untracked())
        if key not in cache.models:
            cache.models[key] = make()
        return cache.models[key]

    def _make_encoder(self) -> keras.Model:
        inputs = keras.Input(self.sample_shape, dtype=self.input_dtype_name, name="x")
        code = forward(without_corruption(self), inputs)[1]
        return keras.Model(inputs, code, name="encoder")

    def _make_decoder(self) -> keras.Model:
        code = keras.Input((self.latent_dim,), name="code")
        return keras.Model(code, self._finish(self.decoder_network(code)), name="decoder")

    def encode(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the code of each sample, `(samples, latent_dim)`; no noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples at a time, for arrays.
        """
        checks.check_data(self, x)
        checks.check_adapted(self)
        return self._run(self.encoder, x, batch_size)

    def decode(self, code: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the raw reconstruction, float32, `(samples, *input_shape)`, of each code.

        Args:
            code: Array `(samples, latent_dim)`.
            batch_size: Samples at a time.
        """
        code = checks.check_code(self, code)
        return self._run(self.decoder, code, batch_size)

    def reconstruct(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the raw reconstruction, float32, shaped like `x`; no corruption, no noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples at a time, for arrays.
        """
        checks.check_data(self, x)
        checks.check_adapted(self)
        return self._run(self, x, batch_size)

    @staticmethod
    def _run(model: Any, x: Any, batch_size: int) -> np.ndarray:
        checks.check_batch_size(batch_size)
        options = {"batch_size": batch_size} if hasattr(x, "shape") else {}
        # Half-precision models compute codes in half precision; what leaves is float32.
        return np.asarray(keras.Model.predict(model, x, verbose=0, **options), "float32")
