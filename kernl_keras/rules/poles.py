"""The poles of linear memory: the time constants that its filters have, and how the units' own are made of them."""

import tensorflow as tf

RIDGE = 1e-6
"""Of the mean product of a kernel with itself: keeps the weights of kernels that are much alike small."""


class Poles:
    """The time constants of the filters, and how the units are made of them.

    Args:
        groups: which of the distinct constants each unit has, a list of H numbers.
        count: G, how many filters there are.
        own: lambda of each unit, complex [H].

    Attributes:
        values: lambda of each filter, complex [G].
        member: which filter is each unit's own, or the nearest to it, one-hot [H, G].
        weights: of the filters in each unit, complex [H, G].
    """

    def __init__(self, groups, count, own):
        units, real = len(groups), tf.math.real(own).dtype
        if max(groups) < count:
            self.values = tf.gather(own, [groups.index(k) for k in range(count)])
            self.member = tf.one_hot(groups, count, dtype=real)
            self.weights = tf.cast(self.member, own.dtype)
            return
        order = tf.argsort(tf.abs(own), stable=True)
        order = tf.gather(order, tf.argsort(tf.abs(tf.math.angle(tf.gather(own, order))), stable=True))
        self.values = tf.gather(own, tf.gather(order, [(2 * k + 1) * units // (2 * count) for k in range(count)]))
        self.member = tf.one_hot(tf.argsort(order) * count // units, count, dtype=real)
        self.weights = closest(own, self.values)


def closest(own, values):
    """The weights w [H, G] with which sums of values^n come closest to own^n, in the sum over n of squares.

    The products of two such sequences are sum_n conj(x^n) y^n = 1 / (1 - conj(x) y). In double precision: they are much
    alike.
    """
    wide = tf.complex128
    x, y = tf.cast(values, wide), tf.cast(own, wide)
    gram = 1.0 / (1.0 - tf.math.conj(x)[:, None] * x[None])  # [G, G]
    target = 1.0 / (1.0 - tf.math.conj(x)[:, None] * y[None])  # [G, H]
    real, imaginary = (part(gram) for part in (tf.math.real, tf.math.imag))
    both = tf.concat([tf.concat([real, -imaginary], 1), tf.concat([imaginary, real], 1)], 0)  # as real numbers
    both += RIDGE * tf.linalg.trace(real) / values.shape[0] * tf.eye(2 * values.shape[0], dtype=both.dtype)
    targets = tf.concat([tf.math.real(target), tf.math.imag(target)], 0)
    found = tf.transpose(tf.linalg.cholesky_solve(tf.linalg.cholesky(both), targets))
    return tf.cast(tf.complex(*tf.split(found, 2, 1)), own.dtype)
