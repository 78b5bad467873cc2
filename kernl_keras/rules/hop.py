"""The hop: an error goes back to a unit through the other units that its spikes move, by M.

M is [R, H, H]: M[r, k, i] is the effect of unit i on unit k, whose time course is kernel r. Errors of the potentials
enter the hop: A(t) = L psi at every step, or, at the start of a window, the errors that `rules.window` has collected in
it.
"""

import itertools

import tensorflow as tf

from ..cells.linear import dot, plus, tensor, varying, with_varying
from ..sequences.time_loop import scan


class Hop:
    """Base of the hops."""

    def enter_outputs(self, error, step):
        """Input to the hop from errors L of the outputs: A = L psi, each [.., B, H]."""
        return self.enter((error * step.psi,))

    def to_outputs(self, later):
        """C(t) [C, B, H] from the errors of the potentials, in one product for a block of steps."""
        return tf.einsum("tbk,ki->tbi", later, self.m)


class TracedHop(Hop):
    """The adjoint of Eq. (21), kernel by kernel. Its carry has traces, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: one step of each kernel, rows of entries [R, H], see `LinearStep.free_response`; the output is its first
            number.
        by_slope: whether input to unit k is scaled by its slope f'. There is then one kernel for each unit k, and the
            last tensor of the carry is sum_k f'_k C_k.
        unit: k, if this is the kernel of one unit alone.
    """

    def __init__(self, m, decay, by_slope=False, unit=None):
        self.m, self.decay = m, decay
        self.by_slope, self.unit = by_slope, unit

    def enter(self, y, own=()):
        """Input to the hop from errors of y(t), each [.., B, R, H]."""
        return tuple(sensitivity_product(part, self.m) for part in y[: len(self.decay)])

    def for_kernel(self, index):
        """The hop by one kernel alone."""
        decay = tf.nest.map_structure(lambda part: tf.gather(part, [index]) if tf.is_tensor(part) else part, self.decay)
        return TracedHop(tf.gather(self.m, [index]), decay, self.by_slope, index)

    def through(self, entered, carry, step):
        """Returns None: C(t) is in the carry."""

    def backward(self, carry, now):
        """The error of z(t) through other units [B, H], and the carry before t, from that after t."""
        count = len(self.decay)
        later = filter_back(self.decay, carry[:count], now.entered)
        if not self.by_slope:
            return tf.reduce_sum(carry[0], 1), later
        heard = now.step.heard if self.unit is None else tf.gather(now.step.heard, [self.unit], axis=-1)
        return carry[count], (*later, tf.reduce_sum(heard[..., None] * later[0], 1))


class FilteredHop(Hop):
    """The hop if each kernel belongs to the unit k that is moved: errors of k are filtered, then multiplied by M.

        (27) C(t) = Re Q(t+1) M,         Q(t) = A(t) + conj(lambda) Q(t+1)

    One product for all kernels of a block, so it costs no more than one kernel of `TracedHop`. It has no traces.

    Args:
        m: M [1, H, H].
        kernel: one step of y(t) without input, see `LinearStep.free_response`.
        by_slope: whether input to unit k is scaled by its slope f': C(t) = Re [f'(t+1) Q(t+1)] M. The last tensor of
            the carry is then f' Q.
    """

    def __init__(self, m, kernel, by_slope=False):
        self.m, self.kernel, self.by_slope = m[0], kernel, by_slope

    def enter(self, y, own=()):
        """Input to the hop from errors of y(t): these errors."""
        return tuple(y[: len(self.kernel)])

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps.

        Args:
            entered: A(t) in its parts, each [C, B, H].
            carry: the carry after the block, each [B, H].
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
        """The carry before a step: Q(t) from Q(t+1), each [B, H], and f' Q."""
        later = filter_back(self.kernel, carry[: len(self.kernel)], entered)
        return (*later, heard * later[0]) if self.by_slope else later

    def backward(self, carry, now):
        return now.through, self.filtered(carry, now.entered, now.step.heard)


