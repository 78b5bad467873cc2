"""Learning M and gamma by regression of a perturbation's effect on its filtered cause: Eq. (19)."""

from typing import Any, NamedTuple

import tensorflow as tf


class Perturbation(NamedTuple):
    """What the noise did, in units of its standard deviation."""

    effect: Any  # D [T, B, H]
    filtered_noise: Any  # Omega [T, B, R, H]
    filtered_noise_slope: Any  # Gamma [T, B, R, H]


class SensitivitySums(NamedTuple):
    """Sums over batch and steps, from which F and its gradients follow; of consecutive blocks they add up."""

    squares: Any  # of the residual, D - Omega M^T
    effect_squares: Any  # of D
    by_noise: Any  # residual^T Omega [H, R H]
    by_slope: Any  # residual^T Gamma [H, R H]


def sensitivity_sums(m, perturbation):
    """`SensitivitySums` of a `Perturbation`, for M [R, H, H]."""
    kernels, units = m.shape[0], m.shape[-1]
    effect = tf.reshape(perturbation.effect, (-1, units))  # [TB, H]
    omega = tf.reshape(perturbation.filtered_noise, (-1, kernels * units))  # [TB, RH]
    slope = tf.reshape(perturbation.filtered_noise_slope, (-1, kernels * units))  # [TB, RH]
    residual = effect - tf.matmul(omega, flat(m), transpose_b=True)  # [TB, RH] x [RH, H]
    return SensitivitySums(
        squares=sum_of_squares(residual),
        effect_squares=sum_of_squares(effect),
        by_noise=tf.matmul(residual, omega, transpose_a=True),  # [H, TB] x [TB, RH]
        by_slope=tf.matmul(residual, slope, transpose_a=True),  # [H, TB] x [TB, RH]
    )


def sum_of_squares(x):
    """Of x [n, H], column by column as a product: XLA's sums of whole tensors are slow."""
    columns = tf.matmul(tf.ones_like(x[:, :1]), x**2, transpose_a=True)  # [1, n] x [n, H]
    return tf.reduce_sum(columns)


def flat(m):
    """M [R, H, H] as [H, R H]: what each unit's observation hears of every filtered noise."""
    kernels, units = m.shape[0], m.shape[-1]
    return tf.reshape(tf.transpose(m, (1, 0, 2)), (units, kernels * units))


def learn_all(m, like, several=False):
    """How (19) is summed over all steps, block by block: `(digest, total, finish)`.

    Args:
        m: M [R, H, H].
        like: a `PerturbedState`, for its shapes.
        several: has no part in this.

    Returns:
        digest: `(total, Perturbation of a block) -> total`; total: what it starts from; finish: `total ->
        SensitivitySums`.
    """

    def digest(total, perturbation):
        return tuple(map(tf.add, total, sensitivity_sums(m, perturbation)))

    zero, zeros = tf.zeros((), m.dtype), tf.zeros_like(flat(m))
    return digest, (zero, zero, zeros, zeros), lambda total: SensitivitySums(*total)


def learn_last(m, like, several=False):
    """The same for the last step alone, as in the reference code; each example's own, where they are `several`.

    Then all other steps of an example arrive as zeros.
    """

    def digest(total, perturbation):
        if several:
            return tuple(before + tf.reduce_sum(field, 0) for before, field in zip(total, perturbation))
        return tuple(field[-1][None] for field in perturbation)

    omega, slope = like.filtered_noise[None], like.filtered_noise_slope[None]
    total = (tf.zeros_like(omega[:, :, 0]), omega, slope)
    return digest, total, lambda total: sensitivity_sums(m, Perturbation(*total))


def sensitivity_loss(m, gamma, sums, count):
    """F = mean over batch, steps and units of (D(t) - sum_r Omega_r(t) M_r^T)^2, Eq. (19).

    The gradients by M and gamma are closed forms, so no gradient runs through the loop over time:

        dF/dM_r = -2 mean (D - Omega M^T)^T Omega_r;      dF/dgamma_ri = -2 mean [(D - Omega M^T) M_r]_i Gamma_ri

    Args:
        m: M [R, H, H], M[r, k, i]: how unit i moves unit k.
        gamma: [R, H], 1/ms.
        sums: `SensitivitySums` for this M.
        count: of the numbers in D that they sum over, a number or a scalar tensor.

    Returns:
        F and mean D^2, scalars; F has a gradient by `m` and `gamma`.
    """
    kernels, units = m.shape[0], m.shape[-1]
    count = tf.cast(count, m.dtype)
    scale = -2.0 / count

    @tf.custom_gradient
    def loss(m, gamma):
        def gradient(error):
            m_gradient = tf.transpose(tf.reshape(sums.by_noise, (units, kernels, units)), (1, 0, 2))
            gamma_gradient = tf.reshape(tf.reduce_sum(flat(m) * sums.by_slope, 0), (kernels, units))
            return scale * error * m_gradient, scale * error * gamma_gradient

        return sums.squares / count, gradient

    return loss(m, gamma), sums.effect_squares / count
