"""The hop: how an error reaches back to a unit through the other units that its spikes move, by M.

M is [R, H, H]: M[r, k, i] says how unit i moves unit k, by the kernel r of the effect over time. What the errors of the
potentials add at a step is what enters the hop there: A(t) = L psi at every step, or at the beginning of a window what
`rules.window` has gathered inside it.
"""

import itertools

import tensorflow as tf

from ..cells.linear import dot, of_steps, plus, tensor, with_steps
from ..sequences.time_loop import scan


class Hop:
    """Base: what enters is known from the errors of the potentials."""

    def of_outputs(self, error, step):
        """What errors L of outputs add, each [.., B, H]: by A = L psi."""
        return self.enter((error * step.psi,))

    def to_outputs(self, later):
        """C(t) [C, B, H], of the errors of the potentials that are moved: one product for a block of steps."""
        return tf.einsum("tbk,ki->tbi", later, self.m)


class TracedHop(Hop):
    """The adjoint of Eq. (21), kernel by kernel. What it carries has a trace, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: how each kernel goes on in one step, rows of entries [R, H], see `LinearStep.free_response`; the first
            number counts.
        by_slope: whether what arrives at unit k counts by its slope f' then. There is one kernel for each unit k, and
            the last that is carried is sum_k f'_k C_k.
        unit: k, where there is the kernel of one unit alone.
    """

    def __init__(self, m, decay, by_slope=False, unit=None):
        self.m, self.decay = m, decay
        self.by_slope, self.unit = by_slope, unit

    def enter(self, y, own=()):
        """What errors of y(t) add, each [.., B, R, H]."""
        return tuple(sensitivity_product(part, self.m) for part in y[: len(self.decay)])

    def of_kernel(self, index):
        """The hop by one kernel alone."""
        decay = tf.nest.map_structure(lambda part: tf.gather(part, [index]) if tf.is_tensor(part) else part, self.decay)
        return TracedHop(tf.gather(self.m, [index]), decay, self.by_slope, index)

    def through(self, entered, carry, step):
        """Nothing: the step back carries all that there is."""

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        count = len(self.decay)
        later = gone_on(self.decay, carry[:count], now.entered)
        if not self.by_slope:
            return tf.reduce_sum(carry[0], 1), later
        heard = now.step.heard if self.unit is None else tf.gather(now.step.heard, [self.unit], axis=-1)
        return carry[count], (*later, tf.reduce_sum(heard[..., None] * later[0], 1))


class FilteredHop(Hop):
    """The same where each kernel belongs to the unit k that is moved: the filter over k precedes the product with M.

        (27) C(t) = Re Q(t+1) M,         Q(t) = A(t) + lambda Q(t+1), turned back

    One product a block for all kernels, so it costs no more than one kernel of `TracedHop`. It has no trace.

    Args:
        m: M [1, H, H].
        kernel: how y(t) goes on by itself, see `LinearStep.free_response`.
        by_slope: whether what arrives at unit k counts by its slope f' then: C(t) = Re [f'(t+1) Q(t+1)] M. The last
            that is carried is f' Q.
    """

    def __init__(self, m, kernel, by_slope=False):
        self.m, self.kernel, self.by_slope = m[0], kernel, by_slope

    def enter(self, y, own=()):
        """What errors of y(t) add: themselves."""
        return tuple(y[: len(self.kernel)])

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps.

        Args:
            entered: A(t) in its parts, each [C, B, H].
            carry: what is carried behind the block, each [B, H].
            step: `LinearStep` of the block.
        """
        continues = step.continues if tf.is_tensor(step.continues) else None
        heard = step.heard if self.by_slope else None

        def back(carry, now):
            entered, heard, continues = now
            before = self.filtered(carry, entered, heard)
            before = before if continues is None else tuple(continues * part for part in before)
            return before, carry[-1 if self.by_slope else 0]

        later = scan(back, carry, (entered, heard, continues), reverse=True)[1]
        return self.to_outputs(later)

    def filtered(self, carry, entered, heard):
        """What is carried before a step: Q(t) of Q(t+1), each [B, H], and f' Q."""
        later = gone_on(self.kernel, carry[: len(self.kernel)], entered)
        return (*later, heard * later[0]) if self.by_slope else later

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        return now.through, self.filtered(carry, now.entered, now.step.heard)


