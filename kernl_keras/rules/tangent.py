"""`Tangent`: a perturbation that follows the linearised network. Eq. (18), (37)."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..checks import number
from ..serialization import serializable
from ..types import Observable
from .perturbation import Perturbation


@serializable
class Tangent(Perturbation):
    """The network linearised along its clean trajectory: the limit of small noise, with psi for the spike's derivative.

    Args:
        max_perturbation: bound of the effect, in units of the noise. An example that exceeds it starts anew: the
            tangent grows where backpropagation's gradient would explode.
        resync_every: number of steps after which all perturbations start anew; None for never.
        observe: "distance" V- - B, "voltage" V- (of rate units h), or "reset_voltage" V, after the reset of leaky
            units. None for "distance", and "voltage" of rate units.

    Raises:
        ValueError: for a setting out of range.

    Example:

    >>> import kernl_keras as kk
    >>> kk.rules.KeRNL(perturbation=kk.rules.Tangent(max_perturbation=10.0)).perturbation.max_perturbation
    10.0

    Source: Fiete, Senn, Wang, Hahnloser, Neuron 65 (2010), for learning from perturbations.
    """

    def __init__(
        self, max_perturbation: float = 30.0, resync_every: int | None = None, observe: Observable | None = None
    ) -> None:
        super().__init__(resync_every, observe)
        self.max_perturbation = number("max_perturbation", max_perturbation, above=0.0)

    def start(self, clean: Any) -> Any:
        return tf.nest.map_structure(tf.zeros_like, clean)

    def change(self, clean: tf.Tensor, perturbed: tf.Tensor) -> tf.Tensor:
        return perturbed

    def effect(
        self, cell: HiddenCell, p: Any, clean: tuple, current: tf.Tensor, recurrent: tf.Tensor, state: Any
    ) -> tuple:
        step = cell.linear_step(cell.save_residuals(*clean), p).following_reset()
        changes = step.forward([getattr(state, name) for name in cell.own_states], recurrent)
        return self.observed_change(cell, changes), cell.changed_state(state, changes, p)
