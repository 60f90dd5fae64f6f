"""The recipe of a variant: its additions to the parts of an autoencoder."""

import dataclasses
from typing import Any, ClassVar

import keras

from kerasae.layers.penalty import Terms
from kerasae.schedules import weight_config


@keras.saving.register_keras_serializable("kerasae")
@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hooks by which a variant extends an autoencoder; by default, they do nothing.

    A subclass is a frozen dataclass. Its fields are plain values, weights of penalties (numbers
    or schedules) and Keras objects; they are saved with the model, so the hooks still work
    after loading. The rest of the package calls the recipe and does not depend on any variant.

    Attributes:
        encoder_ends_in: `"code"`, or `"features"` that the bottleneck maps to a code.
        features: Reduction of the reconstruction loss over features, `"mean"` or `"sum"`.
        unit_loss: Default loss if the input is scaled to [0, 1].
        loss: Default loss otherwise.
        corruption: Name of the default corruption, or None.
        prior: Name of the distribution of codes (`kerasae.samplers.PRIORS`), or None.
        code_kind: `"vector"`, `"gaussian"` (a vector with the posterior's `z_mean` and
            `z_log_var` among the tensors of a pass) or `"indices"` (integers).
        term_names: Names of the loss terms that `terms` returns.
    """

    encoder_ends_in: ClassVar[str] = "code"
    features: ClassVar[str] = "mean"
    unit_loss: ClassVar[str] = "mse"
    loss: ClassVar[str] = "mse"
    corruption: ClassVar[str | None] = None
    prior: ClassVar[str | None] = None
    code_kind: ClassVar[str] = "vector"
    term_names: ClassVar[tuple[str, ...]] = ()

    # Building --------------------------------------------------------------------------

    def encoder_units(self, latent_dim: int) -> int | None:
        """Return the size of the encoder's output, or None for the network's default."""
        return latent_dim if self.encoder_ends_in == "code" else None

    def latent_units(self, latent_dim: int) -> int:
        """Return the size of the latent vector, the input of the decoder."""
        return latent_dim

    def bottleneck(
        self, units: int, latent_dim: int, seed: int | None = None, conditional: bool = False
    ) -> keras.layers.Layer | None:
        """Return the layer between encoder and decoder, or None.

        The layer returns the latent vector, or a dictionary of named tensors: `"latent"`,
        further tensors for the pass, and, under `"terms"`, the terms that its layers report
        (see `kerasae.layers.Penalty`).

        Args:
            units: Size of the encoder's output.
            latent_dim: Size of the code.
            seed: Seed of the noise of the layer.
            conditional: Whether a condition is appended to the encoder's output.
        """
        return None

    def wrap_encoder(self, encoder: keras.Model, seed: int | None = None) -> keras.layers.Layer:
        """Return the encoder, or a layer around it."""
        return encoder

    def check(self, ae: Any) -> None:
        """Validate an assembled model.

        Args:
            ae: The `Autoencoder`.

        Raises:
            ValueError: If the parts do not suit the variant.
        """

    # Training --------------------------------------------------------------------------

    def prepare(self, ae: Any, batches: Any) -> None:
        """Set weights before the first step, from one pass over the training data.

        Args:
            ae: The `Autoencoder`; its scaler is adapted.
            batches: Iterable of raw arrays `(batch, *input_shape)`.
        """

    @property
    def prepares(self) -> bool:
        """Whether the recipe defines `prepare`."""
        return type(self).prepare is not Recipe.prepare

    def terms(self, ae: Any, pass_: Any) -> Terms:
        """Return further terms of the loss, by name.

        Args:
            ae: The `Autoencoder`.
            pass_: The `Pass` of a batch, with its `target`.

        Returns:
            Pairs of value and weight: the value is unweighted, `(batch,)` or a scalar.
        """
        return {}

    def objective(self, ae: Any, pass_: Any, target: Any) -> Any:
        """Return the loss of each sample, `(batch,)`, or None for the weighted sum of the terms.

        Args:
            ae: The `Autoencoder`.
            pass_: The `Pass` of a batch.
            target: The target in scaled units.
        """
        return None

    # The code --------------------------------------------------------------------------

    def to_code(self, ae: Any, latent: Any) -> Any:
        """Return the code of a latent vector."""
        return latent

    def to_latent(self, ae: Any, code: Any) -> Any:
        """Return the latent vector of a code."""
        return code

    def representation(self, pass_: Any) -> Any:
        """Return the representation of samples for classifiers and measures, `(batch, units)`."""
        return pass_.others.get("z_mean", pass_.latent)

    # Evaluation ------------------------------------------------------------------------

    def measures(self, ae: Any, data: Any) -> dict[str, Any]:
        """Return figures specific to the variant, in addition to the common ones.

        Args:
            ae: The trained `Autoencoder`.
            data: A `kerasae.evaluation.Data` of the evaluated split.

        Returns:
            Numbers, strings, and lists and dictionaries of these. Entries with the name of a
            common entry (such as `"codes"`) are merged into it.
        """
        return {}

    def get_config(self) -> dict[str, Any]:
        config = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = weight_config(value) if isinstance(value, keras.Variable) else value
            config[field.name] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Recipe":
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{name: deserialize(value) for name, value in config.items()})
