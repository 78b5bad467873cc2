"""Eq. (25)-(27): the response of unit k to a spike goes on as k's own potential does. Forward in time."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np


def membrane(
    error: np.ndarray,
    s: np.ndarray,
    run: SimpleNamespace,
    m: np.ndarray,
    lam: np.ndarray,
    heard: np.ndarray | None = None,
) -> np.ndarray:
    """The network form with the kernel of the unit that is moved.

        (25) K_k(d) = Re lambda_k^(d/dt)
        (27) dC/dW_ij = sum_b sum_t [A_i(t) eps_ij(t) + psi_i(t) (sum_k M_ki Q_k(t+1)) eps_ij(t)]

    Q is A = L psi, filtered back by lambda.

    Args:
        m: sensitivity tensor [H, H].
        lam: lambda [H], complex or real.
        heard: f' of the unit that is moved [B, T, H], by which what arrives counts; 1 where None.

    Returns:
        dC/dW [J, H].

    Example: through the own leak 0.25, through the spike of the first step 0.5 M more.

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one)
    >>> membrane(error, s, run, m=np.ones((1, 1)), lam=np.array([0.5])).tolist()
    [[0.75]]
    """
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        eps, through, e = 0.0, 0.0, np.zeros(units, complex)
        for t in range(time):
            reset = run.keep[b, t - 1, i] if t else 1.0
            eps = run.leak[b, t, i] * reset * eps + run.gain[b, t, i] * s[b, t, j]
            gradient[j, i] += error[b, t, i] * run.psi[b, t, i] * np.real(eps)
            for k in range(units):
                e[k] = lam[k] * e[k] + (1.0 if heard is None else heard[b, t, k]) * through
                gradient[j, i] += error[b, t, k] * run.psi[b, t, k] * m[k, i] * e[k].real
            through = run.psi[b, t, i] * np.real(eps)
    return gradient


def membrane_sensitivity(
    effect: np.ndarray,
    xi: np.ndarray,
    m: np.ndarray,
    lam: np.ndarray,
    starts: Sequence[int] = (0,),
    heard: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """What M learns from, where the kernel is that of the unit that is moved.

        (26) Y(t) = lambda Y(t-1) + M xi(t),        F = mean (D(t) - Re Y(t))^2

    Args:
        effect: D [B, T, H].
        m: sensitivity tensor [H, H].
        lam: lambda [H], complex or real.
        starts: steps at which the noise before is forgotten.
        heard: as of `membrane`.

    Returns:
        F, and dF/dM [H, H].

    Example: an M that predicts all of D.

    >>> xi, effect = np.array([[[1.0], [0.0]]]), np.array([[[2.0], [1.0]]])
    >>> loss, of_m = membrane_sensitivity(effect, xi, m=np.array([[2.0]]), lam=np.array([0.5]))
    >>> float(loss), of_m.tolist()
    (0.0, [[0.0]])
    """
    batch, time, units = xi.shape
    loss, of_m = 0.0, np.zeros((units, units))
    for b, k in np.ndindex(batch, units):
        omega = np.zeros(units, complex)
        for t in range(time):
            omega = (0.0 if t in starts else lam[k]) * omega + (1.0 if heard is None else heard[b, t, k]) * xi[b, t]
            residual = effect[b, t, k] - sum(m[k, i] * omega[i].real for i in range(units))
            loss += residual**2 / effect.size
            of_m[k] -= 2.0 * residual * omega.real / effect.size
    return loss, of_m
