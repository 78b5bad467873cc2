"""`KeRNL`: the error reaches back through the unit's own state, and through the other units by one learned hop, M."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell, StepDerivatives
from ..checks import flag
from ..serialization import serializable
from ..types import Initializer, KernelName, PerturbationName
from .exponential import Exponential
from .learned_sensitivity import LearnedSensitivity
from .membrane import Membrane
from .own_state import own_state
from .perturbation import Perturbation
from .rule import BackwardStep, Context, named


@named("kernl")
@serializable
class KeRNL(LearnedSensitivity):
    """Kernel RNN Learning: a weight's effect on its own unit is known, its effect on all others is learned.

    A weight W_ij moves the potential of its own unit i by eps_ij, which is known. The spikes of i then move every other
    unit k. This second part is M_ki K(d), after d milliseconds, with a kernel K.

        (20) eps_ij(t) = a_i eps_ij(t-1) + (1-a_i) R_m s_j(t)                         own leak
        (21) e_ij(t)   = K e_ij(t-1) + psi_i(t-1) eps_ij(t-1)                         through i's spikes
        (22) dC/dW_ij  = sum_b sum_t [L_i psi_i eps_ij + (sum_k L_k psi_k M_ki) e_ij]

    M learns, while the layer trains, to predict what a small noise xi on the spikes does to the network:

        (16) Omega(t) = K Omega(t-1) + xi(t)
        (19) F = mean (D(t) - Omega(t) M^T)^2,      D = perturbed minus clean observation

    Args:
        kernel: "membrane", the kernel of the unit that is moved, which is known (`kernl_keras.rules.Membrane`); or
            "exponential", exp(-gamma_i d) as published, whose gamma learns (`kernl_keras.rules.Exponential`).
        perturbation: how D is found: "tangent", "twin" or "replica", or one of `kernl_keras.rules.Tangent`, `Twin` and
            `Replica` with its settings.
        reset_gradient: whether eps follows the derivative of the resetting spike, as backpropagation does: what is left
            of eps after a spike is then less by psi(t) times what the spike took from the potential.
        learn_sensitivity: whether M learns, and gamma.
        sensitivity_initializer: of M: None or "recurrent" for the path through one synapse, W_rec^T times (1-a) R_m;
            "local" for the unit itself; or any Keras initializer.

    Raises:
        ValueError: for an unknown word, and where the cell does not have what is asked for.

    Example:

    >>> import kernl_keras as kk
    >>> rule = kk.rules.KeRNL(perturbation=kk.rules.Replica(std=0.5))
    >>> kk.RNN(kk.LIFCell(4), rule=rule).rule.perturbation.std
    0.5

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; Bellec et al., Nature Communications 11:3625
    (2020) for the local term. That the own leak is split off, and the membrane kernel, are extensions.
    """

    def __init__(
        self,
        kernel: KernelName | Membrane | Exponential = "membrane",
        perturbation: PerturbationName | Perturbation = "tangent",
        reset_gradient: bool = True,
        learn_sensitivity: bool = True,
        sensitivity_initializer: Initializer | None = None,
    ) -> None:
        super().__init__(kernel, perturbation, learn_sensitivity, sensitivity_initializer)
        self.reset_gradient = flag("reset_gradient", reset_gradient)

    def noise_enters(self, cell: HiddenCell) -> str:
        return "state" if "trace" in cell.State._fields else "synapse"

    def starts_at(self, cell: HiddenCell) -> str:
        return "recurrent"

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        own = [(cell.units,)] * own_state(cell, adaptation=False).COUNT
        return [*own, *self.kernel.carry_shapes(cell, traces)]

    def look_ahead(self, past: Any, error: tf.Tensor, context: Context) -> tf.Tensor | None:
        return context.hop.look_ahead(past, error)

    def prepare(self, error: tf.Tensor, step: StepDerivatives, ahead: Any, context: Context) -> BackwardStep:
        now = BackwardStep(error, step.following_reset() if self.reset_gradient else step)
        return context.hop.prepare(now, ahead)

    def backward_step(self, carry: tuple, now: BackwardStep, context: Context) -> tuple[tuple, tf.Tensor]:
        own = own_state(context.cell, adaptation=False)
        through, hop = context.hop.backward(carry[own.COUNT :], now)
        carry, error = own.backward(carry[: own.COUNT], now.error + through, now.step)
        return (*carry, *hop), error
