"""The learning rules, Eq. (10)-(12), (14), (15), (20)-(22), (27), (36): the trace of every weight, forward in time.

Axes of the sums: b example, j presynaptic, n current, w weight of a unit (j and n), i unit, k another unit, r kernel.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .linear import advance
from .units import Array

Hop = Callable[[Any, Array, int], tuple[Array, Any]]
"""`(its state or None, what each unit sent a step ago [B, W, H], t)` -> the changes of all z(t) [B, W, H, H], state."""


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


def plain(error: Array, s: Array, psi: Array, h: Array, m: Array, gamma: Array, dt: float) -> tuple[Array, Array]:
    """KeRNL's plain form: dC/dW [J, H], and the traces e [B, R, H, J] after the last step.

        (10) e_ij(t)  = exp(-gamma_i dt) e_ij(t-1) + h_i(t) s_j(t)
        (11) d_i(t)   = sum_k L_k(t) psi_k(t) M_ki
        (12) dC/dW_ij = sum_b sum_t d_i(t) e_ij(t)

    Example: half of the trace of the first step is left when the error comes.

    >>> error, s, one = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), np.ones((1, 2, 1))
    >>> gradient, e = plain(error, s, psi=one, h=one, m=np.ones((1, 1, 1)), gamma=np.log([[2.0]]), dt=1.0)
    >>> gradient.round(3).tolist()
    [[0.5]]
    """
    batch, time, units = error.shape
    e = np.zeros((batch, len(m), units, s.shape[-1]))
    gradient = np.zeros((s.shape[-1], units))
    for b, t, r, i in np.ndindex(batch, time, len(m), units):
        e[b, r, i] = np.exp(-gamma[r, i] * dt) * e[b, r, i] + h[b, t, i] * s[b, t]
        gradient[:, i] += sum(error[b, t, k] * psi[b, t, k] * m[r, k, i] for k in range(units)) * e[b, r, i]
    return gradient, e


def traces_gradient(error: Array, s: Array, steps: SimpleNamespace, hop: Hop | None = None) -> Array:
    """E-prop, and with a hop KeRNL: dC/dW [J, n H], Eq. (20)-(22).

        zeta_ij(t) = the change of z_i(t) by W_ij through i's own states, by the linear step
        dC/dW_ij   = sum_b sum_t [L_i(t) zeta_ij(t) + sum_k L_k(t) hop_ki(zeta_ij(t-1), zeta_ij(t-2), ..)]

    Example: an input at the first step, an error at the second: through the own leak of 1/2, and a hop by M = 1.

    >>> error, s, one = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), np.ones((1, 2, 1))
    >>> steps = SimpleNamespace(psi=one, P=0.5 * one[..., None, None], Q=0.5 * one[..., None, None],
    ...     r=one[..., None], K=one[..., None, None], s=0 * one[..., None], past=0 * one[..., None])
    >>> hop = exponential_hop(steps, m=np.ones((1, 1, 1)), gamma=np.zeros((1, 1)), dt=1.0)
    >>> traces_gradient(error, s, steps).tolist(), traces_gradient(error, s, steps, hop).tolist()
    ([[0.25]], [[0.75]])
    """
    added = np.einsum("btidn,btj->btjnid", steps.Q, s)
    passed = np.einsum("btin,btj->btjni", steps.past, s)
    shape = *s.shape[:2], -1, error.shape[-1]
    gradient = follow(error, steps, added.reshape(*shape, added.shape[-1]), passed=passed.reshape(shape), hop=hop)
    return gradient.reshape(s.shape[-1], -1)


def follow(error, steps, added, raised=None, after=None, passed=None, sent=None, hop=None):
    """The gradient [W, H] of what moves its own unit in every step, at once, and later through the unit and the hop.

    Args:
        added, after: of y, and of x after the step [B, T, W, H, d].
        raised, passed, sent: of the threshold; of z; and of what the others see besides [B, T, W, H].
    """
    zero = np.zeros(added.shape[:-1])
    raised, passed, sent = (zero if each is None else each for each in (raised, passed, sent))
    x, seen, moved, total = np.zeros(added[:, 0].shape), zero[:, 0], None, np.zeros(zero.shape[2:])
    for t in range(error.shape[1]):
        if hop is not None:
            others, moved = hop(moved, seen, t)
            total += np.einsum("bk,bwik->wi", error[:, t], others)
        _, _, z, x = advance(steps, t, x, added[:, t], raised[:, t])
        x = x + (0.0 if after is None else after[:, t])
        z = z + passed[:, t]
        total += np.einsum("bi,bwi->wi", error[:, t], z)
        seen = z + sent[:, t]
    return total


def rflo(error: Array, s: Array, steps: SimpleNamespace) -> Array:
    """Random-feedback local online learning, for any error L(t), with random feedback or without: dC/dW [J, H].

        p_ij(t)  = a_i p_ij(t-1) + psi_i(t) (1-a_i) R_m s_j(t)
        dC/dW_ij = sum_b sum_t L_i(t) p_ij(t)

    For rate units psi (1-a) R_m is (1-a) f'.

    Example: half of the first step's 1/2 is left when the error comes.

    >>> error, s, one = np.array([[[0.0], [1.0]]]), np.array([[[1.0], [0.0]]]), np.ones((1, 2, 1))
    >>> half = 0.5 * one[..., None, None]
    >>> rflo(error, s, SimpleNamespace(psi=one, P=half, Q=half)).tolist()
    [[0.25]]
    """
    p, total = np.zeros((len(s), s.shape[-1], *steps.P.shape[2:4])), np.zeros((s.shape[-1], error.shape[-1]))
    for t in range(error.shape[1]):
        p = np.einsum("bide,bjie->bjid", steps.P[:, t], p)
        p = p + np.einsum("bi,bidn,bj->bjid", steps.psi[:, t], steps.Q[:, t], s[:, t])
        total += np.einsum("bi,bji->ji", error[:, t], p[..., 0])
    return total


def exponential_hop(steps: SimpleNamespace, m: Array, gamma: Array, dt: float) -> Hop:
    """The hop by exponential kernels: what a unit sent fades, and M is what it does to the others.

        e_ij(t) = exp(-gamma_i dt) e_ij(t-1) + zeta_ij(t-1),        the change of z_k(t) is psi_k(t) M_ki e_ij(t)

    Example: half of what was sent two steps ago.

    >>> hop = exponential_hop(SimpleNamespace(psi=np.ones((1, 2, 1))), np.ones((1, 1, 1)), np.log([[2.0]]), dt=1.0)
    >>> _, e = hop(None, np.ones((1, 1, 1)), 0)
    >>> hop(e, np.zeros((1, 1, 1)), 1)[0].round(3).tolist()
    [[[[0.5]]]]
    """

    def hop(e, sent, t):
        e = (0.0 if e is None else np.exp(-gamma.T * dt) * e) + sent[..., None]  # [B, W, H, R]
        return np.einsum("bk,rki,bwir->bwik", steps.psi[:, t], m, e), e

    return hop


def unit_hop(kernel: SimpleNamespace, arrival: Array, m: Array) -> Hop:
    """The hop by the unit that is moved, Eq. (27) and (36): what arrives goes on in k as a change of its own states.

    Example: half of what arrived a step ago.

    >>> one = np.ones((1, 2, 1))
    >>> matrix = 0.5 * one[..., None, None]
    >>> kernel = SimpleNamespace(psi=one, P=matrix, r=one[..., None], K=2 * matrix, s=0 * one[..., None])
    >>> hop = unit_hop(kernel, one[..., None], np.ones((1, 1)))
    >>> _, x = hop(None, np.ones((1, 1, 1)), 0)
    >>> hop(x, np.zeros((1, 1, 1)), 1)[0].tolist()
    [[[[0.5]]]]
    """

    def hop(x, sent, t):
        added = np.einsum("bkd,ki,bwi->bwikd", arrival[:, t], m, sent)
        _, _, z, x = advance(kernel, t, np.zeros(added.shape) if x is None else x, added)
        return z, x

    return hop


def weight_gradient(current_error: Array, s: Array) -> Array:
    """The weights' gradient dC/dW [J, n H] by a rule that goes backward in time.

        (14) dC/dW_ij = sum_b sum_t dC/dI_i(t) s_j(t)

    Example:
        >>> weight_gradient(np.array([[[0.75], [0.5]]]), np.array([[[1.0], [0.0]]])).tolist()
        [[0.75]]
    """
    return np.einsum("bti,btj->ji", current_error, s)


def input_gradient(current_error: Array, w_in: Array) -> Array:
    """The error of the layer below, dC/dx [B, T, I].

        (15) dC/dx(t) = dC/dI(t) W_in^T

    Example:
        >>> input_gradient(np.array([[[0.75], [0.5]]]), np.array([[2.0], [-2.0]])).tolist()
        [[[1.5, -1.5], [1.0, -1.0]]]
    """
    return np.einsum("bti,ji->btj", current_error, w_in)
