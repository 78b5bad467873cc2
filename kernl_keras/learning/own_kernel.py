"""The unit's own kernel: the answer of unit k to a spike decays, and swings, as k's own potential does. Eq. (25)-(27).

    (25) a spike of i moves V_k, d later, by M_ki K_k(d),       K_k(d) = Re lambda_k^(d/dt)
    (26) Y(t) = lambda Y(t-1) + M xi(t),                         F = mean (D(t) - Re Y(t))^2
         dF/dM = -2 mean q(t) xi(t)^T,                           q(t) = D(t) - Re Y(t) + lambda q(t+1), turned back
    (27) C(t) = Q(t+1) M,                                        Q(t) = A(t) + lambda Q(t+1), turned back; A = L psi

lambda is exp(-dt/tau_m), of a resonator times exp(2 pi i dt/period). Where the published kernel exp(-gamma_i d) belongs
to the unit that spikes, this one belongs to the unit that is moved, and is known: M = (1-a) R_m W_rec^T is the path
through one synapse, exactly where S = z, whatever the time constants of the units. The filter over k comes before the
product with M, so that (27) costs no more than (23). Forward in time it needs a trace for each distinct lambda: see
`spread`.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from .blocks import blockwise, take
from .eprop import EProp
from .sensitivity import SensitivitySums, sum_of_squares


class OwnKernel(NamedTuple):
    """lambda in two parts, each [H] or a number."""

    leak: Any
    turn: Any

    def forward(self, real, imaginary):
        """One step: lambda times what is carried."""
        return self.leak * real - self.turn * imaginary, self.turn * real + self.leak * imaginary

    def backward(self, real, imaginary):
        """One step of the adjoint, which turns back."""
        return self.leak * real + self.turn * imaginary, self.leak * imaginary - self.turn * real


class Prediction:
    """How `forward.run_perturbed` predicts D by Eq. (26), and what it keeps for dF/dM.

    Args:
        m: M [H, H].
        kernel: `OwnKernel`.
    """

    KEEPS = 2

    def __init__(self, m, kernel):
        self.m, self.kernel = m, kernel

    def drive(self, xi):
        """M xi for a block of steps, [C, B, H]."""
        return tf.matmul(xi, self.m, transpose_b=True)

    def step(self, real, imaginary, driven):
        """Y(t), both parts [B, 1, H]."""
        real, imaginary = self.kernel.forward(real, imaginary)
        return real + driven[:, None], imaginary

    def keep(self, made, sane):
        """The residual, and whether the perturbation went on [B, 1], of every step."""
        return made.effect - made.filtered_noise[:, 0], sane

    def learn(self):
        """`(digest, total)` for the sums of squares, block by block, as in `sensitivity.learn_all`."""

        def digest(total, made):
            units = self.m.shape[0]
            residual = made.effect - made.filtered_noise[:, :, 0]
            squares = [sum_of_squares(tf.reshape(x, (-1, units))) for x in (residual, made.effect)]
            return tuple(map(tf.add, total, squares))

        return digest, (tf.zeros((), self.m.dtype),) * 2

    def finish(self, total, kept, noise, resync_every, unroll):
        """`SensitivitySums`, by the residuals filtered backward, Eq. (26).

        Args:
            total: what `learn`'s digest made.
            kept: what `keep` gave, of every step.
            noise: `start, C -> xi [C, B, H]`.
            resync_every: as in `forward.Noise`.
            unroll: without loops.
        """
        residuals, sane = kept
        length = residuals.shape[0] or tf.shape(residuals)[0]
        units, dtype = self.m.shape[0], self.m.dtype

        def begin(start, size):
            goes_on = tf.ones_like(take(sane, start, size), dtype)
            if resync_every is not None:  # what came before a new start does not reach the steps after it
                after = start + tf.range(size) + 1
                goes_on *= tf.cast(after % resync_every != 0, dtype)[:, None, None]
            of_step = (take(residuals, start, size), tf.cast(take(sane, start, size), dtype), goes_on)
            return of_step, noise(start, size)

        def step(carry, now):
            residual, sane, goes_on = now
            real, imaginary = self.kernel.backward(*(part * goes_on for part in carry))
            real = sane * (residual + real)
            return (real, sane * imaginary), (), (real,)

        def end(total, xi, local):
            q, xi = (tf.reshape(x, (-1, units)) for x in (local[0], xi))
            return (total[0] + tf.matmul(q, xi, transpose_a=True),)  # [H, CB] x [CB, H]

        zeros = tf.zeros_like(residuals[0])
        start = (tf.zeros((units, units), dtype),)
        by_noise = blockwise(begin, step, end, (zeros, zeros), start, length, reverse=True, unroll=unroll)[2][0]
        return SensitivitySums(*total, by_noise=by_noise, by_slope=tf.zeros_like(by_noise))


class Answered(EProp):
    """The factored rule: (23) with the path found before, A + psi C in the place of A."""

    def signals(self, error, factors, m, answered):
        """`Signals` from L [C, B, H], M [1, H, H] and Q(t+1) [C, B, H] of the same steps."""
        now = super().signals(error, factors, m, None)
        path = tf.einsum("tbk,ki->tbi", answered, m[0])  # Eq. (27)
        return now._replace(local=now.local + factors.psi * path)


def answers(kernel, local, length, like, unroll=False):
    """Q(t+1) of Eq. (27), [T, B, H]: what the later errors make of the potentials' answers to the spikes of t.

    Args:
        kernel: `OwnKernel`.
        local: `start, C -> A = L psi [C, B, H]`.
        length: T.
        like: any [B, H] tensor.
        unroll: without loops.
    """

    def begin(start, size):
        return (local(start, size),), ()

    def step(carry, now):
        before, real, imaginary = carry
        turned = kernel.backward(real, imaginary)
        real = now[0] + turned[0]
        return (real, real, turned[1]), (before,), ()

    zeros = tf.zeros_like(like)
    return blockwise(begin, step, lambda *_: (), (zeros,) * 3, (), length, reverse=True, unroll=unroll)[1][0]


def spread(m, kernel, group):
    """M and the kernels in the form of `network.Network`: M [R, H, H], its rows sorted by kernel, and `decay` [R, H].

    Args:
        m: M [H, H].
        kernel: `OwnKernel`.
        group: list of H numbers, which of the R distinct kernels each unit has.
    """
    units, count = m.shape[0], max(group) + 1
    member = tf.one_hot(group, count, axis=0, dtype=m.dtype)  # [R, H]
    first = [group.index(r) for r in range(count)]
    parts = [tf.broadcast_to(tf.convert_to_tensor(part, m.dtype), (units,)) for part in kernel]
    leak, turn = (tf.repeat(tf.gather(part, first)[:, None], units, 1) for part in parts)
    return member[:, :, None] * m, tf.complex(leak, turn)
