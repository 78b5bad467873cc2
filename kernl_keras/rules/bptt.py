"""`BPTT`: backpropagation through time, exact."""

from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.linear import Errors, LinearStep
from ..checks import flag
from ..keras_version import serializable
from .rule import BackwardStep, Context, Rule


@serializable
class BPTT(Rule):
    """Backpropagation through time with the surrogate derivative: the exact gradient, for sequences that fit in memory.

    Its adjoint is that of e-prop with threshold and reset, and the path through the recurrent weights:

        g(t) = [dC/dI(t+1)] W_rec^T + exp(-dt/tau_s) g(t+1)                  the error of S(t)
        E(t) = L(t) + g(t)                                                   the error of z(t)

    Args:
        tape: whether to differentiate the loop automatically instead of by the adjoint. This is a check: it gives the
            same numbers in ten times the time. With it, errors of the returned states count as well.

    Raises:
        ValueError: for traces, which would have to know paths of later steps.

    Example:

    >>> import kernl_keras as kk
    >>> kk.RNN(kk.LIFCell(4), rule="bptt").rule
    BPTT(tape=False)

    Source: Werbos, Backpropagation through time: what it does and how to do it, Proceedings of the IEEE 78:1550
    (1990); Neftci, Mostafa, Zenke, Surrogate gradient learning in spiking neural networks, IEEE Signal Processing
    Magazine 36:51 (2019).
    """

    windows, crosses = True, False

    def __init__(self, tape: bool = False) -> None:
        self.tape = flag("tape", tape)
        self.by_tape = self.tape

    def check(self, cell: HiddenCell, traces: Any) -> None:
        if traces:
            raise ValueError(f"traces must be False for BPTT, which has no traces; received {traces!r}.")

    def stream_traces(self, cell: HiddenCell) -> bool:
        return False

    def carry_shapes(self, cell: HiddenCell, traces: bool) -> list[tuple[int, ...]]:
        return [(cell.units,)] * (len(cell.own_states) + 1)

    def prepare(self, L: tf.Tensor, step: LinearStep, carry: tuple, context: Context) -> BackwardStep:
        return BackwardStep(L, step.following_reset())

    def backward_step(self, carry: tuple, now: BackwardStep, context: Context) -> tuple[tuple, Errors]:
        ell, g = carry[:-1], carry[-1]
        ell, errors = now.step.back(ell, now.L + g)  # Eq. (38), E(t) = L(t) + g(t)
        arrived = tf.matmul(errors.current, context.recurrent_weights, transpose_b=True)  # [B, G H] x [G H, H]
        return (*ell, arrived + context.cell.synaptic_decay(context.p) * g), errors._replace(synapse=g)
