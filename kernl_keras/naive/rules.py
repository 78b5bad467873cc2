"""The learning rules, Eq. (10)-(15) and (20)-(23): every weight's trace by itself, every error by itself.

The leak of a resonator is complex, so that eps turns; what is seen of it is its real part.
"""

from types import SimpleNamespace

import numpy as np


def presynaptic(x: np.ndarray, seen: np.ndarray, before: np.ndarray) -> np.ndarray:
    """s(t) = [x(t), S(t-1), 1], [B, T, J]; `seen` [B, T, H] is S(t), `before` [B, H] S before the first step."""
    previous = np.concatenate([before[:, None], seen[:, :-1]], 1)
    return np.concatenate([x, previous, np.ones_like(x[..., :1])], -1)


def learning_signal(error: np.ndarray, psi: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Eq. (11): d [B, T, R, H]."""
    batch, time, units = error.shape
    d = np.zeros((batch, time, len(m), units))
    for b, t, r, i, k in np.ndindex(batch, time, len(m), units, units):
        d[b, t, r, i] += error[b, t, k] * psi[b, t, k] * m[r, k, i]
    return d


def plain(
    error: np.ndarray, s: np.ndarray, psi: np.ndarray, h: np.ndarray, m: np.ndarray, gamma: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (10)-(12): dC/dW [J, H], and the traces e [B, R, H, J] after the last step."""
    batch, time, units = error.shape
    d = learning_signal(error, psi, m)
    e = np.zeros((batch, len(m), units, s.shape[-1]))
    gradient = np.zeros((s.shape[-1], units))
    for b, t, r, i, j in np.ndindex(batch, time, len(m), units, s.shape[-1]):
        e[b, r, i, j] = np.exp(-gamma[r, i] * dt) * e[b, r, i, j] + h[b, t, i] * s[b, t, j]
        gradient[j, i] += d[b, t, r, i] * e[b, r, i, j]
    return gradient, e


def network(
    error: np.ndarray, s: np.ndarray, run: SimpleNamespace, m: np.ndarray, gamma: np.ndarray, dt: float
) -> np.ndarray:
    """Eq. (20)-(22): dC/dW [J, H]. Where refractory a_i = 1 and nothing is added; a hard reset forgets eps."""
    batch, time, units = error.shape
    d = learning_signal(error, run.psi, m)
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        eps, through, e = 0.0, 0.0, np.zeros(len(m))  # `through` is psi_i(t-1) eps_ij(t-1)
        for t in range(time):
            reset = run.keep[b, t - 1, i] if t else 1.0
            eps = run.leak[b, t, i] * reset * eps + run.gain[b, t, i] * s[b, t, j]
            gradient[j, i] += error[b, t, i] * run.psi[b, t, i] * np.real(eps)
            for r in range(len(m)):
                e[r] = np.exp(-gamma[r, i] * dt) * e[r] + through
                gradient[j, i] += d[b, t, r, i] * e[r]
            through = run.psi[b, t, i] * np.real(eps)
    return gradient


def eprop(error: np.ndarray, s: np.ndarray, run: SimpleNamespace) -> np.ndarray:
    """The first term of Eq. (22)."""
    units = error.shape[-1]
    return network(error, s, run, np.zeros((1, units, units)), np.zeros((1, units)), 1.0)


def eprop_alif(error: np.ndarray, s: np.ndarray, run: SimpleNamespace) -> np.ndarray:
    """E-prop with the trace of two components: eps of the potential, c of the adaptation b. dC/dW [J, H].

    At a soft reset what a spike takes away, B z, moves with the threshold; the spike itself counts as given, or see
    `follow_reset`.
    """
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        v, c = 0.0, 0.0  # changes of V(t-1) and of b(t-1)
        for t in range(time):
            threshold = run.beta[i] * c
            potential = run.leak[b, t, i] * v + run.gain[b, t, i] * s[b, t, j]
            spike = run.psi[b, t, i] * (np.real(potential) - threshold)
            v = run.keep[b, t, i] * potential - run.threshold_keep[b, t, i] * threshold
            c = run.p[i] * c + (1.0 - run.p[i]) * spike
            gradient[j, i] += error[b, t, i] * spike
    return gradient


def rflo(error: np.ndarray, s: np.ndarray, run: SimpleNamespace) -> np.ndarray:
    """p_ij(t) = a p_ij(t-1) + psi_i(t) (1-a) R_m s_j(t), dC/dW = sum L p; for rate units psi (1-a) R_m is (1-a) f'."""
    batch, time, units = error.shape
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        p = 0.0
        for t in range(time):
            p = run.leak[b, t, i] * p + run.psi[b, t, i] * run.gain[b, t, i] * s[b, t, j]
            gradient[j, i] += error[b, t, i] * np.real(p)
    return gradient


def reverse_plain(
    error: np.ndarray, psi: np.ndarray, h: np.ndarray, m: np.ndarray, gamma: np.ndarray, dt: float
) -> np.ndarray:
    """Eq. (13): R(t) h(t) [B, T, H], summed over kernels."""
    batch, time, units = error.shape
    d, of_current = learning_signal(error, psi, m), np.zeros(error.shape)
    for b, r, i in np.ndindex(batch, len(m), units):
        reverse = 0.0
        for t in reversed(range(time)):
            reverse = d[b, t, r, i] + np.exp(-gamma[r, i] * dt) * reverse
            of_current[b, t, i] += reverse * h[b, t, i]
    return of_current


def reverse_network(error: np.ndarray, run: SimpleNamespace, m: np.ndarray, gamma: np.ndarray, dt: float) -> np.ndarray:
    """Eq. (23): R(t) (1-a) R_m [B, T, H]."""
    batch, time, units = error.shape
    local, of_current = error * run.psi, np.zeros(error.shape)
    for b, i in np.ndindex(batch, units):
        own, c = 0.0, np.zeros(len(m))
        for t in reversed(range(time)):
            if t + 1 < time:
                for r in range(len(m)):
                    back = sum(local[b, t + 1, k] * m[r, k, i] for k in range(units))
                    c[r] = back + np.exp(-gamma[r, i] * dt) * c[r]
                own *= run.leak[b, t + 1, i] * run.keep[b, t, i]
            own = local[b, t, i] + run.psi[b, t, i] * c.sum() + own
            of_current[b, t, i] = np.real(own) * run.gain[b, t, i]
    return of_current


def weight_gradient(of_current: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Eq. (14)."""
    gradient = np.zeros((s.shape[-1], of_current.shape[-1]))
    for b, t, j, i in np.ndindex(*s.shape, of_current.shape[-1]):
        gradient[j, i] += of_current[b, t, i] * s[b, t, j]
    return gradient


def input_gradient(of_current: np.ndarray, w_in: np.ndarray) -> np.ndarray:
    """Eq. (15)."""
    gradient = np.zeros((*of_current.shape[:2], len(w_in)))
    for b, t, i, j in np.ndindex(*of_current.shape, len(w_in)):
        gradient[b, t, j] += of_current[b, t, i] * w_in[j, i]
    return gradient
