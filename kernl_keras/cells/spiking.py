"""What the cells that spike share: the adapting threshold, Eq. (4) and (6), psi, Eq. (5), and the trace S, Eq. (9)."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from ..checks import number, one_of, per_unit
from ..dynamics.surrogate import SURROGATES, surrogate_slope
from ..types import Config, Initializer, Surrogate, TimeConstant
from .hidden import HiddenCell
from .time_constants import check_time_constant, serialize_time_constant


class SpikingCell(HiddenCell):
    """Base of the hidden cells that spike. The state of a subclass has S as `trace`, its step an output z."""

    OBSERVABLES: tuple[str, ...] = ("distance", "voltage")
    SENSITIVITY_MODES = ("tangent", "twin", "replica")
    PERTURBATIONS = ("current", "synapse")

    def __init__(
        self,
        units: int,
        *,
        tau_m: TimeConstant,
        tau_s: TimeConstant | None,
        tau_a: TimeConstant,
        base_threshold: float,
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
        self.base_threshold = number("base_threshold", base_threshold, above=0.0)
        self.adaptation_strength = per_unit("adaptation_strength", adaptation_strength, self.units, low=0.0)
        self.dt = number("dt", dt, above=0.0)
        self.surrogate = one_of("surrogate", surrogate, SURROGATES)
        self.surrogate_damping = number("surrogate_damping", surrogate_damping, low=0.0)
        self.input_gain = number("input_gain", input_gain, low=0.0)
        self.recurrent_gain = number("recurrent_gain", recurrent_gain, low=0.0)

    @property
    def adapts(self) -> bool:
        """Whether any spike moves a threshold."""
        return self.adaptation_strength != 0.0

    def strength(self) -> tf.Tensor | float:
        """beta, a number or [H]."""
        strength = self.adaptation_strength
        return tf.constant(strength, self.compute_dtype) if isinstance(strength, list) else strength

    def leak_rate(self) -> tf.Tensor | float:
        """1 / tau_m [H] or a number, 1/ms: where gamma starts."""
        return 1.0 / self._tau["tau_m"]

    def threshold_and_rest(self, written: Sequence[tf.Tensor], p: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """B of what `write` kept, of which the first two are z and V-, and what came after it."""
        rest = list(written[2:])
        return (rest.pop(0) if self.adapts else tf.constant(p.base_threshold, written[0].dtype)), rest

    def slope(self, potential: tf.Tensor, threshold: tf.Tensor, gate: tf.Tensor | float, p: Any) -> tf.Tensor:
        """psi, Eq. (5)."""
        return surrogate_slope(potential, threshold, gate, p.surrogate_damping, p.surrogate)

    def seen(self, written: Sequence[tf.Tensor]) -> tf.Tensor:
        """S, what the recurrent weights see at the next step."""
        return written[0] if self.tau_s is None else written[-1]

    def perturb(self, state: Any, noise: tf.Tensor) -> Any:
        """The noise enters S like a spike, and decays with it."""
        return state._replace(trace=state.trace + noise)

    def exchange_spikes(self, state: Any, sent: Any, received: Any) -> Any:
        """The state after the step `sent`, had the spikes of the step `received` entered S in place of its own."""
        return state._replace(trace=state.trace + received.output - sent.output)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "tau_m": serialize_time_constant(self.tau_m),
            "tau_s": serialize_time_constant(self.tau_s),
            "tau_a": serialize_time_constant(self.tau_a),
            "base_threshold": self.base_threshold,
            "adaptation_strength": self.adaptation_strength,
            "dt": self.dt,
            "surrogate": self.surrogate,
            "surrogate_damping": self.surrogate_damping,
            "input_gain": self.input_gain,
            "recurrent_gain": self.recurrent_gain,
        }
