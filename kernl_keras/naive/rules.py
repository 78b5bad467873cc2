"""The learning rules, Eq. (10)-(15) and (20)-(23): every weight's trace by itself, every error by itself.

The leak of a resonator is complex, so that eps turns; what is seen of it is its real part. The examples have one input,
which is on at the first of two steps, one unit without recurrent weights, and an error at the second.
"""

from types import SimpleNamespace

import numpy as np


def presynaptic(x: np.ndarray, seen: np.ndarray, before: np.ndarray) -> np.ndarray:
    """What weights see at a step, inputs, units and bias.

        s(t) = [x(t), S(t-1), 1]

    Args:
        seen: S(t) [B, T, H].
        before: S before the first step [B, H].

    Returns:
        s [B, T, J].

    Example:

    >>> x, seen = np.array([[[5.0], [6.0]]]), np.array([[[1.0], [2.0]]])
    >>> presynaptic(x, seen, before=np.zeros((1, 1))).tolist()
    [[[5.0, 0.0, 1.0], [6.0, 1.0, 1.0]]]
    """
    previous = np.concatenate([before[:, None], seen[:, :-1]], 1)
    return np.concatenate([x, previous, np.ones_like(x[..., :1])], -1)


def learning_signal(error: np.ndarray, psi: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The error that comes back through M.

        (11) d_i(t) = sum_k L_k(t) psi_k(t) M_ki

    Returns:
        d [B, T, R, H].

    Example:

    >>> learning_signal(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2)), np.array([[[1.0, 0.0], [3.0, 4.0]]])).tolist()
    [[[[7.0, 8.0]]]]
    """
    batch, time, units = error.shape
    d = np.zeros((batch, time, len(m), units))
    for b, t, r, i, k in np.ndindex(batch, time, len(m), units, units):
        d[b, t, r, i] += error[b, t, k] * psi[b, t, k] * m[r, k, i]
    return d


def plain(
    error: np.ndarray, s: np.ndarray, psi: np.ndarray, h: np.ndarray, m: np.ndarray, gamma: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """KeRNL's plain form, Eq. (10)-(12).

    Returns:
        dC/dW [J, H], and the traces e [B, R, H, J] after the last step.

    Example: half of the trace of the first step is left when the error comes.

    >>> error, s, one = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), np.ones((1, 2, 1))
    >>> gradient, e = plain(error, s, psi=one, h=one, m=np.ones((1, 1, 1)), gamma=np.log([[2.0]]), dt=1.0)
    >>> gradient.round(3).tolist()
    [[0.5]]
    """
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
    """KeRNL's network form, Eq. (20)-(22). Where refractory a_i = 1 and nothing is added; a hard reset forgets eps.

    Returns:
        dC/dW [J, H].

    Example: through the own leak 0.25, through the spike of the first step 0.5 M more.

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one)
    >>> network(error, s, run, m=np.ones((1, 1, 1)), gamma=np.zeros((1, 1)), dt=1.0).tolist()
    [[0.75]]
    """
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
    """The first term of Eq. (22).

    Returns:
        dC/dW [J, H].

    Example:

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one)
    >>> eprop(error, s, run).tolist()
    [[0.25]]
    """
    units = error.shape[-1]
    return network(error, s, run, np.zeros((1, units, units)), np.zeros((1, units)), 1.0)


def eprop_alif(error: np.ndarray, s: np.ndarray, run: SimpleNamespace) -> np.ndarray:
    """E-prop with the trace of two components: eps of the potential, c of the adaptation b.

        zeta_ij(t) = psi_i(t) [eps_ij(t) - beta_i c_ij(t-1)]
        c_ij(t)    = p_i c_ij(t-1) + (1-p_i) zeta_ij(t)
        dC/dW_ij   = sum_b sum_t L_i(t) zeta_ij(t)

    At a soft reset what a spike takes away, B z, moves with the threshold; the spike itself counts as given, or see
    `follow_reset`.

    Returns:
        dC/dW [J, H].

    Example: e-prop's 0.25, less 0.2 by which the first step's spike raised the threshold.

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one,
    ...     threshold_keep=zero, beta=[2.0], p=[0.8])
    >>> eprop_alif(error, s, run).round(3).tolist()
    [[0.05]]
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
    """Random-feedback local online learning, for any error L(t): what random feedback makes of it comes before.

        p_ij(t)  = a_i p_ij(t-1) + psi_i(t) (1-a_i) R_m s_j(t)
        dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

    For rate units psi (1-a) R_m is (1-a) f'.

    Returns:
        dC/dW [J, H].

    Example:

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one)
    >>> rflo(error, s, run).tolist()
    [[0.25]]
    """
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
    """The plain form backward in time.

        (13) R_i(t) = d_i(t) + exp(-gamma_i dt) R_i(t+1)

    Returns:
        R(t) h(t) [B, T, H], summed over kernels.

    Example:

    >>> error, one = np.array([[[0.0], [1.0]]]), np.ones((1, 2, 1))
    >>> reverse_plain(error, psi=one, h=one, m=np.ones((1, 1, 1)), gamma=np.log([[2.0]]), dt=1.0).round(3).tolist()
    [[[0.5], [1.0]]]
    """
    batch, time, units = error.shape
    d, of_current = learning_signal(error, psi, m), np.zeros(error.shape)
    for b, r, i in np.ndindex(batch, len(m), units):
        reverse = 0.0
        for t in reversed(range(time)):
            reverse = d[b, t, r, i] + np.exp(-gamma[r, i] * dt) * reverse
            of_current[b, t, i] += reverse * h[b, t, i]
    return of_current


