"""Traces: by them errors of later pieces of a sequence reach the inputs of earlier ones, Eq. (29).

A trace is linear in s(t) and in the traces before. One backward sweep of the rule, with a carry of 1 and no errors,
gives its coefficients. So the traces after many steps need none in between.
"""

import tensorflow as tf

from ..sequences.time_loop import scan


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
