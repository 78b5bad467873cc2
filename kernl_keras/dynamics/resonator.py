"""One time step of resonate-and-fire units with an adaptive threshold and no reset.

    (24) U(t) = exp(-dt/tau_m) exp(2 pi i dt/period) U(t-1) + dt I(t),    V-(t) = Re U(t)

then (4)-(6) and (9): a spike where V- crosses the threshold, which leaves U alone and raises the threshold. Pure
functions of [B, H] tensors; times in ms.
Source: Izhikevich, Neural Networks 14:883 (2001); Higuchi, Kairat, Bohte, Otte, Balanced Resonate-and-Fire Neurons,
ICML 2024 (a threshold that adapts, and no reset).
"""

from typing import Any, NamedTuple

from .surrogate import spike, surrogate_slope


class ResonatorParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    leak: Any  # Re exp(-dt/tau_m + 2 pi i dt/period)
    turn: Any  # Im of the same
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    base_threshold: Any  # b0
    adaptation_strength: Any  # beta
    dt: float  # ms
    surrogate: Any  # a word of `SURROGATES`, or a function
    surrogate_damping: float

    @property
    def drive(self):
        """dt: what a unit of current adds to the potential in one step."""
        return self.dt


class ResonatorState(NamedTuple):
    """What a unit remembers from one step to the next; also the shape of a small change of it. Each [B, H]."""

    v: Any  # Re U
    quadrature: Any  # Im U
    adaptation: Any  # b
    trace: Any  # S


class ResonatorStep(NamedTuple):
    """What happened in one step. Each [B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t)
    threshold: Any  # B(t-1)
    slope: Any  # psi(t)


def turned(v, quadrature, p):
    """U, or a change of it, one step later without input: its real and its imaginary part."""
    return p.leak * v - p.turn * quadrature, p.turn * v + p.leak * quadrature


def resonator_step(current, state, p):
    """Eq. (24), (4)-(6), (9).

    Args:
        current: I(t) [B, H], Eq. (1).
        state: `ResonatorState` at t-1.
        p: `ResonatorParameters`.

    Returns:
        `ResonatorStep` of t and `ResonatorState` at t.
    """
    threshold = p.base_threshold + p.adaptation_strength * state.adaptation
    swung, quadrature = turned(state.v, state.quadrature, p)
    potential = swung + p.drive * current  # Eq. (24)
    slope = surrogate_slope(potential, threshold, 1.0, p.surrogate_damping, p.surrogate)  # Eq. (5)
    spikes = spike(potential, threshold, slope)  # Eq. (4)
    adaptation = p.adaptation_decay * state.adaptation + (1.0 - p.adaptation_decay) * spikes  # Eq. (6)
    trace = p.trace_decay * state.trace + spikes  # Eq. (9)
    step = ResonatorStep(spikes, potential, threshold, slope)
    return step, ResonatorState(potential, quadrature, adaptation, trace)
