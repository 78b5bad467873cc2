"""Uniform draws that are the same bits in eager, graph and XLA mode.

TensorFlow's `stateless_uniform` is not: the random integers below it are, but plain kernels make a float of their low
bits and XLA of their high bits.
"""

import tensorflow as tf


def random_bits(shape, key, dtype, first=0):
    """Random integers, the same in every mode.

    Args:
        shape: shape of the draws, of rank >= 1 where there is a `first`.
        key: int32 [2]; the same key gives the same draws.
        dtype: `tf.int32` or `tf.uint32`.
        first: rows of a longer draw that come before these, a number or a scalar tensor: a replica that has a part of
            a batch draws what one device with the whole batch draws for these rows.
    """
    if not tf.is_tensor(first) and first == 0:
        return tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=dtype, alg="philox")
    sizes = tf.cast(tf.convert_to_tensor(shape), tf.int64)
    count, start = tf.reduce_prod(sizes), tf.cast(first, tf.int64) * tf.reduce_prod(sizes[1:])
    # Philox counts, and makes four integers of each count. Those of earlier rows are passed over.
    bits = philox(*mixed(key, start // 4), [count + 3], dtype)
    return tf.reshape(tf.slice(bits, [start % 4], [count]), shape)


def mixed(key, count):
    """Philox' key [1] and counter [2] as `tf.random.stateless_uniform` makes them of its key, `count` counts later."""
    mix = philox(tf.constant([0x02461E293EC8F720], tf.uint64), tf.cast(key, tf.uint64), [4], tf.uint32)
    low, high = tf.unstack(tf.reshape(tf.cast(mix, tf.uint64), (2, 2)), axis=1)
    words = tf.bitwise.bitwise_or(low, tf.bitwise.left_shift(high, tf.constant(32, tf.uint64)))
    return words[:1], tf.stack([tf.cast(count, tf.uint64), words[1]])


def philox(key, counter, shape, dtype):
    """Random integers from here on."""
    alg = tf.random.Algorithm.PHILOX.value
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=alg, dtype=dtype)


def uniform(shape, key, first=0):
    """Uniform draws in [0, 1), multiples of 2^-24: u = floor(bits / 2^8) / 2^24.

    Args:
        shape, key, first: as of `random_bits`.

    Returns:
        float32 tensor of `shape`.

    Example:

    >>> bool(tf.reduce_all(uniform((3, 2), [0, 1]) == tf.function(uniform, jit_compile=True)((3, 2), [0, 1])))
    True

    Reference: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), for the integers (Philox).
    """
    bits = random_bits(shape, key, tf.uint32, first)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
