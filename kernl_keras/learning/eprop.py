"""E-prop with the simple trace: the network form without the path through other units. First term of Eq. (22).

Trace: eps [B, H, J]. The threshold's part of the trace of a unit that adapts is left out; `eprop_alif` has it.
Source: Bellec et al., Nature Communications 11:3625 (2020).
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .filters import fill

TRACES = ("H",)
"""The leading axes of each trace, before J."""


class Signals(NamedTuple):
    """What the rule needs of a step t; each [T, B, H]."""

    local: Any  # A(t) = L(t) psi(t)
    drive: Any
    leak: Any
    keep: Any


def signals(error, factors, m, post_factor):
    """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
    psi, drive, leak, keep = (fill(factor, error) for factor in factors[:4])
    return Signals(error * psi, drive, leak, keep)


def reverse_step(carry, now, decay):
    """R(t) = A(t) + keep(t) leak(t+1) R(t+1); returns the carry for t-1 and the error of the current [B, H]."""
    own = now.local + now.keep * carry[0]
    return (now.leak * own,), (now.drive * own,)


def trace_step(traces, now, presynaptic, decay):
    """Eq. (20) and the first term of (22) at t; returns the traces for t+1 and this step's gradient [H, J]."""
    eps = now.leak[:, :, None] * traces[0] + now.drive[:, :, None] * presynaptic[:, None, :]
    return (now.keep[:, :, None] * eps,), tf.einsum("bh,bhj->hj", now.local, eps)