class WholeUnitHop(Hop):
    """The same where what arrives at a unit goes on as its whole own state does, with reset and adaptation, Eq. (36).

        C(t) = q(t+1) Re c(t+1) M,         c(t), state(t-1) = own_back(L(t), state(t))

    q is what counts of what arrives: 0 in a refractory unit, f' in a rate unit. There is no trace.

    Args:
        m: M [1, H, H].
    """

    def __init__(self, m):
        self.m = m[0]

    def of_outputs(self, error, step):
        before, errors = step.back((tf.zeros_like(error),) * len(step.s), error)
        return self.enter(errors.y, before)

    def enter(self, y, own=()):
        """What errors add: to that of V-(t), and to those of the own state before it."""
        return y[0], *own

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps; arguments as of `FilteredHop`.

        The last that is carried is the error of V-(t+1).
        """
        first = entered, step

        def back(carry, now):
            entered, step = with_steps(first, now)
            before = self.state_before(carry, entered, step)
            goes_on = step.continues
            return (tuple(goes_on * x for x in before) if tf.is_tensor(goes_on) else before), carry[-1]

        later = scan(back, carry, of_steps(first), reverse=True)[1]
        return self.to_outputs(later)

    def state_before(self, carry, entered, step):
        """What is carried before a step: the errors of the own state, and of the potential at the step."""
        of_potential, *of_own = entered
        before, errors = step.back(carry[:-1], 0.0)
        return *map(tf.add, before, of_own), step.gate * step.heard * (errors.y[0] + of_potential)

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        return now.through, self.state_before(carry, now.entered, now.step)


class TracedWholeUnitHop(WholeUnitHop):
    """The same for each pair of units by itself. What it carries has a trace, so a sequence may come in pieces.

        C_i(t) = sum_k q_k(t+1) c_ki(t+1),      c_ki(t), state_ki(t-1) = own_back(L_k(t) M_ki, state_ki(t))

    One step back is linear, so M may come first. The last that is carried is C.

    Args:
        m: as of `WholeUnitHop`.
        unit: k, where there is the unit k alone.
    """

    def __init__(self, m, unit=None):
        super().__init__(m)
        self.unit = unit

    def of_kernel(self, index):
        """The hop by one unit k alone."""
        return TracedWholeUnitHop(self.m[None], index)

    def through(self, entered, carry, step):
        """Nothing: the step back carries all that there is."""

    def moved(self, x):
        """What belongs to the units k that are moved, [.., H], beside all units i that move them: [.., K, 1]."""
        if not getattr(x, "shape", None):
            return x
        return (x if self.unit is None else tf.gather(x, [self.unit], axis=-1))[..., None]

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        m = self.m if self.unit is None else tf.gather(self.m, [self.unit])
        entered = now.entered if len(now.entered) > 1 else (0.0,) * (len(now.step.s) + 1)  # without errors
        entered = [self.moved(part) * m for part in entered]
        step = now.step._replace(presynaptic=None, continues=1.0)
        *state, arrived = self.state_before(carry, entered, tf.nest.map_structure(self.moved, step))
        return carry[-1], (*state, tf.reduce_sum(arrived, 1))


def gone_on(kernel, later, entered):
    """The errors of y(t), each [.., H], of those of y(t+1) by a kernel, and of what enters."""
    every = itertools.zip_longest(zip(*kernel), entered, fillvalue=0.0)  # what does not enter is left out
    return tuple(tensor(plus(dot(column, later), part), like=later[0]) for column, part in every)


def sensitivity_product(local, m):
    """d_r(t) = A(t) M_r, Eq. (11): local A = L psi [.., B, H] and M [R, H, H] -> [.., B, R, H]."""
    return tf.einsum("...bk,rki->...bri", local, m)
