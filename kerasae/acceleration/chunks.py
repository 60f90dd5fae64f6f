"""Chunks of training steps on samples in memory, each one function that XLA compiles.

Keras's `fit` hands an iterator over batches to `model.train_function`, which takes one step. Here
a batch to Keras is the row numbers of many batches: `train_function` gathers their samples and
takes a step for each. Keras orders the row numbers as it orders samples, and a step is the
model's own `train_step`, so the results are those of Keras's own loop.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kerasae.acceleration._state import compiling, enabled
from kerasae.acceleration.convolution import AsProduct, cpu_alone
from kerasae.acceleration.samples import Samples, samples_of

# Steps of a chunk: at most, at most where their work is not known, and the fewest that pay.
_MOST, _MOST_UNKNOWN, _LEAST = 128, 16, 4
# Steps of a training that save as much time as XLA takes to compile them, about two seconds; with
# convolutions, which take four, it is twice as many.
_WORTH = 1000
# Bytes of samples that a chunk of more than `_MOST_UNKNOWN` steps may have.
_GATHERED = 64 << 20
# Bytes of a batch's windows up to which products of matrices beat oneDNN's convolutions.
_LARGE = 32 << 20
_LOG = logging.getLogger("kerasae")
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
# Callbacks of Keras that may take a chunk for a batch.
_HARMLESS = (keras.callbacks.ProgbarLogger, keras.callbacks.TerminateOnNaN)
_SLOW = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.RNN,
)


class TrainFunction:
    """A `train_function` of Keras that also takes the row numbers of a chunk.

    Args:
        model: A compiled model.
        one_step: What Keras made for it.

    Attributes:
        samples: What the row numbers are of, during a call of `fit` that trains in chunks.
        steps: Steps of a chunk.
        compiled: Pairs of `steps` and batch size that XLA has compiled.
    """

    def __init__(self, model: Any, one_step: Callable[[Any], Any]):
        self.samples: Samples | None = None
        self.steps = 1
        self.compiled: set[tuple[int, int]] = set()
        self._one_step = one_step
        self._chunk = _chunk_function(model)

    def __call__(self, iterator: Any) -> Any:
        import tensorflow as tf

        # `train_on_batch`, in a callback, hands in a generator of one batch.
        if self.samples is None or not isinstance(iterator, tf.data.Iterator):
            return self._one_step(iterator)
        size = self.samples.batch_size
        (rows,) = keras.tree.flatten(next(iterator))
        full, left = divmod(int(rows.shape[0]), size)
        if full:
            chosen = tf.pad(rows[: full * size], [(0, (self.steps - full) * size)])
            chosen = tf.reshape(chosen, (self.steps, size))
            # Gathered here, since XLA compiles again for each other number of samples.
            logs = self._chunk(self.samples.gather(chosen), tf.constant(full, "int32"))
            self.compiled.add((self.steps, size))
        if left:
            logs = self._one_step([self.samples.gather(rows[full * size :])])
        return logs


def _chunk_function(model: Any) -> Callable[[tuple, Any], Any]:
    """Return a function that trains a model on batches, and returns its metrics.

    It takes tensors with an entry for each batch, and how many of the batches to train on.
    """
    import tensorflow as tf

    @tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
    def chunk(batches: tuple, steps: Any) -> Any:
        def body(k: Any) -> Any:
            with compiling():
                model.train_step(tuple(part[k] for part in batches))
            return k + 1

        tf.while_loop(lambda k: k < steps, body, [tf.constant(0)])
        return model.get_metrics_result()

    return chunk


def train_function(model: Any, made: Any) -> Any:
    """Return the `train_function` of a model, from what Keras made for it.

    Call it in `make_train_function`.
    """
    if keras.backend.backend() != "tensorflow" or not enabled() or isinstance(made, TrainFunction):
        return made
    return TrainFunction(model, made)


@contextlib.contextmanager
def training(
    model: Any, x: Any, y: Any, options: dict[str, Any], asked: dict[str, Any]
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Train in chunks, where that is possible and pays, during one call of `fit`.

    Args:
        model: A compiled model whose `make_train_function` calls `train_function`. Its
            `planned_epochs`, if there is one, says how many epochs several calls of `fit` take.
        x, y: What to train on.
        options: The other arguments of `fit`, by name.
        asked: The arguments of `compile`, by name.

    Yields:
        x, y and options to call `fit` of Keras with.
    """
    if keras.backend.backend() != "tensorflow":
        yield x, y, options
        return
    function = model.make_train_function()
    if not isinstance(function, TrainFunction):
        yield x, y, options
        return
    before = function.samples, function.steps
    function.samples = samples = samples_of(x, y, options) if enabled() else None
    if samples is not None:
        function.steps = steps_of(model, samples, options, asked, function.compiled)
        if function.steps > 1:
            samples.load()
            x, options = samples.row_numbers(function.steps, options)
            y = None
        else:
            function.samples = None
    try:
        yield x, y, options
    finally:
        function.samples, function.steps = before


