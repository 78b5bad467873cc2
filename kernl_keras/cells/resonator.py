"""`ResonatorCell`: resonate-and-fire units, Eq. (24)."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..dynamics.decays import decay_exp
from ..dynamics.surrogate import spike, surrogate_slope
from ..initializers import LogSpaced
from ..serialization import serializable
from ..types import Config, Surrogate, TimeConstant
from .constants import Effects, check_period, serialize_time_constant
from .linear import LinearStep
from .spiking import SpikingCell, SpikingResiduals


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
        """dt: a current of 1 adds this to the potential in one step."""
        return self.dt


class ResonatorState(NamedTuple):
    """The state of the units, or a small change of it. Each [B, H]."""

    v: Any  # Re U
    quadrature: Any  # Im U
    adaptation: Any  # b
    trace: Any  # S


class ResonatorStep(NamedTuple):
    """The values of one step. Each [B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t)
    threshold: Any  # B(t-1)
    slope: Any  # psi(t)


def _rotated(v, quadrature, p):
    """Real and imaginary part of U, or of a change of it, after one step without input."""
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
    swung, quadrature = _rotated(state.v, state.quadrature, p)
    potential = swung + p.drive * current  # Eq. (24)
    slope = surrogate_slope(potential, threshold, 1.0, p.surrogate_damping, p.surrogate)  # Eq. (5)
    spikes = spike(potential, threshold, slope)  # Eq. (4)
    adaptation = p.adaptation_decay * state.adaptation + (1.0 - p.adaptation_decay) * spikes  # Eq. (6)
    trace = p.trace_decay * state.trace + spikes  # Eq. (9)
    step = ResonatorStep(spikes, potential, threshold, slope)
    return step, ResonatorState(potential, quadrature, adaptation, trace)


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

    A unit responds most to inputs that come and go with its period, and remembers them for tau_m. Units with many
    different periods and a long tau_m hold a spectrum of the past. No reset interrupts the potential, so the known part
    of a weight's effect on it, eps of Eq. (20), rotates with it and is exact.

    In a plain `keras.layers.RNN` the cell trains by backpropagation through time, with psi in place of the spike's
    derivative. In `kernl_keras.RNN` it trains by the rule of that layer.

    Args:
        units: number of units H.
        tau_m: time constant with which the oscillation decays, ms: a number, a list of H numbers, or a Keras
            initializer such as `kernl_keras.LogUniform(100, 1000)`. What an initializer draws is saved with the model.
            Where an answer depends on the whole sequence, a quarter to a half of its length is a good beginning.
        period: period of the oscillation, ms, in one of the same forms; None for 20 values, log-spaced from 4 to 300
            steps. `kernl_keras.LogSpaced(4, T)` fits sequences of T steps of 1 ms. It must be longer than 2 dt: steps
            cannot follow a faster oscillation.
        tau_s: synaptic time constant, ms, in one of the same forms; None for S = z.
        tau_a: time constant of the threshold's adaptation, ms, in one of the same forms.
        base_threshold: b0 > 0, a number or a list of H numbers.
        adaptation_strength: beta >= 0, a number or a list of H numbers; a spike raises the threshold by (1-p) beta.
        dt: length of a step, ms.
        surrogate: shape of psi over u, 1 at the threshold: "triangle", max(0, 1 - abs(u)); "exponential",
            exp(-abs(u)/2); "fast_sigmoid", 1 / (1 + 10 abs(u))^2; "arctan", 1 / (1 + (pi u)^2); "gaussian",
            exp(-2 u^2); "multi_gaussian", a Gaussian that is below zero far from the threshold; "boxcar", 1 where
            abs(u) < 1/2
            (`kernl_keras.dynamics.surrogate` has their sources). Or a function f(u) -> slope of TensorFlow tensors
            [B, H]; register it with `keras.saving.register_keras_serializable`, or the cell cannot be saved.
        surrogate_damping: psi at the threshold is this number divided by B.
        input_gain: standard deviation of what the initial input weights add to the potential in one step, times
            sqrt(I). 1 suits inputs of standard deviation 1; sparse spikes need more. A `kernel_initializer` takes its
            place.
        recurrent_gain: the same for the recurrent weights, times sqrt(H). A `recurrent_initializer` takes its place.
        learn: which constants learn, by the names of their arguments: "tau_m", "period", "tau_s", "tau_a",
            "base_threshold", "adaptation_strength". Each becomes a weight with a number for every unit, which starts at
            the value given here. The weight is the logarithm, and stays in a range: time constants from 0.1 to 100,000
            steps, periods from 2.01, the other two from 0.001 to 1,000. A strength of 0 stays 0.
        **kwargs: what all hidden cells take: `self_connections`, `use_bias`; `recurrent_connectivity` and `excitatory`,
            for sparse recurrence and Dale's law; the initializers, regularizers and constraints of the weights
            (`kernel_initializer`, `recurrent_initializer`, `bias_initializer`, `kernel_regularizer` and so on; see
            `kernl_keras.cells.hidden.HiddenCell`); and `name`, `dtype` and the other arguments of a Keras layer.

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

    Source: Izhikevich, Neural Networks 14:883 (2001); Higuchi, Kairat, Bohte, Otte, Balanced Resonate-and-Fire
    Neurons, ICML 2024.
    """

    State = ResonatorState
    CONSTANTS = ("tau_m", "period")
    TIME_CONSTANTS = ("tau_m", "period", "tau_s", "tau_a")
    FIELDS = {
        "tau_m": ("leak", "turn"),
        "period": ("leak", "turn"),
        "tau_s": ("trace_decay",),
        "tau_a": ("adaptation_decay",),
        "base_threshold": ("base_threshold",),
        "adaptation_strength": ("adaptation_strength",),
    }
    LEARNABLE = ("tau_m", "period", "tau_s", "tau_a", "base_threshold", "adaptation_strength")

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
        super().__init__(
            units,
            tau_m=tau_m,
            tau_s=tau_s,
            tau_a=tau_a,
            base_threshold=base_threshold,
            adaptation_strength=adaptation_strength,
            dt=dt,
            surrogate=surrogate,
            surrogate_damping=surrogate_damping,
            input_gain=input_gain,
            recurrent_gain=recurrent_gain,
            **kwargs,
        )
        period = LogSpaced(4.0 * self.dt, 300.0 * self.dt) if period is None else period
        self.period = check_period(period, self.units, self.dt)
        self.set_learn(learn)

    def parameters(self) -> ResonatorParameters:
        """`ResonatorParameters` of the steps; built outside a time loop it costs nothing inside."""
        tau_m, period = (tf.convert_to_tensor(self.constant(name), self.compute_dtype) for name in ("tau_m", "period"))
        decay, angle = decay_exp(tau_m, self.dt), 2.0 * math.pi * self.dt / period
        return ResonatorParameters(
            leak=decay * tf.cos(angle),
            turn=decay * tf.sin(angle),
            adaptation_decay=decay_exp(self.constant("tau_a"), self.dt),
            trace_decay=decay_exp(self.constant("tau_s"), self.dt),
            base_threshold=self.constant("base_threshold"),
            adaptation_strength=self.constant("adaptation_strength"),
            dt=self.dt,
            surrogate=self.surrogate,
            surrogate_damping=self.surrogate_damping,
        )

    @property
    def own_states(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("v", "quadrature", "adaptation") if self.adapts else ("v", "quadrature")

    def step(
        self, current: tf.Tensor, state: ResonatorState, p: ResonatorParameters
    ) -> tuple[ResonatorStep, ResonatorState]:
        return resonator_step(current, state, p)

    def save_residuals(self, step: ResonatorStep, state: ResonatorState) -> SpikingResiduals:
        return SpikingResiduals(
            output=step.output,
            potential=step.potential,
            threshold=step.threshold if self.adapts else None,
            trace=None if self.tau_s is None else state.trace,
            quadrature=state.quadrature if self.keeps_quadrature else None,
        )

    def linear_step(self, residuals: SpikingResiduals, p: ResonatorParameters) -> LinearStep:
        psi = self.slope(residuals.potential, self.threshold(residuals, p), 1.0, p)
        return self._linearised(p, psi, residuals.presynaptic)

    def silent_step(self, p: ResonatorParameters) -> LinearStep:
        return self._linearised(p)

    def _linearised(self, p, psi=0.0, presynaptic=None):
        """Eq. (37) of Re U, Im U and b."""
        decay = p.adaptation_decay
        kept = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, decay)  # Eq. (6)
        step = LinearStep(
            psi=psi,
            P=((p.leak, -p.turn, 0.0), (p.turn, p.leak, 0.0), (0.0, 0.0, 1.0)),  # Eq. (24)
            Q=(p.drive, 0.0, 0.0),
            r=(1.0, 0.0, -p.adaptation_strength),  # Eq. (4)
            K=kept,
            s=(0.0, 0.0, 1.0 - decay),
            reset=(0.0, 0.0, 0.0),
            K0=kept,
            arrival=psi,
            presynaptic=presynaptic,
        )
        return step if self.adapts else step.first(2)

    def potentials(self, residuals: SpikingResiduals, p: ResonatorParameters) -> tuple[tf.Tensor, ...]:
        """Re U(t) and, where it is kept, Im U(t)."""
        if residuals.quadrature is None:
            return (residuals.potential,)
        return residuals.potential, residuals.quadrature

    def effects(
        self, residuals: SpikingResiduals, before: tuple, seen: tf.Tensor, p: ResonatorParameters
    ) -> dict[str, Effects]:
        effects = self.effects_beside(residuals, seen, p)
        if residuals.quadrature is not None:
            real, imaginary = before  # Eq. (24) by lambda is U(t-1)
            effects |= {
                "leak": Effects(y=(real, imaginary)),
                "turn": Effects(y=(-imaginary, real)),
            }
        return effects

    def gate(self, step: ResonatorStep) -> tf.Tensor | float:
        return 1.0

    def observables(self, step: ResonatorStep, state: ResonatorState) -> dict[str, tf.Tensor]:
        return {"distance": step.potential - step.threshold, "voltage": step.potential}

    def get_config(self) -> Config:
        return {**super().get_config(), "period": serialize_time_constant(self.period)}
