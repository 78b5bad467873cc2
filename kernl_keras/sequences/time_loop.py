"""The one loop over time. It can stop every C steps, so that a block's results are used while they are in the cache.

Matrix products do not depend on the order of the steps: they are done for a block at once. Everything else is done step
by step. A step receives and returns any nested structure of tensors; an entry may be None.
"""

import tensorflow as tf

BLOCK = 32
"""C: a block of 25 examples and 200 units in single precision takes 640 KB a tensor."""


def scan(step, carry, elements, reverse=False, unroll=False):
    """The loop in a single block: it keeps the outputs of every step, and the last carry.

    Args:
        step: `(carry, elements at t) -> (carry, outputs at t)`.
        carry: the carry before the first step.
        elements: structure of tensors [T, ...].
        reverse: run from the last step to the first.
        unroll: write the steps one after the other into the graph, instead of a loop; needs a static T.

    Returns:
        the carry after the loop, and the outputs [T, ...] in the order of time.

    Example:

    >>> float(scan(lambda v, x: (0.5 * v + x, v), tf.constant(0.0), tf.constant([4.0, 2.0, 1.0]))[0])
    3.0
    """
    first = tensors(elements)[0]
    length = first.shape[0] or tf.shape(first)[0]
    carry, kept, _ = blockwise(
        lambda start, size: (elements, ()),
        lambda carry, now: (*step(carry, now), ()),
        None,
        carry,
        (),
        length,
        size=length,
        reverse=reverse,
        unroll=unroll,
    )
    return carry, kept


def blockwise(begin, step, end, carry, total, length, size=None, reverse=False, unroll=False):
    """Runs `step` over time, in blocks.

    Where C does not divide T, the last block overlaps the one before. Its loop starts at the first new step; the rows
    of `local` that it does not fill are zeros.

    Args:
        begin: `(start, C) -> (elements, extra)`: what the C steps from `start` on need: a structure of tensors
            [C, ...]; and anything else for `end`.
        step: `(carry, elements at t) -> (carry, kept at t, local at t)`.
        end: `(total, extra, local [C, ...]) -> total`, at the end of a block; None where nothing adds up.
        carry: the carry before the first step.
        total: what the blocks add up to.
        length: T, a number or a scalar tensor.
        size: C, at most; `BLOCK` where None. T itself makes one block.
        reverse: from the last step to the first, the blocks likewise.
        unroll: one block, without loops; needs a static T.

    Returns:
        the carry after the loop, `kept` [T, ...], and `total`.
    """
    if unroll:
        return unrolled(begin, step, end, carry, total, length, reverse)
    one_block = size is length
    if not one_block:
        size = BLOCK if size is None else size
        size = min(size, length) if isinstance(length, int) else tf.minimum(size, length)
        one_block = isinstance(length, int) and size == length
    blocks = 1 if one_block else -(-length // size)
    like = step(carry, at(begin(0, size)[0], 0))[1:]  # what is kept of a step, and what stays in its block

    def arrays(like, count):
        return [tf.TensorArray(x.dtype, size=count, element_shape=x.shape) for x in tensors(like)]

    def local_arrays():
        if one_block:  # every row is written
            return arrays(like[1], size)
        zeros = (tf.zeros(tf.concat([[size], tf.shape(x)], 0), x.dtype) for x in tensors(like[1]))
        return [array.unstack(zero) for array, zero in zip(arrays(like[1], size), zeros)]

    def block(k, carry, total, kept):
        if one_block:
            start, count = 0, size
        elif reverse:  # rows `count - 1` to 0 are new
            start = tf.maximum(length - (k + 1) * size, 0)
            count = length - k * size - start
        else:  # rows `size - count` to the last
            start = tf.minimum(k * size, length - size)
            count = size - (k * size - start)
        elements, extra = begin(start, size)

        def advance(i, carry, kept, local):
            row = count - 1 - i if reverse else size - count + i
            carry, *outputs = step(carry, at(elements, row))
            kept, local = (
                [array.write(place, x) for array, x in zip(group, tensors(made))]
                for group, place, made in zip((kept, local), (start + row, row), outputs)
            )
            return i + 1, carry, kept, local

        _, carry, kept, local = loop(lambda i, *_: i < count, advance, (0, carry, kept, local_arrays()), size)
        if end is not None:
            total = end(total, extra, rebuilt(like[1], [array.stack() for array in local]))
        return k + 1, carry, total, kept

    state = (0, carry, total, arrays(like[0], length))
    if one_block:
        _, carry, total, kept = block(*state)
    else:
        _, carry, total, kept = loop(lambda k, *_: k < blocks, block, state, blocks)
    return carry, rebuilt(like[0], [array.stack() for array in kept]), total


def loop(goes_on, body, state, at_most):
    """`tf.while_loop` over a structure of which entries may be None."""
    flat = tf.while_loop(
        lambda *flat: goes_on(*rebuilt(state, flat)),
        lambda *flat: tensors(body(*rebuilt(state, flat))),
        tensors(state),
        maximum_iterations=at_most,
    )
    return rebuilt(state, flat)


def unrolled(begin, step, end, carry, total, length, reverse):
    """`blockwise` without loops."""
    elements, extra = begin(0, length)
    steps = []
    for t in reversed(range(length)) if reverse else range(length):
        carry, *outputs = step(carry, at(elements, t))
        steps.append(outputs)
    steps = steps[::-1] if reverse else steps
    kept, local = (
        rebuilt(first, [tf.stack(x) for x in zip(*map(tensors, every))]) for first, every in zip(steps[0], zip(*steps))
    )
    return carry, kept, total if end is None else end(total, extra, local)


def tensors(structure):
    """The entries of a structure that are not None, in a list."""
    return [x for x in tf.nest.flatten(structure) if x is not None]


def rebuilt(structure, flat):
    """The structure with the tensors of the list `flat` in the places of its own; None stays None."""
    flat = iter(flat)
    return tf.nest.map_structure(lambda x: None if x is None else next(flat), structure)


def at(elements, row):
    """A row of each tensor of a structure."""
    return rebuilt(elements, [x[row] for x in tensors(elements)])


def take(x, start, size):
    """Rows `start` to `start + size` of each tensor [T, ...] of a structure."""

    def rows(x):
        begin = tf.concat([[start], tf.zeros(x.shape.rank - 1, tf.int32)], 0)
        return tf.slice(x, begin, tf.concat([[size], tf.shape(x)[1:]], 0))

    return rebuilt(x, [rows(each) for each in tensors(x)])


def take_before(x, first, start, size):
    """The same rows of what comes one step earlier; `first` [...] comes before the first step."""
    rows = take(x, tf.maximum(start - 1, 0), size)
    return tf.where(tf.equal(start, 0), tf.concat([first[None], rows[:-1]], 0), rows)
