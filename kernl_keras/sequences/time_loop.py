"""The loop over time, in blocks of C steps, so that the results of a block are used while they are in the cache.

Matrix products are done for a block at once, everything else step by step. A step receives and returns any nested
structure of tensors; an entry may be None.
"""

import tensorflow as tf

BLOCK = 32
"""C: a block of 25 examples and 200 units in single precision takes 640 KB a tensor."""


def scan(step, carry, elements, reverse=False, unroll=False):
    """Runs `step`, `(carry, elements at t) -> (carry, outputs at t)`, over elements [T, ...].

    Returns the last carry and the outputs in time order. With `unroll` there is no loop in the graph: T must be static.

    >>> float(scan(lambda v, x: (0.5 * v + x, v), tf.constant(0.0), tf.constant([4.0, 2.0, 1.0]))[0])
    3.0
    """
    first = tensors(elements)[0]
    length = first.shape[0] or tf.shape(first)[0]
    return blockwise(lambda *_: (elements, ()), step, None, carry, (), length, length, reverse, unroll)[:2]


def blockwise(begin, step, end, carry, total, length, size=None, reverse=False, unroll=False, border=None):
    """Runs `step` over time, in blocks that begin at steps 0, C, 2C and so on.

    Where C does not divide T, the last block overlaps the one before. Its loop leaves out the steps that belong to that
    one; the rows of `local` that it does not fill are zeros.

    Args:
        begin: `(start, C, carry) -> (elements, extra)`: a structure of tensors [C, ...] for the C steps from `start`
            on, and anything else for `end`. `carry` is the one before the block.
        step: `(carry, elements at t) -> (carry, kept at t, local at t)`, or without `local`.
        end: `(total, extra, local [C, ...]) -> total`, at the end of a block; None where nothing adds up.
        carry: the carry before the first step.
        total: the sums before the first block.
        length: T, a number or a scalar tensor.
        size: C, at most; `BLOCK` where None. T itself makes one block.
        reverse: from the last step to the first, the blocks likewise.
        unroll: without loops, and in one block unless there are borders; needs a static T.
        border: `carry -> (carry, kept)`, after each block; None for nothing.

    Returns:
        the carry after the loop, `kept` of all steps [T, ...], `total`, and `kept` of all borders [T/C, ...].
    """
    if unroll or (isinstance(length, int) and length == 1):  # a single step needs no loop
        return unrolled(begin, step, end, carry, total, length, length if border is None else size, reverse, border)
    one_block = size is length
    if not one_block:
        size = BLOCK if size is None else size
        size = min(size, length) if isinstance(length, int) else tf.minimum(size, length)
        one_block = isinstance(length, int) and size == length
    blocks = 1 if one_block else -(-length // size)
    after, *like = step(carry, at(begin(0, size, carry)[0], 0))  # examples of `kept` and, if it is there, `local`
    like_border = () if border is None else border(after)[1]

    def arrays(like, count):
        return [tf.TensorArray(x.dtype, size=count, element_shape=x.shape) for x in tensors(like)]

    def block(*flat):
        k, carry, total, kept, borders = rebuilt(before, flat)
        if one_block:
            place, start, count = 0, 0, size
        else:  # rows `size - count` to the last are new
            place = blocks - 1 - k if reverse else k
            start = tf.minimum(place * size, length - size)
            count = size - (place * size - start)
        elements, extra = begin(start, size, carry)
        local = arrays(like[1:], size)
        if not one_block:  # not every row is written
            zeros = (tf.zeros(tf.concat([[size], tf.shape(x)], 0), x.dtype) for x in tensors(like[1:]))
            local = [array.unstack(zero) for array, zero in zip(local, zeros)]
        first = 0, carry, kept, local

        def advance(*flat):
            i, carry, kept, local = rebuilt(first, flat)
            row = size - 1 - i if reverse else size - count + i
            carry, *outputs = step(carry, at(elements, row))
            kept = [array.write(start + row, x) for array, x in zip(kept, tensors(outputs[0]))]
            local = [array.write(row, x) for array, x in zip(local, tensors(outputs[1:]))]
            return tensors((i + 1, carry, kept, local))

        flat = tf.while_loop(lambda i, *_: i < count, advance, tensors(first), maximum_iterations=size)
        _, carry, kept, local = rebuilt(first, flat)
        if end is not None:
            total = end(total, extra, *rebuilt(like[1:], [array.stack() for array in local]))
        if border is not None:
            carry, at_border = border(carry)
            borders = [array.write(place, x) for array, x in zip(borders, tensors(at_border))]
        return tensors((k + 1, carry, total, kept, borders))

    before = 0, carry, total, arrays(like[0], length), arrays(like_border, blocks)
    if one_block:
        flat = block(*tensors(before))
    else:
        flat = tf.while_loop(lambda k, *_: k < blocks, block, tensors(before), maximum_iterations=blocks)
    _, carry, total, kept, borders = rebuilt(before, flat)
    kept, borders = (
        rebuilt(structure, [array.stack() for array in group])
        for structure, group in zip((like[0], like_border), (kept, borders))
    )
    return carry, kept, total, borders


def unrolled(begin, step, end, carry, total, length, size, reverse, border):
    """`blockwise` without loops."""
    all_steps, borders = [], []
    starts = range(0, length, size)
    for start in reversed(starts) if reverse else starts:
        count = min(size, length - start)
        elements, extra = begin(start, count, carry)
        steps = []
        for row in reversed(range(count)) if reverse else range(count):
            carry, *outputs = step(carry, at(elements, row))
            steps.append(outputs)
        if end is not None:
            in_order = steps[::-1] if reverse else steps
            total = end(total, extra, stacked([local for _, local in in_order]))
        all_steps += steps
        if border is not None:
            carry, at_border = border(carry)
            borders.append(at_border)
    if reverse:
        all_steps, borders = all_steps[::-1], borders[::-1]
    return carry, stacked([kept for kept, *_ in all_steps]), total, stacked(borders) if borders else ()


def stacked(structures):
    """T structures as one structure of tensors [T, ...]."""
    return rebuilt(structures[0], [tf.stack(x) for x in zip(*map(tensors, structures))])


def tensors(structure):
    """The entries of a structure that are not None, in a list."""
    return [x for x in tf.nest.flatten(structure) if x is not None]


def rebuilt(structure, flat):
    """The structure with its tensors replaced by those of the list `flat`; None stays None."""
    flat = iter(flat)
    return tf.nest.map_structure(lambda x: None if x is None else next(flat), structure)


def map_tensors(function, *structures):
    """The structure of a function of each tensor, or of those at the same place of several; None stays None."""
    return tf.nest.map_structure(lambda *x: None if x[0] is None else function(*x), *structures)


def at(elements, row):
    """A row of each tensor of a structure."""
    return map_tensors(lambda x: x[row], elements)


def take(x, start, size):
    """Rows `start` to `start + size` of each tensor [T, ...] of a structure."""

    def rows(x):
        begin = tf.concat([[start], tf.zeros(x.shape.rank - 1, tf.int32)], 0)
        return tf.slice(x, begin, tf.concat([[size], tf.shape(x)[1:]], 0))

    return map_tensors(rows, x)


def take_before(x, first, start, size):
    """`take` of the entries one step earlier; `first` [...] comes before the first step."""
    rows = take(x, tf.maximum(start - 1, 0), size)
    return tf.where(tf.equal(start, 0), tf.concat([first[None], rows[:-1]], 0), rows)
