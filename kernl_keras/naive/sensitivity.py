"""What M and gamma learn from, Eq. (16), (17) and (19)."""

import numpy as np


def filtered_noise(xi: np.ndarray, gate: np.ndarray, gamma: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (16), (17) with q = `gate` [B, T, H]: Omega and Gamma [B, T, R, H], from zero."""
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
    """Eq. (19), F, with its gradients by M [R, H, H] and gamma [R, H] term by term."""
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
