"""Complex numbers as two real tensors, of which the imaginary one is None where it is 0.

Small devices have no others.
"""

import tensorflow as tf


def product(a, b, multiply=tf.multiply):
    """The product of two complex tensors in parts; `multiply` is that of real ones."""
    (of_a, imaginary_a), (of_b, imaginary_b) = a, b
    real = multiply(of_a, of_b)
    if imaginary_a is not None and imaginary_b is not None:
        real -= multiply(imaginary_a, imaginary_b)
    mixed = [multiply(x, y) for x, y in ((of_a, imaginary_b), (imaginary_a, of_b)) if x is not None and y is not None]
    return real, sum(mixed[1:], mixed[0]) if mixed else None


def quotient(a, b):
    """a / b of two complex tensors in parts; b is not 0."""
    if b[1] is None:
        return in_parts(lambda part: part / b[0], a)
    size = b[0] ** 2 + b[1] ** 2
    return in_parts(lambda part: part / size, product(a, conjugate(b)))


def magnitude(x):
    """|x| of a complex tensor in parts."""
    return tf.abs(x[0]) if x[1] is None else tf.sqrt(x[0] ** 2 + x[1] ** 2)


def in_parts(act, x):
    """What a function that is linear and real makes of a complex tensor in parts."""
    return tuple(None if part is None else act(part) for part in x)


def plus(a, b):
    """The sum of two complex tensors in parts, both of which have an imaginary part or neither."""
    return tuple(None if x is None else x + y for x, y in zip(a, b))


def conjugate(x):
    """The complex conjugate of a tensor in parts."""
    return x[0], None if x[1] is None else -x[1]
