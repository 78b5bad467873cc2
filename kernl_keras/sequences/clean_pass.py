"""The forward pass of a cell over a sequence, without noise: Eq. (1)-(9) or the cell's own."""

import tensorflow as tf

from .masks import where_fresh, where_valid
from .time_loop import map_tensors, scan


def clean_pass(cell, p, weights, current, state, valid=None, unroll=False, starts=None):
    """The residuals of every step [T, ...] and the state after the last. Only the output has a gradient.

    `current` is x(t) W_in + bias [T, B, H]. `valid` [T, B] is False where the state stays as it is, and `starts` [T, B]
    True where a step is the first of its sequence; None for no such steps.
    """

    def step(state, now):
        current, valid, starts = now
        state = where_fresh(starts, state)
        current += tf.matmul(cell.presynaptic(state), weights)  # [B, H] x [H, H]
        done, after = cell.step(current, state, p)
        kept = cell.save_residuals(done, after)
        return where_valid(valid, after, state), map_tensors(tf.stop_gradient, kept)._replace(output=kept.output)

    end, residuals = scan(step, state, (current, valid, starts), unroll=unroll)
    return residuals, end
