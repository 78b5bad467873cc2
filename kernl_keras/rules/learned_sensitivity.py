"""`LearnedSensitivity`: the base of the rules that learn M."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..checks import flag, keras_object
from ..draws import add_counter
from ..keras_version import NO_AUTOCAST
from ..types import Initializer, KernelName, PerturbationName
from .exponential import Exponential
from .kernel import Kernel
from .membrane import Membrane
from .memory import LinearTraces
from .perturbation import Perturbation, Replica, Tangent, Twin
from .rule import Context, Rule
from .settings import get_settings
from .whole_unit import WholeUnit

PERTURBATIONS = {"tangent": Tangent, "twin": Twin, "replica": Replica}
KERNELS = {"membrane": Membrane, "whole_unit": WholeUnit, "exponential": Exponential}
STARTS = ("recurrent", "local")


class LearnedSensitivity(Rule):
    """Base of the two forms of KeRNL: M, a weight of the layer, and gamma where there are exponential kernels."""

    def __init__(
        self,
        kernel: KernelName | Kernel,
        perturbation: PerturbationName | Perturbation,
        learn_sensitivity: bool,
        sensitivity_initializer: Initializer | None,
    ) -> None:
        self.kernel = get_settings("kernel", kernel, Kernel, KERNELS)
        self.perturbation = get_settings("perturbation", perturbation, Perturbation, PERTURBATIONS)
        self.learn_sensitivity = flag("learn_sensitivity", learn_sensitivity)
        self.sensitivity_initializer = keras_object(
            "initializers", "sensitivity_initializer", sensitivity_initializer, STARTS
        )

    def perturbed_rows(self, cell: HiddenCell) -> tuple[int, ...]:
        """As in `Rule`; none if M does not learn, for nothing is perturbed then."""
        return self.kernel.rows(cell) if self.learn_sensitivity else ()

    def solvable(self, layer: Any) -> bool:
        """Whether least squares can find M as the direct effect of a spike, for which Eq. (41) holds without noise."""
        direct = isinstance(layer.carries_traces, LinearTraces) or self.kernel.solvable(layer.cell)
        exact = self.perturbation.linear and self.perturbation.observe != "reset_voltage"
        return self.learn_sensitivity and direct and exact

    def check(self, cell: HiddenCell, traces: Any) -> None:
        super().check(cell, traces)
        self.perturbation.check(cell)
        self.kernel.check(cell, self.perturbation)

    def noise_enters(self, cell: HiddenCell) -> str:
        """The place where the noise enters: "current" I(t), "synapse" the input of W_rec, "state" S(t-1) or h(t-1)."""
        return "state" if cell.has_trace else "synapse"

    def starts_at(self, cell: HiddenCell) -> str:
        """The start of M if no initializer is given, one of `STARTS`."""
        return "recurrent"

    def noise_effect(self, cell: HiddenCell, drive: tf.Tensor) -> tf.Tensor:
        """Effect of one step's noise on the unit that receives it [H]; `drive` is (1-a) R_m."""
        return drive

    def build(self, layer: Any) -> None:
        units, count = layer.cell.units, self.kernel.count
        layer.sensitivity_tensor = layer.add_weight(
            name="sensitivity_tensor",
            shape=(units, units) if count == 1 else (count, units, units),
            initializer=lambda shape, dtype=None, **_: self.initial_sensitivity(layer, shape, dtype),
            trainable=self.learn_sensitivity,
            dtype=layer.cell.variable_dtype,
            **NO_AUTOCAST,
        )
        self.kernel.build(layer, self.learn_sensitivity)
        layer.draws = add_counter(layer)

    def reset(self, layer: Any) -> None:
        m = layer.sensitivity_tensor
        m.assign(self.initial_sensitivity(layer, tuple(m.shape), layer.cell.variable_dtype))
        self.kernel.reset(layer)

    def initial_sensitivity(self, layer: Any, shape: tuple, dtype: Any) -> tf.Tensor:
        """The initial M; further kernels start at zero."""
        start = self.sensitivity_initializer or self.starts_at(layer.cell)
        if not isinstance(start, str):
            return start(shape, dtype=dtype)
        cell, units = layer.cell, layer.cell.units
        if start == "recurrent":
            first = tf.cast(cell.direct_effect(), dtype)
        else:  # the unit itself
            drive = tf.convert_to_tensor(cell.parameters().drive, dtype) * tf.ones(units, dtype)
            first = tf.linalg.diag(self.noise_effect(cell, drive))
        if len(shape) == 2:
            return first
        return tf.concat([first[None], tf.zeros((shape[0] - 1, units, units), dtype)], 0)

    def sensitivity_weights(self, layer: Any) -> list[tf.Variable]:
        return [layer.sensitivity_tensor, *self.kernel.weights(layer)] if self.learn_sensitivity else []

    def sensitivity(self, layer: Any) -> tf.Tensor:
        """M [R, H, H]."""
        units = layer.cell.units
        return tf.reshape(tf.convert_to_tensor(layer.sensitivity_tensor), (self.kernel.count, units, units))

    def context(self, layer: Any, p: Any, traces: bool) -> Context:
        hop = self.kernel.hop(layer, p, self.sensitivity(layer), traces)
        if traces and hop.m_last is not None:
            raise ValueError(f"{type(self.kernel).__name__}.hop must use M first for traces; received m_last.")
        return super().context(layer, p, traces)._replace(hop=hop)
