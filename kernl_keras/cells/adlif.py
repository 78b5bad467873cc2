"""`AdLIFCell`: leaky units with an adaptation current, Eq. (34)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import per_unit
from ..dynamics.decays import decay_exp
from ..dynamics.surrogate import spike, surrogate_slope
from ..initializers import LogUniform
from ..serialization import serializable
from ..types import Config, Surrogate, TimeConstant
from .constants import Effects
from .linear import LinearStep
from .spiking import SpikingCell, SpikingResiduals, check_resistance


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
        """(1-a) R_m: a current of 1 adds this to the potential in one step."""
        return 1.0 if self.resistance is None else (1.0 - self.membrane_decay) * self.resistance

    @property
    def pull(self):
        """1-a: an adaptation current of 1 takes this from the potential in one step."""
        return 1.0 - self.membrane_decay


class AdLIFState(NamedTuple):
    """The state of the units, or a small change of it. Each [B, H]."""

    v: Any  # V
    w: Any  # w, the adaptation current
    trace: Any  # S


class AdLIFStep(NamedTuple):
    """The values of one step. Each [B, H]."""

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


@serializable
class AdLIFCell(SpikingCell):
    """Leaky integrate-and-fire units with an adaptation current, which the potential and the spikes both drive.

    One step, in this order (a = exp(-dt/tau_m), p = exp(-dt/tau_a)):

        (1)  I(t)  = x(t) W_in + S(t-1) W_rec + bias
        (34) V-(t) = a V(t-1) + (1-a) [R_m I(t) - w(t-1)]
             z(t)  = 1[V-(t) >= b0],              V(t) = V-(t) (1 - z(t))
             w(t)  = p w(t-1) + (1-p) [A V(t) + b z(t)]
        (5)  psi(t) = damping * shape((V- - b0) / b0) / b0
        (9)  S(t)  = exp(-dt/tau_s) S(t-1) + z(t)

    A is the coupling to the potential, b that to the spikes. If A is large, the potential oscillates around 0 while it
    decays, so that the units respond to the order and the speed of inputs. The method is the symplectic Euler
    one: w(t) follows the new V(t). It is stable where the ordinary one is not.

    In a plain `keras.layers.RNN` the cell trains by backpropagation through time, with psi in place of the spike's
    derivative. In `kernl_keras.RNN` it trains by the rule of that layer. A unit's own state is V and w. Under
    `rule="kernl"` the kernel is that of the whole unit (`kernl_keras.rules.WholeUnit`), and the derivative of the reset
    is not followed.

    Args:
        units: number of units H.
        tau_m: membrane time constant, ms: a number, a list of H numbers, or a Keras initializer; None for values drawn
            from 5 to 25 steps. What an initializer draws is saved with the model.
        tau_a: time constant of the adaptation current, ms, in one of the same forms; None for values drawn from 60 to
            300 steps.
        tau_s: synaptic time constant, ms, in one of the same forms; None for S = z.
        coupling: A >= 0, a number or a list of H numbers. The published units have numbers from 0 to 120.
        adaptation_strength: b >= 0, in one of the same forms. The published units have numbers from 0 to 240.
        base_threshold: b0 > 0, in one of the same forms.
        resistance: R_m > 0, in one of the same forms, or None for 1 / (1-a); see `kernl_keras.LIFCell`.
        dt: length of a step, ms.
        surrogate: shape of psi, see `kernl_keras.LIFCell`. The potential is far from the threshold most of the time:
            with "exponential", which has wide flanks, gradients of long sequences explode.
        surrogate_damping: psi at the threshold is this number divided by b0.
        input_gain: standard deviation of what the initial input weights add to the potential in one step, times
            sqrt(I); the weights themselves are larger by 1 / ((1-a) R_m). A `kernel_initializer` takes its place.
        recurrent_gain: the same for the recurrent weights, times sqrt(H). A `recurrent_initializer` takes its place.
        learn: which constants learn, by the names of their arguments: "tau_m", "tau_s", "tau_a", "base_threshold",
            "adaptation_strength", "coupling". Each becomes a weight with a number for every unit, see
            `kernl_keras.LIFCell`.
        **kwargs: what all hidden cells take: `self_connections`, `use_bias`; `recurrent_connectivity` and `excitatory`,
            for sparse recurrence and Dale's law; the initializers, regularizers and constraints of the weights
            (`kernel_initializer`, `recurrent_initializer`, `bias_initializer`, `kernel_regularizer` and so on; see
            `kernl_keras.cells.hidden.HiddenCell`); and `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: x(t) [B, I].
        states: [V, w, S], each [B, H], zero at the start.

    Returns:
        The spikes z(t) [B, H], 0 or 1, and the list of new states.

    Raises:
        ValueError: for an argument out of its range, and for a list that does not have H entries.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> layer = keras.layers.RNN(kk.AdLIFCell(4, tau_m=20.0), return_sequences=True)
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Baronig, Ferrand, Sabathiel, Legenstein, Advancing spatio-temporal processing in spiking neural networks
    through adaptation, arXiv:2408.07517 (2024), Eq. (6).
    """

    State = AdLIFState
    own_states = ("v", "w")
    resets = True
    adapts = False  # no threshold moves
    # The adaptation current takes back most of an input, so the kernel of the membrane alone is too long.
    KERNELS = ("whole_unit", "membrane", "exponential")
    CONSTANTS = ("tau_m", "tau_a", "coupling")
    LEARNABLE = ("tau_m", "tau_s", "tau_a", "base_threshold", "adaptation_strength", "coupling")
    FIELDS = {
        "tau_m": ("membrane_decay",),
        "tau_s": ("trace_decay",),
        "tau_a": ("adaptation_decay",),
        "base_threshold": ("base_threshold",),
        "adaptation_strength": ("adaptation_strength",),
        "coupling": ("coupling",),
    }

    def __init__(
        self,
        units: int,
        tau_m: TimeConstant | None = None,
        tau_a: TimeConstant | None = None,
        tau_s: TimeConstant | None = None,
        coupling: float | Iterable[float] = 60.0,
        adaptation_strength: float | Iterable[float] = 120.0,
        base_threshold: float | Iterable[float] = 1.0,
        resistance: float | Iterable[float] | None = 1.0,
        dt: float = 1.0,
        surrogate: Surrogate = "gaussian",
        surrogate_damping: float = 0.3,
        input_gain: float = 1.0,
        recurrent_gain: float = 0.3,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            tau_m=1.0 if tau_m is None else tau_m,
            tau_s=tau_s,
            tau_a=1.0 if tau_a is None else tau_a,
            base_threshold=base_threshold,
            adaptation_strength=adaptation_strength,
            dt=dt,
            surrogate=surrogate,
            surrogate_damping=surrogate_damping,
            input_gain=input_gain,
            recurrent_gain=recurrent_gain,
            **kwargs,
        )
        if tau_m is None:
            self.tau_m = LogUniform(5.0 * self.dt, 25.0 * self.dt)
        if tau_a is None:
            self.tau_a = LogUniform(60.0 * self.dt, 300.0 * self.dt)
        self.coupling = per_unit("coupling", coupling, self.units, low=0.0)
        self.resistance = check_resistance(resistance, self.units)
        self.set_learn(learn)

    def kernl_settings(self) -> dict[str, Any]:
        """Without the derivative of the hard reset, with which gradients may explode."""
        return {**super().kernl_settings(), "reset_gradient": False}

    def parameters(self) -> AdLIFParameters:
        """`AdLIFParameters` of the steps; built outside a time loop it costs nothing inside."""
        return AdLIFParameters(
            membrane_decay=decay_exp(self.constant("tau_m"), self.dt),
            adaptation_decay=decay_exp(self.constant("tau_a"), self.dt),
            trace_decay=decay_exp(self.constant("tau_s"), self.dt),
            resistance=self.resistances(),
            base_threshold=self.constant("base_threshold"),
            adaptation_strength=self.constant("adaptation_strength"),
            coupling=self.constant("coupling"),
            dt=self.dt,
            surrogate=self.surrogate,
            surrogate_damping=self.surrogate_damping,
        )

    def step(self, current: tf.Tensor, state: AdLIFState, p: AdLIFParameters) -> tuple[AdLIFStep, AdLIFState]:
        return adlif_step(current, state, p)

    @property
    def keeps_quadrature(self) -> bool:
        """True if w(t) must be kept for every step."""
        return any(name in self.learn for name in ("tau_m", "tau_a"))

    def save_residuals(self, step: AdLIFStep, state: AdLIFState) -> SpikingResiduals:
        return SpikingResiduals(
            output=step.output,
            potential=step.potential,
            trace=None if self.tau_s is None else state.trace,
            quadrature=state.w if self.keeps_quadrature else None,
        )

    def linear_step(self, residuals: SpikingResiduals, p: AdLIFParameters) -> LinearStep:
        psi = self.slope(residuals.potential, self.threshold(residuals, p), 1.0, p)
        return self._linearised(p, residuals.output, psi, residuals.potential, residuals.presynaptic)

    def silent_step(self, p: AdLIFParameters) -> LinearStep:
        return self._linearised(p)

    def _linearised(self, p, spikes=0.0, psi=0.0, potential=0.0, presynaptic=None):
        """Eq. (37) of V and w."""
        share, keep = 1.0 - p.adaptation_decay, 1.0 - spikes
        return LinearStep(
            psi=psi,
            P=((p.membrane_decay, -p.pull), (0.0, 1.0)),
            Q=(p.drive, 0.0),
            r=(1.0, 0.0),
            K=((keep, 0.0), (share * p.coupling * keep, p.adaptation_decay)),
            s=(0.0, share * p.adaptation_strength),
            reset=(-potential, -share * p.coupling * potential),
            K0=((1.0, 0.0), (share * p.coupling, p.adaptation_decay)),
            arrival=psi,
            presynaptic=presynaptic,
        )

    def potentials(self, residuals: SpikingResiduals, p: AdLIFParameters) -> tuple[tf.Tensor, ...]:
        """V(t), after the reset, and w(t) where it is kept."""
        v = residuals.potential * (1.0 - residuals.output)
        return (v,) if residuals.quadrature is None else (v, residuals.quadrature)

    def state_potentials(self, state: AdLIFState) -> list[tf.Tensor]:
        return [state.v, state.w]

    def effects(
        self, residuals: SpikingResiduals, before: tuple, seen: tf.Tensor, p: AdLIFParameters
    ) -> dict[str, Effects]:
        share, (v, *_) = 1.0 - p.adaptation_decay, self.potentials(residuals, p)
        effects = {
            "trace_decay": Effects(synapse=seen),  # Eq. (9)
            "base_threshold": Effects(distance=-tf.ones_like(v)),
            "adaptation_strength": Effects(x=(None, share * residuals.output)),
            "coupling": Effects(x=(None, share * v)),
        }
        if residuals.quadrature is not None:
            # V-(t) by a is V(t-1) - [R_m I(t) - w(t-1)], and V-(t) - V(t-1) is (1-a) times the same with the other sign
            by_leak = (before[0] - residuals.potential) / p.pull if p.resistance is not None else before[0] + before[1]
            by_adaptation_decay = (before[1] - residuals.quadrature) / share  # and likewise w(t) by p
            effects |= {
                "membrane_decay": Effects(y=(by_leak,)),
                "adaptation_decay": Effects(x=(None, by_adaptation_decay)),
            }
        return effects

    def gate(self, step: AdLIFStep) -> tf.Tensor | float:
        return 1.0

    def observables(self, step: AdLIFStep, state: AdLIFState) -> dict[str, tf.Tensor]:
        return {"distance": step.potential - step.threshold, "voltage": step.potential}

    def get_config(self) -> Config:
        return {**super().get_config(), "coupling": self.coupling, "resistance": self.resistance}
