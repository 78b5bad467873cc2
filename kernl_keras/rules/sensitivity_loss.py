"""Learning M and gamma by regression of a perturbation's effect on its filtered cause: Eq. (19).

There is a simpler way to M: the direct effect of a spike, in a single step. It is the part of D(t) that the changes of
a unit's own state do not explain, and arrived from other units in this step:

    (41) D_k(t) - [own state]_k(t) = heard_k(t) sum_i M_ki dS_i(t-1),      F = mean of the squared difference of the two

dS is the difference of S between the perturbed and the clean network; heard is 0 while a unit is refractory, the slope
f' of a rate unit, of a `Unit` what a current adds now beside what it adds at rest, and 1 otherwise. D is in units of
the potential here. Linear memory (`rules.memory`), which follows errors hop by hop, needs this M. Under
`kernl_keras.rules.Tangent` F is 0 for M = drive W_rec^T, whatever the noise. So M need not come there by many small
steps: the least squares of one batch give nearly all that is missing,

    (45) M_k <- M_k + (sum heard_k r_k dS^T) C^-1 / h_k,    C = sum dS dS^T + ridge,    r = D - [own state] - heard M dS

with h_k the mean of heard_k^2, weighted by |dS|^2, and at least 0.55, so that no step is twice too long. The ridge is a
share of the diagonal of C: n = H divided by the number of steps in the sums, and at least 3 %. Where n is more than
that, the mean of the diagonal, times n - 0.03 or at most 1, is added to the diagonal first. More than H / 0.03 steps
would make it no better, so where all steps count only the first examples of a batch are perturbed that have as many.
This is the default of `kernl_keras.Model` in linear memory, and without it where the rule's kernel is `solvable`, see
`training.optimizers.LeastSquares`.
"""

import math
from functools import partial

import tensorflow as tf

from ..cells.linear import tensor
from .predictor import Predictor, SensitivitySums, flat, sum_of_squares

RIDGE = 0.03  # of the least squares, as a share of each unit's own sum of squares, of many samples
LEAST_HEARD = 0.55  # h
ITERATIONS = 8  # of the least squares, enough for three digits where the changes of units are hardly correlated


