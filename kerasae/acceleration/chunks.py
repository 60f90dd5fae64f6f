"""Training many steps in one compiled function, where that is faster than Keras's own loop."""

import contextlib
import logging
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import keras

from kerasae.acceleration import compiling
from kerasae.acceleration.convolution import AsProduct, cpu_alone
from kerasae.data.pipelines import Resident, take, untuned

# Steps in a chunk at most, of batches from elsewhere and of samples in memory, and those from
# which a chunk pays.
_MOST, _MOST_RESIDENT, _LEAST = 16, 128, 4
# Steps of a training that save as much time as XLA takes to compile them, about two seconds; with
# convolutions, which take four, it is twice as many.
_WORTH = 1000
# Bytes of samples that a chunk of more than `_MOST` steps may have.
_GATHERED = 64 << 20
# Bytes of a batch's windows up to which products of matrices beat oneDNN's convolutions.
_LARGE = 32 << 20
_LOG = logging.getLogger("kerasae")
_BATCH_EVENTS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
# Callbacks of Keras that act on batches only where this attribute says so.
_BY_EPOCH = {"BackupAndRestore": "save_freq", "ModelCheckpoint": "save_freq"}
_BY_CHUNK = ("ProgbarLogger", "TerminateOnNaN")
_SLOW = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.RNN,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
)  # fmt: skip


class Chunks:
    """Lets `fit` of an `Autoencoder` run chunks of steps, each chunk one compiled function.

    Keras's `fit` hands an iterator to `train_function`, which takes `steps_per_execution`
    batches from it. Here they go through one function that XLA compiles as a loop over the
    steps; the metrics are updated once for all. A batch of another size than its neighbours,
    and what is left of an epoch, takes Keras's own step.
    """

    steps_per_execution: int
    train_function: Any
    test_function: Any
    predict_function: Any
    _compile_arguments: dict[str, Any]
    # Epochs of a training that goes on in several calls of `fit`, or None.
    planned_epochs: int | None = None
    _chunk_steps = 1
    # Keras's functions for `evaluate` and `predict`, by the steps that they take at once, and what
    # they are of. In a namespace, for Keras copies a dict that is given to a model.
    _functions = SimpleNamespace(known={}, of=None)
    # The steps to take at once outside of `fit`, while `fit` runs.
    _outside: int | None = None
    # The samples of this training, if its chunks gather them.
    _resident: Resident | None = None
    _told: str | None = None

    @contextlib.contextmanager
    def _in_chunks(self, x: Any, options: dict[str, Any]) -> Iterator[Any]:
        """Train in chunks, where that is possible and pays, during one call of `fit`.

        Args:
            x: What to train on, as Keras is to get it but for the pipeline of a `Resident`.
            options: The other arguments of `fit`, by name.

        Yields:
            What to hand to Keras as x.
        """
        resident = getattr(x, "kerasae_resident", None)
        reason = why_not(self, options.get("callbacks"), batch_size(x, options))
        steps = 1
        if reason is None and options.get("validation_steps"):
            reason = "validation_steps counts batches of neither arrays nor a tf.data.Dataset"
        if reason is None:
            full, must_divide = full_batches(x, options)
            begun = options.get("initial_epoch") or 0
            epochs = self.planned_epochs or (options.get("epochs") or 1) - begun
            most = _MOST if resident is None else most_steps(self, resident)
            possible = chunk_steps(full, must_divide, most)
            compiled = self.train_function is not None and possible == self._chunk_steps
            if full is None or full * epochs >= worth(self) or compiled or self._asked():
                steps = possible
        elif reason and reason != self._told:
            self._told = reason
            _LOG.info("Training goes step by step, since %s.", reason)
        if steps != self._chunk_steps:
            self.train_function = None
            self._chunk_steps = steps
        before, compiled_with = self.steps_per_execution, self._compile_arguments
        try:
            self._outside = before
            if steps > 1:
                self._set_steps(steps)
                self._resident = resident
            yield x if self._resident is None else _batch_numbers(self._resident)
        finally:
            if self._compile_arguments is compiled_with:  # or a callback compiled it anew
                self._set_steps(before)
            self._outside = self._resident = None

    def _refuse_second_fit(self) -> None:
        if self._outside is not None:
            raise ValueError(
                "fit was called while this model is trained, by a callback or another thread; "
                "train one after the other, or a copy of the model. "
                "Received: a model in training"
            )

    def _set_steps(self, steps: int) -> None:
        """Let Keras take so many steps at once; what it traced takes as many as it did then."""
        if steps == self.steps_per_execution:
            return
        if self._functions.of is not self._compile_arguments:
            self._functions = SimpleNamespace(known={}, of=self._compile_arguments)
        known = self._functions.known
        known[self.steps_per_execution] = self.test_function, self.predict_function
        self.steps_per_execution = steps
        self.test_function, self.predict_function = known.get(steps, (None, None))

    @contextlib.contextmanager
    def _as_outside(self) -> Iterator[None]:
        """Evaluate or predict in a callback as outside of `fit`: a chunk takes no fewer steps."""
        inside, compiled_with = self.steps_per_execution, self._compile_arguments
        self._set_steps(inside if self._outside is None else self._outside)
        try:
            yield
        finally:
            if self._compile_arguments is compiled_with:
                self._set_steps(inside)

    def _asked(self) -> bool:
        return self._compile_arguments.get("jit_compile", "auto") is True

    def make_train_function(self, force: bool = False) -> Any:
        """Make what `fit` calls with an iterator, for one step or for a chunk of steps."""
        known = None if force else self.train_function
        super().make_train_function(force=force)  # type: ignore[misc]
        if self._chunk_steps > 1 and self.train_function is not known:
            self.train_function = chunk_function(self, self.train_function)
        return self.train_function