# Whether, and how long ------------------------------------------------------------------------


def steps_of(
    model: Any,
    samples: Samples,
    options: dict[str, Any],
    asked: dict[str, Any],
    compiled: set[tuple[int, int]],
) -> int:
    """Return how many steps a chunk is to have, 1 where training goes step by step.

    Args:
        model, options, asked: As in `training`.
        samples: What to train on.
        compiled: As in `TrainFunction`.
    """
    reason = why_not(model, options.get("callbacks"), samples.batch_size, asked)
    if reason:
        _LOG.info("Training goes step by step, since %s.", reason)
    if reason is not None:
        return 1
    full = samples.size // samples.batch_size
    stated = options.get("steps_per_epoch")
    steps = chunk_steps(full, stated, most_steps(model, samples))
    epochs = getattr(model, "planned_epochs", None) or (
        (options.get("epochs") or 1) - (options.get("initial_epoch") or 0)
    )
    pays_off = (stated or full) * epochs >= worth(model) or asked.get("jit_compile") is True
    return steps if pays_off or (steps, samples.batch_size) in compiled else 1


def why_not(model: Any, callbacks: Any, batch_size: int, asked: dict[str, Any]) -> str | None:
    """Return why training cannot go in chunks, `""` if it would not pay, None if it can."""
    import tensorflow as tf

    if not pays(model, batch_size, asked) or not model.trainable_weights:
        return ""
    if (
        tf.distribute.has_strategy()
        or model.distribute_strategy is not tf.distribute.get_strategy()
    ):
        return "a distribution strategy is in use"
    if keras.config.max_steps_per_epoch():
        return "keras.config.set_max_steps_per_epoch counts batches"
    for name in ("train_step", "compute_loss", "compute_metrics", "call"):
        if not getattr(type(model), name).__module__.startswith(("keras.", "kerasae.")):
            return f"{name} is overridden"
    if asked.get("metrics") or asked.get("weighted_metrics"):
        return "compiled metrics may not be for XLA"
    for callback in keras.tree.flatten(getattr(callbacks, "callbacks", callbacks or [])):
        if acts_on_batches(callback):
            return f"the callback {type(callback).__name__} acts on batches"
    return None


def pays(model: Any, batch_size: int, asked: dict[str, Any]) -> bool:
    """Return whether XLA trains this model faster here than Keras's own loop.

    It does for dense networks on a CPU, and for convolutions of ours whose windows are no more
    than the cache holds; others are faster in oneDNN, and on a GPU Keras compiles each step.
    """
    if asked.get("run_eagerly") or asked.get("steps_per_execution", "auto") != "auto":
        return False
    jit = asked.get("jit_compile", "auto")
    if jit != "auto":
        return bool(jit)
    layers = list(model._flatten_layers(include_self=False))
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


def worth(model: Any) -> int:
    """Return the steps of a training that save as much time as compiling takes."""
    return _WORTH * (
        2 if any(isinstance(each, AsProduct) for each in model._flatten_layers()) else 1
    )


def acts_on_batches(callback: Any) -> bool:
    """Return whether a callback looks at single steps of training.

    It does if it overrides a method for batches, or was given one as `LambdaCallback` is, unless
    an attribute says otherwise: `acts_on_chunks`, or Keras's `save_freq="epoch"`.
    """
    if getattr(callback, "acts_on_chunks", False):
        return False
    unconcerned = [keras.callbacks.Callback, *_HARMLESS]
    if getattr(callback, "save_freq", None) == "epoch":
        unconcerned += [keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore]
    return any(
        hook in vars(callback)
        or all(getattr(type(callback), hook) is not getattr(base, hook) for base in unconcerned)
        for hook in _BATCH_HOOKS
    )


def most_steps(model: Any, samples: Samples) -> int:
    """Return how many steps a chunk may have.

    What is on the screen, Ctrl-C and a NaN wait for its end: about half a second at 1e11
    operations a second, six for each product of a weight and a value.
    """
    products = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, AsProduct):
            products += layer.products()
        elif isinstance(layer, _SLOW) or getattr(layer, "method", "estimate") != "estimate":
            return _MOST_UNKNOWN  # another convolution, or a whole Jacobian
    by_work = int(5e10 / (6 * products * samples.batch_size))
    by_bytes = _GATHERED // (samples.sample_bytes * samples.batch_size)
    return max(_MOST_UNKNOWN, min(_MOST, by_work, by_bytes))


def chunk_steps(full: int, stated: int | None = None, most: int = _MOST) -> int:
    """Return how many steps make a chunk, 1 where there are too few.

    Args:
        full: Full batches in a pass over the samples.
        stated: `steps_per_epoch`, which chunks must divide.
        most: Steps of a chunk at most.
    """
    if stated:
        sizes = range(min(most, full), _LEAST - 1, -1)
        return next((size for size in sizes if stated % size == 0), 1)
    steps = math.ceil(full / math.ceil(full / most)) if full else 1
    return steps if steps >= _LEAST else 1
