"""E-prop with the simple trace: the network form without the path through other units. First term of Eq. (22).

Traces: those of the own potential, eps [B, H, J]. The threshold's part of the trace of a unit that adapts is left out;
`eprop_alif` has it.
Source: Bellec et al., Nature Communications 11:3625 (2020).
"""

from collections import namedtuple

import tensorflow as tf

from .own import own_factors


class EProp:
    """The rule over own dynamics `own`, see `own`."""

    def __init__(self, own):
        self.own = own
        self.TRACES = own.TRACES
        self.Signals = namedtuple("Signals", ("local", *own.FIELDS))  # A(t) = L(t) psi(t); each [T, B, H]

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
        return self.Signals(error * factors.psi, *own_factors(self.own, factors, error))

    def reverse_step(self, carry, now, decay):
        """R(t) = A(t) + keep(t) leak(t+1) R(t+1); returns the carry for t-1 and the error of the current [B, H]."""
        carry, error = self.own.reverse(carry, now.local, now)
        return carry, (error,)

    def trace_step(self, traces, now, presynaptic, decay):
        """Eq. (20) and the first term of (22) at t; returns the traces for t+1 and this step's gradient [H, J]."""
        traces, eps = self.own.trace(traces, now, presynaptic)
        return traces, tf.einsum("bh,bhj->hj", now.local, eps)
