"""Random numbers that can be resumed: stateless draws, keyed by a seed and a counter that is saved with the model.

Keras 3's `SeedGenerator` counts as well, but a saved model forgets its count (3.15), and Keras 2 has none.

No generator lives inside a time loop (Keras 3 runs a cell once more than the sequence is long), a saved model goes on
where it stopped, and the same seed gives the same bits in eager, graph and XLA mode.
"""

import random

import tensorflow as tf

from .checks import integer
from .keras_version import IS_KERAS_3


def check_seed(seed):
    """`(seed as given, seed to use)`; None draws from Python's generator, which `keras.utils.set_random_seed` sets."""
    if seed is None:
        return None, random.randrange(2**31)
    return (integer("seed", seed, low=0),) * 2


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
