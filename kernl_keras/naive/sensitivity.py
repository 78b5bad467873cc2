"""The loss of M and gamma, Eq. (16), (17) and (19), and of M with the membrane's kernel, Eq. (26)."""

from collections.abc import Sequence

import numpy as np

from .loops import Array


def filtered_noise(xi: Array, gate: Array, gamma: Array, dt: float) -> tuple[Array, Array]:
    """The filtered noise Omega and its derivative Gamma by gamma, from zero, [B, T, R, H] both.

        (16) Omega(t) = exp(-gamma dt) Omega(t-1) + q(t) xi(t)
        (17) Gamma(t) = exp(-gamma dt) (Gamma(t-1) - dt Omega(t-1))

    Args:
        gate: q [B, T, H], 0 where a unit feels no noise.

    Example:
        >>> xi, one = np.array([[[1.0], [0.0], [0.0]]]), np.ones((1, 3, 1))
        >>> omega, slope = filtered_noise(xi, one, gamma=np.log([[2.0]]), dt=1.0)
        >>> omega[0, :, 0, 0].round(3).tolist(), slope[0, :, 0, 0].round(3).tolist()
        ([1.0, 0.5, 0.25], [0.0, -0.5, -0.5])
    """
    batch, time, units = xi.shape
    omega, slope = np.zeros((2, batch, time, len(gamma), units))
    for b, t, r, i in np.ndindex(batch, time, len(gamma), units):
        before, slope_before = (omega[b, t - 1, r, i], slope[b, t - 1, r, i]) if t else (0.0, 0.0)
        k = np.exp(-gamma[r, i] * dt)
        omega[b, t, r, i] = k * before + gate[b, t, i] * xi[b, t, i]
        slope[b, t, r, i] = k * (slope_before - dt * before)
    return omega, slope


def sensitivity(effect: Array, omega: Array, slope: Array, m: Array) -> tuple[float, Array, Array]:
    """The loss F of M and gamma, and its gradients by M [R, H, H] and gamma [R, H], term by term.

        (19) F = mean (D(t) - Omega(t) M^T)^2

    Args:
        effect: D [B, T, H].
        omega, slope: what `filtered_noise` returns.

    Example:
        >>> loss, m_gradient, gamma_gradient = sensitivity(
        ...     np.array([[[3.0]]]), omega=np.ones((1, 1, 1, 1)), slope=np.ones((1, 1, 1, 1)), m=np.array([[[1.0]]])
        ... )
        >>> float(loss), m_gradient.tolist(), gamma_gradient.tolist()  # (3 - 1)^2, and twice -2
        (4.0, [[[-4.0]]], [[-4.0]])
    """
    batch, time, units = effect.shape
    loss, m_gradient, gamma_gradient = 0.0, np.zeros(m.shape), np.zeros(m.shape[:2])
    count = batch * time * units
    for b, t, k in np.ndindex(batch, time, units):
        residual = effect[b, t, k]
        for r, i in np.ndindex(len(m), units):
            residual -= omega[b, t, r, i] * m[r, k, i]
        loss += residual**2 / count
        for r, i in np.ndindex(len(m), units):
            m_gradient[r, k, i] -= 2.0 * residual * omega[b, t, r, i] / count
            gamma_gradient[r, i] -= 2.0 * residual * m[r, k, i] * slope[b, t, r, i] / count
    return loss, m_gradient, gamma_gradient


def squared_residual(effect: Array, done: Array, m: Array) -> tuple[float, Array]:
    """F = mean (D_k - sum_i M_ki d_ki)^2 of d [B, T, H, H], and dF/dM [H, H]."""
    loss, m_gradient = 0.0, np.zeros(m.shape)
    for b, t, k in np.ndindex(*effect.shape):
        residual = effect[b, t, k] - m[k] @ done[b, t, k]
        loss += residual**2 / effect.size
        m_gradient[k] -= 2.0 * residual * done[b, t, k] / effect.size
    return loss, m_gradient


def membrane_sensitivity(
    effect: Array, xi: Array, m: Array, lam: Array, starts: Sequence[int] = (0,), heard: Array | None = None
) -> tuple[float, Array]:
    """The loss F of M where the kernel is that of the unit that is moved, and dF/dM [H, H].

        (26) Y(t) = lambda Y(t-1) + M xi(t),        F = mean (D(t) - Re Y(t))^2

    Args:
        effect: D [B, T, H].
        m: sensitivity tensor [H, H].
        lam: lambda [H], complex or real.
        starts: steps at which the noise before is forgotten.
        heard: as of `membrane`.

    Example: an M that predicts all of D.

    >>> xi, effect = np.array([[[1.0], [0.0]]]), np.array([[[2.0], [1.0]]])
    >>> loss, m_gradient = membrane_sensitivity(effect, xi, m=np.array([[2.0]]), lam=np.array([0.5]))
    >>> float(loss), m_gradient.tolist()
    (0.0, [[0.0]])
    """
    batch, time, units = xi.shape
    omega = np.zeros((batch, time, units, units), complex)  # of each unit k by the noise of each
    for b, t, k in np.ndindex(batch, time, units):
        before = 0.0 if t in starts else lam[k] * omega[b, t - 1, k]
        omega[b, t, k] = before + (1.0 if heard is None else heard[b, t, k]) * xi[b, t]
    return squared_residual(effect, omega.real, m)
