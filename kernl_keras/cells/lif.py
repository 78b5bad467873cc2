"""`LIFCell`: adaptive leaky integrate-and-fire units, Eq. (1)-(9)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import number, one_of, per_unit
from ..dynamics.decays import DECAYS
from ..dynamics.surrogate import spike
from ..keras_version import serializable
from ..types import Discretization, Reset, Surrogate, TimeConstant
from .constants import Effects
from .linear import LinearStep, nothing, times
from .spiking import SpikingCell, SpikingResiduals, SpikingStep


class LIFParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    membrane_decay: Any  # a
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    drive: Any  # (1-a) R_m
    base_threshold: Any  # b0
    adaptation_strength: Any  # beta


class LIFState(NamedTuple):
    """The state of the units, or a small change of it. Each [B, H]."""

    v: Any  # V
    adaptation: Any  # b
    refractory: Any  # r, ms
    trace: Any  # S


@serializable
class LIFCell(SpikingCell):
    """Leaky integrate-and-fire units with recurrent weights, a refractory time and an adaptive threshold.

    One step, in this order (a = exp(-dt/tau_m), p = exp(-dt/tau_a)):

        (1) I(t)  = x(t) W_in + S(t-1) W_rec + bias
        (2) on    = 1 where r(t-1) < dt, else 0
        (3) V-(t) = on ? a V(t-1) + (1-a) R_m I(t) : V(t-1)
        (4) z(t)  = 1[V-(t) >= B(t-1)],                      B = b0 + beta b
        (5) psi(t) = damping * f(u) / B, f the surrogate,      u = (V- - B) / B; 0 where refractory
        (6) b(t)  = p b(t-1) + (1-p) z(t)
        (7) r(t)  = max(r(t-1) - dt, 0) + tau_ref z(t)
        (8) V(t)  = V-(t) (1 - z(t)) + V_reset z(t)           or, soft, V-(t) - B(t-1) z(t)
        (9) S(t)  = exp(-dt/tau_s) S(t-1) + z(t)

    Where db(t)/db(t-1) = p - (1-p) beta psi(t) would be below -1, and errors that go back would grow with every step,
    the derivative of b(t) by z(t) is smaller, so that it is -1. Thresholds that learn can come there.

    In a plain `keras.layers.RNN` the cell trains by backpropagation through time, with psi in place of the spike's
    derivative; in `kernl_keras.RNN` by the rule of that layer.

    Args:
        units: number of units H.
        tau_m: membrane time constant, ms: a number, a list of H numbers, or a Keras initializer such as
            `kernl_keras.LogUniform(20, 800)`, whose draws are saved with the model. snnTorch's `beta` is exp(-dt /
            tau_m), so that tau_m = -dt / log(beta).
        tau_s: synaptic time constant, ms, in one of the same forms; None for S = z.
        tau_a: time constant of the threshold's adaptation, ms, in one of the same forms.
        tau_ref: refractory time, ms.
        resistance: R_m > 0, a number or a list of H numbers; or None for 1 / (1-a), so that a current of 1 adds 1 to
            the potential of every unit, also while `tau_m` learns. With a number slow units need larger weights, which
            Adam, whose steps are equal for all, learns slowly.
        base_threshold: b0 > 0, a number or a list of H numbers.
        adaptation_strength: beta >= 0, a number or a list of H numbers; 0 for a fixed threshold.
        reset_potential: V_reset of the hard reset.
        reset: "hard" (to V_reset) or "soft" (by the threshold).
        dt: length of a step, ms.
        discretization: "exponential", or "euler" for a = 1 - dt/tau_m and so on.
        surrogate: shape of psi over u, 1 at the threshold: "triangle", max(0, 1 - abs(u)); "exponential",
            exp(-abs(u)/2); "fast_sigmoid", 1 / (1 + 10 abs(u))^2; "arctan", 1 / (1 + (pi u)^2); "gaussian",
            exp(-2 u^2); "multi_gaussian", a Gaussian that is below zero far from the threshold; "boxcar", 1 where
            abs(u) < 1/2 (sources: `kernl_keras.dynamics.surrogate`). Or a function f(u) -> slope of TensorFlow tensors
            [B, H]; register it with `keras.saving.register_keras_serializable`, or the cell cannot be saved.
        surrogate_damping: psi at the threshold is this number divided by B.
        use_bias: whether to add a trained current.
        input_gain: standard deviation of what the initial input weights add to the potential in one step, times
            sqrt(I); the weights themselves are larger by 1 / ((1-a) R_m). A `kernel_initializer` takes its place.
        recurrent_gain: the same for the recurrent weights, times sqrt(H). A `recurrent_initializer` takes its place.
        learn: which constants learn, by the names of their arguments: "tau_m", "tau_s", "tau_a", "base_threshold",
            "adaptation_strength". Each becomes a weight, the logarithm of a number for every unit, which starts at the
            value given here and stays in a range: time constants from 0.1 steps (1.001 with "euler") to 100,000 steps,
            the other two from 0.001 to 1,000. A strength of 0 stays 0.
        **kwargs: what all hidden cells take (`kernl_keras.cells.hidden.HiddenCell`): `self_connections`;
            `recurrent_connectivity` and `excitatory`, for sparse recurrence and Dale's law; `kernel_initializer`,
            `recurrent_initializer`, `bias_initializer`, `kernel_regularizer` and so on; and `name`, `dtype` and the
            other arguments of a Keras layer.

    Call arguments:
        inputs: x(t) [B, I].
        states: [V, b, r, S], each [B, H], zero at the start.

    Returns:
        The spikes z(t) [B, H], 0 or 1, and the list of new states.

    Raises:
        ValueError: for an argument out of its range, and for a list that does not have H entries.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.LIFCell(4, tau_m=20.0), return_sequences=True)
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020).
    """

    State = LIFState
    own_states = ("v", "adaptation")  # the second where the threshold adapts
    OBSERVABLES = ("distance", "voltage", "reset_voltage")

    def __init__(
        self,
        units: int,
        tau_m: TimeConstant = 20.0,
        tau_s: TimeConstant | None = 5.0,
        tau_a: TimeConstant = 200.0,
        tau_ref: float = 1.0,
        resistance: float | Iterable[float] | None = None,
        base_threshold: float | Iterable[float] = 1.0,
        adaptation_strength: float | Iterable[float] = 0.0,
        reset_potential: float = 0.0,
        reset: Reset = "hard",
        dt: float = 1.0,
        discretization: Discretization = "exponential",
        surrogate: Surrogate = "triangle",
        surrogate_damping: float = 0.3,
        use_bias: bool = False,
        input_gain: float = 3.0,
        recurrent_gain: float = 0.3,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(units, use_bias=use_bias, **kwargs)
        self.set_constants(tau_m, tau_s, tau_a, base_threshold, adaptation_strength)
        self.set_spiking(dt, surrogate, surrogate_damping, input_gain, recurrent_gain)
        self.resistance = None if resistance is None else per_unit("resistance", resistance, self.units, above=0.0)
        self.tau_ref = number("tau_ref", tau_ref, low=0.0)
        self.reset_potential = number("reset_potential", reset_potential)
        self.reset = one_of("reset", reset, ("hard", "soft"))
        self.discretization = one_of("discretization", discretization, DECAYS)
        self.set_learn(learn)

    @property
    def highest_activity(self) -> float:
        """The most spikes a step. After a hard reset a unit rests for `tau_ref`; after a soft one it may spike on."""
        return 1.0 if self.reset == "soft" else 1.0 / (1.0 + self.tau_ref // self.dt)

    def parameters(self) -> LIFParameters:
        decay = self.decay_of("tau_m")
        return LIFParameters(membrane_decay=decay, drive=self.drive(decay), **self.shared_parameters())

    def step(self, current: tf.Tensor, state: LIFState, p: LIFParameters) -> tuple[SpikingStep, LIFState]:
        """Eq. (2)-(9)."""
        threshold = p.base_threshold + p.adaptation_strength * state.adaptation
        gate = tf.cast(state.refractory < self.dt, current.dtype)  # Eq. (2)
        potential = state.v + gate * (p.drive * current - (1.0 - p.membrane_decay) * state.v)  # Eq. (3)
        slope = self.slope(potential, threshold, gate)  # Eq. (5)
        spikes = spike(potential, threshold, slope)  # Eq. (4)
        adaptation = self.adapted(state.adaptation, spikes, slope, p)  # Eq. (6)
        refractory = tf.nn.relu(state.refractory - self.dt) + self.tau_ref * tf.stop_gradient(spikes)  # Eq. (7)
        v = self.after_reset(potential, threshold, spikes)
        trace = p.trace_decay * state.trace + spikes  # Eq. (9)
        return SpikingStep(spikes, potential, threshold, slope, gate), LIFState(v, adaptation, refractory, trace)

    def after_reset(self, potential: tf.Tensor, threshold: tf.Tensor, spikes: tf.Tensor) -> tf.Tensor:
        """V(t), Eq. (8)."""
        if self.reset == "soft":
            return potential - threshold * spikes
        return potential + (self.reset_potential - potential) * spikes

    def save_residuals(self, step: SpikingStep, state: LIFState) -> SpikingResiduals:
        free = step.gate > 0.0 if self.tau_ref > 0.0 else None
        return super().save_residuals(step, state)._replace(free=free)

    def linear_step(self, residuals: SpikingResiduals, p: LIFParameters) -> LinearStep:
        threshold, spikes = self.threshold(residuals, p), residuals.output
        gate = 1.0 if residuals.free is None else tf.cast(residuals.free, spikes.dtype)
        psi = self.slope(residuals.potential, threshold, gate)
        taken = threshold if self.reset == "soft" else residuals.potential - self.reset_potential  # Eq. (8)
        return self._linearised(p, spikes, psi, gate, taken)

    def silent_step(self, p: LIFParameters) -> LinearStep:
        return self._linearised(p)

    def _linearised(self, p, spikes=0.0, psi=0.0, gate=1.0, taken=0.0):
        """Eq. (37) of V and b; `taken` is what a spike takes from V."""
        leak, decay, beta = 1.0 - gate * (1.0 - p.membrane_decay), p.adaptation_decay, p.adaptation_strength
        damped = 1.0 if nothing(psi) else self.damped(psi, p)
        step = LinearStep(
            psi=psi,
            P=((leak, 0.0), (0.0, 1.0)),  # Eq. (3)
            Q=(gate * p.drive, 0.0),
            r=(1.0, -beta),  # Eq. (4)
            K=((1.0, -beta * spikes) if self.reset == "soft" else (1.0 - spikes, 0.0), (0.0, decay)),  # Eq. (8), (6)
            s=(0.0, times(1.0 - decay, damped)),
            reset=(-taken, 0.0),
            K0=((1.0, 0.0), (0.0, decay)),
            gate=gate,
        )
        return step if self.adapts else step.first(1)

    def kept_states(self, residuals: SpikingResiduals, p: LIFParameters) -> tuple[tf.Tensor, ...]:
        return (self.after_reset(residuals.potential, self.threshold(residuals, p), residuals.output),)

    def effects(
        self, residuals: SpikingResiduals, before: tuple, seen: tf.Tensor, p: LIFParameters
    ) -> dict[str, Effects]:
        # Eq. (3) by a is V(t-1) - R_m I(t), and V-(t) - V(t-1) is (1-a) times the same with the other sign
        by_leak = (before[0] - residuals.potential) / (1.0 - p.membrane_decay)  # 0 where refractory
        if self.resistance is None:  # V-(t) by a is V(t-1)
            by_leak = before[0] if residuals.free is None else tf.where(residuals.free, before[0], 0.0)
        beside = self.effects_beside(residuals, seen, p, soft=self.reset == "soft")
        return {**beside, "membrane_decay": Effects(y=(by_leak,))}

    def observables(self, step: SpikingStep, state: LIFState) -> dict[str, tf.Tensor]:
        return {**super().observables(step, state), "reset_voltage": state.v}
