"""The learning rules, Eq. (10)-(15), (20)-(23), (25) and (27): every weight's trace by itself, every error by itself.

The leak of a resonator is complex, so that eps turns; what is seen of it is its real part.
"""

from types import SimpleNamespace

import numpy as np

from .loops import Array, traces_gradient, two_steps  # noqa: F401, two_steps is for the examples
from .whole_unit import linear_step


def presynaptic(x: Array, seen: Array, before: Array) -> Array:
    """Presynaptic activity s [B, T, J] of all weights, of inputs, units and bias.

        s(t) = [x(t), S(t-1), 1]

    Args:
        seen: S(t) [B, T, H].
        before: S before the first step [B, H].

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


def plain(error: Array, s: Array, psi: Array, h: Array, m: Array, gamma: Array, dt: float) -> tuple[Array, Array]:
    """KeRNL's plain form, Eq. (10)-(12): dC/dW [J, H], and the traces e [B, R, H, J] after the last step.

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


def own_weights(s, run, adaptation):
    """The effect of each weight j on its own unit, for `traces_gradient`: eps of Eq. (20), and the adaptation b."""
    step = linear_step(run, adaptation)

    def own(change, place, j):
        _, spike, change = step(change, run.gain[place] * s[(*place[:2], j)], place)
        return spike, spike, change

    return own


def eprop(error: Array, s: Array, run: SimpleNamespace) -> Array:
    """E-prop, the first term of Eq. (22): dC/dW [J, H].

    Example:
        >>> error, s, run = two_steps()
        >>> eprop(error, s, run).tolist()
        [[0.25]]
    """
    return traces_gradient(error, s.shape[-1], own_weights(s, run, adaptation=False))


def eprop_alif(error: Array, s: Array, run: SimpleNamespace) -> Array:
    """E-prop with the trace of two components: eps of the potential, c of the adaptation b. It returns dC/dW [J, H].

        zeta_ij(t) = psi_i(t) [eps_ij(t) - beta_i c_ij(t-1)]
        c_ij(t)    = p_i c_ij(t-1) + (1-p_i) zeta_ij(t)
        dC/dW_ij   = sum_b sum_t L_i(t) zeta_ij(t)

    At a soft reset what a spike takes away, B z, moves with the threshold; the spike itself counts as given, or see
    `follow_reset`.

    Example: e-prop's 0.25, less 0.2 by which the first step's spike raised the threshold.

    >>> error, s, run = two_steps(beta=[2.0], p=[0.8])
    >>> eprop_alif(error, s, run).round(3).tolist()
    [[0.05]]
    """
    return traces_gradient(error, s.shape[-1], own_weights(s, run, adaptation=True))


def rflo(error: Array, s: Array, run: SimpleNamespace) -> Array:
    """Random-feedback local online learning, for any error L(t), with random feedback or without: dC/dW [J, H].

        p_ij(t)  = a_i p_ij(t-1) + psi_i(t) (1-a_i) R_m s_j(t)
        dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

    For rate units psi (1-a) R_m is (1-a) f'.

    Example:
        >>> error, s, run = two_steps()
        >>> rflo(error, s, run).tolist()
        [[0.25]]
    """

    def own(change, place, j):
        p = run.leak[place] * change[0] + run.psi[place] * run.gain[place] * s[(*place[:2], j)]
        return np.real(p), 0.0, (p,)

    return traces_gradient(error, s.shape[-1], own)


def membrane(error: Array, s: Array, run: SimpleNamespace, m: Array, lam: Array, heard: Array | None = None) -> Array:
    """The network form with the kernel of the unit that is moved: dC/dW [J, H].

        (25) K_k(d) = Re lambda_k^(d/dt)
        (27) dC/dW_ij = sum_b sum_t [A_i(t) eps_ij(t) + psi_i(t) (sum_k M_ki Q_k(t+1)) eps_ij(t)]

    Q is A = L psi, filtered back by lambda.

    Args:
        m: sensitivity tensor [H, H].
        lam: lambda [H], complex or real.
        heard: f' of the unit that is moved [B, T, H], by which what arrives counts; 1 where None.

    Example: through the own leak 0.25, through the spike of the first step 0.5 M more.

    >>> error, s, run = two_steps()
    >>> membrane(error, s, run, m=np.ones((1, 1)), lam=np.array([0.5])).tolist()
    [[0.75]]
    """
    hop = membrane_hop(run, m, lam, heard)
    return traces_gradient(error, s.shape[-1], own_weights(s, run, adaptation=False), hop)


def membrane_hop(run, m, lam, heard=None):
    """The hop of `membrane`, for `traces_gradient`."""

    def hop(e, sent, place):
        b, t, i = place
        e = lam * (0.0 if e is None else e) + (1.0 if heard is None else heard[b, t]) * sent
        return run.psi[b, t] * m[:, i] * np.real(e), e

    return hop


def reverse_plain(error: Array, psi: Array, h: Array, m: Array, gamma: Array, dt: float) -> Array:
    """The plain form backward in time: R(t) h(t) [B, T, H], summed over kernels.

        (13) R_i(t) = d_i(t) + exp(-gamma_i dt) R_i(t+1)

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


def reverse_network(error: Array, run: SimpleNamespace, m: Array, gamma: Array, dt: float) -> Array:
    """The network form backward in time: R(t) (1-a) R_m [B, T, H]. After a hard reset R starts anew.

        (23) C_i(t) = sum_k A_k(t+1) M_ki + exp(-gamma_i dt) C_i(t+1),      A_k(t) = L_k(t) psi_k(t)
             R_i(t) = A_i(t) + psi_i(t) C_i(t) + a_i R_i(t+1)

    Example:
        >>> error, s, run = two_steps()
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


def weight_gradient(of_current: Array, s: Array) -> Array:
    """The weights' gradient dC/dW [J, H] by a rule that goes backward in time.

        (14) dC/dW_ij = sum_b sum_t R_i(t) h_i(t) s_j(t)

    Example:
        >>> weight_gradient(np.array([[[0.75], [0.5]]]), np.array([[[1.0], [0.0]]])).tolist()
        [[0.75]]
    """
    gradient = np.zeros((s.shape[-1], of_current.shape[-1]))
    for b, t, j, i in np.ndindex(*s.shape, of_current.shape[-1]):
        gradient[j, i] += of_current[b, t, i] * s[b, t, j]
    return gradient


def input_gradient(of_current: Array, w_in: Array) -> Array:
    """The error of the layer below, dC/dx [B, T, I].

        (15) dC/dx(t) = (R(t) h(t)) W_in^T

    Example:
        >>> input_gradient(np.array([[[0.75], [0.5]]]), np.array([[2.0], [-2.0]])).tolist()
        [[[1.5, -1.5], [1.0, -1.0]]]
    """
    gradient = np.zeros((*of_current.shape[:2], len(w_in)))
    for b, t, i, j in np.ndindex(*of_current.shape, len(w_in)):
        gradient[b, t, j] += of_current[b, t, i] * w_in[j, i]
    return gradient
