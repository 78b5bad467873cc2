"""Learning M and gamma by regression of a perturbation's effect on its filtered cause: Eq. (19)."""

from typing import Any, NamedTuple

import tensorflow as tf


class Effect(NamedTuple):
    """The effect of the noise, in units of its standard deviation."""

    effect: Any  # D [T, B, H]
    filtered_noise: Any  # Omega [T, B, R, H]
    filtered_noise_slope: Any  # Gamma [T, B, R, H]


class SensitivitySums(NamedTuple):
    """Sums over batch and steps that give F and its gradients. Those of consecutive blocks add up."""

    squares: Any  # squares of the residual, D - Omega M^T
    effect_squares: Any  # squares of D
    by_noise: Any  # residual^T Omega [H, R H]
    by_slope: Any  # residual^T Gamma [H, R H]


def sensitivity_sums(m, outcome):
    """`SensitivitySums` of an `Effect`, for M [R, H, H]."""
    kernels, units = m.shape[0], m.shape[-1]
    effect = tf.reshape(outcome.effect, (-1, units))  # [TB, H]
    omega = tf.reshape(outcome.filtered_noise, (-1, kernels * units))  # [TB, RH]
    slope = tf.reshape(outcome.filtered_noise_slope, (-1, kernels * units))  # [TB, RH]
    residual = effect - tf.matmul(omega, flat(m), transpose_b=True)  # [TB, RH] x [RH, H]
    return SensitivitySums(
        squares=sum_of_squares(residual),
        effect_squares=sum_of_squares(effect),
        by_noise=tf.matmul(residual, omega, transpose_a=True),  # [H, TB] x [TB, RH]
        by_slope=tf.matmul(residual, slope, transpose_a=True),  # [H, TB] x [TB, RH]
    )


def sum_of_squares(x):
    """The sum of x^2, x [n, H], by a product for each column: XLA's sums of whole tensors are slow."""
    columns = tf.matmul(tf.ones_like(x[:, :1]), x**2, transpose_a=True)  # [1, n] x [n, H]
    return tf.reduce_sum(columns)


def flat(m):
    """M [R, H, H] as [H, R H]: each unit's weights of all filtered noises."""
    kernels, units = m.shape[0], m.shape[-1]
    return tf.reshape(tf.transpose(m, (1, 0, 2)), (units, kernels * units))


def sensitivity_loss(m, gamma, sums, count):
    """F = mean over batch, steps and units of (D(t) - sum_r Omega_r(t) M_r^T)^2, Eq. (19).

    The gradients by M and gamma are closed forms, so no gradient runs through the loop over time:

        dF/dM_r = -2 mean (D - Omega M^T)^T Omega_r;      dF/dgamma_ri = -2 mean [(D - Omega M^T) M_r]_i Gamma_ri

    Args:
        m: M [R, H, H], M[r, k, i]: how unit i moves unit k.
        gamma: [R, H], 1/ms; None where M learns alone.
        sums: `SensitivitySums` for this M.
        count: how many numbers of D they sum over, a number or a scalar tensor.

    Returns:
        F and mean D^2, scalars; F has a gradient by `m` and `gamma`.
    """
    kernels, units = m.shape[0], m.shape[-1]
    count = tf.cast(count, m.dtype)
    scale = -2.0 / count

    @tf.custom_gradient
    def loss(m, *gamma):
        def gradient(error):
            m_gradient = tf.transpose(tf.reshape(sums.by_noise, (units, kernels, units)), (1, 0, 2))
            if not gamma:
                return scale * error * m_gradient
            gamma_gradient = tf.reshape(tf.reduce_sum(flat(m) * sums.by_slope, 0), (kernels, units))
            return scale * error * m_gradient, scale * error * gamma_gradient

        return sums.squares / count, gradient

    return loss(m, *([] if gamma is None else [gamma])), sums.effect_squares / count
