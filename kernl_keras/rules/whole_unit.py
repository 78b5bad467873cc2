"""`WholeUnit`: the kernel of the whole unit that is moved, with its spikes, its reset and its adaptation.

    (36) the effect of a spike of i on V_k is followed through all states of k:
         D_k(t), state_k(t) = own_step(state_k(t-1), sum_i M_ki xi_i(t))            forward, Eq. (19)
         C_i(t) = sum_k c_k(t+1) M_ki,    c(t), state(t-1) = own_back(L(t), state(t))       back, Eq. (22)

The kernel of the membrane, Eq. (25), ignores that the unit that is moved then spikes more, which resets its potential
and raises its threshold or its adaptation current. This takes back much of the effect.
"""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..serialization import serializable
from .hop import TracedWholeUnitHop, WholeUnitHop
from .kernel import Kernel
from .membrane import MembranePredictor
from .perturbation import Perturbation


@serializable
class WholeUnit(Kernel):
    """The kernel of the whole unit that is moved: the effect of a spike is followed through all states of the unit.

        c(t), state(t-1) = own_back(L(t), state(t)),        C(t) = c(t+1) M        Eq. (36)

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

    word = "whole_unit"

    def __init__(self) -> None:
        """No settings."""

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

    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> WholeUnitHop:
        return (TracedWholeUnitHop if traces else WholeUnitHop)(m)

    def predictor(self, layer: Any, p: Any, m: tf.Tensor, last: bool, several: bool) -> "WholeUnitPredictor":
        return WholeUnitPredictor(m[0], layer.cell, layer.rule, p)


class WholeUnitPredictor(MembranePredictor):
    """The prediction of D by Eq. (36) for the perturbed pass, and the gradient dF/dM.

    Args:
        m: M [H, H].
        cell: the cell.
        rule: `KeRNL`.
        p: the cell's parameters.
    """

    def __init__(self, m, cell, rule, p):
        self.m, self.cell, self.rule, self.p = m, cell, rule, p
        self.parts = len(cell.own_states)

    def received(self, driven, done):
        return driven

    def step(self, before, driven, saved, changed):
        """The prediction of D(t) [B, 1, H], and the changes of the own state [B, S, H]."""
        step = self.rule.followed(self.cell.linear_step(saved, self.p))
        changes = step.forward(tf.unstack(before[1], axis=1), 0.0, arrived=step.gate * step.heard * driven)
        return changes.distance[:, None], tf.stack(changes.x, 1)

    def followed(self, derivatives, start, size):
        return self.rule.followed(derivatives(start, size))

    def backward(self, later, residual, step):
        before, errors = step.back(later, 0.0, distance=residual)
        return before, step.gate * step.heard * errors.y[0]
