"""Backpropagation through time with the surrogate derivative, its adjoint written out: no rule, the measure of rules.

E-prop's local derivative, threshold and reset included, and the one path that it cuts, through the recurrent weights:

    g(t)   = [dC/dI(t+1)] W_rec^T + exp(-dt/tau_s) g(t+1)               what S(t) does to the later currents
    L(t)  <- L(t) + g(t)

The same gradient as `rule="bptt"`, which is automatic differentiation of the loop, in a fraction of the time; but an
error reaches a layer through its outputs alone. It has no form that goes forward in time.
"""

import tensorflow as tf

from .eprop_alif import EPropALIF


class BPTTAdjoint(EPropALIF):
    """The rule over own dynamics `own`, see `own`; `connected` gives it the recurrent weights."""

    def __init__(self, own):
        super().__init__(own)
        self.TRACES = (*self.TRACES, "H")

    def connected(self, weights, trace_decay):
        """The rule for W_rec [H, H] and exp(-dt/tau_s), [H] or a number."""
        rule = type(self)(self.own)
        rule.back, rule.trace_decay = tf.transpose(weights), trace_decay
        return rule

    def reverse_step(self, carry, now, decay):
        """The carry is that of `EPropALIF` and g(t); returns the carry for t-1 and the error of the current [B, H]."""
        *local, g = carry
        local, (error,) = super().reverse_step(local, now._replace(error=now.error + g), decay)
        return (*local, tf.matmul(error, self.back) + self.trace_decay * g), (error,)  # [B, H] x [H, H]

    def trace_step(self, traces, now, presynaptic, decay):
        """There is none: later errors reach a weight by ways that are not known yet."""
        raise NotImplementedError("backpropagation through time has no trace.")
