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

from kerasae.acceleration._state import enabled, in_xla

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

    if not enabled():
        return tf.random.stateless_normal(shape, seed)
    blocks, key = _blocks(shape), _key(seed)
    # The first half of the numbers are cosines of both pairs of a block, the second are sines.
    if in_xla():
        piece, (w, x, y, z) = _integers(blocks, key)
        second, cosine = piece % 2 == 1, piece < 2
        radius, turns = _polar(tf.where(second, y, w), tf.where(second, z, x))
        size, sign = tf.abs(turns), tf.where(cosine, 1.0, tf.sign(turns))
        quarter = tf.where(cosine, 0.25 - size, tf.minimum(size, 0.5 - size))
        return _shaped(sign * radius * _sine(2 * math.pi * quarter), shape)
    w, x, y, z = tf.unstack(_drawn(blocks, key), axis=1)
    radius, turns = _polar(tf.stack([w, y]), tf.stack([x, z]))
    size = tf.abs(turns)
    sines = tf.sign(turns) * radius * _sine(2 * math.pi * tf.minimum(size, 0.5 - size))
    cosines = radius * _sine(2 * math.pi * (0.25 - size))
    return _shaped(tf.stack([cosines, sines]), shape)


def uniform(shape: Any, seed: Any) -> Any:
    """Return uniform numbers in [0, 1), multiples of 2**-24, float32.

    Args:
        shape: Shape; entries may be tensors.
        seed: Tensor of two integers.
    """
    import tensorflow as tf

    if not enabled():
        return tf.random.stateless_uniform(shape, seed)
    blocks, key = _blocks(shape), _key(seed)
    if in_xla():
        piece, (w, x, y, z) = _integers(blocks, key)
        integers = tf.where(piece < 2, tf.where(piece < 1, w, x), tf.where(piece < 3, y, z))
    else:
        integers = tf.transpose(_drawn(blocks, key))
    upper = tf.bitwise.right_shift(integers, np.uint32(8))
    return _shaped(tf.cast(upper, tf.float32) * 2**-24, shape)


def _blocks(shape: Any) -> Any:
    """Return how many blocks of four integers `shape` needs."""
    import tensorflow as tf

    return (tf.reduce_prod(tf.stack(shape)) + 3) // 4 if len(shape) else tf.constant(1)


def _key(seed: Any) -> Any:
    """Return the low 32 bits of the two integers of a seed."""
    import tensorflow as tf

    return tf.cast(tf.bitwise.bitwise_and(tf.cast(seed, tf.int64), 0xFFFFFFFF), tf.uint32)


def _drawn(blocks: Any, key: Any) -> Any:
    """Return the integers of all blocks, `(blocks, 4)`, from the kernel of TensorFlow."""
    import tensorflow as tf

    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([blocks, 4]),
        key=tf.bitcast(key, tf.uint64)[None],
        counter=tf.zeros(2, tf.uint64),
        alg=_PHILOX,
        dtype=tf.uint32,
    )


def _integers(blocks: Any, key: Any) -> tuple[Any, list[Any]]:
    """Return numbers 0 to 3 of a piece, `(4, blocks)`, and the four integers of each block there.

    Every entry computes its block by itself. That is four times the work, and yet a fraction of
    what XLA takes to write four results side by side.
    """
    import tensorflow as tf

    piece = tf.tile(tf.range(4)[:, None], [1, blocks])
    counter = tf.tile(tf.cast(tf.range(blocks), tf.uint32)[None], [4, 1])
    zero = tf.zeros_like(counter)
    return piece, _philox(key[0], key[1], [counter, zero, zero, zero])


def _polar(first: Any, second: Any) -> tuple[Any, Any]:
    """Return the radius of a pair of normal numbers and its angle in turns, -1/2 to 1/2."""
    import tensorflow as tf

    # Uniform in (0, 1], whose logarithm is finite.
    open_below = tf.cast(first, tf.float32) * 2**-32 + 2**-33
    turns = tf.cast(tf.bitcast(second, tf.int32), tf.float32) * 2**-32
    return tf.sqrt(-2.0 * tf.math.log(open_below)), turns


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
    return tf.reshape(tf.reshape(numbers, [-1])[:size], shape)
