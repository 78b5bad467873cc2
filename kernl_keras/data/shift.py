"""Sequences that are moved at random, in time and over their features: more examples out of few."""

import tensorflow as tf


def shifted(x, largest, key):
    """Each sequence of a batch, moved by whole steps and features; what moves in is zero, what moves out is lost.

    y[b, t, i] = x[b, t - s_b, i - f_b], with s_b uniform in -S ... S and f_b uniform in -F ... F.

    Args:
        x: [B, T, I].
        largest: (S, F), int.
        key: int64 [2], which decides all s_b and f_b.

    Returns:
        [B, T, I].

    Example:

    >>> x = tf.constant([[[1.0], [2.0], [3.0]]])
    >>> shifted(x, (1, 0), key=tf.constant([0, 7], tf.int64))[0, :, 0].numpy()
    array([0., 1., 2.], dtype=float32)
    """
    batch, sizes = tf.shape(x)[0], x.shape[1:]
    moves = tf.random.experimental.stateless_split(key, 2, alg="philox")
    padded = tf.pad(x, [[0, 0], *([most, most] for most in largest)])
    for axis, most in enumerate(largest):
        move = tf.random.stateless_uniform([batch, 1], moves[axis], -most, most + 1, tf.int32, alg="philox")
        places = tf.range(sizes[axis]) + most - move
        padded = tf.gather(padded, places, axis=axis + 1, batch_dims=1)
    return padded
