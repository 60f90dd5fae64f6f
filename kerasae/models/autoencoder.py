"""The autoencoder: a functional Keras model of named parts, its forward pass, loss and verbs."""

import contextlib
import contextvars
import dataclasses
import inspect
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import acceleration, losses, samplers
from kerasae.anomaly import Calibration, TrainingRows, check_rate
from kerasae.errors import check_whole
from kerasae.layers import Condition, InverseScale
from kerasae.layers.backend import batch_share, replicas
from kerasae.layers.penalty import Penalty, evaluating
from kerasae.models import detection, generation, saving
from kerasae.models import inputs as checks
from kerasae.models.variants.recipe import Recipe

PARTS = ("scaler", "corruption", "condition", "encoder_network", "bottleneck", "decoder_network")


@dataclasses.dataclass
class Pass:
    """Every tensor of one forward pass, by name.

    Attributes:
        inputs: Raw inputs by name; the model reconstructs `inputs["x"]`.
        scaled: `x` in scaled units.
        corrupted: `scaled` after corruption, the input of the encoder.
        features: Output of the encoder network.
        latent: Output of the bottleneck, the input of the decoder.
        code: The code: `latent`, or its indices for discrete models.
        decoded: Output of the decoder network, before the output activation.
        condition: The condition as the encoder and decoder receive it, or None.
        output: The reconstruction in raw units, in steps of training and evaluation, or None.
        target: The target in scaled units, set when the loss is computed, or None.
        others: Further named tensors of the parts, such as `z_mean` and `z_log_var`.
        terms: Maps the name of a term to pairs of unweighted value (`(batch,)` or a scalar)
            and weight.
    """

    inputs: dict[str, Any]
    scaled: Any
    corrupted: Any
    features: Any
    latent: Any
    code: Any
    decoded: Any
    condition: Any = None
    output: Any = None
    target: Any = None
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    terms: dict[str, list[tuple[Any, Any]]] = dataclasses.field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        others = self.__dict__.get("others", {})
        if name in others:
            return others[name]
        raise AttributeError(f"Pass has no tensor {name!r}; its other tensors are {list(others)}")


def forward(parts: Any, inputs: Any, training: bool | None = None) -> Pass:
    """Run the parts in order and return all their tensors.

    `Penalty` layers report their terms in the pass instead of calling `add_loss`.

    Args:
        parts: An `Autoencoder`, or the result of `without`.
        inputs: Raw input, or a dictionary of raw inputs; an omitted condition is unknown.
        training: Passed to each layer explicitly: on JAX, a step calls the model outside
            Keras's call context, which would otherwise propagate it.
    """
    values = inputs if isinstance(inputs, dict) else {"x": inputs}
    terms: dict[str, list[tuple[Any, Any]]] = {}
    others: dict[str, Any] = {}

    def run(layer: keras.layers.Layer | None, x: Any, name: str, **options: Any) -> Any:
        if layer is None:
            return x
        known = inspect.signature(layer.call).parameters
        options = {key: value for key, value in options.items() if key in known}
        if training is not None and "training" in known:
            options["training"] = training
        found: dict[str, Any] = {}
        if isinstance(layer, Penalty):
            others.update(zip(layer.input_names, keras.tree.flatten(x), strict=False))
            x, found = layer(x, return_terms=True, **options)
        else:
            x = layer(x, **options)
        if isinstance(x, dict):
            x = dict(x)
            if name not in x:
                raise ValueError(
                    f"A dictionary of tensors must have the key {name!r} here. "
                    f"Received: keys {list(x)} from layer {layer.name!r}"
                )
            found = {**found, **x.pop("terms", {})}
            output = x.pop(name)
            others.update(x)
            x = output
        for term, pair in found.items():
            terms.setdefault(term, []).append(tuple(pair))
        return x

    scaled = run(parts.scaler, values["x"], "scaled")
    corrupted = run(parts.corruption, scaled, "corrupted")
    clean = {} if parts.corruption is None else {"clean": scaled}
    features = encoded = run(parts.encoder_network, corrupted, "features", **clean)
    condition = None
    if parts.condition is not None:
        raw = values.get("condition")
        if raw is None:
            condition = parts.condition.unknown_like(features)
        else:
            condition = run(parts.condition, raw, "condition")
        encoded = ops.concatenate([features, ops.cast(condition, features.dtype)], axis=-1)
    latent = run(parts.bottleneck, encoded, "latent")
    return Pass(
        inputs=values,
        scaled=scaled,
        corrupted=corrupted,
        features=features,
        latent=latent,
        code=parts.recipe.to_code(parts, latent),
        decoded=decode(parts, latent, condition, training),
        condition=condition,
        others=others,
        terms=terms,
    )


def decode(parts: Any, latent: Any, condition: Any = None, training: bool | None = None) -> Any:
    """Return the output of the decoder, before the output activation.

    Args:
        parts: As for `forward`.
        latent: Output of the bottleneck, `(batch, units)`.
        condition: As in a `Pass`. None means unknown for conditional models.
        training: As for `forward`.
    """
    if condition is None and parts.condition is not None:
        condition = parts.condition.unknown_like(latent)
    if condition is not None:
        latent = ops.concatenate([latent, ops.cast(condition, latent.dtype)], axis=-1)
    known = inspect.signature(parts.decoder_network.call).parameters
    options = {} if training is None or "training" not in known else {"training": training}
    return parts.decoder_network(latent, **options)


def without(parts: Any, *names: str) -> SimpleNamespace:
    """Return the parts of a model, some of them omitted, for `forward`."""
    kept = {name: getattr(parts, name) for name in (*PARTS, "recipe")}
    return SimpleNamespace(**{**kept, **dict.fromkeys(names)})


