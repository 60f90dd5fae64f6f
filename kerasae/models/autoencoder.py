"""The autoencoder: a functional Keras model of named parts, its loss and its verbs."""

import contextlib
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import acceleration, losses
from kerasae.layers import InverseScale
from kerasae.layers.backend import batch_share, replicas
from kerasae.layers.penalty import PenaltyMixin, current_step, step
from kerasae.models import _feeding
from kerasae.models import inputs as checks
from kerasae.models._parts import PARTS, forward
from kerasae.models._replicated import Replicated
from kerasae.models._verbs import Verbs


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(Verbs, Replicated, keras.Model):
    """A functional Keras model: scaler, corruption, encoder, bottleneck, decoder in a row.

    Raw input goes in and a raw reconstruction comes out; the loss is taken in scaled units.
    `fit(x)` needs no `y`, and `compile()` no arguments. Each loss term is a metric of its
    own, unweighted and averaged over the epoch as `loss` is: `reconstruction_loss`, and
    `kl_loss`, `sparsity_loss`, `jacobian_loss` or `regularization_loss` where they exist.
    `loss` is their weighted sum.

    `encode`, `reconstruct`, `score` and `predict` are deterministic and never corrupt.
    `evaluate` measures what training optimizes: variational models sample and denoising
    models corrupt, with one fixed draw that is the same at every call.

    Most users call `kerasae.build` instead of this constructor. An overridden `train_step`
    should call this one's, which names the terms. To copy a model, use
    `type(ae).from_config(ae.get_config())` and `set_weights`; `keras.models.clone_model`
    gives a plain functional model without parts.

    Args:
        input_shape: Shape of one sample.
        encoder_network: Keras model from scaled input to the code or to features.
        decoder_network: Keras model from code to the shape of the input, ending linear.
        bottleneck: Layer or model between them, or None.
        corruption: Layer applied to the scaled input, or None.
        scaler: Layer with a method `inverse`, or None. One with `adapt` and `adapted` is
            adapted by `fit` to the training data.
        input_dtype: `"float32"` or `"uint8"`, the dtype of raw input.
        output_activation: Activation after the decoder, such as `"sigmoid"`, or None.
        loss: Reconstruction loss, a name of `kerasae.losses.LOSSES` or a Keras loss.
        prior: `"normal"` if codes drawn from N(0, I) decode to samples, else None.
        recipe: How `kerasae.build` was called, for model cards; any plain dictionary.

    References:
        Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
        Science 2006.
    """

    # Epochs of a training that takes several calls of `fit`, or None.
    planned_epochs: int | None = None
    train_function: Any

    def __init__(
        self,
        input_shape: tuple[int, ...],
        encoder_network: keras.Model,
        decoder_network: keras.Model,
        bottleneck: keras.layers.Layer | None = None,
        corruption: keras.layers.Layer | None = None,
        scaler: keras.layers.Layer | None = None,
        input_dtype: str = "float32",
        output_activation: Any = None,
        loss: Any = "mse",
        prior: str | None = None,
        recipe: dict[str, Any] | None = None,
        name: str = "autoencoder",
        **kwargs: Any,
    ):
        parts = SimpleNamespace(
            scaler=scaler,
            corruption=corruption,
            encoder_network=encoder_network,
            bottleneck=bottleneck,
            decoder_network=decoder_network,
        )
        sample_shape = tuple(int(n) for n in input_shape)
        activation = keras.layers.Activation(
            output_activation or "linear", dtype="float32", name="output_activation"
        )
        inverse = None if scaler is None else InverseScale(scaler, name="inverse_scaler")

        inputs = keras.Input(sample_shape, dtype=input_dtype, name="x")
        _, code, decoded = forward(parts, inputs)
        if tuple(decoded.shape[1:]) != sample_shape:
            raise ValueError(
                f"decoder_network must end in the shape of the input, {sample_shape}. "
                f"Received: a decoder ending in {tuple(decoded.shape[1:])}"
            )
        outputs = activation(decoded)
        super().__init__(inputs, outputs if inverse is None else inverse(outputs), name=name)

        for part in PARTS:
            setattr(self, part, getattr(parts, part))
        self.output_activation = activation
        self.inverse_scaler = inverse
        self.sample_shape = sample_shape
        self.input_dtype_name = keras.backend.standardize_dtype(input_dtype)
        self.latent_dim = int(code.shape[-1])
        self.prior = prior
        self.recipe = dict(recipe or {})
        self.reconstruction_loss = self._bound(losses.get(loss))
        self._training_loss = self.reconstruction_loss
        self._term_trackers = {name: keras.metrics.Mean(name=name) for name in self._term_names()}
        self._has_other_losses = False

    def _finish(self, decoded: Any) -> Any:
        """Map the decoder's output to raw units."""
        outputs = self.output_activation(decoded)
        return outputs if self.inverse_scaler is None else self.inverse_scaler(outputs)

    # Training -------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = None, **kwargs: Any) -> None:
        """Compile with Adam (learning rate 0.001) and the model's own loss by default.

        Args:
            optimizer: Keras optimizer or its name.
            loss: Reconstruction loss to train with instead of the model's own: a name of
                `kerasae.losses.LOSSES` or a Keras loss over scaled units. `score` keeps
                the model's own.
            **kwargs: Passed to `keras.Model.compile`. Metrics compare in raw units.
        """
        if "loss_weights" in kwargs:
            raise ValueError(
                "There is one reconstruction loss, and the penalties have weights of their own; "
                f"leave loss_weights out. Received: loss_weights={kwargs['loss_weights']}"
            )
        self._prepare_replicas(kwargs)
        features = getattr(self.reconstruction_loss, "features", "mean")
        self._training_loss = (
            self.reconstruction_loss if loss is None else self._bound(losses.get(loss, features))
        )
        optimizer = checks.optimizer(optimizer)
        super().compile(optimizer=optimizer, **kwargs)
        # Built now, so that a model saved before its first step loads like any other.
        self.optimizer.build(self.trainable_variables)
        self._compile_arguments = {
            "optimizer": self.optimizer,  # Keras wraps it for mixed_float16
            "loss": None if loss is None else self._training_loss,
            **kwargs,
        }

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return the arguments of `compile` in serialized form."""
        if not self.compiled:
            return None
        return keras.saving.serialize_keras_object(self._compile_arguments.copy())

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _bound(self, loss: keras.losses.Loss) -> keras.losses.Loss:
        """Give a loss with a learned standard deviation the variable that holds it."""
        if getattr(loss, "from_logits", False) and (
            self.output_activation.activation is keras.activations.linear
        ):
            raise ValueError(
                "A loss from logits needs a model that ends in an activation; build it with "
                f"output_activation='sigmoid'. Received: loss={loss.name!r}"
            )
        if isinstance(loss, losses.GaussianNLL) and loss.stddev is None:
            # A copy: the same object may be given to several models.
            loss = type(loss).from_config(loss.get_config())
            if not hasattr(self, "log_stddev"):
                self.log_stddev = self.add_weight(
                    shape=(), initializer="zeros", dtype="float32", name="log_stddev"
                )
            loss.bind(self.log_stddev)
        return loss

    def _term_names(self) -> list[str]:
        penalties = [
            layer.term_name
            for layer in self._flatten_layers(include_self=False)
            if isinstance(layer, PenaltyMixin)
        ]
        return ["reconstruction_loss", *dict.fromkeys(penalties), "regularization_loss"]

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does; `y` may be left out.

        An unadapted scaler is adapted in one pass over `x` first. What `calibrate` and
        `fit_sampler` found is dropped, since it belongs to the weights there were.

        Args:
            x: Array `(samples, *input_shape)`, or a `tf.data.Dataset` of batches of `x` or
                of `(input, target)` or `(input, target, sample_weight)`.
            y: Optional target, shaped like `x`. Labels are refused.
            *args: As in `keras.Model.fit`.
            **kwargs: As in `keras.Model.fit`.

        Raises:
            ValueError: Shape, dtype or values of the data do not fit the model.
        """
        options = _feeding.by_name(super().fit, args, kwargs)
        checks.check_data(self, x, y)
        checks.check_options(self, x, (), options, training=True)
        validation = options.get("validation_data")
        if validation is not None:
            pair = validation if isinstance(validation, (tuple, list)) else (validation,)
            checks.check_data(self, *pair[:2], name="validation_data")
            if len(pair) == 3 and pair[1] is None:
                options["validation_data"] = (pair[0], pair[0], pair[2])
        if not getattr(self.scaler, "adapted", True):
            self.scaler.adapt(self._training_inputs(x, options))
        if y is None and options.get("sample_weight") is not None:
            y = x  # Keras drops the weights of an x without y.
        self._forget()
        if hasattr(x, "shape"):
            known = options.get("validation_data")
            known = known[0] if isinstance(known, (tuple, list)) else known
            apart = checks.inputs_of(known) if hasattr(known, "shape") else ()
            targets = () if y is None or y is x else self._training_inputs(y, options)
            rows = itertools.chain(self._training_inputs(x, options), targets)
            self.remember_training_rows(rows, apart)
        if not hasattr(x, "shape"):
            # A pipeline shuffles by itself; Keras warns unless told so.
            options.setdefault("shuffle", False)
        asked = self._compile_arguments
        with acceleration.training(self, x, y, options, asked) as (x, y, options):
            return super().fit(x, y, **options)

    def make_train_function(self, force: bool = False) -> Any:
        """Make `train_function`, which `fit` calls with an iterator."""
        super().make_train_function(force=force)
        self.train_function = acceleration.train_function(self, self.train_function)
        return self.train_function

    @staticmethod
    def _training_inputs(x: Any, options: dict[str, Any]) -> Iterator[Any]:
        """Yield the batches of x that `fit` with `options` trains on."""
        return checks.inputs_of(
            x, options.get("validation_split") or 0.0, options.get("steps_per_epoch")
        )

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as `keras.Model.evaluate` does, with one fixed draw of all noise."""
        if x is not None:
            checks.check_data(self, x, y)
            checks.check_options(self, x, args, kwargs)
            checks.check_adapted(self)
        if y is None and kwargs.get("sample_weight") is not None:
            y = x
        with self._fixed_draw():
            return super().evaluate(x, y, *args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch as `keras.Model.test_on_batch` does, with a fixed draw."""
        with self._fixed_draw():
            return super().test_on_batch(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Train on one batch as `keras.Model.train_on_batch` does; the scaler is adapted."""
        checks.check_adapted(self)
        self._forget()
        return super().train_on_batch(*args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return raw reconstructions, as `keras.Model.predict` does, without noise."""
        checks.check_data(self, x)
        checks.check_options(self, x, args, kwargs)
        checks.check_adapted(self)
        return super().predict(x, *args, **kwargs)

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        with acceleration.compiling(self.jit_compile), step(training=True, owner=self):
            return super().train_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with acceleration.compiling(self.jit_compile), step(training=False, owner=self):
            return super().test_step(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        checks.check_tensor(self, inputs)
        current = current_step()
        if current is None or current.owner is not self:
            return super().call(inputs, training=training, mask=mask)
        # A step needs the decoder's output as it is, for losses from logits and in scaled
        # units, and the raw reconstruction for the user's metrics. What is unused is pruned.
        inputs = ops.cast(inputs, self.input_dtype_name)
        training = current.training if training is None else training
        _, _, decoded = forward(self, inputs, training)
        return decoded, self._finish(decoded)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        checks.check_target(x, y)
        target = x if y is None else y
        target = target if self.scaler is None else self.scaler(target)
        loss = self._training_loss
        decoded = self._for_loss(loss, y_pred)
        # Keras divides a loss object's value by the number of replicas, but not what
        # `add_loss` collected; and replicas may have unequal parts of a batch, even none.
        reconstruction = replicas() * loss(
            ops.cast(target, "float32"), ops.cast(decoded, "float32"), sample_weight
        )
        terms = current_step().terms if current_step() is not None else {}  # type: ignore[union-attr]
        weighted = [term[1] for values in terms.values() for term in values]
        others = [value for value in self.losses if not any(value is known for known in weighted)]
        self._has_other_losses |= bool(others)
        batch = ops.shape(target)[0]
        self._track("reconstruction_loss", reconstruction, batch)
        for name, values in terms.items():
            self._track(name, sum(value for value, _ in values), batch)
        if others:
            self._track("regularization_loss", sum(others), batch)
        total = self._finite(reconstruction + sum(weighted + others), batch)
        if self._replica_loss is not None:
            self._replica_loss.update_state(total, sample_weight=batch)
        return total * batch_share(batch)

    def _for_loss(self, loss: keras.losses.Loss, y_pred: Any) -> Any:
        """Return what `loss` compares: scaled units, or logits."""
        from_logits = getattr(loss, "from_logits", False)
        if isinstance(y_pred, tuple):
            return y_pred[0] if from_logits else self.output_activation(y_pred[0])
        # Called outside a step of ours, such as in a custom loop: a raw reconstruction.
        scaled = y_pred if self.scaler is None else self.scaler(y_pred)
        if not from_logits:
            return scaled
        scaled = ops.clip(ops.cast(scaled, "float32"), 1e-7, 1 - 1e-7)
        return ops.log(scaled) - ops.log1p(-scaled)

    def _track(self, name: str, value: Any, batch: Any) -> None:
        current = current_step()
        if current is not None and current.tracked is not None:
            current.tracked[name] = value
            return
        self._term_trackers[name].update_state(self._finite(value, batch), sample_weight=batch)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        raw = y_pred[1] if isinstance(y_pred, tuple) else y_pred
        return super().compute_metrics(x, x if y is None else y, raw, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        results = super().get_metrics_result()
        if not self._has_other_losses:
            results.pop("regularization_loss", None)
        return results

    # Noise ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _fixed_draw(self) -> Iterator[None]:
        states = self._seed_states()
        before = [np.array(ops.convert_to_numpy(state)) for state in states]
        for i, state in enumerate(states):
            state.assign(np.array([i, 0], before[i].dtype))
        try:
            yield
        finally:
            for state, value in zip(states, before, strict=True):
                state.assign(value)

    def export(self, path: Any, **options: Any) -> Any:
        """Write a verified SavedModel below `path`; see `kerasae.export`."""
        import kerasae

        return kerasae.export(self, path, **options)

    # Configuration --------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        activation = keras.activations.serialize(self.output_activation.activation)
        return {
            "name": self.name,
            "input_shape": self.sample_shape,
            **{part: serialize(getattr(self, part)) for part in PARTS},
            "input_dtype": self.input_dtype_name,
            "output_activation": None if activation == "linear" else activation,
            "loss": serialize(self.reconstruction_loss),
            "prior": self.prior,
            "recipe": self.recipe,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Autoencoder":
        deserialize = keras.saving.deserialize_keras_object
        parts = {part: deserialize(config[part], custom_objects) for part in PARTS}
        loss = deserialize(config["loss"], custom_objects)
        return cls(**{**config, **parts, "loss": loss})
