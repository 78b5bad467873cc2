"""Three ways to one number: the weight gradient of a rule over a sequence.

    online    carries the eligibility traces forward in time, Eq. (10), (12), (20)-(22)
    factored  filters the errors backward in time, then one matrix product, Eq. (13), (14), (23)
    chunked   factored inside chunks of C steps, traces carried across their borders; C = 1 is online, C = T factored

A rule has `Signals`, `reverse_step`, `trace_step` and `TRACES`, the leading axes of what it
carries (see `network`). Each implementation takes

    rule         the rule
    signals      its `Signals` [T, ...]
    decay        exp(-gamma dt) [R, H]
    presynaptic  s(t) [T, B, J], J counting inputs, units and bias
    traces       carried in from earlier steps, one tensor for each of `rule.TRACES`
    chunk_size   C, for `chunked`

and returns dC/dI(t) [T, B, H], Eq. (15), and dC/dW [J, H].
"""

import tensorflow as tf

from .blocks import blockwise
from .filters import scan
from .valid_steps import where_valid

ERRORS = ("error", "local", "path")
"""The fields of a rule's `Signals` that are made of the error; the others are made of the forward pass alone."""


def trace_shapes(rule, kernels, units, presynaptic):
    """The shape of each trace of `rule`, without the batch axis."""
    sizes = {"R": kernels, "H": units}
    return [(*(sizes[axis] for axis in axes), presynaptic) for axes in rule.TRACES]


def zero_carry(rule, like, kernels):
    """A carry of zeros for `rule.reverse_step`; `like` is any [.., B, H] tensor."""
    batch, units = tf.shape(like)[-2], like.shape[-1]
    sizes = {"R": kernels, "H": units}
    return tuple(tf.zeros((batch, *(sizes[axis] for axis in axes)), like.dtype) for axes in rule.TRACES)


def current_error(rule, signals, decay, carry=None, valid=None):
    """dC/dI(t) under the rule: errors filtered backward in time, Eq. (13) or (23).

    Args:
        rule: the rule.
        signals: its `Signals` [T, ...].
        decay: exp(-gamma dt) [R, H].
        carry: what errors after the last step make of the traces; zeros where None.
        valid: [T, B], False where a step is passed over; None where none is.

    Returns:
        [T, B, H], and the carry at the first step: what the errors make of traces carried in from before.
    """
    carry = zero_carry(rule, signals[-1], decay.shape[0]) if carry is None else carry

    def step(carry, now):
        if valid is None:
            return rule.reverse_step(carry, rule.Signals(*now), decay)
        goes_on = now[-1]
        after, errors = rule.reverse_step(carry, rule.Signals(*now[:-1]), decay)
        return where_valid(goes_on, after, carry), where_valid(goes_on, errors, map(tf.zeros_like, errors))

    elements = tuple(signals) if valid is None else (*signals, valid)
    carry, (errors,) = scan(step, carry, elements, reverse=True)
    return errors, carry


def weigh_traces(carry, traces):
    """The gradient [J, H] that a carry makes of the traces it belongs to."""
    return tf.add_n(
        [
            tf.einsum("bhj,bh->jh", trace, weight)
            if weight.shape.rank == 2
            else tf.einsum("brhj,brh->jh", trace, weight)
            for trace, weight in zip(traces, carry)
        ]
    )


def factored(rule, signals, decay, presynaptic, traces=(), chunk_size=None):
    """Eq. (14): one matrix product over all steps, and what the carried traces add."""
    errors, carry = current_error(rule, signals, decay)
    gradient = tf.einsum("tbj,tbh->jh", presynaptic, errors)
    return errors, gradient + weigh_traces(carry, traces) if traces else gradient


