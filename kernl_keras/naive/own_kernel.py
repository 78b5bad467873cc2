"""Eq. (25)-(27): the answer of unit k to a spike goes on as k's own potential does. Forward in time."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np


def own_kernel(error: np.ndarray, s: np.ndarray, run: SimpleNamespace, m: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """dC/dW [J, H] of the network form with kernels Re lam_k^n, n steps; M [H, H], lam [H] complex or real."""
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        eps, through, e = 0.0, 0.0, np.zeros(units, complex)
        for t in range(time):
            reset = run.keep[b, t - 1, i] if t else 1.0
            eps = run.leak[b, t, i] * reset * eps + run.gain[b, t, i] * s[b, t, j]
            gradient[j, i] += error[b, t, i] * run.psi[b, t, i] * np.real(eps)
            for k in range(units):
                e[k] = lam[k] * e[k] + through
                gradient[j, i] += error[b, t, k] * run.psi[b, t, k] * m[k, i] * e[k].real
            through = run.psi[b, t, i] * np.real(eps)
    return gradient


def own_kernel_sensitivity(
    effect: np.ndarray, xi: np.ndarray, m: np.ndarray, lam: np.ndarray, starts: Sequence[int] = (0,)
) -> tuple[float, np.ndarray]:
    """F, and dF/dM [H, H], from D and xi [B, T, H]; at each of `starts` the noise before is forgotten."""
    batch, time, units = xi.shape
    loss, of_m = 0.0, np.zeros((units, units))
    for b, k in np.ndindex(batch, units):
        omega = np.zeros(units, complex)
        for t in range(time):
            omega = (0.0 if t in starts else lam[k]) * omega + xi[b, t]
            residual = effect[b, t, k] - sum(m[k, i] * omega[i].real for i in range(units))
            loss += residual**2 / effect.size
            of_m[k] -= 2.0 * residual * omega.real / effect.size
    return loss, of_m
