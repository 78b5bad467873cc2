"""A loop over time that pauses every C steps, so that what a block of steps made is still in the cache when it is used.

What has no order in time, such as matrix products, is done for a block at once; what has, step by step. Only what the
steps are told to keep is written for the whole sequence.
"""

import tensorflow as tf

BLOCK = 32
"""C: a block of 25 examples and 200 units in single precision takes 640 KB a tensor."""


def blockwise(begin, step, end, carry, total, length, size=None, reverse=False, unroll=False):
    """Runs `step` over time, in blocks.

    Where C does not divide T, the last block reaches back over the one before, and its loop starts at the first step
    that is new; the steps that are not read as zeros in `local`.

    Args:
        begin: `(start, C) -> (elements, extra)`: what the C steps from `start` on need: a tuple of tensors [C, ...];
            and anything else for `end`.
        step: `(carry, elements at t) -> (carry, kept at t, local at t)`, flat tuples of tensors.
        end: `(total, extra, local [C, ...]) -> total`, at the end of a block.
        carry: tuple of tensors, the carry before the first step.
        total: tuple of tensors, what the blocks add up to.
        length: T, a number or a scalar tensor.
        size: C, at most; `BLOCK` where None.
        reverse: from the last step to the first, the blocks likewise.
        unroll: one block, its steps one after the other in the graph instead of in a loop; needs a static T.

    Returns:
        the carry after the loop, `kept` [T, ...], and `total`.
    """
    if unroll:
        return unrolled(begin, step, end, carry, total, length, reverse)
    size = BLOCK if size is None else size
    size = min(size, length) if isinstance(length, int) else tf.minimum(size, length)
    blocks = -(-length // size)
    kept, local = step(carry, tuple(element[0] for element in begin(0, size)[0]))[1:]

    def arrays(like, count):
        return tuple(tf.TensorArray(x.dtype, size=count, element_shape=x.shape) for x in like)

    def zeros(like):
        shapes = [tf.concat([[size], tf.shape(x)], 0) for x in like]
        return tuple(a.unstack(tf.zeros(s, x.dtype)) for a, s, x in zip(arrays(like, size), shapes, like))

    def block(k, carry, total, kept):
        if reverse:  # rows `count - 1` to 0
            start = tf.maximum(length - (k + 1) * size, 0)
            count = length - k * size - start
        else:  # rows `size - count` to the last
            start = tf.minimum(k * size, length - size)
            count = size - (k * size - start)
        elements, extra = begin(start, size)

        def advance(i, carry, kept, local):
            row = count - 1 - i if reverse else size - count + i
            carry, *written = step(carry, tuple(element[row] for element in elements))
            places = (start + row, row)
            kept, local = (
                tuple(array.write(place, x) for array, x in zip(group, outputs))
                for group, place, outputs in zip((kept, local), places, written)
            )
            return i + 1, carry, kept, local

        _, carry, kept, made = tf.while_loop(
            lambda i, *_: i < count, advance, (0, carry, kept, zeros(local)), maximum_iterations=size
        )
        total = end(total, extra, tuple(array.stack() for array in made))
        return k + 1, carry, total, kept

    loop = (0, tuple(carry), tuple(total), arrays(kept, length))
    _, carry, total, kept = tf.while_loop(lambda k, *_: k < blocks, block, loop, maximum_iterations=blocks)
    return carry, tuple(array.stack() for array in kept), total


def unrolled(begin, step, end, carry, total, length, reverse):
    """`blockwise` without loops."""
    elements, extra = begin(0, length)
    every = []
    for t in reversed(range(length)) if reverse else range(length):
        carry, *outputs = step(carry, tuple(element[t] for element in elements))
        every.append(outputs)
    kept, local = (tuple(map(tf.stack, zip(*outputs))) for outputs in zip(*(reversed(every) if reverse else every)))
    return carry, kept, end(total, extra, local)


def take(x, start, size):
    """Rows `start` to `start + size` of x [T, ...]."""
    begin = tf.concat([[start], tf.zeros(x.shape.rank - 1, tf.int32)], 0)
    return tf.slice(x, begin, tf.concat([[size], tf.shape(x)[1:]], 0))


def take_before(x, first, start, size):
    """The same rows of what comes one step earlier, `first` [...] before the first step."""
    rows = take(x, tf.maximum(start - 1, 0), size)
    return tf.where(tf.equal(start, 0), tf.concat([first[None], rows[:-1]], 0), rows)
