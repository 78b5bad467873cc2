"""A maximum that fades, and its gradient, against a loop that TensorFlow differentiates by itself."""

import numpy as np
import tensorflow as tf

from kernl_keras.sequences.leaky import leaky_max


def looped(x, decay, start):
    v, found = start, []
    for now, d in zip(tf.unstack(x), tf.unstack(decay)):
        v = tf.where(now >= d * v, now, d * v)
        found.append(v)
    return tf.stack(found)


def test_values_and_gradients_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    x, start = tf.constant(rng.random((9, 3, 2)), tf.float32), tf.constant(2.0 * rng.random((3, 2)), tf.float32)
    decay = tf.constant(np.broadcast_to(rng.choice([0.5, 0.9, 1.0], (9, 3, 1)), (9, 3, 2)), tf.float32)
    errors = tf.constant(rng.normal(size=(9, 3, 2)), tf.float32)
    found = []
    for function, d in ((leaky_max, decay[..., :1]), (looped, decay)):
        with tf.GradientTape() as tape:
            tape.watch([x, start])
            v = function(x, d, start)
            value = tf.reduce_sum(v * errors)
        found.append([v, *tape.gradient(value, [x, start])])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.any(found[0][2]) and 0 < np.mean(np.asarray(found[0][1]) == 0.0) < 1
