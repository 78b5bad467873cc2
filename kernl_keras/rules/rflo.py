"""`RFLO`: random-feedback local online learning."""

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import LinearStep, times
from ..keras_version import serializable
from .rule import BackwardStep, Context, Rule


@serializable
class RFLO(Rule):
    """Random-feedback local online learning: each weight's effect on the output, leaking.

        p_ij(t)  = leak_i(t) p_ij(t-1) + psi_i(t) drive_i(t) s_j(t)
        dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

    For rate units psi drive is (1-a) f'(g) and leak is a: this is Murray's rule, and e-prop. For a spiking unit psi is
    taken when the input arrives, where e-prop takes it when the error does. The p of a resonator turns as its potential
    does. No reset interrupts the leak, and no spike moves an adaptation. Of the constants that learn, those of the
    potential alone have a gradient. L comes by random weights, as published, under
    `kernl_keras.Readout(feedback="random")`, else by transposed ones.

    Raises:
        ValueError: with a cell whose units have several currents.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LeakyRNNCell(4, tau=10.0), rule="rflo").rule
    RFLO()

    Source: Murray, Local online learning in recurrent networks with random feedback, eLife 8:e43299 (2019),
    Eq. (3)-(4).
    """

    one_current = True

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [(cell.units,)] * cell.count_own(adaptation=False)

    def prepare(self, L: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> BackwardStep:
        none = (0.0,) * len(step.s)  # as psi is that of the input, no spike moves the state
        step = step._replace(psi=1.0, Q=tuple(times(step.psi, q) for q in step.Q), K=step.K0, s=none)
        return BackwardStep(L, step.first(context.cell.count_own(adaptation=False)))

    def backward_step(self, carry: tuple, now: BackwardStep, context: Context) -> tuple[tuple, tf.Tensor]:
        ell, errors = now.step.back(carry, now.L)  # Eq. (38) of p_ij, with E(t) = L(t)
        return ell, errors.current