class WholeUnitHop(Hop):
    """The hop if an input moves the unit's whole state, with reset and adaptation, Eq. (36).

        C(t) = q(t+1) Re c(t+1) M,         c(t), state(t-1) = own_back(L(t), state(t))

    q scales the input: 0 in a refractory unit, f' in a rate unit. It has no traces.

    Args:
        m: M [1, H, H].
    """

    def __init__(self, m):
        self.m = m[0]

    def enter_outputs(self, error, step):
        before, errors = step.back((tf.zeros_like(error),) * len(step.s), error)
        return self.enter(errors.y, before)

    def enter(self, y, own=()):
        """Input to the hop: to the error of V-(t), and to those of the own state before it."""
        return y[0], *own

    def through(self, entered, carry, step):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps; arguments as in `FilteredHop`.

        The last tensor of the carry is the error of V-(t+1).
        """
        first = entered, step

        def back(carry, now):
            entered, step = with_varying(first, now)
            before = self.state_before(carry, entered, step)
            continues = step.continues
            return (tuple(continues * x for x in before) if tf.is_tensor(continues) else before), carry[-1]

        later = scan(back, carry, varying(first), reverse=True)[1]
        return self.to_outputs(later)

    def state_before(self, carry, entered, step):
        """The carry before a step: errors of the own state, and of the potential at the step."""
        potential, *own = entered
        before, errors = step.back(carry[:-1], 0.0)
        return *map(tf.add, before, own), step.gate * step.heard * (errors.y[0] + potential)

    def backward(self, carry, now):
        return now.through, self.state_before(carry, now.entered, now.step)


class TracedWholeUnitHop(WholeUnitHop):
    """`WholeUnitHop` for each pair of units. Its carry has traces, so a sequence may come in pieces.

        C_i(t) = sum_k q_k(t+1) c_ki(t+1),      c_ki(t), state_ki(t-1) = own_back(L_k(t) M_ki, state_ki(t))

    One step back is linear, so M may come first. The last tensor of the carry is C.

    Args:
        m: M [1, H, H].
        unit: k, if errors go through unit k alone.
    """

    def __init__(self, m, unit=None):
        super().__init__(m)
        self.unit = unit

    def for_kernel(self, index):
        """The hop through one unit k alone."""
        return TracedWholeUnitHop(self.m[None], index)

    def through(self, entered, carry, step):
        """Returns None: C(t) is in the carry."""

    def moved(self, x):
        """Values of the units k that are moved, [.., H], as [.., K, 1]: for products with all units i."""
        if not getattr(x, "shape", None):
            return x
        return (x if self.unit is None else tf.gather(x, [self.unit], axis=-1))[..., None]

    def backward(self, carry, now):
        m = self.m if self.unit is None else tf.gather(self.m, [self.unit])
        entered = now.entered if len(now.entered) > 1 else (0.0,) * (len(now.step.s) + 1)  # without errors
        entered = [self.moved(part) * m for part in entered]
        step = now.step._replace(presynaptic=None, continues=1.0)
        *state, arrived = self.state_before(carry, entered, tf.nest.map_structure(self.moved, step))
        return carry[-1], (*state, tf.reduce_sum(arrived, 1))


def filter_back(kernel, later, entered):
    """Errors of y(t), each [.., H]: those of y(t+1) by the transposed kernel, and what enters."""
    pairs = itertools.zip_longest(zip(*kernel), entered, fillvalue=0.0)  # the last parts may be missing
    return tuple(tensor(plus(dot(column, later), part), like=later[0]) for column, part in pairs)


def sensitivity_product(local, m):
    """d_r(t) = A(t) M_r, Eq. (11): local A = L psi [.., B, H] and M [R, H, H] -> [.., B, R, H]."""
    return tf.einsum("...bk,rki->...bri", local, m)