def enough_examples(batch, length, units):
    """The number of examples of a batch, of so many steps each, after which the ridge of `units` gets no smaller."""
    enough = -(-math.ceil(units / RIDGE) // length)
    return tf.minimum(batch, enough) if tf.is_tensor(batch) or tf.is_tensor(enough) else min(batch, enough)


def least_squares(residuals, changes, heard, samples):
    """What M lacks, Eq. (45), [H, H]: `residuals` are the sum of heard r dS^T, the others as in `SensitivitySums`.

    By conjugate gradients for all rows at once: products alone, which are fast on every device.
    """
    squares, units = tf.linalg.diag_part(changes), changes.shape[0]
    # Of few samples C has a low rank. What they say then is halved, or the steps of many batches would add up and grow.
    least = tf.cast(RIDGE, changes.dtype)
    ridge = tf.maximum(units / samples, least)
    # In few steps a unit may have hardly changed, by chance. Beside its own square alone the ridge would be no bound.
    common = tf.minimum(ridge - least, 1.0) * tf.reduce_mean(squares)
    scale = tf.math.rsqrt(squares + common + 1e-30)  # units differ by orders of magnitude
    correlations = scale[:, None] * changes * scale + ridge * tf.eye(units, dtype=changes.dtype)
    left = residuals * scale  # of the equations, in each row
    direction, length = left, tf.reduce_sum(left**2, -1, keepdims=True)
    solution = tf.zeros_like(left)
    for _ in range(ITERATIONS):
        along = tf.matmul(direction, correlations)
        far = tf.math.divide_no_nan(length, tf.reduce_sum(direction * along, -1, keepdims=True))
        solution += far * direction
        left -= far * along
        before, length = length, tf.reduce_sum(left**2, -1, keepdims=True)
        direction = left + tf.math.divide_no_nan(length, before) * direction
    share = tf.math.divide_no_nan(heard, tf.reduce_sum(squares))
    return solution * scale / tf.maximum(share, LEAST_HEARD)


def sensitivity_loss(m, gamma, sums, count, samples=None, learns=None):
    """F = mean over batch, steps and units of (D(t) - sum_r Omega_r(t) M_r^T)^2, Eq. (19).

    The gradients by M and gamma are closed forms, so no gradient runs through the loop over time:

        dF/dM_r = -2 mean (D - Omega M^T)^T Omega_r;      dF/dgamma_ri = -2 mean [(D - Omega M^T) M_r]_i Gamma_ri

    M is [R, H, H], gamma [R, H], or None where M learns alone. `sums` are the `SensitivitySums` for this M, of `count`
    numbers of D. Returns F, with its gradient, and mean D^2. With `samples`, the number of steps in the sums, the
    step of Eq. (45), with the other sign, takes the place of dF/dM; it is 0 where `learns`, a scalar bool, is false.
    """
    kernels, units = m.shape[0], m.shape[-1]
    count = tf.cast(count, m.dtype)
    scale = -2.0 / count

    @tf.custom_gradient
    def loss(m, *gamma):
        def gradient(error):
            if samples is not None:
                solve = partial(least_squares, sums.by_noise, *sums.changes, samples)
                step = solve() if learns is None else tf.cond(learns, solve, lambda: tf.zeros_like(m[0]))
                return -error * step[None], *(tf.zeros_like(each) for each in gamma)
            m_gradient = tf.transpose(tf.reshape(sums.by_noise, (units, kernels, units)), (1, 0, 2))
            if not gamma:
                return scale * error * m_gradient
            gamma_gradient = tf.reshape(tf.reduce_sum(flat(m) * sums.by_slope, 0), (kernels, units))
            return scale * error * m_gradient, scale * error * gamma_gradient

        return sums.squares / count, gradient

    return loss(m, *([] if gamma is None else [gamma])), sums.effect_squares / count


class DirectPredictor(Predictor):
    """The prediction of a single step by M [H, H], Eq. (41)."""

    def __init__(self, m, cell, perturbation):
        super().__init__(m)
        self.cell, self.perturbation = cell, perturbation

    def step(self, changed, noise, step):
        """What M explains and what it does not, from how the perturbed network differs before the step."""
        step, sent = step.following_reset(), changed.presynaptic
        own = tensor(self.perturbation.observed_change(self.cell, step.forward(changed.own, 0.0)), like=sent)
        heard = step.gate * step.heard * tf.ones_like(own)
        slope = self.perturbation.observed(self.cell, {"distance": step.r[0], "voltage": 1.0, "reset_voltage": 1.0})
        plain = isinstance(slope, float) and slope == 1.0
        parts = [own, heard] if plain else [own, heard, slope * tf.ones_like(own)]
        return sent[:, None], tf.stack(parts, 1)  # [B, 1, H] and [B, 2 or 3, H]

    def start(self):
        zero, zeros = tf.zeros((), self.m.dtype), tf.zeros_like(self.m)
        return zero, zero, zeros, zeros, zeros[:, :1]

    def accumulate(self, total, outcome):
        units = self.m.shape[0]
        own, heard, *slope = tf.unstack(outcome.filtered_noise_slope, axis=2)
        arrived = outcome.effect - own
        if slope:  # of the distance by the potential
            arrived = tf.math.divide_no_nan(arrived, slope[0])
        effect, heard, sent = (tf.reshape(x, (-1, units)) for x in (arrived, heard, outcome.filtered_noise))
        residual = effect - heard * tf.matmul(sent, self.m, transpose_b=True)
        by_noise = tf.matmul(heard * residual, sent, transpose_a=True)  # [H, CB] x [CB, H]
        changes = tf.matmul(sent, sent, transpose_a=True)
        heard_squares = tf.matmul(heard**2, tf.reduce_sum(sent**2, -1, keepdims=True), transpose_a=True)
        new = sum_of_squares(residual), sum_of_squares(effect), by_noise, changes, heard_squares
        return tuple(map(tf.add, total, new))

    def sums(self, total, kept, run):
        *total, changes, heard = total
        return SensitivitySums(*total, by_slope=None, changes=(changes, heard))
