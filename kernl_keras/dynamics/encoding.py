"""Codes that turn values into what input units send, all steps at once.

Every code is a function `(x [B, T, F], units, key, first) -> [B, T, F * units]` with `units` channels a feature, those
of the first feature first; `key` [2] is the key of its random draws, and `first` the number of examples that come
before these in a larger batch.
"""

import numpy as np
import tensorflow as tf

from ..uniform import uniform


def bernoulli_code(x, units, key, first=0):
    """Every channel spikes with the probability x, cut to [0, 1].

    Example:

    >>> bernoulli_code(tf.ones((2, 3, 1)), 4, [0, 0]).shape
    TensorShape([2, 3, 4])

    Reference: Gerstner, Kistler, Naud, Paninski, Neuronal Dynamics (2014), section 7.2.
    """
    probability = tf.repeat(tf.cast(x, tf.float32), units, axis=-1)
    return tf.cast(uniform(tf.shape(probability), key, first) < probability, x.dtype)


def thresholds(units):
    """units / 2 thresholds theta_j = j / (units / 2 + 1), evenly spaced inside (0, 1)."""
    return np.arange(1, units // 2 + 1) / (units // 2 + 1)


def threshold_code(x, units, key=None, first=0, before=None):
    """Channels that spike when x crosses their threshold: units / 2 on its way up, then units / 2 on its way down.

        up_j(t) = 1[x(t-1) < theta_j <= x(t)];  down_j(t) = 1[x(t) < theta_j <= x(t-1)]

    `before` is x(t-1) [B, T, F]; None where the sequence begins with the first step, before which x is 0.

    Example:

    >>> threshold_code(tf.constant([[[0.4], [0.9], [0.1]]]), 4)[0].numpy()  # thresholds 1/3 and 2/3
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 1., 1.]], dtype=float32)

    Reference: Bellec et al., arXiv:1803.09574 (2018), sequential MNIST.
    """
    before = tf.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1] if before is None else before
    theta = tf.constant(np.tile(thresholds(units), 2 * x.shape[-1]), x.dtype)  # [F * units]
    above, above_before = tf.repeat(x, units, axis=-1) >= theta, tf.repeat(before, units, axis=-1) >= theta
    is_up = np.tile(np.repeat([True, False], units // 2), x.shape[-1])  # [F * units]
    return tf.cast((above != above_before) & (above == is_up), x.dtype)


def current_code(x, units, key=None, first=0):
    """Every channel sends x itself, as a current.

    Example:

    >>> current_code(tf.constant([[[0.25, 0.5]]]), 3).numpy()
    array([[[0.25, 0.25, 0.25, 0.5 , 0.5 , 0.5 ]]], dtype=float32)

    Reference: the constant-current input of Gerstner, Kistler, Naud, Paninski, Neuronal Dynamics (2014), section 1.3.
    """
    return tf.repeat(x, units, axis=-1)


def context_code(counted, context_switch, total=None):
    """0, then 1 once more than `context_switch` was counted: [B, T, 1] -> [B, T, 1], what `ContextCell` sends.

    `total` is the count so far [B, T, 1]; None where the sequence begins with the first step.

    Example:

    >>> context_code(tf.ones((1, 5, 1)), 3)[0, :, 0].numpy()
    array([0., 0., 0., 1., 1.], dtype=float32)
    """
    total = tf.cumsum(counted, axis=1) if total is None else total
    return tf.cast(total > context_switch, counted.dtype)


CODES = {"bernoulli": bernoulli_code, "threshold": threshold_code, "current": current_code}
