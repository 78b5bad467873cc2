"""Base of the spiking cells: adapting threshold, Eq. (4) and (6), psi, Eq. (5), and synaptic trace S, Eq. (9)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import number, per_unit
from ..dynamics.surrogate import check_surrogate, serialize_surrogate, surrogate_slope
from ..types import Config, Initializer, Surrogate, TimeConstant
from .constants import Effects, check_time_constant, serialize_time_constant
from .hidden import HiddenCell
from .linear import Changes, plus, times


class SpikingResiduals(NamedTuple):
    """The values that are kept of a step. Each [.., B, H]."""

    output: Any  # z(t)
    potential: Any  # V-(t)
    threshold: Any = None  # B(t-1), where it moves
    free: Any = None  # whether the unit was not refractory, where it can be
    trace: Any = None  # S(t), where it is not z(t)
    quadrature: Any = None  # Im U(t), where lambda learns

    @property
    def presynaptic(self) -> Any:
        """S(t), the input of the recurrent weights at the next step."""
        return self.output if self.trace is None else self.trace


def check_resistance(value: Any, units: int) -> float | list[float] | None:
    """The argument `resistance` of a cell."""
    return None if value is None else per_unit("resistance", value, units, above=0.0)


class SpikingCell(HiddenCell):
    """Base of the hidden cells that spike. The state of a subclass has S as `trace`, its step an output z."""

    output_kind = "spikes"
    OBSERVABLES: tuple[str, ...] = ("distance", "voltage")
    PERTURBATIONS = ("tangent", "twin", "replica")
    NOISE = ("current", "synapse")
    NOISE_OF_OUTPUT = "state"
    TIME_CONSTANTS: tuple[str, ...] = ("tau_m", "tau_s", "tau_a")
    LEARNABLE: tuple[str, ...] = ("tau_m", "tau_s", "tau_a", "base_threshold", "adaptation_strength")

    def __init__(
        self,
        units: int,
        *,
        tau_m: TimeConstant,
        tau_s: TimeConstant | None,
        tau_a: TimeConstant,
        base_threshold: float | Iterable[float],
        adaptation_strength: float | Iterable[float],
        dt: float,
        surrogate: Surrogate,
        surrogate_damping: float,
        input_gain: float,
        recurrent_gain: float,
        kernel_initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            **kwargs,
        )
        self.tau_m = check_time_constant("tau_m", tau_m, self.units)
        self.tau_s = None if tau_s is None else check_time_constant("tau_s", tau_s, self.units)
        self.tau_a = check_time_constant("tau_a", tau_a, self.units)
        self.base_threshold = per_unit("base_threshold", base_threshold, self.units, above=0.0)
        self.adaptation_strength = per_unit("adaptation_strength", adaptation_strength, self.units, low=0.0)
        self.dt = number("dt", dt, above=0.0)
        self.surrogate = check_surrogate("surrogate", surrogate, self.compute_dtype)
        self.surrogate_damping = number("surrogate_damping", surrogate_damping, low=0.0)
        self.input_gain = number("input_gain", input_gain, low=0.0)
        self.recurrent_gain = number("recurrent_gain", recurrent_gain, low=0.0)

    @property
    def adapts(self) -> bool:  # type: ignore[override]
        """True if spikes move the threshold."""
        return self.adaptation_strength != 0.0

    def resistances(self) -> tf.Tensor | float | None:
        """R_m of cells that have one: a number, a tensor [H], or None for 1 / (1-a)."""
        return (
            tf.constant(self.resistance, self.compute_dtype) if isinstance(self.resistance, list) else self.resistance
        )

    def leak_rate(self) -> tf.Tensor | float:
        """1 / tau_m [H] or a number, 1/ms, at which gamma starts."""
        return 1.0 / self.constant("tau_m")

    def threshold(self, residuals: "SpikingResiduals", p: Any) -> tf.Tensor:
        """B(t-1), a scalar or [H] where it does not adapt."""
        if residuals.threshold is None:
            return tf.convert_to_tensor(p.base_threshold, residuals.output.dtype)
        return residuals.threshold

    def slope(self, potential: tf.Tensor, threshold: tf.Tensor, gate: tf.Tensor | float, p: Any) -> tf.Tensor:
        """psi, Eq. (5)."""
        return surrogate_slope(potential, threshold, gate, p.surrogate_damping, p.surrogate)

    def effects_beside(self, residuals: "SpikingResiduals", seen: tf.Tensor, p: Any) -> dict[str, Effects]:
        """`HiddenCell.effects` of the constants of threshold and synapse."""
        spikes = residuals.output
        above = self.threshold(residuals, p) - p.base_threshold
        adaptation = tf.math.divide_no_nan(above, tf.convert_to_tensor(p.adaptation_strength, above.dtype))  # b(t-1)
        others = (None,) * self.count_own(adaptation=False)
        taken = (lambda x: ()) if not getattr(p, "soft_reset", False) else (lambda x: (-x * spikes,))  # Eq. (8)
        ones = tf.ones_like(spikes)
        return {
            "adaptation_decay": Effects(x=(*others, adaptation - spikes)),  # Eq. (6)
            "base_threshold": Effects(distance=-ones, x=taken(ones)),  # Eq. (4)
            "adaptation_strength": Effects(distance=-adaptation, x=taken(adaptation)),
            "trace_decay": Effects(synapse=seen),  # Eq. (9)
        }

    def changed_state(self, change: Any, changes: Changes, p: Any) -> Any:
        trace = plus(times(p.trace_decay, change.trace), changes.output)  # Eq. (9)
        return super().changed_state(change, changes, p)._replace(trace=trace)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "tau_m": serialize_time_constant(self.tau_m),
            "tau_s": serialize_time_constant(self.tau_s),
            "tau_a": serialize_time_constant(self.tau_a),
            "base_threshold": self.base_threshold,
            "adaptation_strength": self.adaptation_strength,
            "dt": self.dt,
            "surrogate": serialize_surrogate("surrogate", self.surrogate),
            "surrogate_damping": self.surrogate_damping,
            "input_gain": self.input_gain,
            "recurrent_gain": self.recurrent_gain,
        }
