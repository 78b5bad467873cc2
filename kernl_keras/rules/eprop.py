"""`EProp`: errors go back through the unit's own state alone."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Errors, LinearStep
from ..checks import flag
from ..keras_version import serializable
from .rule import BackwardStep, Context, Rule


@serializable
class EProp(Rule):
    """E-prop: only the effect of a weight on the output of its own unit counts.

        eps_ij(t)  = leak_i(t) v_ij(t-1) + (1-a_i) R_m s_j(t)                of the potential V-, Eq. (20)
        zeta_ij(t) = psi_i(t) [eps_ij(t) - beta_i c_ij(t-1)]                 of the spike, Eq. (4)
        c_ij(t)    = p_i c_ij(t-1) + (1-p_i) zeta_ij(t)                      of the adaptation b, Eq. (6)
        v_ij(t)    = keep_i(t) eps_ij(t) - keep'_i(t) beta_i c_ij(t-1)       of the potential V after the reset, Eq. (8)
        dC/dW_ij   = sum_b sum_t L_i(t) zeta_ij(t)

    The rule runs backward in time, where this is Eq. (38) of `kernl_keras/cells/linear.py` with E(t) = L(t).

    keep is 1 - z after a hard reset and 1 after a soft one. A soft reset subtracts B z, so keep' is 0 or z. Without a
    reset they are 1 and 0. This is the derivative of the cost with every path through the recurrent weights cut. So a
    `tau_s` that learns gets no credit: S acts through these weights alone. The error L comes as the layer above sends
    it: symmetric e-prop by default, broadcast e-prop under `kernl_keras.Readout(feedback="random")`.

    Args:
        adaptation: whether the trace includes the adapting threshold, c. Without it the threshold counts as constant.
        reset_gradient: whether the trace follows the derivative of the resetting spike, as backpropagation does; it was
            published without.

    Raises:
        ValueError: for a setting that is not True or False.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), rule=kk.rules.EProp(reset_gradient=True)).rule
    EProp(adaptation=True, reset_gradient=True)

    Source: Bellec et al., A solution to the learning dilemma for recurrent networks of spiking neurons, Nature
    Communications 11:3625 (2020), Methods, "Eligibility traces for ALIF neurons".
    """

    windows = True
    hops = False  # True if errors reach other units

    def __init__(self, adaptation: bool = True, reset_gradient: bool = False) -> None:
        self.adaptation = flag("adaptation", adaptation)
        self.reset_gradient = flag("reset_gradient", reset_gradient)

    def check(self, cell: HiddenCell, traces: Any) -> None:
        """Accepts all cells and all kinds of traces."""

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [(cell.units,)] * cell.count_own(self.adaptation)

    def followed(self, step: LinearStep) -> LinearStep:
        """The step as the rule follows it: with the derivative of the reset or without."""
        return step.following_reset() if self.reset_gradient else step

    def prepare(self, L: Any, step: LinearStep, carry: tuple, context: Context, entered: tuple | None = None) -> Any:
        """As in `Rule`. Errors that left their window have `entered` the hop already; L is then 0."""
        return BackwardStep(L, self.followed(step))

    def prepare_silence(self, silence: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> Any:
        """With the number 0, which costs nothing."""
        return self.prepare(0.0, step, carry, context)

    def backward_step(self, carry: tuple, now: Any, context: Context) -> tuple[tuple, Errors]:
        d = context.cell.count_own(self.adaptation)
        return now.step.first(d).back(carry, now.L)  # Eq. (38) with E(t) = L(t)