@dataclasses.dataclass(frozen=True)
class _Mode:
    """The model whose step is running, and the kind of step."""

    owner: Any
    kind: str


_mode: contextvars.ContextVar[_Mode | None] = contextvars.ContextVar("mode", default=None)


@contextlib.contextmanager
def _in_step(owner: Any, kind: str) -> Iterator[None]:
    token = _mode.set(_Mode(owner, kind))
    try:
        with evaluating() if kind == "test" else contextlib.nullcontext():
            yield
    finally:
        _mode.reset(token)


class Scorer(keras.Model):
    """Computes the reconstruction error as a model, so that `predict` batches it.

    Args:
        autoencoder: The model.
        per_feature: Whether to return one error per feature, which requires one of kerasae's
            losses.
    """

    def __init__(self, autoencoder: "Autoencoder", per_feature: bool = False):
        super().__init__(name="scorer")
        self.autoencoder = autoencoder
        self.per_feature = per_feature
        self.built = True

    def call(self, inputs: Any) -> Any:
        ae = self.autoencoder
        pass_ = ae.pass_of(inputs)
        return ae.feature_errors(pass_) if self.per_feature else ae.errors(pass_)


class Untracked:
    """Container that hides models from Keras's attribute tracking."""

    def __init__(self) -> None:
        self.models: dict[str, keras.Model] = {}

    def __deepcopy__(self, memo: Any) -> "Untracked":
        return Untracked()


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(keras.Model):
    """A functional Keras model: scaler, corruption, encoder, bottleneck and decoder in sequence.

    The model maps raw input to a raw reconstruction; the loss is computed in scaled units.
    `fit(x)` needs no `y`, and `compile()` no arguments. Each loss term is reported as a
    separate metric, unweighted and averaged over the epoch like `loss`: `reconstruction_loss`,
    and `kl_loss`, `sparsity_loss`, `jacobian_loss` or `regularization_loss` where they exist.
    `loss` is their weighted sum.

    `encode`, `reconstruct`, `score` and `predict` are deterministic and never corrupt.
    `evaluate` measures the training objective: variational models sample and denoising
    models corrupt, with one fixed draw that is the same at every call.

    A conditional model takes a dictionary, `{"x": ..., "condition": ...}`; an omitted
    condition is unknown.

    Most users call `kerasae.build` instead of this constructor. An overridden `train_step`
    should call `super().train_step`, which reports the terms. To copy a model, use
    `type(ae).from_config(ae.get_config())` and `set_weights`; `keras.models.clone_model`
    returns a plain functional model without parts.

    Args:
        input_shape: Shape of one sample.
        encoder_network: Keras model from scaled input to the code or to features.
        decoder_network: Keras model from code to the shape of the input, with a linear output.
        bottleneck: Layer or model between encoder and decoder, or None.
        corruption: Layer applied to the scaled input, or None.
        condition: A `kerasae.layers.Condition`, or None.
        scaler: Layer with a method `inverse`, or None. If it has `adapt` and `adapted`, `fit`
            adapts it to the training data.
        input_dtype: `"float32"` or `"uint8"`, the dtype of raw input.
        output_activation: Activation after the decoder, such as `"sigmoid"`, or None.
        loss: Reconstruction loss, a name of `kerasae.losses.LOSSES` or a Keras loss.
        prior: Name of the prior distribution of codes, such as `"normal"` for N(0, I), or None.
        recipe: The variant's `Recipe`; the plain one by default.
        built_with: Arguments of `kerasae.build`, for model cards; any plain dictionary.

    Attributes:
        input_spec_: The `kerasae.models.inputs.InputSpec` of the model's inputs.
        code_shape: Shape of the code of one sample.
        latent_dim: Size of the last axis of the code.
        code_dtype: `"float32"`, or `"int32"` for indices.
        code_size: Number of distinct indices, or None.
        calibration: The `kerasae.anomaly.Calibration` set by `calibrate`, or None.
        sampler: The `kerasae.samplers.Sampler` set by `fit_sampler`, or None.
        training_rows: The `kerasae.anomaly.TrainingRows` recorded by `fit`.

    References:
        Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
        Science 2006.
    """

    calibration: Calibration | None = None
    sampler: samplers.Sampler | None = None
    training_rows: TrainingRows | None = None
    # Total epochs of a training run split over several calls of `fit`, or None.
    planned_epochs: int | None = None
    train_function: Any
    _replica_loss: keras.metrics.Metric | None = None

    def __init__(
        self,
        input_shape: tuple[int, ...],
        encoder_network: keras.Model,
        decoder_network: keras.Model,
        bottleneck: keras.layers.Layer | None = None,
        corruption: keras.layers.Layer | None = None,
        condition: Condition | None = None,
        scaler: keras.layers.Layer | None = None,
        input_dtype: str = "float32",
        output_activation: Any = None,
        loss: Any = "mse",
        prior: str | None = None,
        recipe: Recipe | None = None,
        built_with: dict[str, Any] | None = None,
        name: str = "autoencoder",
        **kwargs: Any,
    ):
        recipe = recipe or Recipe()
        parts = SimpleNamespace(
            scaler=scaler,
            corruption=corruption,
            condition=condition,
            encoder_network=encoder_network,
            bottleneck=bottleneck,
            decoder_network=decoder_network,
            recipe=recipe,
        )
        sample_shape = tuple(int(n) for n in input_shape)
        activation = keras.layers.Activation(
            output_activation or "linear", dtype="float32", name="output_activation"
        )
        inverse = None if scaler is None else InverseScale(scaler, name="inverse_scaler")
        fields = {"x": checks.Field(sample_shape, keras.backend.standardize_dtype(input_dtype))}
        if condition is not None:
            fields["condition"] = checks.Field(
                condition.sample_shape,
                condition.input_dtype_name,
                condition.classes,
                condition.unknown,
            )
        spec = checks.InputSpec(fields)

        inputs = spec.symbolic()
        pass_ = forward(parts, inputs)
        if tuple(pass_.decoded.shape[1:]) != sample_shape:
            raise ValueError(
                f"decoder_network must have output of the input's shape, {sample_shape}. "
                f"Received: a decoder with output of shape {tuple(pass_.decoded.shape[1:])}"
            )
        outputs = activation(pass_.decoded)
        super().__init__(inputs, outputs if inverse is None else inverse(outputs), name=name)

        for part in PARTS:
            setattr(self, part, getattr(parts, part))
        self.recipe = recipe
        self.output_activation = activation
        self.inverse_scaler = inverse
        self.input_spec_ = spec
        self.code_shape = tuple(pass_.code.shape[1:])
        self.code_dtype = "int32" if recipe.code_kind == "indices" else "float32"
        self.code_size = getattr(bottleneck, "code_size", None)
        self.prior = prior
        self.built_with = dict(built_with or {})
        self.reconstruction_loss = self._bound(losses.get(loss))
        self._training_loss = self.reconstruction_loss
        names = ["reconstruction_loss", *pass_.terms, *recipe.term_names, "regularization_loss"]
        self._term_trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self._batch_terms = [
            term
            for term, pairs in pass_.terms.items()
            if any(not value.shape for value, _ in pairs)
        ]
        self._has_other_losses = False
        if recipe.prepares:
            self.is_prepared = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="is_prepared"
            )
        recipe.check(self)

    # Parts ------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        """Name of the variant that `kerasae.build` built, or `"custom"`."""
        return self.built_with.get("variant", "custom")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.input_spec_.fields["x"].shape

    @property
    def input_dtype_name(self) -> str:
        """Dtype of raw input, `"float32"` or `"uint8"`."""
        return self.input_spec_.fields["x"].dtype

    @property
    def latent_dim(self) -> int:
        """Size of the last axis of the code."""
        return int(self.code_shape[-1])

    @property
    def encoder(self) -> keras.Model:
        """Keras model from raw input `(batch, *input_shape)` to code `(batch, *code_shape)`."""
        return self._cached("encoder", self._make_encoder)

    @property
    def decoder(self) -> keras.Model:
        """Keras model from code `(batch, *code_shape)` to a raw reconstruction."""
        return self._cached("decoder", self._make_decoder)

    def _cached(self, key: str, make: Any) -> Any:
        # Hidden from attribute tracking: these models share our layers and own no weights.
        cache = self.__dict__.setdefault("_derived_models", Untracked())
        if key not in cache.models:
            cache.models[key] = make()
        return cache.models[key]

    def _make_encoder(self) -> keras.Model:
        inputs = self.input_spec_.symbolic()
        code = forward(without(self, "corruption"), inputs, training=False).code
        return keras.Model(inputs, code, name="encoder")

    def _make_decoder(self) -> keras.Model:
        code = keras.Input(self.code_shape, dtype=self.code_dtype, name="code")
        latent = self.recipe.to_latent(self, code)
        if self.condition is None:
            return keras.Model(code, self.finish(decode(self, latent)), name="decoder")
        symbolic = self.input_spec_.symbolic()["condition"]
        decoded = decode(self, latent, self.condition(symbolic, training=False))
        inputs = {"code": code, "condition": symbolic}
        return keras.Model(inputs, self.finish(decoded), name="decoder")

    def finish(self, decoded: Any) -> Any:
        """Return the decoder's output after the output activation, in raw units."""
        outputs = self.output_activation(decoded)
        return outputs if self.inverse_scaler is None else self.inverse_scaler(outputs)

    def pass_of(self, inputs: Any) -> Pass:
        """Return the forward pass of raw input, without corruption or noise."""
        inputs = self.input_spec_.cast(inputs)
        return forward(without(self, "corruption"), inputs, training=False)

    # Compiling --------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = None, **kwargs: Any) -> None:
        """Compile with Adam (learning rate 0.001) and the model's own loss by default.

        Args:
            optimizer: Keras optimizer or its name.
            loss: Reconstruction loss to train with instead of the model's own: a name of
                `kerasae.losses.LOSSES` or a Keras loss over scaled units. `score` still
                uses the model's own loss.
            **kwargs: Passed to `keras.Model.compile`. Metrics are computed in raw units.
        """
        if "loss_weights" in kwargs:
            raise ValueError(
                "loss_weights is not supported: there is one reconstruction loss, and each penalty "
                f"has its own weight. Received: loss_weights={kwargs['loss_weights']}"
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
        """Compile with the arguments that `get_compile_config` returned."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _bound(self, loss: keras.losses.Loss) -> keras.losses.Loss:
        """Return the loss, with a learned standard deviation bound to a variable of the model."""
        if getattr(loss, "from_logits", False) and (
            self.output_activation.activation is keras.activations.linear
        ):
            raise ValueError(
                "A loss computed from logits requires an output activation; build the model with "
                f"output_activation='sigmoid'. Received: loss={loss.name!r}"
            )
        if not getattr(loss, "learned", False):
            return loss
        # Copied, since the same object may be passed to several models.
        loss = type(loss).from_config(loss.get_config())
        if not hasattr(self, "log_stddev"):
            self.log_stddev = self.add_weight(
                shape=(), initializer="zeros", dtype="float32", name="log_stddev"
            )
        loss.bind(self.log_stddev)
        return loss

    def terms_of_batches(self) -> list[str]:
        """Return the names of the loss terms that are not computed per sample."""
        return list(self._batch_terms)

    # Training ---------------------------------------------------------------------------

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does; `y` is optional.

        An unadapted scaler is first adapted in one pass over `x`. The calibration and the
        sampler are discarded, since they belong to the previous weights.

        Args:
            x: Array `(samples, *input_shape)`, or a `tf.data.Dataset` of batches of `x` or
                of `(input, target)` or `(input, target, sample_weight)`. For conditional
                models, a dictionary of arrays, or batches of dictionaries, instead of `x`.
            y: Optional target, shaped like `x`. Labels are rejected.
            *args: As in `keras.Model.fit`.
            **kwargs: As in `keras.Model.fit`.

        Raises:
            ValueError: If the shape, dtype or values of the data do not fit the model.
        """
        options = _by_name(super().fit, args, kwargs)
        checks.check_data(self, x, y)
        checks.check_options(self, x, (), options, training=True)
        x = self.input_spec_.complete(x)
        validation = options.get("validation_data")
        if validation is not None:
            pair = validation if isinstance(validation, (tuple, list)) else (validation,)
            checks.check_data(self, *pair[:2], name="validation_data")
            completed = (self.input_spec_.complete(pair[0]), *pair[1:])
            if len(pair) == 3 and pair[1] is None:
                completed = (completed[0], self.input_spec_.main(pair[0]), pair[2])
            is_pair = isinstance(validation, (tuple, list))
            options["validation_data"] = completed if is_pair else completed[0]
        self.prepare(lambda: _training_inputs(x, options))
        if y is None and options.get("sample_weight") is not None:
            y = self.input_spec_.main(x)  # Keras drops the weights of an x without y.
        self._forget()
        if checks.is_array(x):
            known = options.get("validation_data")
            known = known[0] if isinstance(known, (tuple, list)) else known
            apart = checks.inputs_of(known) if known is not None and checks.is_array(known) else ()
            main = self.input_spec_.main(x)
            targets = () if y is None or y is main else _training_inputs(y, options)
            rows = itertools.chain(_training_inputs(x, options), targets)
            self.remember_training_rows(rows, apart)
        else:
            # A pipeline does its own shuffling; Keras warns about the default of `fit`.
            options.setdefault("shuffle", False)
        asked = self._compile_arguments
        with acceleration.training(self, x, y, options, asked) as (x, y, options):
            return super().fit(x, y, **options)

    def make_train_function(self, force: bool = False) -> Any:
        """Set and return `train_function`, which `fit` calls with an iterator."""
        super().make_train_function(force=force)
        self.train_function = acceleration.train_function(self, self.train_function)
        return self.train_function

    def prepare(self, batches: Any) -> None:
        """Adapt the scaler and run the recipe's `prepare`, before the first training step.

        Skips what has been done before. `fit` calls this method.

        Args:
            batches: Raw training batches, each `(batch, *input_shape)`: a `tf.data.Dataset` or
                another iterable that can be read more than once, or a function that returns one.
        """

        def again() -> Any:
            return batches() if callable(batches) else batches

        if not getattr(self.scaler, "adapted", True):
            self.scaler.adapt(again())
        if self.recipe.prepares and not int(ops.convert_to_numpy(self.is_prepared)):
            self.recipe.prepare(self, again())
            self.is_prepared.assign(1)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as `keras.Model.evaluate` does, with one fixed draw of all noise."""
        if x is not None:
            checks.check_data(self, x, y)
            checks.check_options(self, x, args, kwargs)
            checks.check_adapted(self)
            x = self.input_spec_.complete(x)
        options = _by_name(super().evaluate, args, kwargs)
        options |= options.pop("kwargs", {})
        if y is None and options.get("sample_weight") is not None:
            y = self.input_spec_.main(x)
        with self._fixed_draw():
            return super().evaluate(x, y, **options)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch as `keras.Model.test_on_batch` does, with a fixed draw."""
        with self._fixed_draw():
            return super().test_on_batch(self.input_spec_.complete(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Return raw reconstructions of one batch, without noise."""
        return super().predict_on_batch(self.input_spec_.complete(x))

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Train on one batch as `keras.Model.train_on_batch` does; needs an adapted scaler."""
        checks.check_adapted(self)
        self._forget()
        if self.recipe.prepares:
            self.is_prepared.assign(1)  # a later `fit` must not start over
        return super().train_on_batch(self.input_spec_.complete(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return raw reconstructions, as `keras.Model.predict` does, without noise."""
        checks.check_data(self, x)
        checks.check_options(self, x, args, kwargs)
        checks.check_adapted(self)
        return super().predict(self.input_spec_.complete(x), *args, **kwargs)

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        with acceleration.compiling(self.jit_compile), _in_step(self, "train"):
            return super().train_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with acceleration.compiling(self.jit_compile), _in_step(self, "test"):
            return super().test_step(*args, **kwargs)

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        with _in_step(self, "predict"):
            return super().predict_step(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        checks.check_tensor(self, self.input_spec_.main(inputs))
        pass_ = forward(self, self.input_spec_.cast(inputs), training)
        mode = _mode.get()
        kind = mode.kind if mode is not None and mode.owner is self else None
        if kind in ("train", "test"):
            # The y_pred of `compute_loss`; tensors only, since JAX passes it through `grad`.
            # The raw output is for metrics: on JAX no layer can be called where they are updated.
            pass_.output = self.finish(pass_.decoded)
            return {name: value for name, value in vars(pass_).items() if value is not None}
        if kind is None:
            # Used as a layer of another model, or called in a custom loop.
            for pairs in pass_.terms.values():
                for value, weight in pairs:
                    # A functional model of Keras refuses the method that its layers have.
                    keras.layers.Layer.add_loss(self, weight * ops.mean(value))
        return self.finish(pass_.decoded)

    # The loss ---------------------------------------------------------------------------

    def losses_of(
        self, pass_: Pass, y: Any = None, sample_weight: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Return the loss of a batch and its unweighted terms by name, scalars of float32.

        Args:
            pass_: The pass of the batch, as returned by `forward`.
            y: Raw target; None takes the input.
            sample_weight: `(batch,)`, or None.
        """
        # Read before hooks of the recipe call a part again, which clears what it added.
        others = list(self.losses)
        target = self._target(pass_.inputs, y)
        pass_.target = target
        loss = self._training_loss
        decoded = ops.cast(self._for_loss(loss, pass_.decoded), "float32")
        terms = {name: list(pairs) for name, pairs in pass_.terms.items()}
        for name, pair in self.recipe.terms(self, pass_).items():
            terms.setdefault(name, []).append(pair)
        # Keras divides a loss object's value by the number of replicas.
        found = {"reconstruction_loss": replicas() * loss(target, decoded, sample_weight)}
        total = found["reconstruction_loss"]
        for name, pairs in terms.items():
            if sample_weight is not None and any(not len(value.shape) for value, _ in pairs):
                raise ValueError(
                    f"sample_weight cannot apply to {name}, a function of whole batches; leave "
                    "samples out instead. Received: sample_weight"
                )
            means = [(_mean(value, sample_weight), weight) for value, weight in pairs]
            found[name] = sum(value for value, _ in means)
            total = total + sum(weight * value for value, weight in means)
        objective = self.recipe.objective(self, pass_, target)
        if objective is not None:
            total = _mean(objective, sample_weight)
        return self._with_others(total, found, others)

    def _with_others(
        self, total: Any, found: dict[str, Any], others: list[Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Add the losses that layers passed to `add_loss`, such as weight decay."""
        self._has_other_losses |= bool(others)
        if others:
            found["regularization_loss"] = sum(others)
            total = total + found["regularization_loss"]
        return total, found

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        main = self.input_spec_.main(x)
        checks.check_target(main, y)
        if isinstance(y_pred, dict):
            total, found = self.losses_of(Pass(**y_pred), y, sample_weight)
        else:
            # Called outside our steps, such as in a custom loop, with a raw reconstruction.
            target = self._target({"x": main}, y)
            decoded = ops.cast(self._from_raw(y_pred), "float32")
            value = replicas() * self._training_loss(target, decoded, sample_weight)
            total, found = self._with_others(value, {"reconstruction_loss": value}, self.losses)
        batch = ops.shape(main)[0]
        for name, value in found.items():
            if name not in self._term_trackers:
                raise ValueError(
                    f"Each term must be named in the recipe's term_names. Received: {name!r}"
                )
            tracker = self._term_trackers[name]
            tracker.update_state(self._finite(value, batch), sample_weight=batch)
        total = self._finite(total, batch)
        if self._replica_loss is not None:
            self._replica_loss.update_state(total, sample_weight=batch)
        # Replicas may hold unequal shares of a batch, even empty ones.
        return total * batch_share(batch)

    def _target(self, inputs: dict[str, Any], y: Any) -> Any:
        target = inputs["x"] if y is None else y
        return ops.cast(target if self.scaler is None else self.scaler(target), "float32")

    def _for_loss(self, loss: keras.losses.Loss, decoded: Any) -> Any:
        """Return the decoder's output as `loss` expects it: in scaled units, or logits."""
        return decoded if getattr(loss, "from_logits", False) else self.output_activation(decoded)

    def _from_raw(self, reconstruction: Any) -> Any:
        """Return a raw reconstruction as the training loss expects it."""
        scaled = reconstruction if self.scaler is None else self.scaler(reconstruction)
        if not getattr(self._training_loss, "from_logits", False):
            return scaled
        scaled = ops.clip(ops.cast(scaled, "float32"), 1e-7, 1 - 1e-7)
        return ops.log(scaled) - ops.log1p(-scaled)

    def feature_errors(self, pass_: Pass) -> Any:
        """Return the reconstruction error of each feature, shaped like the input, float32."""
        decoded = self._for_loss(self.reconstruction_loss, pass_.decoded)
        return self.reconstruction_loss.error(
            ops.cast(pass_.scaled, "float32"), ops.cast(decoded, "float32")
        )

    def errors(self, pass_: Pass) -> Any:
        """Return the reconstruction error of each sample, `(batch,)`, float32."""
        decoded = self._for_loss(self.reconstruction_loss, pass_.decoded)
        values = self.reconstruction_loss.call(
            ops.cast(pass_.scaled, "float32"), ops.cast(decoded, "float32")
        )
        # A Keras loss may keep some feature axes; ours reduce them all.
        return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        raw = y_pred["output"] if isinstance(y_pred, dict) else y_pred
        target = self.input_spec_.main(x) if y is None else y
        return super().compute_metrics(x, target, raw, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        results = super().get_metrics_result()
        if self._replica_loss is not None:
            results["loss"] = results.pop(self._replica_loss.name)
        if not self._has_other_losses:
            results.pop("regularization_loss", None)
        return results

    @contextlib.contextmanager
    def _fixed_draw(self) -> Iterator[None]:
        states = saving.seed_states(self)
        before = [np.array(ops.convert_to_numpy(state)) for state in states]
        for i, state in enumerate(states):
            state.assign(np.array([i, 0], before[i].dtype))
        try:
            yield
        finally:
            for state, value in zip(states, before, strict=True):
                state.assign(value)

    # Several replicas (tf.distribute) ---------------------------------------------------

    def _prepare_replicas(self, options: dict[str, Any]) -> None:
        """Reject arguments of `compile` that TensorFlow does not support on several replicas."""
        if replicas() == 1:
            return
        for name, fine in (("jit_compile", ("auto", False)), ("steps_per_execution", ("auto", 1))):
            if options.get(name, "auto") not in fine:
                raise ValueError(
                    f"{name} is not supported with a tf.distribute strategy, which trains without "
                    f"XLA and one step at a time. Received: {name}={options[name]!r}"
                )
        # Keras gives replicas equal weight. The last batch may fill only some of them, so each
        # weights its values by its number of samples.
        self._replica_loss = keras.metrics.Mean(name="replica_loss")

    def _finite(self, value: Any, samples: Any) -> Any:
        """Return `value`, or 0 on a replica without samples, whose mean is not finite."""
        if self._replica_loss is None:
            return value
        return ops.where(ops.cast(samples, "int32") > 0, value, 0.0)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # To build unbuilt layers, Keras averages the first batch over the replicas; that fails
        # for shares of unequal size, and consumes a batch needlessly.
        if self._replica_loss is not None and iterator is not None:
            asked = self._compile_arguments
            if not (asked.get("metrics") or asked.get("weighted_metrics")):
                return
            strategy = self.distribute_strategy
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(
                    lambda part: strategy.experimental_local_results(part)[0], next(batches)
                )
                break
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    # Codes and reconstructions ----------------------------------------------------------

    def encode(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the code of each sample, `(samples, *code_shape)`, without noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples per batch, for arrays.

        Returns:
            Array of float32, or of int32 for the indices of a discrete model.
        """
        return self._answers(self.encoder, x, batch_size, self.code_dtype)

    def decode(self, code: Any, batch_size: int = 1024, *, condition: Any = None) -> np.ndarray:
        """Return the raw reconstruction, float32, `(samples, *input_shape)`, of each code.

        Args:
            code: Array `(samples, *code_shape)`.
            batch_size: Samples per batch.
            condition: For conditional models, one condition per sample or one for all; None
                means unknown.
        """
        code = checks.check_code(self, code)
        given: Any = code
        if condition is not None or not self.input_spec_.single:
            column = self.input_spec_.column("condition", condition, len(code))
            given = {"code": code, "condition": column}
        return self._run(self.decoder, given, batch_size)

    def reconstruct(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the raw reconstruction, float32, shaped like `x`, without corruption or noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples per batch, for arrays.
        """
        return self._answers(self, x, batch_size)

    def _answers(self, model: Any, x: Any, batch_size: int, dtype: str = "float32") -> np.ndarray:
        checks.check_data(self, x)
        checks.check_adapted(self)
        return self._run(model, self.input_spec_.complete(x), batch_size, dtype)

    @staticmethod
    def _run(model: Any, x: Any, batch_size: int, dtype: str = "float32") -> np.ndarray:
        checks.check_batch_size(batch_size)
        options = {"batch_size": batch_size} if checks.is_array(x) else {}
        # Half-precision models return half-precision codes; results are float32.
        return np.asarray(keras.Model.predict(model, x, verbose=0, **options), dtype)

    # Scores and decisions ---------------------------------------------------------------

    def score(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each sample, `(samples,)`; higher is worse.

        The score is the model's reconstruction loss, in scaled units, without corruption or
        noise.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples per batch, for arrays.
        """
        return self._answers(self._cached("scorer", lambda: Scorer(self)), x, batch_size)

    def feature_scores(self, x: Any, batch_size: int = 1024) -> np.ndarray:
        """Return the reconstruction error of each feature, shaped like `x`, in scaled units.

        `score` is its mean over the features of a sample, or its sum for variational models.
        For images it is a map of the abnormal regions; for tables it identifies the abnormal
        columns.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            batch_size: Samples per batch, for arrays.

        Raises:
            ValueError: If the loss is not one of kerasae's, which have a value per feature.
        """
        if not isinstance(self.reconstruction_loss, losses.ReconstructionLoss):
            raise ValueError(
                "feature_scores requires a loss with a value per feature, one of "
                f"{', '.join(losses.LOSSES)}. Received: loss={self.reconstruction_loss.name!r}"
            )
        scorer = self._cached("feature_scorer", lambda: Scorer(self, per_feature=True))
        return self._answers(scorer, x, batch_size)

    def score_series(self, series: Any, stride: int = 1, batch_size: int = 1024) -> np.ndarray:
        """Return one score per time step of a long series, `(steps,)`; higher is worse.

        The model is applied to windows of its sample length; the score of a step is its mean
        error over all windows that cover it, and over the channels.

        Args:
            series: `(steps,)` or `(steps, channels)`, shaped like one sample, but longer.
            stride: Time steps from one window to the next.
            batch_size: Windows per batch.

        Raises:
            ValueError: If the model's samples are not series, or `series` does not fit them.
        """
        series = detection.as_series(self, series)
        checks.check_batch_size(batch_size)
        return detection.score_series(self, series, stride, batch_size)

    def calibrate(
        self,
        held_out: Any,
        false_alarm_rate: float = 0.01,
        *,
        stride: int | None = None,
        allow_training_rows: bool = False,
        batch_size: int = 1024,
    ) -> Calibration:
        """Find the threshold above which a sample is an anomaly, from held-out normal samples.

        The threshold is split-conformal: on average, at most a share `false_alarm_rate` of new
        normal samples is flagged, for any model and any distribution, provided that new and
        held-out samples are exchangeable. The calibration is saved and exported with the model;
        `fit` discards it, since it belongs to the weights.

        Args:
            held_out: Normal samples the model was not trained on: array
                `(samples, *input_shape)` or `tf.data.Dataset` of batches, in raw units; with
                `stride`, one long series.
            false_alarm_rate: Share of normal samples that may be flagged, between 0 and 1. It
                requires at least `ceil(1 / rate) - 1` samples.
            stride: For models of series: calibrate the scores of time steps that
                `score_series` returns, with windows this far apart. Neighbouring steps depend
                on each other, so the rate holds only in the long run.
            allow_training_rows: Accept rows that the model was trained on. Their scores are too
                low, so false alarms exceed the rate.
            batch_size: Samples per batch, for arrays.

        Returns:
            The `kerasae.anomaly.Calibration`, also stored as `ae.calibration`.

        Raises:
            ValueError: If there are too few samples for the rate, or the model was trained on
                them.

        References:
            Laxhammar and Falkman, 2010, as in `kerasae.anomaly.Calibration`.
        """
        check_rate(false_alarm_rate)
        if stride is not None:
            series = detection.as_series(self, held_out)
            batches = detection.windows_of(series, self.sample_shape[0])
        else:
            detection.check_held_out(held_out)
            checks.check_data(self, held_out, name="held_out")
            batches = checks.inputs_of(held_out)
        if not allow_training_rows and self.training_rows is not None:
            detection.refuse_training_rows(self.training_rows, batches)
        if stride is None:
            scores = self.score(held_out, batch_size)
        else:
            scores = self.score_series(held_out, stride, batch_size)
        self.calibration = Calibration(scores, false_alarm_rate, stride)
        return self.calibration

    def detect(
        self, x: Any, *, false_alarm_rate: float | None = None, batch_size: int = 1024
    ) -> dict[str, np.ndarray]:
        """Decide which samples are anomalies.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches;
                one long series if the model was calibrated with a `stride`.
            false_alarm_rate: Rate to use instead of the calibrated one.
            batch_size: Samples per batch, for arrays.

        Returns:
            `anomaly_score` (float32, as `score` returns), `p_value` (float64: how often a normal
            sample scores as high) and `is_anomaly` (bool), each `(samples,)`, or `(steps,)`.

        Raises:
            ValueError: If the model is not calibrated.
        """
        calibration = self.calibration
        if calibration is None:
            raise ValueError(
                "detect requires a calibrated model; call ae.calibrate(held_out, "
                "false_alarm_rate=0.01) (kerasae calibrate RUN) first. "
                "Received: a model without calibration"
            )
        if calibration.stride is None:
            scores = self.score(x, batch_size)
        else:
            scores = self.score_series(x, calibration.stride, batch_size)
        return {
            "anomaly_score": scores,
            "p_value": calibration.p_value(scores),
            "is_anomaly": calibration.is_anomaly(scores, false_alarm_rate),
        }

    def remember_training_rows(self, rows: Any, held_out: Any = ()) -> None:
        """Record rows that the model was trained on, so that `calibrate` can reject them.

        `fit` does this for arrays, and `kerasae.train` for its data; after `fit` on a
        `tf.data.Dataset`, call it yourself. A sample of hashes is stored, not the rows. From
        the hashes, a holder of the model can check whether a known row was among the training
        rows, and nothing else.

        Args:
            rows: Iterable of batches `(n, *input_shape)`.
            held_out: Batches of rows the model was not trained on, from which the number of
                rows that are equal by chance is estimated.
        """
        self.training_rows = detection.remember(self.training_rows, rows, held_out)

    # New samples ------------------------------------------------------------------------

    @property
    def can_generate(self) -> bool:
        """Whether `generate` has a distribution of codes to draw from."""
        return self.prior is not None or self.sampler is not None

    @property
    def code_distribution(self) -> samplers.Sampler | None:
        """The distribution that `generate` draws from: the fitted sampler, the prior, or None."""
        if self.sampler is not None or self.prior is None:
            return self.sampler
        arrays = {} if self.code_size is None else {"size": np.array(self.code_size, "int32")}
        return samplers.PRIORS[self.prior](arrays)

    def fit_sampler(self, x: Any, kind: str | None = None, seed: int = 0) -> samplers.Sampler:
        """Fit a distribution to the codes of data, for `generate` to draw from.

        With a sampler, any autoencoder can generate; a variational one then draws from the
        distribution of the observed codes instead of the prior. The sampler is saved and
        exported with the model; `fit` discards it, since it belongs to the weights.

        Args:
            x: Array `(samples, *input_shape)` in raw units, or a `tf.data.Dataset` of batches.
            kind: `"gaussian"` (the default), `"mixture"` (of Gaussians) or `"neighbour"`
                (between a code and one of its neighbours); for indices `"frequency"`.
            seed: Seed of the random choices in the fit.

        Returns:
            The `kerasae.samplers.Sampler`, also stored as `ae.sampler`.

        Raises:
            ValueError: If the kind is unknown.
        """
        code_kind = "indices" if self.code_dtype == "int32" else "vector"
        if kind is None:
            kind = "frequency" if code_kind == "indices" else "gaussian"
        samplers.check_kind(kind, code_kind)
        self.sampler = samplers.fit(self.encode(x), kind, seed)
        return self.sampler

    def generate(
        self,
        n: int,
        seed: int | None = None,
        batch_size: int = 1024,
        *,
        condition: Any = None,
    ) -> np.ndarray:
        """Return `n` new samples in raw units, float32, `(n, *input_shape)`.

        Codes are drawn from the fitted sampler if there is one, otherwise from the prior, and
        decoded.

        Args:
            n: Number of samples, >= 1.
            seed: Seed of the draw; the same seed gives the same samples. None draws a seed.
            batch_size: Samples per batch.
            condition: As for `decode`.

        Raises:
            ValueError: If the model has no distribution of codes to draw from.
        """
        source = self.code_distribution
        if source is None:
            raise ValueError(
                "generate requires a prior over codes, as kerasae.build('variational', ...) has, "
                "or a call of ae.fit_sampler(x) (--sampler gaussian) first. "
                f"Received: variant={self.variant!r}"
            )
        n = check_whole("n", n)
        if seed is not None:
            seed = check_whole("seed", seed, 0, 2**63 - 1)
        if condition is not None:
            self.input_spec_.column("condition", condition, n)
        generator = keras.random.SeedGenerator(seed)
        normal = keras.random.normal((n, self.latent_dim), seed=generator)
        uniform = keras.random.uniform((n, source.uniforms(self.latent_dim)), seed=generator)
        return self.decode(source.draw(normal, uniform), batch_size, condition=condition)

    def interpolate(self, a: Any, b: Any, steps: int = 8, *, spherical: bool = False) -> np.ndarray:
        """Return samples along a path from `a` to `b` through the space of codes.

        Args:
            a: First sample, `input_shape`, or samples `(n, *input_shape)`, raw.
            b: Last sample, or samples.
            steps: Number of samples, endpoints included, >= 2.
            spherical: Whether to move by equal angles instead of along a straight line; see
                `kerasae.samplers.interpolate`.

        Returns:
            `(steps, *input_shape)` or `(n, steps, *input_shape)`, float32. The endpoints are
            the reconstructions of `a` and `b`.
        """
        generation.check_continuous(self, "interpolate")
        a, b = np.asarray(a), np.asarray(b)
        single = a.ndim == len(self.sample_shape)
        first, last = (self.encode(end[None] if single else end) for end in (a, b))
        images = self._decode_grid(samplers.interpolate(first, last, steps, spherical))
        return images[0] if single else images

    def traverse(
        self, x: Any, steps: int = 7, span: float = 3.0, dimensions: Any = None
    ) -> np.ndarray:
        """Decode one sample's code while varying one dimension at a time.

        Models with a prior replace the value by values from `-span` to `span`, in standard
        deviations of the prior; others, with a fitted sampler, add that many standard
        deviations of the codes.

        Args:
            x: One raw sample, `input_shape`.
            steps: Values along each dimension, >= 2.
            span: Largest deviation, in standard deviations.
            dimensions: Indices of the code dimensions to vary; None takes all.

        Returns:
            `(dimensions, steps, *input_shape)`, float32.

        Raises:
            ValueError: If there is neither a prior nor a fitted sampler.
        """
        generation.check_continuous(self, "traverse")
        return self._decode_grid(generation.traversal(self, x, steps, span, dimensions))

    def manifold(self, steps: int = 20, coverage: float = 0.95) -> np.ndarray:
        """Return the samples decoded from a grid over a 2-D code, in equally probable steps.

        The grid lies at quantiles of the prior, from `(1 - coverage) / 2` to
        `(1 + coverage) / 2`; without a prior, at those of the fitted `"gaussian"` sampler.

        Args:
            steps: Grid points in each direction, >= 2.
            coverage: Probability mass between the edges, in each direction.

        Returns:
            `(steps, steps, *input_shape)`, float32; the first axis is code 1 from high to low,
            as on a map, the second is code 0 from low to high.

        Raises:
            ValueError: If the code does not have two dimensions, or there is no distribution.

        References:
            Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, figure 4.
        """
        generation.check_continuous(self, "manifold")
        return self._decode_grid(generation.plane(self, steps, coverage))

    def _decode_grid(self, codes: np.ndarray) -> np.ndarray:
        flat = self.decode(codes.reshape(-1, self.latent_dim))
        return flat.reshape(*codes.shape[:-1], *self.sample_shape)

    # Saving -----------------------------------------------------------------------------

    def export(self, path: Any, **options: Any) -> Any:
        """Write a verified SavedModel under `path`; see `kerasae.export`."""
        import kerasae

        return kerasae.export(self, path, **options)

    def _forget(self) -> None:
        """Discard the calibration and the sampler, which belong to the previous weights."""
        self.calibration = self.sampler = None

    def set_weights(self, weights: Any) -> None:
        """Set all weights, and discard the calibration and the sampler."""
        super().set_weights(weights)
        self._forget()

    def save_own_variables(self, store: Any) -> None:
        """Save the model's own weights, and the state that Keras does not save."""
        super().save_own_variables(store)
        saving.write(self, store)

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        saving.read(self, {key: np.asarray(store[key]) for key in keys if saving.is_own(key)})
        super().load_own_variables({key: store[key] for key in keys if not saving.is_own(key)})

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
            "recipe": serialize(self.recipe),
            "built_with": self.built_with,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Autoencoder":
        deserialize = keras.saving.deserialize_keras_object
        parts = {part: deserialize(config.get(part), custom_objects) for part in PARTS}
        loss = deserialize(config["loss"], custom_objects)
        recipe = deserialize(config["recipe"], custom_objects)
        if isinstance(recipe, dict):  # a file written before recipes were saved
            config = {**config, "built_with": recipe}
            recipe = None
        return cls(**{**config, **parts, "loss": loss, "recipe": recipe})


def _mean(value: Any, sample_weight: Any) -> Any:
    """Return the mean of `value` over a batch, weighted if it has a value per sample."""
    value = ops.cast(value, "float32")
    if len(value.shape) and sample_weight is not None:
        value = value * ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(value))
    return ops.mean(value)


def _by_name(fit: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` other than x and y, by name."""
    bound = inspect.signature(fit).bind(None, None, *args, **options).arguments
    return {name: value for name, value in bound.items() if name not in ("x", "y")}


def _training_inputs(x: Any, options: dict[str, Any]) -> Iterator[Any]:
    """Yield the batches of x that `fit` with `options` trains on."""
    return checks.inputs_of(
        x, options.get("validation_split") or 0.0, options.get("steps_per_epoch")
    )