def chunk_function(ae: Any, one_step: Callable[[Iterable[Any]], Any]) -> Callable[[Any], Any]:
    """Return a function that trains on as many batches of an iterator as a chunk has.

    Args:
        ae: The compiled model.
        one_step: Keras's function, which trains on the batches of a list one by one.
    """
    import tensorflow as tf

    steps, names = ae._chunk_steps, ["loss", *ae._term_trackers]
    trackers = [ae._loss_tracker, *ae._term_trackers.values()]

    def train(batch: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        with compiling(), tf.GradientTape() as tape:
            loss, terms = ae.losses_of(ae.training_pass(x), y, weight)
        weights = ae.trainable_weights
        ae.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        terms = {"loss": loss, **terms}
        return tf.stack([tf.cast(terms.get(name, 0.0), "float32") for name in names])

    @tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
    def all_steps(batches: Any) -> Any:
        def body(k: Any, totals: Any) -> Any:
            batch = tf.nest.map_structure(lambda stacked: stacked[k], batches)
            return k + 1, totals + train(batch)

        start = (tf.constant(0), tf.zeros(len(names)))
        return tf.while_loop(lambda k, _: k < steps, body, start)[1]

    def run(stacked: Any) -> Any:
        means = tf.unstack(all_steps(stacked) / steps)
        samples = steps * tf.shape(tf.nest.flatten(stacked)[0])[1]
        for tracker, mean in zip(trackers, means, strict=True):
            tracker.update_state(mean, sample_weight=samples)
        return ae.get_metrics_result()

    @tf.function(reduce_retracing=True, autograph=False)
    def chunk_of_batches(batches: Any) -> Any:
        return run(tf.nest.map_structure(lambda *parts: tf.stack(parts), *batches))

    @tf.function(reduce_retracing=True, autograph=False)
    def chunk_of_rows(values: Any, order: Any, first: Any, size: int, length: int | None) -> Any:
        # Within `all_steps`, each other number of samples would compile it anew.
        chosen = tf.reshape(order[first : first + steps * size], (steps, size))
        return run((take(values, chosen, length),))

    def one_by_one(batches: list[Any]) -> Any:
        if not batches:
            raise StopIteration
        for batch in batches:
            logs = one_step([batch])
        return logs

    pass_: Any = None
    order: Any = None
    first = 0

    def on_resident(iterator: Any) -> Any:
        nonlocal pass_, order, first
        if pass_ is None or pass_() is not iterator:
            pass_, order, first = weakref.ref(iterator), ae._resident.order(), 0
        size, length = ae._resident.batch_size, ae._resident.length
        begin, first = first, first + steps * size
        if first <= ae._resident.size:
            at = tf.constant(begin, tf.int64)
            return chunk_of_rows(ae._resident.values, order, at, size, length)
        starts = range(begin, min(first, ae._resident.size), size)
        return one_by_one([ae._resident.batch(order[at : at + size]) for at in starts])

    def on_iterator(iterator: Any) -> Any:
        batches = [batch for _, batch in zip(range(steps), iterator, strict=False)]
        if len(batches) == steps and len({_shapes(batch) for batch in batches}) == 1:
            return chunk_of_batches(tuple(_present(batch) for batch in batches))
        return one_by_one(batches)

    def function(iterator: Any) -> Any:
        # `train_on_batch`, in a callback, hands in a generator of one batch.
        of_fit = ae._resident is not None and isinstance(iterator, tf.data.Iterator)
        return on_resident(iterator) if of_fit else on_iterator(iterator)

    return function


def _batch_numbers(resident: Resident) -> Any:
    """Return a dataset with an element for each batch.

    None is read. Keras counts the steps by it, and makes an iterator of it for each pass.
    """
    import tensorflow as tf

    return untuned(tf.data.Dataset.range(resident.steps))


def _shapes(batch: Any) -> tuple:
    import tensorflow as tf

    return tuple(tuple(part.shape) for part in tf.nest.flatten(batch) if hasattr(part, "shape"))


def _present(batch: Any) -> Any:
    """Return a batch without what stands for a missing target or weight."""
    if not isinstance(batch, tuple):
        return (batch,)
    return tuple(part for part in batch if hasattr(part, "shape"))


# Whether, and how long ------------------------------------------------------------------------


def why_not(ae: Any, callbacks: Any, batch_size: int = 128) -> str | None:
    """Return why training cannot go in chunks, `""` if it would not pay, None if it can."""
    if keras.backend.backend() != "tensorflow" or not pays(ae, batch_size):
        return ""
    import tensorflow as tf

    from kerasae.models.autoencoder import Autoencoder

    if not ae.trainable_weights:
        return ""
    if tf.distribute.has_strategy() or ae._distribute_strategy is not None:
        return "a distribution strategy is in use"
    for name in ("train_step", "compute_loss"):
        if getattr(type(ae), name) is not getattr(Autoencoder, name):
            return f"{name} is overridden"
    if isinstance(ae.optimizer, keras.optimizers.LossScaleOptimizer):
        return "the optimizer scales the loss"
    asked = ae._compile_arguments
    if asked.get("metrics") or asked.get("weighted_metrics"):
        return "compiled metrics look at every batch"
    for callback in getattr(callbacks, "callbacks", callbacks) or ():
        if acts_on_batches(callback):
            return f"the callback {type(callback).__name__} acts on batches"
    return None


def pays(ae: Any, batch_size: int) -> bool:
    """Return whether XLA trains this model faster here than Keras's own loop.

    It does for dense networks on a CPU, and for convolutions of ours whose windows are no more
    than the cache holds; others are faster in oneDNN, and on a GPU Keras compiles each step.
    """
    asked = ae._compile_arguments
    if asked.get("run_eagerly") or asked.get("steps_per_execution", "auto") != "auto":
        return False
    jit = asked.get("jit_compile", "auto")
    if jit != "auto":
        return bool(jit)
    layers = list(ae._flatten_layers(include_self=False))
    if not all(getattr(layer, "supports_jit", True) for layer in layers):
        return False
    if not cpu_alone():
        return False
    if any(layer.compute_dtype != "float32" for layer in layers if layer.weights):
        return False
    convolutions = [layer for layer in layers if isinstance(layer, _SLOW)]
    if not all(isinstance(layer, AsProduct) and layer.can_be_product() for layer in convolutions):
        return False
    return batch_size * sum(layer.row_bytes() for layer in convolutions) <= _LARGE


def worth(ae: Any) -> int:
    """Return the steps of a training that save as much time as compiling takes."""
    return _WORTH * (2 if any(isinstance(each, AsProduct) for each in ae._flatten_layers()) else 1)


def acts_on_batches(callback: Any) -> bool:
    """Return whether a callback looks at single steps of training."""
    name = type(callback).__name__
    if getattr(callback, "acts_on_chunks", False) or name in _BY_CHUNK:
        return False
    if name in _BY_EPOCH and type(callback).__module__.startswith("keras."):
        return getattr(callback, _BY_EPOCH[name], None) != "epoch"
    base = keras.callbacks.Callback
    return any(
        event in vars(callback) or getattr(type(callback), event) is not getattr(base, event)
        for event in _BATCH_EVENTS
    )


def batch_size(x: Any, options: dict[str, Any]) -> int:
    """Return the batch size of what is trained on, or a usual one where it is not known."""
    if hasattr(x, "kerasae_resident"):
        return x.kerasae_resident.batch_size
    if hasattr(x, "shape"):
        return options.get("batch_size") or 32
    shapes = [part.shape for part in keras.tree.flatten(getattr(x, "element_spec", ()))]
    return (shapes and shapes[0].rank and shapes[0][0]) or 128


def full_batches(x: Any, options: dict[str, Any]) -> tuple[int | None, bool]:
    """Return how many full batches an epoch has, if known, and whether chunks must divide it."""
    resident = getattr(x, "kerasae_resident", None)
    stated = [options.get("steps_per_epoch"), keras.config.max_steps_per_epoch()]
    stated = [int(steps) for steps in stated if steps]
    if stated and (resident is None or min(stated) < resident.steps):
        return min(stated), True
    if resident is not None:
        return resident.size // resident.batch_size, False
    if hasattr(x, "shape"):
        n = int(x.shape[0] * (1 - (options.get("validation_split") or 0.0)))
        return n // (options.get("batch_size") or 32), False
    if hasattr(x, "cardinality"):
        known = int(x.cardinality())
        return (None if known < 0 else known - 1), False
    return None, False


def most_steps(ae: Any, resident: Resident) -> int:
    """Return how many steps a chunk on samples in memory may have.

    What is on the screen, Ctrl-C and a NaN wait for its end: about half a second at 1e11
    operations a second, six for each product of a weight and a value.
    """
    layers = ae._flatten_layers(include_self=False)
    products = sum(math.prod(weight.shape) for weight in ae.trainable_weights)
    for layer in layers:
        if isinstance(layer, AsProduct):
            products += layer.products()
        elif isinstance(layer, _SLOW) or getattr(layer, "method", "estimate") != "estimate":
            return _MOST  # The work of another convolution or of a whole Jacobian is not counted.
    by_work = int(5e10 / (6 * products * resident.batch_size))
    by_bytes = _GATHERED // (resident.sample_bytes * resident.batch_size)
    return max(_MOST, min(_MOST_RESIDENT, by_work, by_bytes))


def chunk_steps(full: int | None, must_divide: bool = False, most: int = _MOST) -> int:
    """Return how many steps make a chunk, so that few are left over of an epoch; 1 for none.

    A chunk takes about as long to begin as a step left over, which goes alone.
    """
    if full is None:
        return 12
    if full < _LEAST:
        return 1
    sizes = range(min(most, full), _LEAST - 1, -1)
    if must_divide:
        return next((size for size in sizes if full % size == 0), 1)
    return min(sizes, key=lambda size: full % size + full // size)
