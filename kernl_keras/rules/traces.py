"""Traces: by them errors of later pieces of a sequence reach the inputs of earlier ones, Eq. (29).

A trace is linear in s(t) and in the traces before. One backward sweep of the rule, with a carry of 1 and no errors,
gives its coefficients. So the traces after many steps need none in between.
"""

import tensorflow as tf

from ..cells.linear import varying, with_varying
from ..sequences.time_loop import scan
from .products import share


def advance_traces(whole, traces):
    """Exact traces [B, .., H, J G + F] after the last valid step, from those before the first. `whole`: `Backward`."""
    block = whole.products.block(0, whole.past.length)

    def row(number, index=None):
        """The trace [B, H, J G + F] of one carried tensor, or of its kernel `index`."""
        way = whole if index is None else whole.for_kernel(index)
        alone = way is not whole  # kernels are separate, and this one suffices
        carry = way.carry(whole.past.residuals.output)
        one = tf.ones_like(carry[number])
        if index is not None and not alone:
            one *= tf.one_hot(index, one.shape[1], dtype=one.dtype)[:, None]
        errors, carry = way.errors_of_carry((*carry[:number], one, *carry[number + 1 :]))
        total = whole.products.per_example(block, errors)
        for trace, weight in zip(traces, carry):
            if alone and weight.shape.rank == 3:
                trace, weight = tf.gather(trace, index, axis=1), weight[:, 0]
            weighted = trace * weight[..., None]
            total += weighted if weight.shape.rank == 2 else tf.reduce_sum(weighted, 1)
        return total

    new_traces = []
    for number, shape in enumerate(whole.shapes):
        if len(shape) == 1:
            new_traces.append(row(number))
        elif shape[0] == 1:
            new_traces.append(row(number)[:, None])
        else:  # a loop, because so many copies in the graph would take minutes to compile
            rows = scan(lambda _, index, number=number: ((), row(number, index)), (), tf.range(shape[0]))[1]
            new_traces.append(tf.transpose(rows, (1, 0, 2, 3)))
    return tuple(new_traces)


def advance_constants(rule, past, start, size, counts, traces):
    """The traces [B, K, H, F] of F constants, through the K own states alone, after the `size` steps from `start` on.

    Linear memory uses them. They are exact, because each needs only [H] numbers for a state. `traces` are those before
    the steps; `counts` is 1 where a step counts, and 0 where it is left out [C, B or 1].
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