def reverse_network(error: np.ndarray, run: SimpleNamespace, m: np.ndarray, gamma: np.ndarray, dt: float) -> np.ndarray:
    """The network form backward in time. After a hard reset R starts anew.

        (23) C_i(t) = sum_k A_k(t+1) M_ki + exp(-gamma_i dt) C_i(t+1),      A_k(t) = L_k(t) psi_k(t)
             R_i(t) = A_i(t) + psi_i(t) C_i(t) + a_i R_i(t+1)

    Returns:
        R(t) (1-a) R_m [B, T, H].

    Example:

    >>> from types import SimpleNamespace
    >>> one, zero = np.ones((1, 2, 1)), np.zeros((1, 2, 1))
    >>> error, s = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]])
    >>> run = SimpleNamespace(psi=one, leak=0.5 * one, keep=one, gain=0.5 * one)
    >>> reverse_network(error, run, m=np.ones((1, 1, 1)), gamma=np.zeros((1, 1)), dt=1.0).tolist()
    [[[0.75], [0.5]]]
    """
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
    """The weights' gradient, where the rule went backward in time.

        (14) dC/dW_ij = sum_b sum_t R_i(t) h_i(t) s_j(t)

    Returns:
        dC/dW [J, H].

    Example:

    >>> weight_gradient(np.array([[[0.75], [0.5]]]), np.array([[[1.0], [0.0]]])).tolist()
    [[0.75]]
    """
    gradient = np.zeros((s.shape[-1], of_current.shape[-1]))
    for b, t, j, i in np.ndindex(*s.shape, of_current.shape[-1]):
        gradient[j, i] += of_current[b, t, i] * s[b, t, j]
    return gradient


def input_gradient(of_current: np.ndarray, w_in: np.ndarray) -> np.ndarray:
    """What the layer below receives.

        (15) dC/dx(t) = (R(t) h(t)) W_in^T

    Returns:
        dC/dx [B, T, I].

    Example:

    >>> input_gradient(np.array([[[0.75], [0.5]]]), np.array([[2.0], [-2.0]])).tolist()
    [[[1.5, -1.5], [1.0, -1.0]]]
    """
    gradient = np.zeros((*of_current.shape[:2], len(w_in)))
    for b, t, i, j in np.ndindex(*of_current.shape, len(w_in)):
        gradient[b, t, j] += of_current[b, t, i] * w_in[j, i]
    return gradient
