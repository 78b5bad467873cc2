"""`WholeUnit`: the kernel of the whole unit that is moved, with its spikes, its reset and its adaptation.

    (36) what a spike of i adds to V_k goes on as everything of k does:
         D_k(t), state_k(t) = own_step(state_k(t-1), sum_i M_ki xi_i(t))            forward, Eq. (19)
         C_i(t) = sum_k c_k(t+1) M_ki,    c(t), state(t-1) = own_back(L(t), state(t))       back, Eq. (22)

The kernel of the membrane alone, Eq. (25), leaves out what the unit that is moved does then: it spikes more, which
resets its potential and raises its threshold or its adaptation current, and takes back much of what arrived.
"""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..sequences.time_loop import blockwise, take
from ..sequences.valid_steps import where_fresh
from ..serialization import serializable
from .backward import of_steps, with_steps
from .hop import WholeUnitHop
from .membrane import MembranePredictor
from .own_state import own_state
from .sensitivity import SensitivitySums
from .settings import Settings


@serializable
class WholeUnit(Settings):
    """The kernel of the whole unit that is moved: what arrives goes on as everything that the unit has.

        c(t), state(t-1) = own_back(L(t), state(t)),        C(t) = c(t+1) M        Eq. (36)

    The state is that of e-prop with the adapting threshold: potential, threshold or adaptation current, and the reset
    where the rule follows it. With M = (1-a) R_m W_rec^T the gradient is exact for every path through one other unit,
    where S = z. `kernl_keras.rules.Membrane` has the potential left to itself in its place: for units whose spikes take
    back most of what arrives, such as `kernl_keras.AdLIFCell`, that is too much.

    How a unit answers differs from step to step, so there are no traces: it is for sequences that are kept as a whole.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.AdLIFCell(4), rule=kk.rules.KeRNL(kernel="whole_unit")).rule.kernel
    WholeUnit()

    Source: an extension of Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    count = 1  # of matrices in M

    def __init__(self) -> None:
        """There are no settings."""

    def build(self, layer: Any, learns: bool) -> None:
        """There are no weights but M."""

    def reset(self, layer: Any) -> None:
        """There is nothing to start anew."""

    def gamma(self, layer: Any) -> None:
        """There is none."""

    def weights(self, layer: Any) -> list[tf.Variable]:
        """None learn with M."""
        return []

    def rows(self, cell: HiddenCell) -> tuple[int, int]:
        """How many rows the perturbed pass carries: the prediction, and the changes of the own state."""
        return 1, own_state(cell, adaptation=True).COUNT

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [(cell.units,)] * (own_state(cell, adaptation=True).COUNT + 1)

    def hop(self, layer: Any, p: Any, m: tf.Tensor, traces: bool) -> WholeUnitHop:
        return WholeUnitHop(m, own_state(layer.cell, adaptation=True))

    def predictor(self, layer: Any, p: Any, m: tf.Tensor, last: bool, several: bool) -> "WholeUnitPredictor":
        return WholeUnitPredictor(m[0], layer.cell, layer.rule, p)


class WholeUnitPredictor(MembranePredictor):
    """How the perturbed pass predicts D by Eq. (36), and what it keeps for dF/dM.

    Args:
        m: M [H, H].
        cell: the cell.
        rule: `KeRNL`.
        p: the cell's parameters.
    """

    def __init__(self, m, cell, rule, p):
        self.m, self.cell, self.rule, self.p = m, cell, rule, p
        self.own = own_state(cell, adaptation=True)

    def received(self, driven, done):
        return driven

    def derivatives(self, residuals):
        """`StepDerivatives` as the rule has them."""
        return self.rule.followed(self.cell.from_residuals(residuals, self.p))

    def step(self, before, driven, residuals):
        """The prediction of D(t) [B, 1, H], and the changes of the own state [B, S, H]."""
        step = self.derivatives(residuals)
        distance, changes = self.own.forward(tf.unstack(before[1], axis=1), step.gate * step.heard * driven, step)
        return distance[:, None], tf.stack(changes, 1)

    def sums(self, total, residuals, within_bound, noise, resync_every, unroll, starts=None, derivatives=None):
        """`SensitivitySums`: the residuals go back through the own state of each unit. Arguments as there."""
        length, dtype = residuals.shape[0] or tf.shape(residuals)[0], self.m.dtype
        units, count = self.m.shape[0], self.own.COUNT

        def steps(start, size):
            return self.rule.followed(derivatives(start, size))

        first = steps(0, 1)

        def begin(start, size, carry):
            within = tf.cast(take(within_bound, start, size), dtype)
            goes_on = tf.ones_like(within)
            if resync_every is not None:  # what came before a new start does not reach the steps after it
                after = start + tf.range(size) + 1
                goes_on *= tf.cast(after % resync_every != 0, dtype)[:, None, None]
            fresh = None if starts is None else take(starts, start, size)
            return (take(residuals, start, size), within, goes_on, fresh, of_steps(steps(start, size))), noise(
                start, size
            )

        def step(carry, now):
            residual, within, goes_on, fresh, derivatives = now
            of_step = with_steps(first, derivatives)
            later = tuple(goes_on * x for x in carry)
            before, errors = self.own.backward(later, 0.0, of_step, distance=residual)
            before = tuple(within * x for x in before)
            return where_fresh(fresh, before), (), within * of_step.gate * of_step.heard * errors.potential

        def end(total, xi, local):
            c, xi = (tf.reshape(x, (-1, units)) for x in (local, xi))
            return total + tf.matmul(c, xi, transpose_a=True)  # [H, CB] x [CB, H]

        zeros = (tf.zeros_like(residuals[0]),) * count
        start = tf.zeros((units, units), dtype)
        by_noise = blockwise(begin, step, end, zeros, start, length, reverse=True, unroll=unroll)[2]
        return SensitivitySums(*total, by_noise=by_noise, by_slope=None)
