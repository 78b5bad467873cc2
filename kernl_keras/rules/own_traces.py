"""Traces of the constants that learn, through the unit's own state alone: a number each, where a weight's trace is one.

They go with linear memory. Their slopes are exact, for each needs but [H] numbers a carried tensor.
"""

import tensorflow as tf

from ..sequences.time_loop import scan
from .backward import of_steps, with_steps
from .products import share


def advanced_traces(rule, past, start, size, counts, traces):
    """The traces after the `size` steps from `start` on.

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
