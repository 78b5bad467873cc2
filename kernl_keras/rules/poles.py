"""The poles of linear memory: the time constants that its filters have, and how the units' own are made of them."""

import tensorflow as tf

from .complex_parts import in_parts

RIDGE = 1e-6
"""Of the mean product of a kernel with itself: keeps the weights of kernels that are much alike small."""


class Poles:
    """The time constants of the filters, and how the units are made of them.

    Args:
        groups: which of the distinct constants each unit has, a list of H numbers.
        count: G, how many filters there are.
        own: lambda of each unit, in parts [H].

    Attributes:
        values: lambda of each filter, in parts [G].
        member: which filter is each unit's own, or the nearest to it, one-hot [H, G].
        weights: of the filters in each unit, in parts [H, G].
    """

    def __init__(self, groups, count, own):
        units, real = len(groups), own[0].dtype
        if max(groups) < count:
            first = [groups.index(k) for k in range(count)]
            self.values = in_parts(lambda part: tf.gather(part, first), own)
            self.member = tf.one_hot(groups, count, dtype=real)
            self.weights = self.member, None if own[1] is None else tf.zeros_like(self.member)
            return
        swings = own[1] is not None
        own = tf.complex(own[0], own[1] if swings else tf.zeros_like(own[0]))
        order = tf.argsort(tf.abs(own), stable=True)
        order = tf.gather(order, tf.argsort(tf.abs(tf.math.angle(tf.gather(own, order))), stable=True))
        values = tf.gather(own, tf.gather(order, [(2 * k + 1) * units // (2 * count) for k in range(count)]))
        self.member = tf.one_hot(tf.argsort(order) * count // units, count, dtype=real)
        self.values, self.weights = (
            (tf.math.real(x), tf.math.imag(x) if swings else None) for x in (values, closest(own, values))
        )


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
