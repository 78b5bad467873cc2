"""KeRNL, plain form: M and gamma carry the whole influence of a unit's current. Eq. (10)-(14).

Trace: e [B, R, H, J], Eq. (10). J counts inputs, units and bias.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .filters import fill, sensitivity_product


class Plain:
    """The rule; a unit's own dynamics are left to M and gamma."""

    TRACES = ("RH",)

    class Signals(NamedTuple):
        """What the rule needs of a step t: `path` [T, B, R, H], `post_factor` [T, B, H]."""

        path: Any  # d(t), Eq. (11)
        post_factor: Any  # h(t)

    def __init__(self, own):
        pass

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error L [T, B, H] and h(t), [T, B, H] or a number."""
        return self.Signals(sensitivity_product(error * factors.psi, m), fill(post_factor, error))

    def reverse_step(self, carry, now, decay):
        """Eq. (13) at t: the carry holds what the later errors make of e(t) [B, R, H].

        Returns:
            the carry for t-1, and the error of the current, sum_r R_r(t) h(t) [B, H].
        """
        reverse = now.path + carry[0]
        return (decay * reverse,), (tf.reduce_sum(reverse, 1) * now.post_factor,)

    def trace_step(self, traces, now, presynaptic, decay):
        """Eq. (10) and (12) at t, from s(t) [B, J].

        Returns:
            the traces for t+1, and the sum over the batch of this step's weight gradient [H, J].
        """
        added = now.post_factor[:, :, None] * presynaptic[:, None, :]
        e = decay[None, :, :, None] * traces[0] + added[:, None]  # Eq. (10)
        return (e,), tf.einsum("brh,brhj->hj", now.path, e)  # Eq. (12)
