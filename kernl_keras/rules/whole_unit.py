"""`WholeUnit`: the kernel of the whole unit that is moved, with its spikes, its reset and its adaptation."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..keras_version import serializable
from .hop import Hop
from .kernel import Kernel
from .membrane import MembranePredictor
from .perturbation import Perturbation
from .predictor import Predictor


@serializable
class WholeUnit(Kernel):
    """The kernel of the whole unit that is moved: the effect of a spike is followed through all states of the unit.

        (36) D_k(t), state_k(t) = own_step(state_k(t-1), sum_i M_ki xi_i(t))                 forward, Eq. (19)
             C_i(t) = sum_k c_k(t+1) M_ki,    c(t), state(t-1) = own_back(L(t), state(t))    back, Eq. (22)

    The state is that of e-prop with the adapting threshold: potential, threshold or adaptation current, and the reset
    where the rule follows it. With M = (1-a) R_m W_rec^T the gradient is exact for every path through one other unit,
    where S = z. `kernl_keras.rules.Membrane` follows the potential alone: for units whose spikes take back most of an
    input, such as `kernl_keras.AdLIFCell`, that overestimates the effect.

    The response of a unit changes from step to step, so exact traces need a kernel for each unit: H^2 J numbers for
    each number of a unit's state, with J inputs of a unit.

    Raises:
        ValueError: by `check`, for a cell that the kernel does not support, or a perturbation with another observable.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.AdLIFCell(4), rule=kk.rules.KeRNL(kernel="whole_unit")).rule.kernel
    WholeUnit()

    Source: an extension of Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    word, direct = "whole_unit", True

    def check(self, cell: HiddenCell, perturbation: Perturbation) -> None:
        super().check(cell, perturbation)
        if perturbation.observe not in (None, cell.OBSERVABLES[0]):
            raise ValueError(
                f"observe must be None or {cell.OBSERVABLES[0]!r} for kernel 'whole_unit', which predicts that; "
                f"received {perturbation.observe!r}."
            )

    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        return 1, len(cell.own_states)

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        state = (cell.units, cell.units) if traces else (cell.units,)
        return [*[state] * len(cell.own_states), (cell.units,)]

    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> "WholeUnitHop":
        return TracedWholeUnitHop(m[0]) if traces else WholeUnitHop(m_last=m[0], sent=-1)

    def predictor(self, layer: Any, p: Any, m: tf.Tensor) -> "WholeUnitPredictor":
        return WholeUnitPredictor(m[0], layer.cell, layer.rule)


class WholeUnitHop(Hop):
    """The hop by M [H, H] through the unit's whole state, with reset and adaptation, Eq. (36).

    The carry is the error of the own state, and last that of what arrives from other units at t+1, see
    `LinearStep.error_of_arrived`.
    """

    def enter_outputs(self, L, step):
        before, errors = step.back((tf.zeros_like(L),) * len(step.s), L)
        return self.enter(errors.y, before)

    def enter(self, y, own=()):
        """Errors of y(t), and of the own state before it."""
        return *y, *own

    def before(self, carry, entered, step):
        """The errors of the own state before t, and of what arrives at t, from those at t+1."""
        y, own = entered[: len(step.s)], entered[len(step.s) :]
        before, errors = step.back(carry[:-1], 0.0)
        return *map(tf.add, before, own), step.error_of_arrived(tuple(map(tf.add, errors.y, y)))


class TracedWholeUnitHop(WholeUnitHop):
    """`WholeUnitHop` for each pair of units. Its carry has traces, so a sequence may come in pieces.

        C_i(t) = sum_k q_k(t+1) c_ki(t+1),      c_ki(t), state_ki(t-1) = own_back(L_k(t) M_ki, state_ki(t))

    One step back is linear, so M may come first. The last tensor of the carry is C. `unit` is k, if errors go through
    unit k alone.
    """

    def __init__(self, m, unit=None):
        super().__init__(m, sent=-1)
        self.unit = unit

    def for_kernel(self, index):
        """The hop through one unit k alone."""
        return TracedWholeUnitHop(self.m, index)

    def moved(self, x):
        """Values of the units k that are moved, [.., H], as [.., K, 1]: for products with all units i."""
        if not len(getattr(x, "shape", ())):  # the same for all units
            return x
        return (x if self.unit is None else tf.gather(x, [self.unit], axis=-1))[..., None]

    def before(self, carry, entered, step):
        m = self.m if self.unit is None else tf.gather(self.m, [self.unit])
        entered = [self.moved(part) * m for part in entered]
        step = step._replace(presynaptic=None, continues=1.0)
        *state, arrived = super().before(carry, entered, tf.nest.map_structure(self.moved, step))
        return *state, tf.reduce_sum(arrived, 1)


class WholeUnitPredictor(MembranePredictor):
    """The prediction of D by Eq. (36), by M [H, H], and the gradient dF/dM."""

    def __init__(self, m, cell, rule):
        Predictor.__init__(self, m)
        self.rule, self.parts = rule, len(cell.own_states)

    def step(self, before, driven, step):
        """The prediction of D(t) [B, 1, H], and the changes of the own state [B, S, H]."""
        changes = self.rule.followed(step).forward(tf.unstack(before[1], axis=1), 0.0, arrived=driven)
        return changes.distance[:, None], tf.stack(changes.x, 1)

    def followed(self, derivatives, start, size):
        return self.rule.followed(derivatives(start, size))

    def backward(self, q, residual, step):
        before, errors = step.back(q, 0.0, u=residual)
        return before, step.error_of_arrived(errors.y)
