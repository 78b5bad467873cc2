"""KeRNL, network form: the own leak is known, M and gamma carry the path through the spikes. Eq. (20)-(23).

Traces: those of the own potential, eps [B, H, J], each weight's effect on it after the reset; and e [B, R, H, J], its
effect on the spikes, filtered: what is carried from one step to the next is e(t+1) of Eq. (21). J counts inputs, units
and bias.
"""

from collections import namedtuple

import tensorflow as tf

from .filters import fill, sensitivity_product
from .own import own_factors


class Network:
    """The rule over own dynamics `own`, see `own`."""

    def __init__(self, own):
        self.own = own
        self.TRACES = (*own.TRACES, "RH")
        # A(t) = L(t) psi(t) [T, B, H]; d(t), Eq. (11) [T, B, R, H]; the rest [T, B, H]
        self.Signals = namedtuple("Signals", ("local", "path", "psi", *own.FIELDS))

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error L [T, B, H]; `post_factor` has no part in this form."""
        psi = fill(factors.psi, error)
        local = error * psi
        return self.Signals(local, sensitivity_product(local, m), psi, *own_factors(self.own, factors, error))

    def reverse_step(self, carry, now, decay):
        """Eq. (23) at t: the carry holds what the later errors make of the own traces and of e(t+1) [B, R, H].

        Returns:
            the carry for t-1, and the error of the current, drive(t) R(t) [B, H].
        """
        *own, path = carry
        own, error = self.own.reverse(own, now.local + now.psi * tf.reduce_sum(path, 1), now)
        return (*own, now.path + decay * path), (error,)

    def trace_step(self, traces, now, presynaptic, decay):
        """Eq. (20)-(22) at t, from s(t) [B, J].

        Returns:
            the traces for t+1, and the sum over the batch of this step's weight gradient [H, J].
        """
        *own, e = traces
        own, eps = self.own.trace(own, now, presynaptic)  # Eq. (20)
        gradient = tf.einsum("bh,bhj->hj", now.local, eps) + tf.einsum("brh,brhj->hj", now.path, e)  # Eq. (22)
        e = decay[None, :, :, None] * e + (now.psi[:, :, None] * eps)[:, None]  # Eq. (21)
        return (*own, e), gradient
