"""`Hop`: KeRNL's step of an error from one unit to another, by M. Eq. (11), (21).

M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k with the time course of kernel r.
"""

import itertools
from abc import ABC, abstractmethod
from typing import Any

import tensorflow as tf

from ..cells.linear import LinearStep, dot, plus, tensor, varying, with_varying
from ..sequences.time_loop import scan
from .backward import cut_at_starts


class Hop(ABC):
    """An error goes back to a unit through the other units that its spikes move, by M.

    A hop carries errors backward in time. At each step A(t) = L(t) psi(t) enters, the errors of the potentials; or, at
    the start of a window, the errors that `kernl_keras/rules/window.py` has collected in it. C(t), the error of z(t)
    through other units, is a tensor of the carry after step t. A subclass defines two methods:

        entered(t) = enter(A(t)),        carry before t = before(carry after t, entered(t))

    M may come first, in `enter`. Each number of the carry then belongs to the unit that sends, and has a trace, so that
    a sequence may come in pieces. Or M comes last, for a block of steps at once, which is faster: give it as `m_last`.
    The carry then belongs to the units that are moved, and has no traces.

    Args:
        m: M [H, H] or [R, H, H], for `enter`; or None.
        m_last: M [H, H] where it comes last; None where it comes first.
        sent: the place in the carry of C(t) [B, H], or of its parts [B, R, H], whose sum it is; with `m_last` of what M
            is multiplied with.

    Example: the effect is over after one step, C(t) = A(t+1) M.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> class Brief(kk.rules.Hop):
    ...     def enter(self, y, own=()):
    ...         return (y[0] @ self.m,)
    ...     def before(self, carry, entered, step):
    ...         return entered
    >>> hop, zeros = Brief(m=0.5 * tf.ones((4, 4))), tf.zeros((1, 4))
    >>> carry = hop.before((zeros,), hop.enter((tf.ones((1, 4)),)), step=None)
    >>> hop.error(carry).numpy().tolist()
    [[2.0, 2.0, 2.0, 2.0]]

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def __init__(self, m: tf.Tensor | None = None, m_last: tf.Tensor | None = None, sent: int = 0) -> None:
        self.m, self.m_last, self.sent = m, m_last, sent

    @abstractmethod
    def enter(self, y: tuple, own: tuple = ()) -> tuple:
        """What enters, a tuple, from errors of y(t), the states before a spike, each [.., B, H]; the potential's first.

        From the outputs there is A(t) alone. At the start of a window there are all parts of y(t), and `own`, the
        errors of the own states before t.
        """

    @abstractmethod
    def before(self, carry: tuple, entered: tuple, step: LinearStep) -> tuple:
        """The carry before step t, from that after it and what entered at t; `step` is the `LinearStep` of t.

        Each of `entered` is the number 0.0 where no error enters. The result must be linear in both together.
        """

    def enter_outputs(self, L: tf.Tensor, step: LinearStep) -> tuple:
        """What enters from errors L of the outputs [.., B, H]: A = L psi."""
        return self.enter((L * step.psi,))

    def error(self, carry: tuple) -> tf.Tensor:
        """C(t) [B, H], from the carry after t."""
        sent = carry[self.sent]
        sent = tf.reduce_sum(sent, 1) if sent.shape.rank == 3 else sent
        return sent if self.m_last is None else tf.matmul(sent, self.m_last)

    def block(self, entered: tuple, carry: tuple, step: LinearStep) -> Any:
        """C(t) of a block of steps [C, B, H], if M comes last, else None; `carry` is the one after the block."""
        if self.m_last is None:
            return None
        first = entered, step

        def back(carry, now):
            entered, step = with_varying(first, now)
            return cut_at_starts(self.before(carry, entered, step), step), carry[self.sent]

        sent = scan(back, carry, varying(first), reverse=True)[1]
        return tf.einsum("tbk,ki->tbi", sent, self.m_last)

    def for_kernel(self, index: tf.Tensor) -> "Hop | None":
        """The hop by one of R kernels alone, for the traces of that one; None to run all for each, which is slower."""
        return None


class TracedHop(Hop):
    """The adjoint of Eq. (21), kernel by kernel. Its carry has traces, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: one step of each kernel, rows of entries [R, H], see `LinearStep.free_response`; the output comes first.
        by_slope: whether input to unit k is scaled by its slope f'. There is then one kernel for each unit k, and the
            last tensor of the carry is sum_k f'_k C_k.
        unit: k, if this is the kernel of one unit alone.
    """

    def __init__(self, m, decay, by_slope=False, unit=None):
        super().__init__(m, sent=len(decay) if by_slope else 0)
        self.decay, self.by_slope, self.unit = decay, by_slope, unit

    def enter(self, y, own=()):
        """d_r(t) = A(t) M_r, Eq. (11), for each part of y [.., B, R, H]."""
        return tuple(tf.einsum("...bk,rki->...bri", part, self.m) for part in y[: len(self.decay)])

    def before(self, carry, entered, step):
        """C_r(t-1) from C_r(t), in its parts, each [B, R, H]."""
        C = filter_back(self.decay, carry[: len(self.decay)], entered)
        if not self.by_slope:
            return C
        heard = step.heard if self.unit is None else tf.gather(step.heard, [self.unit], axis=-1)
        return *C, tf.reduce_sum(heard[..., None] * C[0], 1)

    def for_kernel(self, index):
        decay = tf.nest.map_structure(lambda part: tf.gather(part, [index]) if tf.is_tensor(part) else part, self.decay)
        return TracedHop(tf.gather(self.m, [index]), decay, self.by_slope, index)


def filter_back(kernel, later, entered):
    """Errors of y(t), each [.., H]: those of y(t+1) by the transposed kernel, and what enters."""
    pairs = itertools.zip_longest(zip(*kernel), entered, fillvalue=0.0)  # the last parts may be missing
    return tuple(tensor(plus(dot(column, later), part), like=later[0]) for column, part in pairs)
