"""What M and gamma learn from, Eq. (16), (17) and (19)."""

import numpy as np


def filtered_noise(xi: np.ndarray, gate: np.ndarray, gamma: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """The filtered noise and its derivative by gamma, from zero.

        (16) Omega(t) = exp(-gamma dt) Omega(t-1) + q(t) xi(t)
        (17) Gamma(t) = exp(-gamma dt) (Gamma(t-1) - dt Omega(t-1))

    Args:
        gate: q [B, T, H], 0 where a unit feels no noise.

    Returns:
        Omega and Gamma [B, T, R, H].

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


def sensitivity(
    effect: np.ndarray, omega: np.ndarray, slope: np.ndarray, m: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """What M and gamma learn from.

        (19) F = mean (D(t) - Omega(t) M^T)^2

    Args:
        effect: D [B, T, H].
        omega, slope: what `filtered_noise` returns.

    Returns:
        F, and its gradients by M [R, H, H] and gamma [R, H], term by term.

    Example:

    >>> loss, of_m, of_gamma = sensitivity(
    ...     np.array([[[3.0]]]), omega=np.ones((1, 1, 1, 1)), slope=np.ones((1, 1, 1, 1)), m=np.array([[[1.0]]])
    ... )
    >>> float(loss), of_m.tolist(), of_gamma.tolist()  # (3 - 1)^2, and twice -2
    (4.0, [[[-4.0]]], [[-4.0]])
    """
    batch, time, units = effect.shape
    loss, of_m, of_gamma = 0.0, np.zeros(m.shape), np.zeros(m.shape[:2])
    count = batch * time * units
    for b, t, k in np.ndindex(batch, time, units):
        residual = effect[b, t, k]
        for r, i in np.ndindex(len(m), units):
            residual -= omega[b, t, r, i] * m[r, k, i]
        loss += residual**2 / count
        for r, i in np.ndindex(len(m), units):
            of_m[r, k, i] -= 2.0 * residual * omega[b, t, r, i] / count
            of_gamma[r, i] -= 2.0 * residual * m[r, k, i] * slope[b, t, r, i] / count
    return loss, of_m, of_gamma
