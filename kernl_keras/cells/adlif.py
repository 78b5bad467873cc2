"""`AdLIFCell`: leaky units with an adaptation current, Eq. (34)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import per_unit
from ..dynamics.surrogate import spike
from ..initializers import LogUniform
from ..keras_version import serializable
from ..types import Surrogate, TimeConstant
from .constants import Effects
from .hidden import extent
from .linear import LinearStep
from .spiking import SpikingCell, SpikingResiduals, SpikingStep


class AdLIFParameters(NamedTuple):
    """Constants of a step: each a number or [H]."""

    membrane_decay: Any  # a
    adaptation_decay: Any  # p
    trace_decay: Any  # exp(-dt / tau_s); 0 makes S = z
    drive: Any  # (1-a) R_m
    base_threshold: Any  # b0
    adaptation_strength: Any  # b
    coupling: Any  # A


class AdLIFState(NamedTuple):
    """The state of the units, or a small change of it. Each [B, H]."""

    v: Any  # V
    w: Any  # w, the adaptation current
    trace: Any  # S


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
    decays, so that the units respond to the order and the speed of inputs. By the symplectic Euler method w(t) follows
    the new V(t), which is stable where the ordinary method is not.

    The cell trains as `kernl_keras.LIFCell` does. A unit's own state is V and w. Under `rule="kernl"` the kernel is
    that of the whole unit (`kernl_keras.rules.WholeUnit`), and the derivative of the reset is not followed.

    Args:
        units: number of units H.
        tau_m: membrane time constant, ms: a number, a list of H numbers, or a Keras initializer; None for values drawn
            from 5 to 25 steps.
        tau_a: time constant of the adaptation current, ms, in one of the same forms; None for values drawn from 60 to
            300 steps.
        coupling: A >= 0, a number or a list of H numbers. The published units have numbers from 0 to 120.
        adaptation_strength: b >= 0, in one of the same forms. The published units have numbers from 0 to 240.
        surrogate: shape of psi, as in `kernl_keras.LIFCell`. The potential is far from the threshold most of the time:
            with "exponential", which has wide flanks, gradients of long sequences explode.
        learn: which constants learn, as in `kernl_keras.LIFCell`: "tau_m", "tau_s", "tau_a", "base_threshold",
            "adaptation_strength", "coupling".
        tau_s, base_threshold, resistance, dt, surrogate_damping, input_gain, recurrent_gain: as in
            `kernl_keras.LIFCell`, but for the defaults.
        **kwargs: `use_bias`, by default True, and what all hidden cells take, as in `kernl_keras.LIFCell`.

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

    Source: Baronig, Ferrand, Sabathiel, Legenstein, arXiv:2408.07517 (2024), Eq. (6).
    """

    State = AdLIFState
    own_states = ("v", "w")
    # The adaptation current takes back most of an input, so the kernel of the membrane alone is too long; and with the
    # derivative of the hard reset gradients may explode.
    RULE_DEFAULTS = {"kernl": {"kernel": "whole_unit", "reset_gradient": False}}
    CONSTANTS = ("tau_m", "tau_a", "coupling")
    LEARNABLE = (*SpikingCell.LEARNABLE, "coupling")
    FIELDS = {**SpikingCell.FIELDS, "coupling": ("coupling",)}

    def __init__(
        self,
        units: int,
        tau_m: TimeConstant | None = None,
        tau_a: TimeConstant | None = None,
        tau_s: TimeConstant | None = None,
        coupling: float | Iterable[float] = 60.0,
        adaptation_strength: float | Iterable[float] = 120.0,
        base_threshold: float | Iterable[float] = 1.0,
        resistance: float | Iterable[float] | None = None,
        dt: float = 1.0,
        surrogate: Surrogate = "gaussian",
        surrogate_damping: float = 0.3,
        input_gain: float = 1.0,
        recurrent_gain: float = 0.3,
        learn: str | Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.set_spiking(dt, surrogate, surrogate_damping, input_gain, recurrent_gain)
        tau_m = LogUniform(5.0 * self.dt, 25.0 * self.dt) if tau_m is None else tau_m
        tau_a = LogUniform(60.0 * self.dt, 300.0 * self.dt) if tau_a is None else tau_a
        self.set_constants(tau_m, tau_s, tau_a, base_threshold, adaptation_strength)
        self.resistance = None if resistance is None else per_unit("resistance", resistance, self.units, above=0.0)
        self.coupling = per_unit("coupling", coupling, self.units, low=0.0)
        self.set_learn(learn)

    def swings(self) -> tuple[float, float] | None:
        """Of the units in which V and w turn faster than they fade, in a step without a spike."""
        a, p = (np.exp(-self.dt / self.sampled(name, (100, self.units))) for name in ("tau_m", "tau_a"))
        step = self.silent_step(AdLIFParameters(a, p, 0.0, 1.0, 1.0, 0.0, np.asarray(self.coupling)))
        return extent(step.oscillations(self.dt)[1])

    def parameters(self) -> AdLIFParameters:
        decay, coupling = self.decay_of("tau_m"), self.constant("coupling")
        shared = self.shared_parameters()
        return AdLIFParameters(membrane_decay=decay, drive=self.drive(decay), coupling=coupling, **shared)

    def step(self, current: tf.Tensor, state: AdLIFState, p: AdLIFParameters) -> tuple[SpikingStep, AdLIFState]:
        """Eq. (34), (5), (9)."""
        potential = p.membrane_decay * state.v + p.drive * current - (1.0 - p.membrane_decay) * state.w
        threshold = p.base_threshold + 0.0 * potential
        slope = self.slope(potential, threshold)  # Eq. (5)
        spikes = spike(potential, threshold, slope)
        v = potential * (1.0 - spikes)
        driven = p.coupling * v + p.adaptation_strength * spikes
        w = p.adaptation_decay * state.w + (1.0 - p.adaptation_decay) * driven
        trace = p.trace_decay * state.trace + spikes  # Eq. (9)
        return SpikingStep(spikes, potential, threshold, slope), AdLIFState(v, w, trace)

    def silent_step(self, p: AdLIFParameters) -> LinearStep:
        """Eq. (37) of V and w."""
        share = 1.0 - p.adaptation_decay
        kept = (1.0, 0.0), (share * p.coupling, p.adaptation_decay)
        return LinearStep(
            psi=0.0,
            P=((p.membrane_decay, -(1.0 - p.membrane_decay)), (0.0, 1.0)),
            Q=(p.drive, 0.0),
            r=(1.0, 0.0),
            K=kept,
            s=(0.0, share * p.adaptation_strength),
            reset=(0.0, 0.0),
            K0=kept,
        )

    def linear_step(self, residuals: SpikingResiduals, p: AdLIFParameters) -> LinearStep:
        potential, keep = residuals.potential, 1.0 - residuals.output
        psi = self.slope(potential, self.threshold(residuals, p))
        coupled = (1.0 - p.adaptation_decay) * p.coupling  # w(t) by V(t)
        return self.silent_step(p)._replace(
            psi=psi,
            K=((keep, 0.0), (coupled * keep, p.adaptation_decay)),
            reset=(-potential, -coupled * potential),
        )

    def kept_states(self, residuals: SpikingResiduals, p: AdLIFParameters) -> tuple[tf.Tensor, ...]:
        """V(t), after the reset, and w(t) where it is kept."""
        v = residuals.potential * (1.0 - residuals.output)
        return (v,) if residuals.second_state is None else (v, residuals.second_state)

    def effects(
        self, residuals: SpikingResiduals, before: tuple, seen: tf.Tensor, p: AdLIFParameters
    ) -> dict[str, Effects]:
        share, (v, *_) = 1.0 - p.adaptation_decay, self.kept_states(residuals, p)
        effects = {
            "trace_decay": Effects(synapse=seen),  # Eq. (9)
            "base_threshold": Effects(distance=-tf.ones_like(v)),
            "adaptation_strength": Effects(x=(None, share * residuals.output)),
            "coupling": Effects(x=(None, share * v)),
        }
        if residuals.second_state is not None:
            # V-(t) by a is V(t-1) - [R_m I(t) - w(t-1)], and V-(t) - V(t-1) is (1-a) times the same with the other sign
            by_leak = (before[0] - residuals.potential) / (1.0 - p.membrane_decay)
            if self.resistance is None:
                by_leak = before[0] + before[1]
            by_adaptation_decay = (before[1] - residuals.second_state) / share  # and likewise w(t) by p
            effects |= {
                "membrane_decay": Effects(y=(by_leak,)),
                "adaptation_decay": Effects(x=(None, by_adaptation_decay)),
            }
        return effects
