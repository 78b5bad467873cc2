"""Random-feedback local online learning, without the random feedback: each weight's effect on the output, leaking.

    p_ij(t)  = leak_i(t) p_ij(t-1) + psi_i(t) drive_i(t) s_j(t)
    dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

For the rate cell psi drive is (1-a) f'(g) and leak is a: Murray's rule, and e-prop. For a spiking unit psi is taken
when the input arrives, where e-prop takes it when the error does. The error L comes back by the transposed weights of
the layers above, not by random ones.

Trace: p [B, H, J]. Source: Murray, eLife 8:e43299 (2019), Eq. (3)-(4).
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .filters import fill

TRACES = ("H",)
"""The leading axes of each trace, before J."""


class Signals(NamedTuple):
    """What the rule needs of a step t; each [T, B, H]."""

    error: Any  # L(t)
    gain: Any  # psi(t) drive(t)
    leak: Any


def signals(error, factors, m, post_factor):
    """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
    return Signals(error, fill(factors.psi * factors.drive, error), fill(factors.leak, error))


def reverse_step(carry, now, decay):
    """R(t) = L(t) + leak(t+1) R(t+1); returns the carry for t-1 and the error of the current [B, H]."""
    own = now.error + carry[0]
    return (now.leak * own,), (now.gain * own,)


def trace_step(traces, now, presynaptic, decay):
    """The trace at t, from s(t) [B, J]; returns it and this step's gradient [H, J]."""
    trace = now.leak[:, :, None] * traces[0] + now.gain[:, :, None] * presynaptic[:, None, :]
    return (trace,), tf.einsum("bh,bhj->hj", now.error, trace)
