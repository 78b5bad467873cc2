"""One time step of leaky units with an adaptation current (AdLIF), Eq. (34).

    (34) V-(t) = a V(t-1) + (1-a) [R_m I(t) - w(t-1)]
         z(t)  = 1[V-(t) >= b0],     V(t) = V-(t) (1 - z(t))
         w(t)  = p w(t-1) + (1-p) [A V(t) + b z(t)]

The symplectic Euler method: w hears of V at the same step. Pure functions of [B, H] tensors; times in ms.
Source: Baronig, Ferrand, Sabathiel, Legenstein, Advancing spatio-temporal processing in spiking neural networks through
adaptation, arXiv:2408.07517 (2024).
"""

from typing import Any, NamedTuple

from .surrogate import spike, surrogate_slope


class AdLIFParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    membrane_decay: Any  # a
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    resistance: Any  # R_m; None for 1 / (1-a)
    base_threshold: Any  # b0
    adaptation_strength: Any  # b
    coupling: Any  # A
    dt: float  # ms
    surrogate: Any
    surrogate_damping: float

    @property
    def drive(self):
        """(1-a) R_m: what a unit of current adds to the potential in one step."""
        return 1.0 if self.resistance is None else (1.0 - self.membrane_decay) * self.resistance

    @property
    def pull(self):
        """1-a: what a unit of w takes from the potential in one step."""
        return 1.0 - self.membrane_decay


class AdLIFState(NamedTuple):
    """What a unit remembers from one step to the next; also the shape of a small change of it. Each [B, H]."""

    v: Any  # V
    w: Any  # w, the adaptation current
    trace: Any  # S


class AdLIFStep(NamedTuple):
    """What happened in one step. Each [B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t), before the reset
    threshold: Any  # b0
    slope: Any  # psi(t)


def adlif_step(current, state, p):
    """Eq. (34), (5), (9).

    Args:
        current: I(t) [B, H], Eq. (1).
        state: `AdLIFState` at t-1.
        p: `AdLIFParameters`.

    Returns:
        `AdLIFStep` of t and `AdLIFState` at t.
    """
    potential = p.membrane_decay * state.v + p.drive * current - p.pull * state.w
    threshold = p.base_threshold + 0.0 * potential
    slope = surrogate_slope(potential, threshold, 1.0, p.surrogate_damping, p.surrogate)  # Eq. (5)
    spikes = spike(potential, threshold, slope)
    v = potential * (1.0 - spikes)
    driven = p.coupling * v + p.adaptation_strength * spikes
    w = p.adaptation_decay * state.w + (1.0 - p.adaptation_decay) * driven
    trace = p.trace_decay * state.trace + spikes  # Eq. (9)
    return AdLIFStep(spikes, potential, threshold, slope), AdLIFState(v, w, trace)
