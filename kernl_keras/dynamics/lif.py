"""One time step of adaptive leaky integrate-and-fire units, Eq. (2)-(9).

Pure functions of [B, H] tensors; times in ms.
Source: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020).
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .surrogate import spike, surrogate_slope


class LIFParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    membrane_decay: Any  # a
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    resistance: Any  # R_m; None for 1 / (1-a)
    base_threshold: Any  # b0
    adaptation_strength: Any  # beta
    refractory_time: Any  # tau_ref, ms
    reset_potential: Any  # V_reset
    dt: float  # ms
    soft_reset: bool
    surrogate: Any  # a word of `SURROGATES`, or a function
    surrogate_damping: float

    @property
    def drive(self):
        """(1-a) R_m: what a unit of current adds to the potential in one step."""
        return 1.0 if self.resistance is None else (1.0 - self.membrane_decay) * self.resistance


class LIFState(NamedTuple):
    """What a unit remembers from one step to the next; also the shape of a small change of it. Each [B, H]."""

    v: Any  # V
    adaptation: Any  # b
    refractory: Any  # r, ms
    trace: Any  # S


class LIFStep(NamedTuple):
    """What happened in one step. Each [B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t), before the reset
    threshold: Any  # B(t-1)
    slope: Any  # psi(t)
    gate: Any  # on(t): 1, or 0 where refractory


def lif_step(current, state, p):
    """Eq. (2)-(9).

    Args:
        current: I(t) [B, H], Eq. (1).
        state: `LIFState` at t-1.
        p: `LIFParameters`.

    Returns:
        `LIFStep` of t and `LIFState` at t.
    """
    threshold = p.base_threshold + p.adaptation_strength * state.adaptation
    gate = tf.cast(state.refractory < p.dt, current.dtype)  # Eq. (2)
    potential = state.v + gate * (p.drive * current - (1.0 - p.membrane_decay) * state.v)  # Eq. (3)
    slope = surrogate_slope(potential, threshold, gate, p.surrogate_damping, p.surrogate)  # Eq. (5)
    spikes = spike(potential, threshold, slope)  # Eq. (4)
    adaptation = p.adaptation_decay * state.adaptation + (1.0 - p.adaptation_decay) * spikes  # Eq. (6)
    refractory = tf.nn.relu(state.refractory - p.dt) + p.refractory_time * tf.stop_gradient(spikes)  # Eq. (7)
    if p.soft_reset:
        v = potential - threshold * spikes  # Eq. (8), soft
    else:
        v = potential + (p.reset_potential - potential) * spikes  # Eq. (8), hard
    trace = p.trace_decay * state.trace + spikes  # Eq. (9)
    step = LIFStep(spikes, potential, threshold, slope, gate)
    return step, LIFState(v, adaptation, refractory, trace)
