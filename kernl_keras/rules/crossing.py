"""`Crossing`: the rules that a window's border lets through: the unit's own state, and for KeRNL one hop."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Errors, LinearStep
from ..checks import flag
from .linear_memory import LinearTraces
from .rule import BackwardStep, Context, Rule


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

    def count_own(self, cell: HiddenCell) -> int:
        """How many of the unit's own states an error goes back through."""
        return cell.count_own(self.adaptation)

    def hop_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        """Shapes of what the hop carries."""
        return []

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [*[(cell.units,)] * self.count_own(cell), *self.hop_shapes(cell, traces)]

    def enter(self, y: tuple, own: tuple, context: Context) -> tuple:
        """What errors of y(t) and of the own state before add to the hop's carry."""
        return context.hop.enter(y, own) if context.hop else ()

    def followed(self, step: LinearStep, cell: HiddenCell) -> LinearStep:
        """The step as the rule has it, of the own states that it goes through."""
        step = step.first(self.count_own(cell))
        return step.following_reset() if self.reset_gradient else step

    def prepare(self, error: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> BackwardStep:
        entered = context.hop.of_outputs(error, self.followed(step, context.cell)) if context.hop else ()
        return self.behind(step, entered, carry, context)._replace(error=error)

    def prepare_silence(self, silence: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> BackwardStep:
        """Nothing enters: a product of zeros with M would take most of the time that the traces take."""
        return self.behind(step, (0.0,) if context.hop else (), carry, context)

    def context_of_kernel(self, context: Context, index: tf.Tensor) -> Context | None:
        """Each kernel of the hop goes its own way."""
        return context._replace(hop=context.hop.of_kernel(index)) if context.hop else None

    def behind(self, step: LinearStep, entered: tuple, carry: tuple, context: Context) -> BackwardStep:
        """The `BackwardStep` of a block of steps without errors of their own."""
        step, through = self.followed(step, context.cell), None
        if context.hop:
            through = context.hop.through(entered, carry[len(step.s) :], step)
        return BackwardStep(0.0, step, entered, through)

    def backward_step(self, carry: tuple, now: BackwardStep, context: Context) -> tuple[tuple, Errors]:
        error, through, hop, own = now.error, None, (), len(now.step.s)
        if context.hop:
            through, hop = context.hop.backward(carry[own:], now)
            error += through
        before, errors = now.step.back(carry[:own], error)
        return (*before, *hop), errors._replace(synapse=through)
