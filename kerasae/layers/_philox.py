"""Noise on TensorFlow: Philox numbers that are the same with XLA and without, and cheap in both.

TensorFlow's own stateless draws differ under XLA, where they take as long as a training step of
a small network. The integers here are those of Philox4x32-10, whose key is the seed and whose
counter is the number of the block (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
SC 2011). Outside XLA a kernel of TensorFlow draws them, inside XLA its formula, which XLA turns
into vector instructions. Box and Muller's transform (1958) makes them normal.
"""

import math
from typing import Any

import numpy as np

from kerasae.layers._step import current_step

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_PHILOX = 1  # TensorFlow's number of the algorithm


def normal(shape: Any, seed: Any) -> Any:
    """Return standard normal numbers, float32.

    Args:
        shape: Shape; entries may be tensors.
        seed: Tensor of two integers.
    """
    import tensorflow as tf

    first, second, third, fourth = _blocks(shape, seed)
    # Uniform in (0, 1], whose logarithm is finite, and in turns from -1/2 to 1/2.
    radius = tf.sqrt(-2.0 * tf.math.log(_scaled(tf.concat([first, third], 0), 2**-32, 2**-33)))
    signed = tf.bitcast(tf.concat([second, fourth], 0), tf.int32)
    turns = tf.cast(signed, tf.float32) * 2**-32
    size = tf.abs(turns)
    cosine = _sine(math.pi / 2 - 2 * math.pi * size)
    sine = _sine(2 * math.pi * tf.minimum(size, 0.5 - size)) * tf.sign(turns)
    return _shaped(tf.concat([radius * cosine, radius * sine], 0), shape)


def uniform(shape: Any, seed: Any) -> Any:
    """Return uniform numbers in [0, 1), multiples of 2**-24, float32.

    Args:
        shape: Shape; entries may be tensors.
        seed: Tensor of two integers.
    """
    import tensorflow as tf

    integers = tf.concat(_blocks(shape, seed), 0)
    return _shaped(_scaled(tf.bitwise.right_shift(integers, np.uint32(8)), 2**-24, 0.0), shape)


def _blocks(shape: Any, seed: Any) -> list[Any]:
    """Return the four integers of as many blocks as `shape` needs, each `(blocks,)` of uint32."""
    import tensorflow as tf

    count = (tf.reduce_prod(tf.stack(shape)) + 3) // 4 if len(shape) else tf.constant(1)
    # Whatever the integers of the seed are, their low 32 bits are the key.
    key = tf.cast(tf.bitwise.bitwise_and(tf.cast(seed, tf.int64), 0xFFFFFFFF), tf.uint32)
    step = current_step()
    if step is not None and step.xla:
        counter = tf.cast(tf.range(count), tf.uint32)
        zero = tf.zeros_like(counter)
        return _philox(key[0], key[1], [counter, zero, zero, zero])
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([count, 4]), key=tf.bitcast(key, tf.uint64)[None],
        counter=tf.zeros(2, tf.uint64), alg=_PHILOX, dtype=tf.uint32,
    )  # fmt: skip
    return tf.unstack(drawn, axis=1)


def _philox(low: Any, high: Any, x: list[Any]) -> list[Any]:
    """Return Philox4x32-10 of the key `(low, high)` and the counters `x`."""
    import tensorflow as tf

    xor = tf.bitwise.bitwise_xor
    for _ in range(_ROUNDS):
        (high0, low0), (high2, low2) = (
            _product(multiplier, x[i]) for multiplier, i in zip(_MULTIPLIERS, (0, 2), strict=True)
        )
        x = [xor(xor(high2, x[1]), low), low2, xor(xor(high0, x[3]), high), low0]
        low, high = low + np.uint32(_WEYL[0]), high + np.uint32(_WEYL[1])
    return x


def _product(multiplier: int, x: Any) -> tuple[Any, Any]:
    """Return the high and the low half of a product of 32-bit integers."""
    import tensorflow as tf

    product = tf.cast(x, tf.uint64) * tf.constant(multiplier, tf.uint64)
    return tf.cast(tf.bitwise.right_shift(product, np.uint64(32)), tf.uint32), tf.cast(
        product, tf.uint32
    )


def _scaled(integers: Any, factor: float, offset: float) -> Any:
    import tensorflow as tf

    return tf.cast(integers, tf.float32) * factor + offset


def _sine(x: Any) -> Any:
    """Return the sine of `x` from -pi/2 to pi/2, to the last bits of float32."""
    square = x * x
    result = -1.0 / math.factorial(11)
    for order in (9, 7, 5, 3, 1):
        sign = 1.0 if order % 4 == 1 else -1.0
        result = result * square + sign / math.factorial(order)
    return x * result


def _shaped(numbers: Any, shape: Any) -> Any:
    import tensorflow as tf

    size = tf.reduce_prod(tf.stack(shape)) if len(shape) else 1
    return tf.reshape(numbers[:size], shape)
