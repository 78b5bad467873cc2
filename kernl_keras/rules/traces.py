"""Traces: what a piece of a sequence leaves for the errors of later pieces, Eq. (29).

A trace is linear in s(t) and in the traces before. So its coefficients are what the backward pass of a rule gives for a
carry of one and no errors: one sweep gives the traces after many steps, without those in between.
"""

import tensorflow as tf

from ..cells.linear import of_steps, with_steps
from ..sequences.time_loop import scan
from .products import share


def advanced(way, traces):
    """Exact traces [B, .., H, J G + F] after the last valid step, of those before the first; `way` is a `Backward`."""
    past, every = way.past, way.products.block(0, way.past.length)
    valid, like = None if past.steps is None else past.steps.valid, past.residuals.output

    def row(number, index=None):
        """The trace [B, H, J G + F] of a tensor that is carried, of its kernel `index` where it has several."""
        one_kernel = way if index is None else way.of_kernel(index)
        alone = one_kernel is not way  # kernels are separate: the others have no part in it
        carry = one_kernel.carry(like)
        one = tf.ones_like(carry[number])
        if index is not None and not alone:
            one *= tf.one_hot(index, one.shape[1], dtype=one.dtype)[:, None]
        errors, carry = one_kernel.errors(None, (*carry[:number], one, *carry[number + 1 :]), valid)
        total = way.products.of_examples(every, errors)
        for trace, weight in zip(traces, carry):
            if alone and weight.shape.rank == 3:
                trace, weight = tf.gather(trace, index, axis=1), weight[:, 0]
            weighted = trace * weight[..., None]
            total += weighted if weight.shape.rank == 2 else tf.reduce_sum(weighted, 1)
        return total

    after = []
    for number, shape in enumerate(way.shapes):
        if len(shape) == 1:
            after.append(row(number))
        elif shape[0] == 1:
            after.append(row(number)[:, None])
        else:  # in a loop: as many copies of it in the graph would take minutes to compile
            rows = scan(lambda _, index, number=number: ((), row(number, index)), (), tf.range(shape[0]))[1]
            after.append(tf.transpose(rows, (1, 0, 2, 3)))
    return tuple(after)


def advanced_constants(rule, past, start, size, counts, traces):
    """The traces of constants, through the unit's own state alone, after the `size` steps from `start` on.

    They belong to linear memory. They are exact, not of means: each constant needs only [H] numbers a carried tensor.

    Args:
        rule: `EProp` or `KeRNL`.
        past: `backward.Past`.
        start, size: of the block.
        counts: 1 where a step counts, 0 where it is left out [C, B or 1].
        traces: before the block [B, K, H, F], of K carried tensors and F constants.
    """
    step = rule.followed(past.derivatives(start, size)).first(rule.count_own(past.cell))
    count = len(step.s)
    silence = tf.zeros_like(past.residuals.output[0])
    units = tf.eye(count, dtype=silence.dtype)[:, :, None, None]
    ones = [silence + units[k] for k in range(count)]  # each [K, B, H]
    effects = past.effects(start, size)
    if counts.shape[1] == 1:
        counts = tf.repeat(counts, tf.shape(silence)[0], 1)

    def back(carry, now):
        parts, effects, counted = now
        before, errors = with_steps(step, parts).back(carry, 0.0)
        local = tf.stack([share(errors, each) for each in effects], -1)  # [K, B, H, F]
        counted = counted > 0.0
        carry = tuple(tf.where(counted[:, None], after, at) for after, at in zip(before, carry))
        return carry, tf.where(counted[:, None, None], local, tf.zeros_like(local))

    carry, local = scan(back, tuple(ones), (of_steps(step), effects, counts), reverse=True, unroll=past.unroll)
    kept = sum(weight[..., None] * traces[:, k] for k, weight in enumerate(carry))  # [K, B, H, F]
    return tf.transpose(kept + tf.reduce_sum(local, 0), (1, 0, 2, 3))
