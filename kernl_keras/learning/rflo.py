"""Random-feedback local online learning, without the random feedback: each weight's effect on the output, leaking.

    p_ij(t)  = leak_i(t) p_ij(t-1) + psi_i(t) drive_i(t) s_j(t)
    dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

For the rate cell psi drive is (1-a) f'(g) and leak is a: Murray's rule, and e-prop. For a spiking unit psi is taken
when the input arrives, where e-prop takes it when the error does; a resonator's p turns as its potential does. The
error L comes back by the transposed weights of the layers above, not by random ones.

Traces: p [B, H, J], for resonators of two components. Source: Murray, eLife 8:e43299 (2019), Eq. (3)-(4).
"""

from collections import namedtuple

import tensorflow as tf

from .own import own_factors


class RFLO:
    """The rule over own dynamics `own`, see `own`; no reset interrupts the leak."""

    def __init__(self, own):
        self.own = own
        self.TRACES = own.TRACES
        self.Signals = namedtuple("Signals", ("error", *own.FIELDS))  # L(t), psi(t) drive(t), ...; each [T, B, H]

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
        factors = factors._replace(drive=factors.psi * factors.drive, keep=1.0)
        return self.Signals(error, *own_factors(self.own, factors, error))

    def reverse_step(self, carry, now, decay):
        """R(t) = L(t) + leak(t+1) R(t+1); returns the carry for t-1 and the error of the current [B, H]."""
        carry, error = self.own.reverse(carry, now.error, now)
        return carry, (error,)

    def trace_step(self, traces, now, presynaptic, decay):
        """The trace at t, from s(t) [B, J]; returns it and this step's gradient [H, J]."""
        traces, p = self.own.trace(traces, now, presynaptic)
        return traces, tf.einsum("bh,bhj->hj", now.error, p)
