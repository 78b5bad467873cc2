"""Noise for the perturbed pass: independent signs +-1, of mean 0 and variance 1, 32 of them in an integer.

Eq. (19) needs independent noise of a known variance, not a bell curve, and a sign costs a bit: the bits are drawn once
before the loop over time, ride through it packed, and are unpacked where they are used. Drawing normal numbers took
longer than the two passes together: XLA drew them anew for every use.
"""

import numpy as np
import tensorflow as tf

from ..uniform import random_bits

WORD = 32


def draw_signs(steps, batch, units, key, first=0):
    """Packed random bits, int32 [T, B, ceil(H / 32)], the same in eager, graph and XLA mode.

    Those of an example do not depend on how many follow it in the batch.

    Args:
        steps, batch: T and B, numbers or scalar tensors.
        units: H.
        key: [2], as `draws.next_key` gives it.
        first: examples that come before these in a larger batch, see `uniform.random_bits`.
    """
    bits = random_bits((batch, steps, -(-units // WORD)), key, tf.int32, first)
    return tf.transpose(bits, (1, 0, 2))


def unpack_signs(packed, units, dtype):
    """+1 or -1 for each unit: int32 [.., ceil(H / 32)] -> [.., H] in `dtype`."""
    bit = tf.constant(np.arange(WORD), tf.int32)
    bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed[..., None], bit), 1)  # [.., W, 32]
    signs = tf.reshape(tf.cast(2 * bits - 1, dtype), tf.concat([tf.shape(packed)[:-1], [-1]], 0))
    return tf.ensure_shape(signs[..., :units], (*packed.shape[:-1], units))  # one unit would else be any number of them
