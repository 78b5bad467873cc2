"""`PlainKeRNL`: KeRNL as published. M and gamma carry the whole influence of a unit's current. Eq. (10)-(14)."""

from typing import Any, NamedTuple, get_args

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import LinearStep
from ..checks import integer, one_of
from ..keras_version import keras, serializable
from ..types import Credit, Initializer, Noise, PerturbationName, PostFactor
from .exponential import Exponential
from .learned_sensitivity import LearnedSensitivity
from .perturbation import Perturbation, Replica
from .rule import Context


class PlainStep(NamedTuple):
    """The input of the rule for one step back, or for a block of steps."""

    d: tuple  # d(t), as the hop takes it, Eq. (11)
    h: Any  # h(t) [.., B, H]
    step: LinearStep


@serializable
class PlainKeRNL(LearnedSensitivity):
    """KeRNL as published: the influence of unit i's current at t on unit k's potential is M_ki exp(-gamma_i d) h_i(t).

        (10) e_ij(t) = exp(-gamma_i dt) e_ij(t-1) + h_i(t) s_j(t)
        (11) d_i(t)  = sum_k L_k(t) psi_k(t) M_ki
        (12) dC/dW_ij = sum_b sum_t d_i(t) e_ij(t)

    Backward in time:

        (13) R_i(t) = d_i(t) + exp(-gamma_i dt) R_i(t+1),        dC/dI_i(t) = R_i(t) h_i(t)

    Of the constants that learn, those of the potential alone have a gradient.

    Args:
        kernel: "exponential", or `kernl_keras.rules.Exponential` with its settings; or a kernel of your own that is
            `presynaptic`, whose time course then takes the place of exp(-gamma_i d).
        noise: where the perturbation enters: "current" I_i(t); "synapse" S_i(t-1) as the recurrent weights see it;
            "activity" h_i(t-1), of rate units alone. None for "current", and "activity" of rate units.
        post_factor: h: "gate" (1, or 0 where refractory), "surrogate" (psi, or (1-a) f' of rate units) or "trace" (S).
            None for the one that fits the noise: "gate" for "current", else "surrogate".
        credit: "all" steps, or the "last" alone, for both (12) and (19).
        perturbation, learn_sensitivity: as in `kernl_keras.rules.KeRNL`.
        sensitivity_initializer: of M: "recurrent" (W_rec^T times (1-a) R_m), "local" (the unit itself: (1-a) R_m I, or
            I for "activity"), any Keras initializer, or None: "recurrent" for "synapse", else "local".

    Raises:
        ValueError: for an unknown word, and for a setting that the cell does not support.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), rule=kk.rules.PlainKeRNL(noise="synapse")).rule.noise
    'synapse'

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    one_current = True

    def __init__(
        self,
        kernel: Any = "exponential",
        noise: Noise | None = None,
        post_factor: PostFactor | None = None,
        credit: Credit = "all",
        perturbation: PerturbationName | Perturbation = "tangent",
        learn_sensitivity: bool = True,
        sensitivity_initializer: Initializer | None = None,
    ) -> None:
        super().__init__(kernel, perturbation, learn_sensitivity, sensitivity_initializer)
        if not self.kernel.presynaptic:
            raise ValueError(
                f"kernel must be exponential for PlainKeRNL, or presynaptic as that is; received {kernel!r}."
            )
        self.noise = None if noise is None else one_of("noise", noise, get_args(Noise))
        self.post_factor = None if post_factor is None else one_of("post_factor", post_factor, get_args(PostFactor))
        self.credit = one_of("credit", credit, ("all", "last"))
        self.last = credit == "last"

    @classmethod
    def reference(cls, time_steps: int) -> "PlainKeRNL":
        """The settings of the reference code: noise on the synapses, a replica of each unit, the last step alone.

        It draws gamma from [0, 1/T], where T is `time_steps`.

        Example:

        >>> import kernl_keras as kk
        >>> kk.rules.PlainKeRNL.reference(time_steps=838).credit
        'last'
        """
        gamma = keras.initializers.RandomUniform(0.0, 1.0 / integer("time_steps", time_steps))
        return cls(
            kernel=Exponential(initializer=gamma),
            noise="synapse",
            post_factor="trace",
            credit="last",
            perturbation=Replica(std=0.5, observe="reset_voltage"),
            sensitivity_initializer="glorot_uniform",
        )

    def noise_for(self, cell: HiddenCell) -> str:
        """The place where the noise enters a cell: as set, or the cell's default."""
        return self.noise or cell.NOISE[0]

    def check(self, cell: HiddenCell, traces: Any) -> None:
        super().check(cell, traces)
        one_of("noise", self.noise_for(cell), cell.NOISE)

    def solvable(self, layer: Any) -> bool:
        """Never: M stands for the whole influence of a current, and for no single step."""
        return False

    def noise_enters(self, cell: HiddenCell) -> str:
        noise = self.noise_for(cell)
        return "state" if noise == "activity" else noise

    def starts_at(self, cell: HiddenCell) -> str:
        return "recurrent" if self.noise_for(cell) == "synapse" else "local"

    def noise_effect(self, cell: HiddenCell, drive: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(drive) if self.noise_for(cell) == "activity" else drive

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return self.kernel.carry_shapes(cell, traces)

    def learning_signal(self, error: tf.Tensor, steps: Any) -> tf.Tensor:
        if not self.last:
            return error
        if steps is None:
            return tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)
        return tf.where(steps.last[..., None], error, tf.zeros_like(error))

    def prepare(self, L: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> PlainStep:
        chosen = self.post_factor or ("gate" if self.noise_for(context.cell) == "current" else "surrogate")
        h = {"gate": step.gate, "surrogate": context.cell.output_slope(step), "trace": step.presynaptic}[chosen]
        return PlainStep(context.hop.enter_outputs(L, step), h, step)

    def backward_step(self, carry: tuple, now: PlainStep, context: Context) -> tuple[tuple, tf.Tensor]:
        R = context.hop.before(carry, now.d, now.step)  # Eq. (13), in the parts that the kernel has
        return R, context.hop.error(R) * now.h
