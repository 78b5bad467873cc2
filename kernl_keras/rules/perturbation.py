"""`Tangent`, `Twin` and `Replica`: the perturbations that M and gamma learn from, Eq. (18), and their base."""

import copy
from typing import Any, ClassVar, get_args

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Changes
from ..checks import integer, number, one_of
from ..keras_version import serializable
from ..types import Observable
from .settings import Settings


class Perturbation(Settings):
    """Base of the perturbations: a second pass beside the clean one, in which every unit receives noise xi.

    A subclass defines `effect`, one step of the second pass, and `start`, unless that begins as the clean network does;
    `change`, unless its states are those of a noisy network. For the noise to have a size of its own, set `scale`.

    Args:
        resync_every: number of steps after which all perturbations start anew; None for never.
        observe: "distance", "voltage" or "reset_voltage", as in `Tangent`; None for the first that the cell has.

    Raises:
        ValueError: for a setting out of range.

    Example: a tangent whose effect is bounded softly.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> class Bounded(kk.rules.Tangent):
    ...     def effect(self, *arguments):
    ...         effect, state = super().effect(*arguments)
    ...         return tf.tanh(effect), state
    >>> isinstance(kk.rules.KeRNL(perturbation=Bounded()).perturbation, kk.rules.Perturbation)
    True

    Source: Fiete, Senn, Wang, Hahnloser, Neuron 65 (2010), for learning from perturbations.
    """

    linear: ClassVar[bool] = False  # whether the effect is linear in the noise, so that Eq. (41) holds exactly
    scale = 1.0  # of the noise
    max_perturbation = float("inf")  # largest effect, in units of the noise, before a perturbation starts anew

    def __init__(self, resync_every: int | None, observe: Observable | None) -> None:
        self.resync_every = None if resync_every is None else integer("resync_every", resync_every)
        self.observe = None if observe is None else one_of("observe", observe, get_args(Observable))

    def check(self, cell: HiddenCell) -> None:
        """Raises a ValueError if the cell lacks the observable, or what this perturbation needs."""
        if self.observe is not None:
            one_of("observe", self.observe, cell.OBSERVABLES)

    def observing(self, observable: Observable | None) -> "Perturbation":
        """The same perturbation, but with another observable; itself for None."""
        if observable is None:
            return self
        other = copy.copy(self)
        other.observe = observable
        return other

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

    linear = True

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
        values = (self.observed(cell, cell.observables(*done)) for done in (clean, (noisy, state)))
        return self.change(*values), self.heard(state, noisy, clean[0])

    def heard(self, state: Any, noisy: Any, clean: Any) -> Any:
        """The state from which the noisy network continues."""
        return state


@serializable
class Replica(Twin):
    """A noisy copy of each spiking unit by itself, which receives the clean network's spikes.

    M then learns the path through one synapse, as in the reference code. Arguments as in `Twin`.

    Raises:
        ValueError: by `check`, for a cell whose units do not spike.

    Example:

    >>> import kernl_keras as kk
    >>> kk.rules.KeRNL(perturbation="replica").perturbation
    Replica(std=0.1, resync_every=None, observe=None)

    Source: the reference code of Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def check(self, cell: HiddenCell) -> None:
        super().check(cell)
        if not cell.has_trace:
            raise ValueError(
                f"perturbation must be 'tangent' or 'twin' for {type(cell).__name__}, whose units do not spike; "
                f"received {self!r}."
            )

    def heard(self, state: Any, noisy: Any, clean: Any) -> Any:
        return state._replace(trace=state.trace + clean.output - noisy.output)
