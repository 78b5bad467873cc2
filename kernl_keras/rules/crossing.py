"""`Crossing`: the rules that a window's border lets through: the unit's own state, and for KeRNL one hop."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell, StepDerivatives
from ..checks import flag
from .linear_memory import LinearTraces
from .own_state import own_state
from .rule import BackwardStep, Context, Rule, StateErrors


class Crossing(Rule):
    """Base of e-prop and KeRNL: an error reaches back through the unit's own state, and further where there is a hop.

    Args:
        adaptation: whether the adapting threshold belongs to the own state.
        reset_gradient: whether the own state follows the derivative of the resetting spike, as backpropagation does:
            what is left of a potential's change after a spike is then less by psi(t) times what the spike took.
    """

    windows = True
    hops = False  # whether errors reach other units

    def __init__(self, adaptation: bool, reset_gradient: bool) -> None:
        self.adaptation = flag("adaptation", adaptation)
        self.reset_gradient = flag("reset_gradient", reset_gradient)

    def check(self, cell: HiddenCell, traces: Any) -> None:
        """Traces of every kind will do, where the cell has them."""
        if isinstance(traces, LinearTraces) and not cell.linear_memory:
            raise ValueError(
                f"traces must be True or False for {type(cell).__name__}, which has none in linear memory; "
                f"received {traces!r}."
            )

    def own(self, cell: HiddenCell) -> Any:
        """How an error goes back through the own state, see `rules.own_state`."""
        return own_state(cell, self.adaptation)

    def hop_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of what the hop carries."""
        return []

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [*[(cell.units,)] * self.own(cell).COUNT, *self.hop_shapes(cell, traces)]

    def enter(self, potential: tuple, own: tuple, context: Context) -> tuple:
        """What errors of potentials and of the own state before add to the hop's carry."""
        return context.hop.enter(potential, own) if context.hop else ()

    def followed(self, step: StepDerivatives) -> StepDerivatives:
        """The derivatives as the rule has them."""
        return step.following_reset() if self.reset_gradient else step

    def prepare(self, error: tf.Tensor, step: StepDerivatives, carry: tuple, context: Context) -> BackwardStep:
        entered = context.hop.of_outputs(error, self.followed(step)) if context.hop else ()
        return self.behind(step, entered, carry, context)._replace(error=error)

    def prepare_silence(
        self, silence: tf.Tensor, step: StepDerivatives, carry: tuple, context: Context
    ) -> BackwardStep:
        """Nothing enters: a product of zeros with M would take most of the time that the traces take."""
        return self.behind(step, (0.0,) if context.hop else (), carry, context)

    def context_of_kernel(self, context: Context, index: tf.Tensor) -> Context | None:
        """Each kernel of the hop goes its own way."""
        return context._replace(hop=context.hop.of_kernel(index)) if context.hop else None

    def behind(self, step: StepDerivatives, entered: tuple, carry: tuple, context: Context) -> BackwardStep:
        """The `BackwardStep` of a block of steps without errors of their own."""
        step, through = self.followed(step), None
        if context.hop:
            through = context.hop.through(entered, carry[self.own(context.cell).COUNT :], step)
        return BackwardStep(0.0, step, entered, through)

    def backward_step(self, carry: tuple, now: BackwardStep, context: Context) -> tuple[tuple, StateErrors]:
        own = self.own(context.cell)
        error, through, hop = now.error, None, ()
        if context.hop:
            through, hop = context.hop.backward(carry[own.COUNT :], now)
            error += through
        carry, errors = own.backward(carry[: own.COUNT], error, now.step)
        return (*carry, *hop), errors._replace(synapse=through)
