"""`ResonatorCell`: resonate-and-fire units, Eq. (24)."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..dynamics.decays import decay_exp
from ..dynamics.surrogate import spike
from ..initializers import LogSpaced
from ..keras_version import serializable
from ..types import Surrogate, TimeConstant
from .constants import Effects, check_period
from .linear import LinearStep, times
from .spiking import SpikingCell, SpikingResiduals, SpikingStep


class ResonatorParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    leak: Any  # Re exp(-dt/tau_m + 2 pi i dt/period)
    turn: Any  # Im of the same
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    drive: float  # dt: a current of 1 adds this to the potential in one step
    base_threshold: Any  # b0
    adaptation_strength: Any  # beta


class ResonatorState(NamedTuple):
    """The state of the units, or a small change of it. Each [B, H]."""

    v: Any  # Re U
    quadrature: Any  # Im U
    adaptation: Any  # b
    trace: Any  # S


@serializable
class ResonatorCell(SpikingCell):
    """Resonate-and-fire units: their potentials oscillate, with an adaptive threshold and no reset.

    One step, in this order (p = exp(-dt/tau_a)):

        (1)  I(t)  = x(t) W_in + S(t-1) W_rec + bias
        (24) U(t)  = exp(-dt/tau_m) exp(2 pi i dt/period) U(t-1) + dt I(t),    V-(t) = Re U(t)
        (4)  z(t)  = 1[V-(t) >= B(t-1)],                      B = b0 + beta b
        (5)  psi(t) = damping * f(u) / B, f the surrogate,     u = (V- - B) / B
        (6)  b(t)  = p b(t-1) + (1-p) z(t)
        (9)  S(t)  = exp(-dt/tau_s) S(t-1) + z(t)

    Where db(t)/db(t-1) would be below -1, the derivative of b(t) by z(t) is smaller, as in `kernl_keras.LIFCell`.

    A unit responds most to inputs that come and go with its period, and remembers them for tau_m. Units with many
    periods and a long tau_m hold a spectrum of the past. No reset interrupts the potential, so the known part of a
    weight's effect on it, eps of Eq. (20), rotates with it and is exact. The cell trains as `kernl_keras.LIFCell` does.

    Args:
        units: number of units H.
        tau_m: time constant with which the oscillation decays, ms: a number, a list of H numbers, or a Keras
            initializer. Where an answer depends on the whole sequence, a quarter to a half of its length is a good
            beginning.
        period: period of the oscillation, ms, in one of the same forms; None for 20 values, log-spaced from 4 to 300
            steps. `kernl_keras.LogSpaced(4, T)` fits sequences of T steps of 1 ms. It must be longer than 2 dt: steps
            cannot follow a faster oscillation.
        adaptation_strength: beta >= 0, a number or a list of H numbers; a spike raises the threshold by (1-p) beta.
        input_gain: standard deviation of what the initial input weights add to the potential in one step, times
            sqrt(I). 1 suits inputs of standard deviation 1; sparse spikes need more. A `kernel_initializer` takes its
            place.
        learn: which constants learn, as in `kernl_keras.LIFCell`: "tau_m", "period", "tau_s", "tau_a",
            "base_threshold", "adaptation_strength". Periods stay above 2.01 steps.
        tau_s, tau_a, base_threshold, dt, surrogate, surrogate_damping, recurrent_gain: as in `kernl_keras.LIFCell`, but
            for the defaults.
        **kwargs: `use_bias`, by default True, and what all hidden cells take, as in `kernl_keras.LIFCell`.

    Call arguments:
        inputs: x(t) [B, I].
        states: [Re U, Im U, b, S], each [B, H], zero at the start.

    Returns:
        The spikes z(t) [B, H], 0 or 1, and the list of new states.

    Raises:
        ValueError: for an argument out of its range, and for a list that does not have H entries.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.ResonatorCell(4, period=[10.0, 20.0, 30.0, 40.0]), return_sequences=True)
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Izhikevich, Neural Networks 14:883 (2001); Higuchi, Kairat, Bohte, Otte, ICML 2024.
    """

    State = ResonatorState
    own_states = ("v", "quadrature", "adaptation")  # the last where the threshold adapts
    CONSTANTS = ("tau_m", "period")
    TIME_CONSTANTS = ("tau_m", "period", "tau_s", "tau_a")
    LEARNABLE = ("tau_m", "period", *SpikingCell.LEARNABLE[1:])
    FIELDS = {**SpikingCell.FIELDS, "tau_m": ("leak", "turn"), "period": ("leak", "turn")}

    def __init__(
        self,
        units: int,
        tau_m: TimeConstant = 100.0,
        period: TimeConstant | None = None,
        tau_s: TimeConstant | None = None,
        tau_a: TimeConstant = 10.0,
        base_threshold: float | Iterable[float] = 1.0,
        adaptation_strength: float | Iterable[float] = 10.0,
        dt: float = 1.0,
        surrogate: Surrogate = "exponential",
        surrogate_damping: float = 0.3,
        input_gain: float = 1.0,
        recurrent_gain: float = 0.3,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.set_constants(tau_m, tau_s, tau_a, base_threshold, adaptation_strength)
        self.set_spiking(dt, surrogate, surrogate_damping, input_gain, recurrent_gain)
        period = LogSpaced(4.0 * self.dt, 300.0 * self.dt) if period is None else period
        self.period = check_period(period, self.units, self.dt)
        self.set_learn(learn)

    def parameters(self) -> ResonatorParameters:
        tau_m, period = (tf.convert_to_tensor(self.constant(name), self.compute_dtype) for name in ("tau_m", "period"))
        decay, angle = decay_exp(tau_m, self.dt), 2.0 * math.pi * self.dt / period
        leak, turn = decay * tf.cos(angle), decay * tf.sin(angle)
        return ResonatorParameters(leak=leak, turn=turn, drive=self.dt, **self.shared_parameters())

    def step(
        self, current: tf.Tensor, state: ResonatorState, p: ResonatorParameters
    ) -> tuple[SpikingStep, ResonatorState]:
        """Eq. (24), (4)-(6), (9)."""
        threshold = p.base_threshold + p.adaptation_strength * state.adaptation
        potential = p.leak * state.v - p.turn * state.quadrature + p.drive * current  # Eq. (24)
        quadrature = p.turn * state.v + p.leak * state.quadrature
        slope = self.slope(potential, threshold)  # Eq. (5)
        spikes = spike(potential, threshold, slope)  # Eq. (4)
        adaptation = self.adapted(state.adaptation, spikes, slope, p)  # Eq. (6)
        trace = p.trace_decay * state.trace + spikes  # Eq. (9)
        step = SpikingStep(spikes, potential, threshold, slope)
        return step, ResonatorState(potential, quadrature, adaptation, trace)

    def silent_step(self, p: ResonatorParameters) -> LinearStep:
        """Eq. (37) of Re U, Im U and b."""
        decay = p.adaptation_decay
        kept = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, decay)  # Eq. (6)
        step = LinearStep(
            psi=0.0,
            P=((p.leak, -p.turn, 0.0), (p.turn, p.leak, 0.0), (0.0, 0.0, 1.0)),  # Eq. (24)
            Q=(p.drive, 0.0, 0.0),
            r=(1.0, 0.0, -p.adaptation_strength),  # Eq. (4)
            K=kept,
            s=(0.0, 0.0, 1.0 - decay),
            reset=(0.0, 0.0, 0.0),
            K0=kept,
        )
        return step if self.adapts else step.first(2)

    def linear_step(self, residuals: SpikingResiduals, p: ResonatorParameters) -> LinearStep:
        psi = self.slope(residuals.potential, self.threshold(residuals, p))
        step = self.silent_step(p)._replace(psi=psi)
        return step._replace(s=(0.0, 0.0, times(self.damped(psi, p), step.s[2]))) if self.adapts else step

    def kept_states(self, residuals: SpikingResiduals, p: ResonatorParameters) -> tuple[tf.Tensor, ...]:
        """Re U(t) and, where it is kept, Im U(t)."""
        v, quadrature = residuals.potential, residuals.second_state
        return (v,) if quadrature is None else (v, quadrature)

    def effects(
        self, residuals: SpikingResiduals, before: tuple, seen: tf.Tensor, p: ResonatorParameters
    ) -> dict[str, Effects]:
        effects = self.effects_beside(residuals, seen, p)
        if residuals.second_state is not None:
            real, imaginary = before  # Eq. (24) by lambda is U(t-1)
            effects |= {"leak": Effects(y=(real, imaginary)), "turn": Effects(y=(-imaginary, real))}
        return effects
