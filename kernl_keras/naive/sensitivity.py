"""The loss of M and gamma, Eq. (16), (17) and (19), and of M where the kernel is a unit's, Eq. (26)."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from .linear import advance
from .units import Array


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


def kernel_sensitivity(
    effect: Array, xi: Array, m: Array, kernel: SimpleNamespace, arrival: Array, starts: Sequence[int] = (0,)
) -> tuple[float, Array]:
    """The loss F of M where the kernel is that of the unit that is moved, and dF/dM [H, H].

        (26) F = mean (D_k - sum_i M_ki d_ki)^2

    d_ki is what the noise of i, had it moved k by itself, would do to its distance to threshold: of the membrane alone
    Re sum lambda_k^(t-t') xi_i(t').

    Args:
        starts: steps at which the noise before is forgotten.

    Example: an M that predicts all of D.

    >>> one = np.ones((1, 2, 1))
    >>> matrix = 0.5 * one[..., None, None]
    >>> kernel = SimpleNamespace(psi=0 * one, P=matrix, r=one[..., None], K=2 * matrix, s=0 * one[..., None])
    >>> xi, effect = np.array([[[1.0], [0.0]]]), np.array([[[2.0], [1.0]]])
    >>> loss, m_gradient = kernel_sensitivity(effect, xi, np.array([[2.0]]), kernel, one[..., None])
    >>> float(loss), m_gradient.tolist()
    (0.0, [[0.0]])
    """
    loss, m_gradient, x = 0.0, np.zeros(m.shape), np.zeros(())
    for t in range(effect.shape[1]):
        added = np.einsum("bkd,bi->bikd", arrival[:, t], xi[:, t])
        _, done, _, x = advance(kernel, t, np.zeros(added.shape) if t in starts else x, added)
        residual = effect[:, t] - np.einsum("ki,bik->bk", m, done)
        loss += np.sum(residual**2) / effect.size
        m_gradient -= 2.0 * np.einsum("bk,bik->ki", residual, done) / effect.size
    return loss, m_gradient
