"""Operations without a backend-independent API in Keras: Philox noise, gradients, replicas."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasae.acceleration import philox


def _unsupported(what: str) -> NotImplementedError:
    return NotImplementedError(
        f"{what} supports only the TensorFlow and JAX backends. "
        f"Received: backend={keras.backend.backend()!r}"
    )


def normal(shape: tuple, seed: keras.random.SeedGenerator) -> Any:
    """Return float32 standard normal noise of `shape`; entries of `shape` may be tensors."""
    if keras.backend.backend() == "tensorflow":
        return philox.normal(shape, _own(seed.next()))
    return keras.random.normal(shape, seed=seed)


def uniform(shape: tuple, seed: keras.random.SeedGenerator) -> Any:
    """Return float32 uniform noise in [0, 1) of `shape`; entries of `shape` may be tensors."""
    if keras.backend.backend() == "tensorflow":
        return philox.uniform(shape, _own(seed.next()))
    return keras.random.uniform(shape, seed=seed)


def pure(layer: keras.Layer, training: bool | None) -> Callable[[Any], Any]:
    """Return `layer` as a function that changes no state and adds no losses."""
    trainable = [v.value for v in layer.trainable_variables]
    non_trainable = [v.value for v in layer.non_trainable_variables]

    def function(x: Any) -> Any:
        return layer.stateless_call(trainable, non_trainable, x, training=training)[0]

    return function


def call_with_vjps(
    layer: keras.Layer,
    x: Any,
    cotangents: Callable[[Any], list[Any]],
    training: bool | None,
    aside: bool = False,
) -> tuple[Any, list[Any]]:
    """Return `layer(x)` and the vector-Jacobian products `v^T dy/dx` for given vectors `v`.

    Both remain differentiable with respect to the variables of the layer.

    Args:
        layer: Maps `x` of shape `(batch, ...)` to `y` of shape `(batch, units)`, row by row.
        x: Tensor.
        cotangents: Maps `y` to the vectors `v`, each shaped like `y`.
        training: Passed to the layer.
        aside: Whether the call leaves no trace: no losses, no changed state.

    Returns:
        `y` and, for each `v`, a tensor shaped like `x`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = pure(layer, training)(x) if aside else layer(x, training=training)
        vectors = cotangents(y)
        return y, [tape.gradient(y, x, output_gradients=v) for v in vectors]
    if backend == "jax":
        import jax

        # The layer runs twice, once to update its state and once as a pure function for the
        # gradient; under jit, XLA merges the two.
        state = None if aside else layer(x, training=training)
        y, pullback = jax.vjp(pure(layer, training), x)
        y = y if aside else state
        return y, [pullback(v)[0] for v in cotangents(y)]
    raise _unsupported("JacobianPenalty")


def call_with_jacobian_norm(
    layer: keras.Layer, x: Any, training: bool | None, aside: bool = False
) -> tuple[Any, Any]:
    """Return `layer(x)` and `||dy/dx||_F^2` of each sample, by exact autodiff.

    Args:
        layer: Maps `x` of shape `(batch, ...)` to `y` of shape `(batch, units)`, row by row.
        x: Tensor.
        training: Passed to the layer.
        aside: Whether the call leaves no trace: no losses, no changed state.

    Returns:
        `y` and a tensor of shape `(batch,)`.
    """
    if keras.backend.backend() == "jax":
        import jax

        function = pure(layer, training)
        y = function(x) if aside else layer(x, training=training)
        jacobian = jax.vmap(jax.jacrev(lambda sample: function(sample[None])[0]))(x)
        return y, ops.sum(ops.square(jacobian), axis=tuple(range(1, len(jacobian.shape))))

    def unit_vectors(y: Any) -> list[Any]:
        return [
            ops.zeros_like(y) + ops.one_hot(j, y.shape[-1], dtype=y.dtype)
            for j in range(y.shape[-1])
        ]

    y, rows = call_with_vjps(layer, x, unit_vectors, training, aside)
    return y, sum(squared_norm(row) for row in rows)


def slope(function: Callable[[Any], Any], x: Any) -> Any:
    """Return the derivative of an elementwise `function` at `x`, differentiable again."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, unconnected_gradients="zero")
    if backend == "jax":
        import jax

        y, pullback = jax.vjp(function, x)
        return pullback(ops.ones_like(y))[0]
    raise _unsupported("JacobianPenalty")


def squared_norm(x: Any) -> Any:
    """Return the sum of squares over all but the first axis, in float32, shape `(batch,)`."""
    x = ops.cast(x, "float32")
    return ops.sum(ops.square(x), axis=tuple(range(1, len(x.shape))))


def replicas() -> int:
    """Return the number of `tf.distribute` replicas in sync, 1 on other backends."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    return 1


def _replica() -> Any:
    """Return the context of this replica, or None if there is only one."""
    if replicas() == 1:
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


def _own(state: Any) -> Any:
    """Return a seed state specific to this replica, so that replicas draw different noise."""
    replica = _replica()
    if replica is None:
        return state
    import tensorflow as tf

    number = tf.cast(replica.replica_id_in_sync_group, state.dtype)
    return state + tf.stack([number * 0x9E3779B1, 0])


def batch_share(samples: Any) -> Any:
    """Return the share of the whole batch on this replica, 1 if there is one replica.

    Args:
        samples: Number of samples on this replica, which may be 0.
    """
    replica = _replica()
    if replica is None:
        return 1.0 / replicas()
    own = ops.cast(samples, "float32")
    return own / replica.all_reduce("SUM", own)


def batch_size(x: Any) -> Any:
    """Return the number of samples of the whole batch, on whichever replica they are."""
    own = ops.shape(x)[0]
    replica = _replica()
    return own if replica is None else replica.all_reduce("SUM", ops.cast(own, "float32"))


def batch_mean(x: Any) -> Any:
    """Return the float32 mean over the samples of the whole batch, across replicas.

    The gradient is that of the mean over the samples of this replica. Weighted by `batch_share`
    and summed over replicas, like a loss, it becomes the gradient of the whole mean.

    Args:
        x: `(batch, ...)`.
    """
    x = ops.cast(x, "float32")
    replica = _replica()
    if replica is None:
        return ops.mean(x, axis=0)
    samples = ops.cast(ops.shape(x)[0], "float32")
    total = ops.sum(x, axis=0)
    sums = ops.concatenate([ops.reshape(ops.stop_gradient(total), [-1]), samples[None]])
    sums = replica.all_reduce("SUM", sums)
    mean = ops.reshape(sums[:-1], ops.shape(total)) / sums[-1]
    own = total / ops.maximum(samples, 1.0)
    return mean + own - ops.stop_gradient(own)
