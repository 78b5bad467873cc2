"""KeRNL, network form: the own leak is known, M and gamma carry the path through the spikes. Eq. (20)-(23).

Traces: eps [B, H, J], each weight's effect on its own potential, after the reset; and e [B, R, H, J], its effect on the
spikes, filtered: what is carried from one step to the next is e(t+1) of Eq. (21). J counts inputs, units and bias.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .filters import fill, sensitivity_product

TRACES = ("H", "RH")
"""The leading axes of each trace, before J."""


class Signals(NamedTuple):
    """What the rule needs of a step t; each [T, B, H], `path` [T, B, R, H]."""

    local: Any  # A(t) = L(t) psi(t)
    path: Any  # d(t), Eq. (11)
    psi: Any
    drive: Any
    leak: Any
    keep: Any


def signals(error, factors, m, post_factor):
    """`Signals` from the output's error L [T, B, H]; `post_factor` has no part in this form."""
    psi, drive, leak, keep = (fill(factor, error) for factor in factors[:4])
    local = error * psi
    return Signals(local, sensitivity_product(local, m), psi, drive, leak, keep)


def reverse_step(carry, now, decay):
    """Eq. (23) at t: the carry holds what the later errors make of eps(t) [B, H] and of e(t+1) [B, R, H].

    Returns:
        the carry for t-1, and the error of the current, drive(t) R(t) [B, H].
    """
    own, path = carry
    own = now.local + now.psi * tf.reduce_sum(path, 1) + now.keep * own  # R(t)
    return (now.leak * own, now.path + decay * path), (now.drive * own,)


def trace_step(traces, now, presynaptic, decay):
    """Eq. (20)-(22) at t, from s(t) [B, J].

    Returns:
        the traces for t+1, and the sum over the batch of this step's weight gradient [H, J].
    """
    eps, e = traces
    eps = now.leak[:, :, None] * eps + now.drive[:, :, None] * presynaptic[:, None, :]  # Eq. (20)
    gradient = tf.einsum("bh,bhj->hj", now.local, eps) + tf.einsum("brh,brhj->hj", now.path, e)  # Eq. (22)
    e = decay[None, :, :, None] * e + (now.psi[:, :, None] * eps)[:, None]  # Eq. (21)
    return (now.keep[:, :, None] * eps, e), gradient
