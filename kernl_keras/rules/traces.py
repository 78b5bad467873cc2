"""Traces: by them errors of later pieces of a sequence reach the inputs of earlier ones, Eq. (29).

A trace is linear in s(t) and in the traces before. Its coefficients are found by one backward sweep of the rule, with a
carry of 1 and no errors. So the traces after many steps need none in between.
"""

import tensorflow as tf

from ..cells.linear import varying, with_varying
from ..sequences.time_loop import scan
from .products import share


def advance_traces(way, traces):
    """Exact traces [B, .., H, J G + F] after the last valid step, from those before the first. `way`: a `Backward`."""
    past, block = way.past, way.products.block(0, way.past.length)
    valid, like = None if past.steps is None else past.steps.valid, past.residuals.output

    def row(number, index=None):
        """The trace [B, H, J G + F] of one carried tensor, or of its kernel `index`."""
        one_kernel = way if index is None else way.for_kernel(index)
        alone = one_kernel is not way  # kernels are separate, and this one suffices
        carry = one_kernel.carry(like)
        one = tf.ones_like(carry[number])
        if index is not None and not alone:
            one *= tf.one_hot(index, one.shape[1], dtype=one.dtype)[:, None]
        errors, carry = one_kernel.errors(None, (*carry[:number], one, *carry[number + 1 :]), valid)
        total = way.products.per_example(block, errors)
        for trace, weight in zip(traces, carry):
            if alone and weight.shape.rank == 3:
                trace, weight = tf.gather(trace, index, axis=1), weight[:, 0]
            weighted = trace * weight[..., None]
            total += weighted if weight.shape.rank == 2 else tf.reduce_sum(weighted, 1)
        return total

    new_traces = []
    for number, shape in enumerate(way.shapes):
        if len(shape) == 1:
            new_traces.append(row(number))
        elif shape[0] == 1:
            new_traces.append(row(number)[:, None])
        else:  # a loop, because so many copies in the graph would take minutes to compile
            rows = scan(lambda _, index, number=number: ((), row(number, index)), (), tf.range(shape[0]))[1]
            new_traces.append(tf.transpose(rows, (1, 0, 2, 3)))
    return tuple(new_traces)


def advance_constants(rule, past, start, size, counts, traces):
    """The traces of constants that learn, through the unit's own state alone, after the `size` steps from `start` on.

    Linear memory uses them. They are exact, because each needs only [H] numbers for a carried tensor.

    Args:
        rule: `EProp` or `KeRNL`.
        past: `backward.Past`.
        start, size: the block of steps.
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
        before, errors = with_varying(step, parts).back(carry, 0.0)
        local = tf.stack([share(errors, effect) for effect in effects], -1)  # [K, B, H, F]
        counted = counted > 0.0
        carry = tuple(tf.where(counted[:, None], after, at) for after, at in zip(before, carry))
        return carry, tf.where(counted[:, None, None], local, tf.zeros_like(local))

    carry, local = scan(back, tuple(ones), (varying(step), effects, counts), reverse=True, unroll=past.unroll)
    kept = sum(weight[..., None] * traces[:, k] for k, weight in enumerate(carry))  # [K, B, H, F]
    return tf.transpose(kept + tf.reduce_sum(local, 0), (1, 0, 2, 3))
