"""Uniform draws that are the same bits in eager, graph and XLA mode.

TensorFlow's `stateless_uniform` is not: the random integers below it are, but plain kernels make a float of their low
bits and XLA of their high bits.
"""

import tensorflow as tf


def uniform(shape, key):
    """Uniform draws in [0, 1), multiples of 2^-24: u = floor(bits / 2^8) / 2^24.

    Args:
        shape: shape of the draws.
        key: int32 [2]; the same key gives the same draws.

    Returns:
        float32 tensor of `shape`.

    Example:

    >>> bool(tf.reduce_all(uniform((3, 2), [0, 1]) == tf.function(uniform, jit_compile=True)((3, 2), [0, 1])))
    True

    Reference: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), for the integers (Philox).
    """
    bits = tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
