"""Learning M and gamma by regression of a perturbation's effect on its filtered cause: Eq. (19)."""

from typing import Any, NamedTuple

import tensorflow as tf


class Perturbation(NamedTuple):
    """What the noise did, in units of its standard deviation."""

    effect: Any  # D [T, B, H]
    filtered_noise: Any  # Omega [T, B, R, H]
    filtered_noise_slope: Any  # Gamma [T, B, R, H]

    def last(self):
        """The last step alone, still with a time axis."""
        return Perturbation(*(field[-1:] for field in self))


def sensitivity_loss(m, gamma, perturbation):
    """F = mean over batch, steps and units of (D(t) - sum_r Omega_r(t) M_r^T)^2, Eq. (19).

    The gradients by M and gamma are closed forms, so no gradient runs through the loop over time:

        dF/dM_r = -2 mean (D - Omega M^T)^T Omega_r;      dF/dgamma_ri = -2 mean [(D - Omega M^T) M_r]_i Gamma_ri

    Args:
        m: M [R, H, H], M[r, k, i]: how unit i moves unit k.
        gamma: [R, H], 1/ms.
        perturbation: `Perturbation`.

    Returns:
        F and mean D^2, scalars; F has a gradient by `m` and `gamma`.
    """
    kernels, units = m.shape[0], m.shape[-1]
    effect = tf.reshape(perturbation.effect, (-1, units))  # [TB, H]
    omega = tf.reshape(perturbation.filtered_noise, (-1, kernels * units))  # [TB, RH]
    slope = tf.reshape(perturbation.filtered_noise_slope, (-1, kernels * units))  # [TB, RH]
    scale = -2.0 / tf.cast(tf.size(effect), effect.dtype)

    @tf.custom_gradient
    def loss(m, gamma):
        m_flat = tf.reshape(tf.transpose(m, (1, 0, 2)), (units, kernels * units))  # [H, RH]
        residual = effect - tf.matmul(omega, m_flat, transpose_b=True)  # [TB, RH] x [RH, H]

        def gradient(error):
            m_gradient = scale * error * tf.matmul(residual, omega, transpose_a=True)  # [H, TB] x [TB, RH]
            m_gradient = tf.transpose(tf.reshape(m_gradient, (units, kernels, units)), (1, 0, 2))
            back = tf.matmul(residual, m_flat)  # [TB, H] x [H, RH]
            gamma_gradient = scale * error * tf.reshape(tf.reduce_sum(back * slope, 0), (kernels, units))
            return m_gradient, gamma_gradient

        return tf.reduce_mean(residual**2), gradient

    return loss(m, gamma), tf.reduce_mean(effect**2)
