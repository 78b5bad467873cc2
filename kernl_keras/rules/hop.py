"""The hop: how an error reaches back to a unit through the other units that its spikes move, by M.

M is [R, H, H]: M[r, k, i] says how unit i moves unit k, by the kernel r of the effect over time. What the errors of the
potentials add at a step is what enters the hop there: A(t) = L psi at every step, or at the beginning of a window what
`rules.window` has gathered inside it.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..sequences.time_loop import scan


class TracedHop:
    """The adjoint of Eq. (21), kernel by kernel. What it carries has a trace, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: of each kernel in one step [R, H]; complex where a kernel oscillates, whose real part counts.
        oscillates: whether it does.
    """

    def __init__(self, m, decay, oscillates=False):
        self.m, self.decay, self.oscillates = m, decay, oscillates
        self.real, self.imaginary = tf.math.real(decay), tf.math.imag(decay)

    def enter(self, potential):
        """What errors of potentials add, [.., B, R, H], from their components, each [.., B, H]."""
        parts = potential if self.oscillates else potential[:1]
        return tuple(sensitivity_product(part, self.m) for part in parts)

    def of_kernel(self, index):
        """The hop by one kernel alone."""
        return TracedHop(tf.gather(self.m, [index]), tf.gather(self.decay, [index]), self.oscillates)

    def through(self, entered, carry, continues):
        """Nothing: the step back carries all that there is."""

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        later, *turned = carry  # each [B, R, H]
        through = tf.reduce_sum(later, 1)
        if not turned:
            return through, (now.entered[0] + self.real * later,)
        real = now.entered[0] + self.real * later + self.imaginary * turned[0]
        imaginary = self.real * turned[0] - self.imaginary * later
        return through, (real, imaginary + now.entered[1] if len(now.entered) > 1 else imaginary)


class Lambda(NamedTuple):
    """lambda, by which a potential left to itself goes on, in two parts, each [H] or a number."""

    leak: Any
    turn: Any

    def forward(self, real, imaginary):
        """One step: lambda times what is carried."""
        return self.leak * real - self.turn * imaginary, self.turn * real + self.leak * imaginary

    def backward(self, real, imaginary):
        """One step of the adjoint, which turns back."""
        return self.leak * real + self.turn * imaginary, self.leak * imaginary - self.turn * real


class FilteredHop:
    """The same where each kernel belongs to the unit k that is moved: the filter over k precedes the product with M.

        (27) C(t) = Re Q(t+1) M,         Q(t) = A(t) + lambda Q(t+1), turned back

    One product a block for all kernels, so it costs no more than one kernel of `TracedHop`. It has no trace.

    Args:
        m: M [1, H, H].
        kernel: `Lambda`.
    """

    def __init__(self, m, kernel):
        self.m, self.kernel = m[0], kernel

    def enter(self, potential):
        """What errors of potentials add: themselves."""
        return tuple(potential)

    def through(self, entered, carry, continues):
        """C(t), the errors of z(t) through other units [C, B, H], for a block of steps.

        Args:
            entered: A(t) in its parts, each [C, B, H].
            carry: Q behind the block in two parts [B, H].
            continues: [C, B, 1], 0 where a sequence starts; a number where none does.
        """
        continues = continues if tf.is_tensor(continues) else None

        def step(carry, now):
            entered, continues = now
            before = self.filtered(carry, entered)
            return before if continues is None else tuple(continues * part for part in before), carry[0]

        later = scan(step, carry, (entered, continues), reverse=True)[1]
        return tf.einsum("tbk,ki->tbi", later, self.m)

    def filtered(self, carry, entered):
        """Q(t) of Q(t+1), both in two parts [B, H]."""
        turned = self.kernel.backward(*carry)
        return entered[0] + turned[0], turned[1] + entered[1] if len(entered) > 1 else turned[1]

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        return now.through, self.filtered(carry, now.entered)


def sensitivity_product(local, m):
    """d_r(t) = A(t) M_r, Eq. (11): local A = L psi [.., B, H] and M [R, H, H] -> [.., B, R, H]."""
    return tf.einsum("...bk,rki->...bri", local, m)
