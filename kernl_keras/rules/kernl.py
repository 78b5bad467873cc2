"""`KeRNL`: errors go back through the unit's own state, and through other units by one learned hop, M."""

from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Errors, LinearStep, tensor
from ..keras_version import serializable
from ..types import Initializer, KernelName, PerturbationName
from .eprop import EProp
from .kernel import Kernel
from .learned_sensitivity import LearnedSensitivity
from .memory import LinearTraces
from .perturbation import Perturbation
from .rule import Context


class HopStep(NamedTuple):
    """A `BackwardStep`, and what the hop needs of it."""

    L: Any
    step: LinearStep
    entered: tuple  # input to the hop, see `rules.hop`
    C: Any  # the error of z(t) through other units, if it is known beforehand


@serializable
class KeRNL(EProp, LearnedSensitivity):
    """Kernel RNN Learning: a weight's effect on its own unit is known, its effect on all others is learned.

    A weight W_ij moves the potential of unit i by eps_ij. The spikes of i then move every other unit k, after d
    milliseconds by M_ki K(d), with a kernel K.

        (20) eps_ij(t) = a_i eps_ij(t-1) + (1-a_i) R_m s_j(t)                         own leak
        (21) e_ij(t)   = K e_ij(t-1) + psi_i(t-1) eps_ij(t-1)                         through i's spikes
        (22) dC/dW_ij  = sum_b sum_t [L_i psi_i eps_ij + (sum_k L_k psi_k M_ki) e_ij]

    M learns, while the layer trains, to predict what a small noise xi on the spikes does to the network:

        (16) Omega(t) = K Omega(t-1) + xi(t)
        (19) F = mean (D(t) - Omega(t) M^T)^2,      D = perturbed minus clean observation

    Backward in time, with A = L psi, and E for the error of a spike, which goes back through the unit by Eq. (38):

        (23) C_i(t) = [A(t+1) M]_i + K C_i(t+1),      E_i(t) = L_i(t) + C_i(t)

    This is the exponential kernel, K = exp(-gamma_i dt). That of the default, "membrane", belongs to the unit k that
    receives the spike, and (25) to (27) take the place of (16), (19), (21) and (22): `kernl_keras.rules.Membrane`.
    K is known there, so M can be the effect of a spike in a single step. A `kernl_keras.Model` finds it by the least
    squares of each batch, Eq. (45), unless it is compiled with another `sensitivity_optimizer`, which lowers F.

    In linear memory (`traces="linear"`) the kernel plays no part before a window: errors follow several hops by M,
    which is that of single steps (`kernl_keras.rules.LinearTraces`).

    Args:
        kernel: "membrane", the known response of the unit that receives the spike (`kernl_keras.rules.Membrane`);
            "whole_unit", the same with its spikes, reset and adaptation (`kernl_keras.rules.WholeUnit`), which
            `rule="kernl"` stands for with `kernl_keras.AdLIFCell` and a `kernl_keras.Unit`; or "exponential",
            exp(-gamma_i d) as published, with a gamma that learns (`kernl_keras.rules.Exponential`), the only one for
            `kernl_keras.LSTMCell`.
        perturbation: how D is found: "tangent", "twin" or "replica", or one of `kernl_keras.rules.Tangent`, `Twin` and
            `Replica` with its settings.
        adaptation: whether eps includes the adapting threshold, as in e-prop (`kernl_keras.rules.EProp`).
        reset_gradient: whether eps follows the derivative of the resetting spike, as backpropagation does: a spike then
            also reduces eps by psi(t) times what it took from the potential. `rule="kernl"` stands for False with
            `kernl_keras.AdLIFCell`.
        learn_sensitivity: whether M learns, and gamma.
        sensitivity_initializer: of M: None or "recurrent" for the path through one synapse, W_rec^T times (1-a) R_m;
            "local" for the effect of a unit on itself alone; or any Keras initializer.

    Raises:
        ValueError: for an unknown word, and for a setting that the cell does not support.

    Example:

    >>> import kernl_keras as kk
    >>> rule = kk.rules.KeRNL(perturbation=kk.rules.Replica(std=0.5))
    >>> kk.RNN(kk.LIFCell(4), rule=rule).rule.perturbation.std
    0.5

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; Bellec et al., Nature Communications 11:3625
    (2020) for the local term. The separate own leak and the membrane kernel are extensions.
    """

    hops = True

    def __init__(
        self,
        kernel: KernelName | Kernel = "membrane",
        perturbation: PerturbationName | Perturbation = "tangent",
        adaptation: bool = True,
        reset_gradient: bool = True,
        learn_sensitivity: bool = True,
        sensitivity_initializer: Initializer | None = None,
    ) -> None:
        EProp.__init__(self, adaptation, reset_gradient)
        LearnedSensitivity.__init__(self, kernel, perturbation, learn_sensitivity, sensitivity_initializer)

    def check(self, cell: HiddenCell, traces: Any) -> None:
        LearnedSensitivity.check(self, cell, bool(traces))
        if isinstance(traces, LinearTraces) and not self.kernel.direct:
            raise ValueError(
                f"traces must be True or False for {type(cell).__name__} with the kernel {self.kernel!r}, which has "
                f"none in linear memory, as e-prop has; received {traces!r}."
            )

    def stream_traces(self, cell: HiddenCell) -> Any:
        return LinearTraces() if self.kernel.direct else True

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [*super().carry_shapes(cell, traces), *self.kernel.carry_shapes(cell, traces)]

    def prepare(
        self, L: Any, step: LinearStep, carry: tuple, context: Context, entered: tuple | None = None
    ) -> HopStep:
        step, d = self.followed(step), context.cell.count_own(self.adaptation)
        if entered is None:
            entered = context.hop.enter_outputs(L, step)
        return HopStep(L, step, entered, context.hop.block(entered, carry[d:], step))

    def prepare_silence(self, silence: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> HopStep:
        """Without the product of zeros with M, which would take most of the time of the traces."""
        entered = context.hop.enter_outputs(silence, self.followed(step))  # of which only the number of parts is used
        return self.prepare(0.0, step, carry, context, (0.0,) * len(entered))

    def backward_step(self, carry: tuple, now: HopStep, context: Context) -> tuple[tuple, Errors]:
        d, hop = context.cell.count_own(self.adaptation), context.hop
        C = hop.error(carry[d:]) if now.C is None else now.C
        before = [tensor(x, like=after) for x, after in zip(hop.before(carry[d:], now.entered, now.step), carry[d:])]
        ell, errors = now.step.first(d).back(carry[:d], now.L + C)  # E(t) = L(t) + C(t)
        return (*ell, *before), errors._replace(synapse=C)
