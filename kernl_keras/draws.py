"""Random numbers that can be resumed: stateless draws by a seed and a count, the same bits in every mode of running.

The count is saved with the model, which Keras 3's `SeedGenerator` forgets (3.15) and Keras 2 has not. No generator
lives inside a time loop, for Keras 3 runs a cell once more than the sequence is long. TensorFlow's `stateless_uniform`
is not the same in every mode: plain kernels make a float of the low bits of its integers, XLA of the high ones.
"""

import random

import numpy as np
import tensorflow as tf

from .checks import integer
from .keras_version import IS_KERAS_3

WORD = 32  # signs in an integer


def check_seed(seed):
    """The seed to use; None draws one from Python's generator, which `keras.utils.set_random_seed` sets."""
    return random.randrange(2**31) if seed is None else integer("seed", seed, low=0)


def add_counter(layer):
    """A saved, untrained int32 weight of `layer` that counts its random draws."""
    aggregation = "only_first_replica" if IS_KERAS_3 else tf.VariableAggregation.ONLY_FIRST_REPLICA
    return layer.add_weight(
        name="draws", shape=(), dtype="int32", initializer="zeros", trainable=False, aggregation=aggregation
    )


def next_key(seed, counter, inputs=None):
    """The next key [2] for `tf.random.stateless_*`. The counter moves on by one, after `inputs` where given."""
    with tf.control_dependencies([] if inputs is None else [inputs]):
        counter.assign(counter + 1)
    return tf.stack([tf.constant(seed, tf.int32), tf.convert_to_tensor(counter)])


def fixed_key(seed):
    """The key that is used wherever draws must repeat, such as evaluation."""
    return tf.constant([seed, 0], tf.int32)


def random_bits(shape, key, dtype, first=0):
    """Random integers, the same in every mode, by an int32 key [2]; `first` rows of a longer draw come before these."""
    if not tf.is_tensor(first) and first == 0:
        return tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=dtype, alg="philox")
    sizes = tf.cast(tf.convert_to_tensor(shape), tf.int64)
    count, start = tf.reduce_prod(sizes), tf.cast(first, tf.int64) * tf.reduce_prod(sizes[1:])
    # Philox' key and counter, as `tf.random.stateless_uniform` makes them of its key.
    mix = _philox(tf.constant([0x02461E293EC8F720], tf.uint64), tf.cast(key, tf.uint64), [4], tf.uint32)
    low, high = tf.unstack(tf.reshape(tf.cast(mix, tf.uint64), (2, 2)), axis=1)
    words = tf.bitwise.bitwise_or(low, tf.bitwise.left_shift(high, tf.constant(32, tf.uint64)))
    # Philox counts, and makes four integers of each count. Those of earlier rows are passed over.
    counter = tf.stack([tf.cast(start // 4, tf.uint64), words[1]])
    bits = _philox(words[:1], counter, [count + 3], dtype)
    return tf.reshape(tf.slice(bits, [start % 4], [count]), shape)


def _philox(key, counter, shape, dtype):
    alg = tf.random.Algorithm.PHILOX.value
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=alg, dtype=dtype)


def uniform(shape, key, first=0):
    """Uniform draws in [0, 1), float32, multiples of 2^-24: u = floor(bits / 2^8) / 2^24. See `random_bits`.

    Reference: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), for the integers (Philox).
    """
    bits = random_bits(shape, key, tf.uint32, first)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def draw_signs(steps, batch, units, key, first=0):
    """The noise xi of the perturbed pass: signs, packed into int32 [T, B, ceil(H / 32)].

    Eq. (19) needs independent noise of mean 0 and variance 1, not a bell curve, and a sign costs a bit. To draw normal
    numbers took longer than the two passes together, as XLA drew them anew for every use. The signs of an example do
    not depend on how many follow it in the batch; `first` come before them in a larger one.
    """
    bits = random_bits((batch, steps, -(-units // WORD)), key, tf.int32, first)
    return tf.transpose(bits, (1, 0, 2))


def unpack_signs(packed, units, dtype):
    """+1 or -1 for each unit: int32 [.., ceil(H / 32)] -> [.., H] in `dtype`."""
    bit = tf.constant(np.arange(WORD), tf.int32)
    bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed[..., None], bit), 1)  # [.., W, 32]
    signs = tf.reshape(tf.cast(2 * bits - 1, dtype), tf.concat([tf.shape(packed)[:-1], [-1]], 0))
    return tf.ensure_shape(signs[..., :units], (*packed.shape[:-1], units))  # one unit would else be any number of them
