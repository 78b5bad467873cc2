"""E-prop for units that adapt: the local derivative, with the threshold's part of the trace.

    eps_ij(t)  = leak_i(t) v_ij(t-1) + (1-a_i) R_m s_j(t)                of the potential V-, Eq. (20)
    zeta_ij(t) = psi_i(t) [eps_ij(t) - beta_i c_ij(t-1)]                 of the spike, Eq. (4)
    c_ij(t)    = p_i c_ij(t-1) + (1-p_i) zeta_ij(t)                      of the adaptation b, Eq. (6)
    v_ij(t)    = keep_i(t) eps_ij(t) - keep'_i(t) beta_i c_ij(t-1)       of the potential V after the reset, Eq. (8)
    dC/dW_ij   = sum_b sum_t L_i(t) zeta_ij(t)

keep is 1 - z at a hard reset and 1 at a soft one, which takes B z away, so that keep' is 0 or z; without a reset they
are 1 and 0. It is the derivative of the cost with every path through the recurrent weights and through the resetting
spike cut; with the layer's `reset_gradient` the latter is followed too.

Traces: those of the own potential, v first, and c, each [B, H, J].
Source: Bellec et al., Nature Communications 11:3625 (2020), Methods, "Eligibility traces for ALIF neurons".
"""

from collections import namedtuple

import tensorflow as tf

from .filters import fill
from .own import own_factors

ADAPTATION = ("adaptation_strength", "adaptation_decay", "threshold_keep")  # beta, p, keep'


class EPropALIF:
    """The rule over own dynamics `own`, see `own`."""

    def __init__(self, own):
        self.own = own
        self.TRACES = (*own.TRACES, "H")
        self.Signals = namedtuple("Signals", ("error", "psi", *own.FIELDS, *ADAPTATION))  # L(t) and so on, [T, B, H]

    def signals(self, error, factors, m, post_factor):
        """`Signals` from the output's error L [T, B, H]; M and `post_factor` have no part in this rule."""
        psi, *adaptation = (fill(getattr(factors, name), error) for name in ("psi", *ADAPTATION))
        return self.Signals(error, psi, *own_factors(self.own, factors, error), *adaptation)

    def reverse_step(self, carry, now, decay):
        """The carry holds what the later errors make of the own traces and of c, each [B, H].

        Returns:
            the carry for t-1, and the error of the current [B, H].
        """
        *own, adaptation = carry
        spike = now.error + (1.0 - now.adaptation_decay) * adaptation  # of zeta(t)
        of_threshold = now.psi * spike + now.threshold_keep * own[0]
        own, error = self.own.reverse(own, now.psi * spike, now)
        adaptation = now.adaptation_decay * adaptation - now.adaptation_strength * of_threshold
        return (*own, adaptation), (error,)

    def trace_step(self, traces, now, presynaptic, decay):
        """The traces at t, from s(t) [B, J]; returns them and this step's gradient [H, J]."""
        psi, persistence = now.psi[:, :, None], now.adaptation_decay[:, :, None]
        *own, adaptation = traces
        threshold = now.adaptation_strength[:, :, None] * adaptation
        (kept, *others), eps = self.own.trace(own, now, presynaptic)
        zeta = psi * (eps - threshold)
        kept -= now.threshold_keep[:, :, None] * threshold
        adaptation = persistence * adaptation + (1.0 - persistence) * zeta
        return (kept, *others, adaptation), tf.einsum("bh,bhj->hj", now.error, zeta)
