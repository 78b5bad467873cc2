"""The hop: how an error reaches back to a unit through the other units that its spikes move, by M.

M is [R, H, H]: M[r, k, i] says how unit i moves unit k, by the kernel r of the effect over time.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..sequences.time_loop import blockwise, take


class TracedHop:
    """The adjoint of Eq. (21), kernel by kernel. What it carries has a trace, so a sequence may come in pieces.

        C_ri(t) = [A(t+1) M_r]_i + decay_ri C_ri(t+1),        A = L psi;      the error of z_i(t) is sum_r C_ri(t)

    Args:
        m: M [R, H, H].
        decay: of each kernel in one step [R, H]; complex where a kernel oscillates, whose real part counts.
    """

    def __init__(self, m, decay):
        self.m, self.decay = m, decay
        self.real, self.imaginary = tf.math.real(decay), tf.math.imag(decay)

    def look_ahead(self, past, error):
        """Nothing: the step back carries all that there is."""

    def prepare(self, now, ahead):
        """`BackwardStep` with `path`, d(t) of Eq. (11), for a block of steps."""
        return now._replace(path=sensitivity_product(now.error * now.step.psi, self.m))

    def backward(self, carry, now):
        """From the carry behind t: the error of z(t) through other units [B, H], and the carry before t."""
        later, *turned = carry  # each [B, R, H]
        through = tf.reduce_sum(later, 1)
        if not turned:
            return through, (now.path + self.real * later,)
        real = now.path + self.real * later + self.imaginary * turned[0]
        return through, (real, self.real * turned[0] - self.imaginary * later)


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

        (27) C(t) = Q(t+1) M,         Q(t) = A(t) + lambda Q(t+1), turned back

    One product a block for all kernels, so it costs no more than one kernel of `TracedHop`. It has no trace.

    Args:
        m: M [1, H, H].
        kernel: `Lambda`.
    """

    def __init__(self, m, kernel):
        self.m, self.kernel = m[0], kernel

    def look_ahead(self, past, error):
        """Q(t+1), [T, B, H]: what the later errors make of the potentials' responses to the spikes of t.

        Args:
            past: `backward.Past`.
            error: L [T, B, H].
        """

        def begin(start, size):
            return take(error, start, size) * past.derivatives(start, size).psi, ()

        def step(carry, local):
            before, real, imaginary = carry
            turned = self.kernel.backward(real, imaginary)
            real = local + turned[0]
            return (real, real, turned[1]), before, ()

        zeros = (tf.zeros_like(error[0]),) * 3
        return blockwise(begin, step, None, zeros, (), past.length, reverse=True, unroll=past.unroll)[1]

    def prepare(self, now, ahead):
        """`BackwardStep` with `through`, the error of z(t) through other units, for a block of steps."""
        return now._replace(through=tf.einsum("tbk,ki->tbi", ahead, self.m))  # Eq. (27)

    def backward(self, carry, now):
        """Nothing is carried."""
        return now.through, ()


def sensitivity_product(local, m):
    """d_r(t) = A(t) M_r, Eq. (11): local A = L psi [T, B, H] and M [R, H, H] -> [T, B, R, H]."""
    return tf.einsum("tbk,rki->tbri", local, m)
