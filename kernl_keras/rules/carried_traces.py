"""Traces: by them errors of later pieces of a sequence reach the inputs of earlier ones, Eq. (29).

A trace is linear in s(t) and in the traces before. One backward sweep of the rule, with a carry of 1 and no errors,
gives its coefficients. So the traces after many steps need none in between.
"""

import copy

import tensorflow as tf

from ..cells.linear import varying, with_varying
from ..sequences.masks import where_valid
from ..sequences.time_loop import map_tensors, scan


def advance_traces(whole, traces):
    """Exact traces [B, .., H, J G + F] after the last valid step, from those before the first. `whole`: `Backward`."""
    past = whole.past
    silence, step = tf.zeros_like(past.residuals.output), past.derivatives(0, past.length)
    block, valid = whole.products.block(0, past.length), None if past.steps is None else past.steps.valid

    def sweep(way, carry):
        """`Errors` [T, B, H] from the errors in a carry alone, and the carry before the first step, in one block."""
        now = way.rule.prepare_silence(silence, step, carry, way.context)

        def back(carry, elements):
            elements, goes_on = elements
            after, errors = way.step(carry, with_varying(now, elements))
            return where_valid(goes_on, (after, errors), (carry, map_tensors(tf.zeros_like, errors)))

        carry, errors = scan(back, carry, (varying(now), valid), reverse=True)
        return errors, carry

    def row(number, index=None):
        """The trace [B, H, J G + F] of one carried tensor, or of its kernel `index`."""
        hop = whole.context.hop
        alone = None if index is None or hop is None else hop.for_kernel(index)  # kernels are separate
        way = whole if alone is None else with_kernel(whole, alone)
        carry = way.carry(silence)
        one = tf.ones_like(carry[number])
        if index is not None and alone is None:
            one *= tf.one_hot(index, one.shape[1], dtype=one.dtype)[:, None]
        errors, carry = sweep(way, (*carry[:number], one, *carry[number + 1 :]))
        total = whole.products.per_example(block, errors)
        for trace, weight in zip(traces, carry):
            if alone is not None and weight.shape.rank == 3:
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


def with_kernel(whole, hop):
    """The `Backward` with a `Hop` by one kernel alone."""
    way = copy.copy(whole)
    way.context = whole.context._replace(hop=hop)
    way.shapes = [shape if len(shape) == 1 else (1, shape[1]) for shape in whole.shapes]
    return way
