"""Sequences of which whole channels are left out at random: a network that does not lean on one channel alone."""

import tensorflow as tf


def without_channels(x, rate, key):
    """Each channel of each sequence, 0 at all steps with the probability `rate`, and else multiplied by 1/(1 - rate).

    y[b, t, i] = m_bi x[b, t, i] / (1 - rate), with m_bi 0 with the probability `rate` and 1 else: the mean stays what
    it is. That is `keras.layers.SpatialDropout1D`, but decided by the key, so that a run resumes to the bit.

    Args:
        x: [B, T, I].
        rate: float in [0, 1).
        key: int64 [2], which decides all m_bi.

    Returns:
        [B, T, I].

    Example:

    >>> x = tf.ones((1, 2, 4))
    >>> without_channels(x, 0.5, key=tf.constant([0, 4], tf.int64))[0].numpy()
    array([[2., 0., 2., 2.],
           [2., 0., 2., 2.]], dtype=float32)

    Source:
        Tompson et al. 2015, "Efficient object localization using convolutional networks" (arXiv:1411.4280).
    """
    draws = tf.random.stateless_uniform([tf.shape(x)[0], 1, x.shape[2]], key, dtype=x.dtype, alg="philox")
    return tf.where(draws < rate, tf.zeros_like(x), x / (1.0 - rate))
