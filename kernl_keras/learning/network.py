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
    """The rule over own dynamics `own`, see `own`; its kernels decay, or, `swings`, their `decay` [R, H] is complex."""

    def __init__(self, own, swings=False):
        self.own, self.swings = own, swings
        self.TRACES = (*own.TRACES, *["RH"] * (2 if swings else 1))
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
        own, (path, *quadrature) = self._split(carry)
        own, error = self.own.reverse(own, now.local + now.psi * tf.reduce_sum(path, 1), now)
        if self.swings:
            leak, turn = tf.math.real(decay), tf.math.imag(decay)
            (beside,) = quadrature
            return (*own, now.path + leak * path + turn * beside, leak * beside - turn * path), (error,)
        return (*own, now.path + decay * path), (error,)

    def trace_step(self, traces, now, presynaptic, decay):
        """Eq. (20)-(22) at t, from s(t) [B, J].

        Returns:
            the traces for t+1, and the sum over the batch of this step's weight gradient [H, J].
        """
        own, (e, *quadrature) = self._split(traces)
        own, eps = self.own.trace(own, now, presynaptic)  # Eq. (20)
        gradient = tf.einsum("bh,bhj->hj", now.local, eps) + tf.einsum("brh,brhj->hj", now.path, e)  # Eq. (22)
        through = (now.psi[:, :, None] * eps)[:, None]
        if self.swings:
            leak, turn = (part[None, :, :, None] for part in (tf.math.real(decay), tf.math.imag(decay)))
            (beside,) = quadrature
            return (*own, leak * e - turn * beside + through, turn * e + leak * beside), gradient
        return (*own, decay[None, :, :, None] * e + through), gradient  # Eq. (21)

    def _split(self, carried):
        """What is carried of the own potential, and of the path."""
        own = len(self.own.TRACES)
        return carried[:own], carried[own:]
