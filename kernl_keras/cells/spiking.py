"""Base of the spiking cells: adapting threshold, Eq. (4) and (6), psi, Eq. (5), and synaptic trace S, Eq. (9)."""

from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..checks import per_unit
from ..dynamics.surrogate import scale_gradient, surrogate_slope
from ..types import TimeConstant
from .constants import Effects, check_time_constant
from .hidden import HiddenCell
from .linear import Changes, plus, times


class SpikingStep(NamedTuple):
    """The values of one step. Each [B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t), before the reset
    threshold: Any  # B(t-1)
    slope: Any  # psi(t)
    gate: Any = 1.0  # on(t): 1, or 0 where refractory


class SpikingResiduals(NamedTuple):
    """The values that are kept of a step. Each [.., B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t)
    threshold: Any = None  # B(t-1), where it moves
    free: Any = None  # whether the unit was not refractory, where it can be
    trace: Any = None  # S(t), where it is not z(t)
    second_state: Any = None  # Im U(t) or w(t), where it is kept for constants that learn


class SpikingCell(HiddenCell):
    """Base of the hidden cells that spike. The state of a subclass has S as `trace`."""

    output_kind = "spikes"
    resistance: float | list[float] | None
    TIME_CONSTANTS: tuple[str, ...] = ("tau_m", "tau_s", "tau_a")
    LEARNABLE: tuple[str, ...] = ("tau_m", "tau_s", "tau_a", "base_threshold", "adaptation_strength")
    FIELDS = {
        "tau_m": ("membrane_decay",),
        "tau_s": ("trace_decay",),
        "tau_a": ("adaptation_decay",),
        "base_threshold": ("base_threshold",),
        "adaptation_strength": ("adaptation_strength",),
    }

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{"kernel_initializer": None, "recurrent_initializer": None, **kwargs})

    def set_constants(
        self,
        tau_m: TimeConstant,
        tau_s: TimeConstant | None,
        tau_a: TimeConstant,
        base_threshold: float | Iterable[float],
        adaptation_strength: float | Iterable[float],
    ) -> None:
        """Checks and sets the constants that all of these cells have."""
        self.tau_m = check_time_constant("tau_m", tau_m, self.units)
        self.tau_s = None if tau_s is None else check_time_constant("tau_s", tau_s, self.units)
        self.tau_a = check_time_constant("tau_a", tau_a, self.units)
        self.base_threshold = per_unit("base_threshold", base_threshold, self.units, above=0.0)
        self.adaptation_strength = per_unit("adaptation_strength", adaptation_strength, self.units, low=0.0)
        if self.adaptation_strength == 0.0:
            self.own_states = tuple(name for name in self.own_states if name != "adaptation")

    @property
    def adapts(self) -> bool:
        """True if spikes move the threshold."""
        return "adaptation" in self.own_states

    def resistances(self) -> tf.Tensor | float | None:
        """R_m of cells that have one: a number, a tensor [H], or None for 1 / (1-a)."""
        return (
            tf.constant(self.resistance, self.compute_dtype) if isinstance(self.resistance, list) else self.resistance
        )

    def drive(self, membrane_decay: Any) -> Any:
        """(1-a) R_m: a current of 1 adds this to the potential in one step."""
        return 1.0 if self.resistance is None else (1.0 - membrane_decay) * self.resistances()

    def shared_parameters(self) -> dict[str, Any]:
        """The fields of `parameters()` that all spiking cells have."""
        return {
            "adaptation_decay": self.decay_of("tau_a"),
            "trace_decay": self.decay_of("tau_s"),
            "base_threshold": self.constant("base_threshold"),
            "adaptation_strength": self.constant("adaptation_strength"),
        }

    def synaptic_decay(self, p: Any) -> Any:
        return p.trace_decay

    def leak_rate(self) -> tf.Tensor | float:
        """1 / tau_m [H] or a number, 1/ms, at which gamma starts."""
        return 1.0 / self.constant("tau_m")

    def slope(self, potential: tf.Tensor, threshold: tf.Tensor, gate: tf.Tensor | float = 1.0) -> tf.Tensor:
        """psi, Eq. (5)."""
        return surrogate_slope(potential, threshold, gate, self.surrogate_damping, self.surrogate)

    def adapted(self, adaptation: tf.Tensor, spikes: tf.Tensor, slope: tf.Tensor, p: Any) -> tf.Tensor:
        """b(t), Eq. (6)."""
        seen = scale_gradient(spikes, self.damped(slope, p)) if self.overshoots else spikes
        return p.adaptation_decay * adaptation + (1.0 - p.adaptation_decay) * seen

    @property
    def overshoots(self) -> bool:
        """Whether p - (1-p) beta psi may be below -1: not where these are numbers for which it never is."""
        constants = self.tau_a, self.adaptation_strength, self.base_threshold
        known = all(isinstance(value, (Real, list)) for value in constants) and isinstance(self.surrogate, str)
        if not self.adapts:
            return False
        if known and not {"tau_a", "adaptation_strength", "base_threshold"} & set(self.learn):
            tau, beta, base = map(np.asarray, constants)
            share = self.dt / tau if self.discretization == "euler" else 1.0 - np.exp(-self.dt / tau)
            return bool(np.any(share * beta * self.surrogate_damping / base > 2.0 - share))
        return True

    def damped(self, slope: Any, p: Any) -> Any:
        """The factor <= 1 of the derivative of b(t) by z(t) with which db(t)/db(t-1) = p - (1-p) beta psi is >= -1.

        Below -1 an error would grow from step to step, although b itself is stable.
        """
        if not self.overshoots:
            return 1.0
        decay, beta = p.adaptation_decay, tf.convert_to_tensor(p.adaptation_strength, slope.dtype)
        return 1.0 / tf.maximum((1.0 - decay) / (1.0 + decay) * beta * slope, 1.0)

    def save_residuals(self, step: SpikingStep, state: Any) -> SpikingResiduals:
        return SpikingResiduals(
            output=step.output,
            potential=step.potential,
            threshold=step.threshold if self.adapts else None,
            trace=None if self.tau_s is None else state.trace,
            second_state=state[1] if self.keeps_second_state else None,
        )

    def sent(self, residuals: SpikingResiduals) -> Any:
        return residuals.output if residuals.trace is None else residuals.trace

    def threshold(self, residuals: SpikingResiduals, p: Any) -> tf.Tensor:
        """B(t-1), a scalar or [H] where it does not adapt."""
        if residuals.threshold is None:
            return tf.convert_to_tensor(p.base_threshold, residuals.output.dtype)
        return residuals.threshold

    def effects_beside(
        self, residuals: SpikingResiduals, seen: tf.Tensor, p: Any, soft: bool = False
    ) -> dict[str, Effects]:
        """`HiddenCell.effects` of the constants of threshold and synapse, with a soft reset or without."""
        spikes = residuals.output
        above = self.threshold(residuals, p) - p.base_threshold
        adaptation = tf.math.divide_no_nan(above, tf.convert_to_tensor(p.adaptation_strength, above.dtype))  # b(t-1)
        others = (None,) * self.count_own(adaptation=False)
        ones = tf.ones_like(spikes)
        return {
            "adaptation_decay": Effects(x=(*others, adaptation - spikes)),  # Eq. (6)
            "base_threshold": Effects(distance=-ones, x=(-ones * spikes,) if soft else ()),  # Eq. (4), (8)
            "adaptation_strength": Effects(distance=-adaptation, x=(-adaptation * spikes,) if soft else ()),
            "trace_decay": Effects(synapse=seen),  # Eq. (9)
        }

    def changed_state(self, change: Any, changes: Changes, p: Any) -> Any:
        trace = plus(times(p.trace_decay, change.trace), changes.output)  # Eq. (9)
        return super().changed_state(change, changes, p)._replace(trace=trace)

    def gate(self, step: SpikingStep) -> tf.Tensor | float:
        return step.gate

    def observables(self, step: SpikingStep, state: Any) -> dict[str, tf.Tensor]:
        return {"distance": step.potential - step.threshold, "voltage": step.potential}
