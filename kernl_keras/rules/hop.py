"""`Hop`: KeRNL's step of an error from one unit to another, by M. Eq. (11), (21).

M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k with the time course of kernel r.
"""

import itertools

import tensorflow as tf

from ..cells.linear import dot, plus, tensor, varying, with_varying
from ..sequences.time_loop import scan
from .backward import cut_at_starts


class Hop:
    """An error goes back to a unit through the other units that its spikes move, by M.

    Errors of the potentials enter: A(t) = L psi at every step, or, at the start of a window, the errors that
    `rules.window` has collected in it. A subclass defines `enter(y, own)`, the input from errors of y(t) and of the own
    state before t, and `backward(carry, now)`: the error of z(t) through other units [B, H], and the carry before t.
    """

    def enter_outputs(self, error, step):
        """Input to the hop from errors L of the outputs: A = L psi, each [.., B, H]."""
        return self.enter((error * step.psi,))

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps; None if the carry has C(t).

        `entered` is the input in its parts, each [C, B, H], and `carry` the one after the block.
        """
        return None


class TracedHop(Hop):
    """The adjoint of Eq. (21), kernel by kernel. Its carry has traces, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: one step of each kernel, rows of entries [R, H], see `LinearStep.free_response`; the output comes first.
        by_slope: whether input to unit k is scaled by its slope f'. There is then one kernel for each unit k, and the
            last tensor of the carry is sum_k f'_k C_k.
        unit: k, if this is the kernel of one unit alone.
    """

    def __init__(self, m, decay, by_slope=False, unit=None):
        self.m, self.decay = m, decay
        self.by_slope, self.unit = by_slope, unit

    def enter(self, y, own=()):
        """d_r(t) = A(t) M_r, Eq. (11), for each part of y [.., B, R, H]."""
        return tuple(tf.einsum("...bk,rki->...bri", part, self.m) for part in y[: len(self.decay)])

    def for_kernel(self, index):
        """The hop by one kernel alone."""
        decay = tf.nest.map_structure(lambda part: tf.gather(part, [index]) if tf.is_tensor(part) else part, self.decay)
        return TracedHop(tf.gather(self.m, [index]), decay, self.by_slope, index)

    def backward(self, carry, now):
        """The error of z(t) through other units [B, H], and the carry before t, from that after t."""
        count = len(self.decay)
        later = filter_back(self.decay, carry[:count], now.entered)
        if not self.by_slope:
            return tf.reduce_sum(carry[0], 1), later
        heard = now.step.heard if self.unit is None else tf.gather(now.step.heard, [self.unit], axis=-1)
        return carry[count], (*later, tf.reduce_sum(heard[..., None] * later[0], 1))


class BlockHop(Hop):
    """Base of the hops that multiply by M once for a block of steps, C(t) = q(t+1) M. They have no traces.

    A subclass defines `before(carry, entered, step)`, the carry before a step. `sent` is the place of q in the carry.
    """

    sent = -1

    def used(self, step):
        """The entries of a step that `before` needs, and `continues`."""
        return step

    def through(self, entered, carry, step):
        first = entered, self.used(step)

        def back(carry, now):
            entered, step = with_varying(first, now)
            return cut_at_starts(self.before(carry, entered, step), step), carry[self.sent]

        later = scan(back, carry, varying(first), reverse=True)[1]
        return tf.einsum("tbk,ki->tbi", later, self.m)

    def backward(self, carry, now):
        return now.through, self.before(carry, now.entered, now.step)


def filter_back(kernel, later, entered):
    """Errors of y(t), each [.., H]: those of y(t+1) by the transposed kernel, and what enters."""
    pairs = itertools.zip_longest(zip(*kernel), entered, fillvalue=0.0)  # the last parts may be missing
    return tuple(tensor(plus(dot(column, later), part), like=later[0]) for column, part in pairs)