def factored_blockwise(rule, block, decay, length, unroll=False):
    """`factored` for long sequences, which never has the signals of more than a block of steps; without traces.

    Args:
        rule, decay: as above.
        block: `(start, C) -> (signals [C, ...], parts of s(t) without the bias, each [C, B, n])`.
        length: T.
        unroll: without loops.

    Returns:
        as above.
    """
    first, parts = block(0, 1)
    like = first[-1]

    def begin(start, size):
        signals, presynaptic = block(start, size)
        return tuple(signals), presynaptic

    def step(carry, now):
        carry, errors = rule.reverse_step(carry, rule.Signals(*now), decay)
        return carry, errors, errors

    def end(total, presynaptic, local):
        errors = tf.reshape(local[0], (-1, local[0].shape[-1]))  # [CB, H]
        added = [tf.matmul(tf.reshape(x, (-1, x.shape[-1])), errors, transpose_a=True) for x in presynaptic]
        return tuple(map(tf.add, total, (*added, tf.reduce_sum(errors, 0, keepdims=True))))

    zeros = [tf.zeros((rows, like.shape[-1]), like.dtype) for rows in (*(x.shape[-1] for x in parts), 1)]
    carry = zero_carry(rule, like, decay.shape[0])
    _, (errors,), total = blockwise(begin, step, end, carry, zeros, length, reverse=True, unroll=unroll)
    return errors, tf.concat(total, 0)


def online(rule, signals, decay, presynaptic, traces, chunk_size=None):
    """Eq. (12) or (22): the traces forward in time, one step after the other."""

    def step(carry, now):
        traces, gradient = carry[:-1], carry[-1]
        traces, more = rule.trace_step(traces, rule.Signals(*now[:-1]), now[-1], decay)
        return (*traces, gradient + more), ()

    zeros = tf.zeros((signals[-1].shape[-1], presynaptic.shape[-1]), presynaptic.dtype)  # [H, J]
    carry, _ = scan(step, (*traces, zeros), (*signals, presynaptic))
    return current_error(rule, signals, decay)[0], tf.transpose(carry[-1])


def advance_traces(rule, signals, decay, presynaptic, traces, valid=None):
    """The traces after the last step (that is `valid` [T, B]), without the traces in between.

    A trace is linear in s(t) and in the traces before, so its weights are a carry of one for that trace, filtered
    backward with no errors.
    """
    silent = rule.Signals(
        *(tf.zeros_like(signal) if name in ERRORS else signal for name, signal in zip(rule.Signals._fields, signals))
    )
    zeros = zero_carry(rule, signals[-1], decay.shape[0])
    after = []
    for i, axes in enumerate(rule.TRACES):
        rows = []
        for r in range(decay.shape[0] if "R" in axes else 1):
            one = tf.ones_like(zeros[i])
            if "R" in axes:
                one *= tf.one_hot(r, decay.shape[0], dtype=one.dtype)[:, None]
            errors, carry = current_error(rule, silent, decay, (*zeros[:i], one, *zeros[i + 1 :]), valid)
            row = tf.einsum("tbj,tbh->bhj", presynaptic, errors)
            for trace, weight in zip(traces, carry):
                weighted = trace * weight[..., None]
                row += weighted if weight.shape.rank == 2 else tf.reduce_sum(weighted, 1)
            rows.append(row)
        after.append(tf.stack(rows, 1) if "R" in axes else rows[0])
    return tuple(after)


def chunked(rule, signals, decay, presynaptic, traces, chunk_size):
    """Chunks of `chunk_size` steps: factored inside, traces carried across the borders."""
    length = tf.shape(presynaptic)[0]
    chunks = -(-length // chunk_size)

    def split(x):  # [T, ...] -> [chunks, C, ...]; steps of zeros at the end add nothing to the gradient
        x = tf.pad(x, [[0, chunks * chunk_size - length]] + [[0, 0]] * (x.shape.rank - 1))
        return tf.reshape(x, (chunks, chunk_size, -1, *x.shape[2:]))

    def step(carry, now):
        traces, gradient = carry[:-1], carry[-1]
        inside, presynaptic = rule.Signals(*now[:-1]), now[-1]
        gradient += factored(rule, inside, decay, presynaptic, traces)[1]
        return (*advance_traces(rule, inside, decay, presynaptic, traces), gradient), ()

    zeros = tf.zeros((presynaptic.shape[-1], signals[-1].shape[-1]), presynaptic.dtype)  # [J, H]
    carry, _ = scan(step, (*traces, zeros), tuple(map(split, (*signals, presynaptic))))
    return current_error(rule, signals, decay)[0], carry[-1]


IMPLEMENTATIONS = {"online": online, "factored": factored, "chunked": chunked}
