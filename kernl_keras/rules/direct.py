"""M from one step of the perturbed pass: the direct effect of a spike, for errors that are followed hop by hop.

The part of D(t) that the changes of a unit's own state do not explain is what arrived from other units in that step:

    (41) D_k(t) - [own state]_k(t) = heard_k(t) sum_i M_ki dS_i(t-1),      F = mean of the squared difference of the two

dS is the difference of S between the perturbed and the clean network; heard is 0 while a unit is refractory, the slope
f' of a rate unit, and 1 otherwise. Under `kernl_keras.rules.Tangent` F is 0 for
M = drive W_rec^T, whatever the noise. M learns in this way in linear memory (`rules.memory`).
"""

import tensorflow as tf

from .kernel import Predictor
from .sensitivity import SensitivitySums, sum_of_squares


class DirectPredictor(Predictor):
    """The prediction of a single step, Eq. (41).

    Args:
        m: M [H, H].
        cell: the cell.
        p: its parameters.
        perturbation: `Perturbation`, which knows the observable.
    """

    rows = 1, 2  # dS; the own part of D, and heard

    def __init__(self, m, cell, p, perturbation):
        self.m, self.cell, self.p, self.perturbation = m, cell, p, perturbation

    def step(self, before, driven, saved, changed):
        step = self.cell.linear_step(saved, self.p).following_reset()
        own = self.perturbation.observed_change(self.cell, step.forward(changed.own, 0.0))
        heard = step.gate * step.heard * tf.ones_like(own)
        return changed.presynaptic[:, None], tf.stack([own, heard], 1)

    def start(self, like):
        return tf.zeros((), self.m.dtype), tf.zeros((), self.m.dtype), tf.zeros_like(self.m)

    def accumulate(self, total, outcome):
        units = self.m.shape[0]
        arrived, heard = outcome.effect - outcome.filtered_noise_slope[:, :, 0], outcome.filtered_noise_slope[:, :, 1]
        effect, heard, sent = (tf.reshape(x, (-1, units)) for x in (arrived, heard, outcome.filtered_noise))
        residual = effect - heard * tf.matmul(sent, self.m, transpose_b=True)
        by_noise = tf.matmul(heard * residual, sent, transpose_a=True)  # [H, CB] x [CB, H]
        return tuple(map(tf.add, total, (sum_of_squares(residual), sum_of_squares(effect), by_noise)))

    def sums(self, total, kept, run):
        return SensitivitySums(*total, by_slope=None)
