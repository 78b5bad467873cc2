"""E-prop for units that adapt: the local derivative, its trace of two components.

    eps_ij(t)  = leak_i(t) v_ij(t-1) + (1-a_i) R_m s_j(t)                of the potential V-, Eq. (20)
    zeta_ij(t) = psi_i(t) [eps_ij(t) - beta_i c_ij(t-1)]                 of the spike, Eq. (4)
    c_ij(t)    = p_i c_ij(t-1) + (1-p_i) zeta_ij(t)                      of the adaptation b, Eq. (6)
    v_ij(t)    = keep_i(t) eps_ij(t) - keep'_i(t) beta_i c_ij(t-1)       of the potential V after the reset, Eq. (8)
    dC/dW_ij   = sum_b sum_t L_i(t) zeta_ij(t)

keep is 1 - z at a hard reset and 1 at a soft one, which takes B z away, so that keep' is 0 or z. It is the derivative
of the cost with every path through the recurrent weights and through the resetting spike cut; with the layer's
`reset_gradient` the latter is followed too.

Traces: v and c, each [B, H, J].
Source: Bellec et al., Nature Communications 11:3625 (2020), Methods, "Eligibility traces for ALIF neurons".
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .filters import fill

TRACES = ("H", "H")
"""The leading axes of each trace, before J."""


class Signals(NamedTuple):
    """What the rule needs of a step t; each [T, B, H]."""

    error: Any  # L(t)
    psi: Any
    drive: Any
    leak: Any
    keep: Any
    strength: Any  # beta
    decay: Any  # p
    threshold_keep: Any  # keep'


def signals(error, factors, m, post_factor):
    """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
    return Signals(error, *(fill(factor, error) for factor in factors))


def reverse_step(carry, now, decay):
    """The carry holds what the later errors make of eps after the reset, and of c, each [B, H].

    Returns:
        the carry for t-1, and the error of the current [B, H].
    """
    kept, adaptation = carry
    spike = now.error + (1.0 - now.decay) * adaptation  # of zeta(t)
    own = now.psi * spike + now.keep * kept  # of eps(t)
    adaptation = now.decay * adaptation - now.strength * now.psi * spike - now.strength * now.threshold_keep * kept
    return (now.leak * own, adaptation), (now.drive * own,)


def trace_step(traces, now, presynaptic, decay):
    """The traces at t, from s(t) [B, J]; returns them and this step's gradient [H, J]."""
    psi, drive, leak, keep, strength, persistence, threshold_keep = (field[:, :, None] for field in now[1:])
    kept, adaptation = traces
    eps = leak * kept + drive * presynaptic[:, None, :]
    zeta = psi * (eps - strength * adaptation)
    kept = keep * eps - threshold_keep * strength * adaptation
    adaptation = persistence * adaptation + (1.0 - persistence) * zeta
    return (kept, adaptation), tf.einsum("bh,bhj->hj", now.error, zeta)
