"""`Perturbation`: the base of the perturbations that M and gamma learn from, `Tangent`, `Twin` and `Replica`."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Changes
from ..checks import integer, one_of
from ..types import Observable
from .settings import Settings

OBSERVABLES = ("distance", "voltage", "reset_voltage")


class Perturbation(Settings):
    """Base of the perturbations: a second pass beside the clean one, in which every unit receives noise xi."""

    scale = 1.0  # of the noise
    max_perturbation = float("inf")  # largest effect, in units of the noise, before a perturbation starts anew

    def __init__(self, resync_every: int | None, observe: Observable | None) -> None:
        self.resync_every = None if resync_every is None else integer("resync_every", resync_every)
        self.observe = None if observe is None else one_of("observe", observe, OBSERVABLES)

    def check(self, cell: HiddenCell) -> None:
        """Raises a ValueError if the cell lacks this perturbation or the observable."""
        one_of("perturbation", type(self).__name__.lower(), cell.PERTURBATIONS)
        if self.observe is not None:
            one_of("observe", self.observe, cell.OBSERVABLES)

    def observed(self, cell: HiddenCell, observables: dict[str, tf.Tensor]) -> tf.Tensor:
        """The value that is observed [B, H]; by default the cell's first observable."""
        return observables[self.observe or cell.OBSERVABLES[0]]

    def observed_change(self, cell: HiddenCell, changes: Changes) -> tf.Tensor:
        """The change of the observed value [B, H], from the `Changes` of `LinearStep.forward`."""
        observables = {"distance": changes.distance, "voltage": changes.y[0], "reset_voltage": changes.x[0]}
        return self.observed(cell, observables)

    def start(self, clean: Any) -> Any:
        """The cell state of the perturbed pass before any noise: that of the clean network."""
        return clean

    def change(self, clean: tf.Tensor, perturbed: tf.Tensor) -> tf.Tensor:
        """The difference of the perturbed pass from the clean one, in units of the noise."""
        return (perturbed - clean) / self.scale

    def effect(
        self, cell: HiddenCell, p: Any, clean: tuple, current: tf.Tensor, recurrent: tf.Tensor, state: Any
    ) -> tuple:
        """One step of the perturbed pass: D [B, H], in units of the noise, and its cell state after the step.

        `clean` is the clean step t, and the clean state after it; `current` is x(t) W_in + bias [B, H]; `recurrent` and
        `state` are the recurrent current of the perturbed pass [B, H] and its cell state before the step.
        """
        raise NotImplementedError
