"""Training sequences that are moved, or lack channels, at random: more examples out of few."""

import tensorflow as tf

from ..checks import integer


def shifted(x, largest, key):
    """Each sequence of a batch, moved by whole steps and features; what moves in is zero, what moves out is lost.

    y[b, t, i] = x[b, t - s_b, i - f_b], with s_b uniform in -S ... S and f_b uniform in -F ... F. `largest` is (S, F),
    and the `key` int64 [2] decides all s_b and f_b.
    """
    batch, sizes = tf.shape(x)[0], x.shape[1:]
    moves = tf.random.experimental.stateless_split(key, 2, alg="philox")
    padded = tf.pad(x, [[0, 0], *([most, most] for most in largest)])
    for axis, most in enumerate(largest):
        move = tf.random.stateless_uniform([batch, 1], moves[axis], -most, most + 1, tf.int32, alg="philox")
        places = tf.range(sizes[axis]) + most - move
        padded = tf.gather(padded, places, axis=axis + 1, batch_dims=1)
    return padded


def largest_moves(shift, words):
    """`shift` as a list of two int >= 0; of `words`, such as ("steps", "features"), messages speak."""
    if not isinstance(shift, (tuple, list)) or len(shift) != 2:
        raise ValueError(f"shift must be two integers, of {words[0]} and of {words[1]}; received {shift!r}.")
    return [integer(f"shift[{n}]", most, low=0) for n, most in enumerate(shift)]


def check_moves(largest, sizes, words, whole):
    """Raises `ValueError` for a move that leaves nothing of a whole, such as a "sequence"."""
    for n, (most, size, word) in enumerate(zip(largest, sizes, words)):
        if most >= size:
            raise ValueError(f"shift[{n}] must be less than the {size} {word} of a {whole}; received {most}.")


def without_channels(x, rate, key):
    """Sequences x [B, T, I], each channel 0 at all steps with the probability `rate`, and else times 1 / (1 - rate).

    That is `keras.layers.SpatialDropout1D` in training, but decided by the key, so that a run resumes to the bit.
    """
    draws = tf.random.stateless_uniform([tf.shape(x)[0], 1, x.shape[2]], key, dtype=x.dtype, alg="philox")
    return tf.where(draws < rate, tf.zeros_like(x), x / (1.0 - rate))
