"""`Twin` and `Replica`: perturbations by a second, noisy network, or by a noisy copy of each unit. Eq. (18)."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..checks import number
from ..serialization import serializable
from ..types import Observable
from .perturbation import Perturbation


@serializable
class Twin(Perturbation):
    """A second, noisy network with the same weights. One flipped spike makes the two diverge: see `resync_every`.

    Args:
        std: standard deviation of the noise.
        resync_every, observe: as in `Tangent`.

    Raises:
        ValueError: for a setting out of range.

    Example:

    >>> import kernl_keras as kk
    >>> kk.rules.KeRNL(perturbation=kk.rules.Twin(std=0.01, resync_every=50)).perturbation
    Twin(std=0.01, resync_every=50, observe=None)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def __init__(self, std: float = 0.1, resync_every: int | None = None, observe: Observable | None = None) -> None:
        super().__init__(resync_every, observe)
        self.std = self.scale = number("std", std, above=0.0)

    def effect(
        self, cell: HiddenCell, p: Any, clean: tuple, current: tf.Tensor, recurrent: tf.Tensor, state: Any
    ) -> tuple:
        noisy, state = cell.step(current + recurrent, state, p)
        difference = self.observed(cell, cell.observables(noisy, state)) - self.observed(cell, cell.observables(*clean))
        return difference / self.std, self.heard(state, noisy, clean[0])

    def heard(self, state: Any, noisy: Any, clean: Any) -> Any:
        """The state from which the noisy network continues."""
        return state


@serializable
class Replica(Twin):
    """A noisy copy of each spiking unit by itself, which receives the clean network's spikes.

    M then learns the path through one synapse, as in the reference code. Arguments as in `Twin`. For cells without
    spikes `kernl_keras.RNN` raises a ValueError.

    Example:

    >>> import kernl_keras as kk
    >>> kk.rules.KeRNL(perturbation="replica").perturbation
    Replica(std=0.1, resync_every=None, observe=None)

    Source: the reference code of Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def heard(self, state: Any, noisy: Any, clean: Any) -> Any:
        return state._replace(trace=state.trace + clean.output - noisy.output)
